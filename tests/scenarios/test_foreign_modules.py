"""WASM modules as data of a network: spawned, sent about, lost, found again; from everywhere."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import PROTOCOL, Client, Running
from small_modules import sending_module, small_module, spawning_module
from typer.testing import CliRunner

from benchpool import Network
from benchpool.ao.dataitem import sign
from benchpool.ao.ids import encode_id
from benchpool.audit.backup import backup_home, restore_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.rebuild import rebuild_home
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import (
    BenchpoolError,
    DataCorrupt,
    DataNotFound,
    PrerequisiteError,
    StoreError,
    UnknownModule,
)
from benchpool.units.limits import Limits

AOS_ID = "ISShJH1ij-hPPt9St5UFFr_8Ys3Kj5cyg7zrMGt7H9s"
UNKNOWN = encode_id(b"?" * 32)


def run(*args: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(each) for each in args])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A home with a module of which there are two processes, under a name and under an alias."""
    with Network(tmp_path / "home", seed=1, signed=request.param) as network:
        network.add_module(small_module(), name="tiny", ids=[AOS_ID])
        network.spawn("tiny", name="One")
        network.spawn(AOS_ID, name="Two")
        for number in range(3):
            network.send("One", "Ask", {"Number": str(number)})
    return tmp_path / "home"


def spoil(home: Path, *, gone: bool) -> Path:
    """Take the bytes of the module away, or change them; return where they were."""
    with Network(home, read_only=True) as network:
        (record,) = network.modules.records()
        path = network.data.folder / record.id
    path.chmod(0o644)
    if gone:
        path.unlink()
    else:
        path.write_bytes(small_module("other"))
    return path


def test_a_run_is_the_same_wherever_it_goes(begun: Path, tmp_path: Path) -> None:
    replay = replay_home(begun)
    replay.check()
    export_home(begun, tmp_path / "run")
    import_file(tmp_path / "run", tmp_path / "imported").check()
    backup_home(begun, tmp_path / "backup")
    restore_home(tmp_path / "backup", tmp_path / "restored")
    rebuild_home(begun).check()
    for home in (begun, tmp_path / "imported", tmp_path / "restored"):
        assert replay_home(home).digest == replay.digest
        with Network(home, read_only=home.name == "imported") as network:
            (record,) = network.modules.records()
            assert (record.name, record.ids) == ("tiny", (AOS_ID,))
            assert network.data.get(record.id) == small_module()
            assert network.dry_run("Two", "Ask").output == "hello"


def test_a_module_travels_however_large_it_is(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchpool.audit.export.DATA_LIMIT", 10)
    with Network(begun) as network:
        large = network.data.put(b"something that no process needs")
    assert [data_id for data_id, _ in export_home(begun, tmp_path / "run").left_out] == [large]
    import_file(tmp_path / "run", tmp_path / "copy").check()


@pytest.mark.parametrize("gone", [True, False])
def test_messages_wait_for_a_module_that_is_lost(begun: Path, tmp_path: Path, gone: bool) -> None:
    lost = DataNotFound if gone else DataCorrupt
    with Network(begun) as network:
        relay = sending_module(network.resolve("One"))
        network.add_module(relay, name="relay")
    spoil_one(begun, gone=gone)
    with Network(begun) as network:
        with pytest.raises(UnknownModule, match=r"cannot be loaded: the bytes of module tiny"):
            network.send("One", "Ask")
        network.spawn("relay", name="Relay")  # it goes on, and what it sends to One waits
        (waiting,) = network.messenger.stranded.reasons()
        assert waiting == network.resolve("One")
        assert network.log("One")[-1][1] is None
        with pytest.raises(lost, match="module tiny"):
            network.dry_run("One", "Ask")
        assert network.send("Relay", "Go").result.output == "sent"
    with Network(begun) as network:  # opened again, it waits still
        network.send("Relay", "Go")
        assert len(network.messenger.stranded.reasons()) == 1
    with pytest.raises(lost, match="module tiny"):
        replay_home(begun)
    with pytest.raises(lost, match="module tiny"):
        rebuild_home(begun)
    file = tmp_path / "tiny.wasm"
    file.write_bytes(small_module())
    said = run("send", "--target", "Relay", "--action", "Go", "--home", begun)
    assert "messages of One wait: the bytes of module tiny" in said
    assert "the next command goes on" in run("data", "put", file, "--home", begun)
    with Network(begun) as network:
        network.run()
        assert [result and result.output for _, result in network.log("One")] == ["hello"] * 5
    replay_home(begun).check()


def spoil_one(home: Path, *, gone: bool) -> None:
    with Network(home, read_only=True) as network:
        record = network.modules.record("tiny")
        assert record is not None
        path = network.data.folder / record.id
    path.chmod(0o644)
    path.unlink() if gone else path.write_bytes(small_module("other"))


def test_messages_wait_where_wasmtime_is_not_installed(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Network(begun) as network:
        network.spawn("WrappedAR", name="Token")
    with monkeypatch.context() as patch:
        patch.setattr("benchpool.wasm.module.find_spec", lambda _name: None)
        with Network(begun) as network:
            with pytest.raises(PrerequisiteError, match=r"benchpool\[wasm\]"):
                network.spawn("tiny")
            with pytest.raises(UnknownModule, match=r"benchpool\[wasm\]"):
                network.send("One", "Ask")
            assert network.send("Token", "Mint", {"Quantity": "5"}).error == ""
            assert all(result and not result.error for _, result in network.log("One"))
        with pytest.raises(PrerequisiteError, match=r"benchpool\[wasm\]"):
            replay_home(begun)
    with Network(begun) as network:
        network.send("One", "Ask")
    replay_home(begun).check()


def test_a_module_that_nobody_uses_is_looked_after_too(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.add_module(small_module(), name="tiny")
        network.spawn("WrappedAR")
    spoil(home, gone=False)
    difference = replay_home(home).difference
    assert difference is not None
    assert "module tiny" in difference.what
    assert "tiny" in run("replay", "--verify", "--home", home, code=4)


@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_copied_whose_module_is_lost(begun: Path, tmp_path: Path, gone: bool) -> None:
    spoil(begun, gone=gone)
    with pytest.raises(StoreError, match="module tiny"):
        export_home(begun, tmp_path / "run")
    if not gone:
        with pytest.raises(StoreError, match="it changed, or it is damaged"):
            backup_home(begun, tmp_path / "backup")
    assert not [each for each in tmp_path.iterdir() if each.name != "home"]


def test_processes_spawn_by_name_and_by_id(tmp_path: Path) -> None:
    for signed in (False, True):
        home = tmp_path / f"{signed}"
        with Network(home, seed=1, signed=signed) as network:
            tiny = network.add_module(small_module(), name="tiny", ids=[AOS_ID])
            maker = spawning_module("tiny", tiny.id, AOS_ID, "nothing", UNKNOWN, "WrappedAR")
            network.add_module(maker, name="maker")
            made = network.spawn("maker", name="Maker")
            modules = [info.module for info in network.processes()]
            assert modules[1:] == [tiny.id, tiny.id, AOS_ID, "WrappedAR"]
            notices = [message.action for message, _ in network.log(made)][1:5]
            assert notices.count("Spawned") + notices.count("Spawn-Error") == 4
            errors = [m.tags["Error"] for m, _ in network.log(made) if m.action == "Spawn-Error"]
            assert any("no module named 'nothing'" in each for each in errors)
            # Added later: what was refused before stays refused in every replay.
            network.add_module(small_module("late"), name="nothing")
        replay_home(home).check()


def test_a_spawn_of_a_lost_module_is_refused_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.add_module(small_module(), name="tiny")
        network.add_module(spawning_module("tiny"), name="maker")
        network.spawn("WrappedAR", name="Token")
    spoil_one(home, gone=True)
    with Network(home) as network:
        with pytest.raises(BenchpoolError, match="the bytes of module tiny"):
            network.spawn("tiny")
        maker = network.spawn("maker", name="Maker")
        (refused,) = [m for m, _ in network.log(maker) if m.action == "Spawn-Error"]
        assert "the bytes of module tiny" in refused.tags["Error"]
        assert network.send("Token", "Mint", {"Quantity": "5"}).error == ""
        assert network.messenger.stranded.reasons() == {}


def test_a_process_is_shown_as_it_shows_itself(begun: Path) -> None:
    text = run("inspect", "One", "--home", begun)
    assert "memory_bytes" in text
    shown = json.loads(run("inspect", "One", "--home", begun, "--json"))
    assert shown["state"]["format"].startswith("wasm32-")
    assert run("inbox", "One", "--home", begun)
    assert json.loads(run("inbox", "One", "--home", begun, "--json")) == []
    assert "hello" in run("log", "One", "--home", begun, "--json")
    assert run("dryrun", "--target", "One", "--action", "Ask", "--home", begun)


def test_the_command_line_adds_lists_shows_and_spawns(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "tiny.wasm"
    file.write_bytes(small_module())
    assert "Benchmark" in run("module", "list", "--home", home)
    added = run("module", "add", file, "--name", "tiny", "--id", AOS_ID, "--home", home)
    assert any(line.endswith("  tiny") for line in added.splitlines())
    limits = ("--memory-limit", 64, "--compute-limit", 10**9)
    run("module", "add", file, "--name", "tiny", *limits, "--home", home, code=2)
    rows = {row["name"]: row for row in json.loads(run("module", "list", "--home", home, "--json"))}
    assert (rows["tiny"]["kind"], rows["Benchmark"]["kind"]) == ("added", "installed")
    shown = json.loads(run("module", "show", AOS_ID, "--home", home, "--json"))
    assert (shown["name"], shown["ids"], shown["size"]) == ("tiny", [AOS_ID], len(small_module()))
    assert shown["sha256"] in run("module", "show", "tiny", "--home", home)
    assert "python" in run("module", "show", "Benchmark", "--home", home)
    assert run("spawn", "tiny", "--name", "One", "--home", home).endswith("  One\n")
    run("spawn", "tiny", "--as", UNKNOWN, "--name", "Two", "--home", home)
    assert json.loads(run("processes", "--home", home, "--json"))[1]["id"] == UNKNOWN
    assert json.loads(run("module", "show", "tiny", "--home", home, "--json"))["processes"] == 2
    assert "no module named" in run("module", "show", "none", "--home", home, code=1)
    run("module", "add", tmp_path, "--name", "folder", "--home", home, code=2)


# -- over HTTP -----------------------------------------------------------------------------------


def module_item(client: Client, code: bytes, **tags: str) -> Any:
    own = {
        "Type": "Module",
        "Module-Format": "wasm32-unknown-emscripten-draft_2024_02_15",
        "Input-Encoding": "JSON-1",
        "Output-Encoding": "JSON-1",
        "Memory-Limit": "64-mb",
        "Compute-Limit": "9000000000000",
        "Content-Type": "application/wasm",
        **tags,
    }
    return sign(client.signer, tags=[*PROTOCOL, *own.items()], data=code)


def test_anybody_may_upload_a_module_and_spawn_it(
    home: Path, serve: Callable[..., Running], tmp_path: Path
) -> None:
    running = serve()
    client = Client(running.url)
    item = module_item(client, small_module())
    assert client.http.post("/v1/tx", content=item.raw).status_code == 200
    process = client.spawn(item.id)
    assert client.result(process, process)["Output"] == "hello"
    assert client.http.get(f"/{item.id}").content == small_module()
    query = '{transactions(tags: [{name: "Type", values: ["Module"]}]) {edges {node {id}}}}'
    answer = client.http.post("/graphql", json={"query": query}).json()
    assert item.id in [edge["node"]["id"] for edge in answer["data"]["transactions"]["edges"]]
    running.stop()
    replay_home(home).check()
    export_home(home, tmp_path / "run")
    import_file(tmp_path / "run", tmp_path / "copy").check()
    with Network(tmp_path / "copy", read_only=True) as network:
        assert network.info(process).module == item.id
        assert network.process(process).state["module"] == item.id


def test_what_is_no_module_is_not_taken_as_one(serve: Callable[..., Running]) -> None:
    client = Client(serve(limits=Limits(module_bytes=2_000)).url)
    for code in (b"not at all", b"\0asm\1\0\0\0", small_module("x" * 3_000)):
        item = module_item(client, code)
        answer = client.http.post("/v1/tx", content=item.raw)
        assert answer.status_code in (400, 413, 422), answer.text
        assert client.http.get(f"/{item.id}").status_code == 404
    other = module_item(client, b"anything", **{"Module-Format": "assemblyscript"})
    assert client.http.post("/v1/tx", content=other.raw).status_code == 200
    for unknown in (other.id, UNKNOWN):
        scheduler = client.http.get("/su").json()["address"]
        own = [("Type", "Process"), ("Module", unknown), ("Scheduler", scheduler)]
        refused = sign(client.signer, tags=[*PROTOCOL, *own], data=b" ")
        answer = client.http.post("/mu", content=refused.raw)
        assert answer.status_code >= 400
        assert "no module" in answer.text
        assert client.http.get(f"/su/{refused.id}").status_code >= 400


def test_a_gateway_shows_modules_that_were_added(
    home: Path, serve: Callable[..., Running], tmp_path: Path
) -> None:
    with Network(home, seed=1, signed=True) as network:
        added = network.add_module(small_module(), name="tiny", ids=[AOS_ID])
    running = serve()
    client = Client(running.url)
    for each in (added.id, AOS_ID):
        answer = client.http.get(f"/{each}")
        assert (answer.content, answer.headers["content-type"]) == (
            small_module(),
            "application/wasm",
        )
        assert client.http.get(f"/tx/{each}").json()["data_size"] == str(len(small_module()))
        query = f'{{transactions(ids: ["{each}"]) {{edges {{node {{tags {{name value}}}}}}}}}}'
        found = client.http.post("/graphql", json={"query": query}).json()
        (edge,) = found["data"]["transactions"]["edges"]
        tags = {tag["name"]: tag["value"] for tag in edge["node"]["tags"]}
        assert (tags["Type"], tags["Name"]) == ("Module", "tiny")
        process = client.spawn(each)
        assert client.result(process, process)["Output"] == "hello"
    file = tmp_path / "more.wasm"
    file.write_bytes(small_module("more"))
    run("module", "add", file, "--name", "more", "--home", home)
    made = run("spawn", "more", "--as", UNKNOWN, "--home", home, code=2)
    assert "unsigned network" in made
    run("spawn", "more", "--name", "More", "--home", home)
    assert "more" in run("module", "list", "--home", home)
    again = run("module", "add", tmp_path / "more.wasm", "--name", "tiny", "--home", home, code=2)
    assert "here as module more" in again
    (tmp_path / "p.lua").write_text("return 1")
    run("package", "add", "p", tmp_path / "p.lua", "--home", home)
    assert "p" in run("package", "list", "--home", home)


def test_a_server_goes_on_when_a_module_is_lost(home: Path, serve: Callable[..., Running]) -> None:
    with Network(home, seed=1, signed=True) as network:
        network.add_module(small_module(), name="tiny")
        tiny = network.spawn("tiny", name="One")
        token = network.spawn("WrappedAR", name="Token")
    spoil_one(home, gone=True)
    client = Client(serve().url)
    answer = client.http.post("/mu", content=client.item(tiny, "Ask").raw)
    assert answer.status_code >= 400
    assert "the bytes of module tiny" in answer.text
    assert client.balance(token) == "0"
    client.send(token, "Info")


def test_old_homes_have_no_such_modules(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "copy")
    with Network(tmp_path / "fresh", seed=1) as network:
        network.spawn("WrappedAR")
    assert all("tiny" not in each for each in run("module", "list", "--home", tmp_path / "fresh"))
