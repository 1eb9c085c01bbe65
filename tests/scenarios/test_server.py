"""A served network, as clients over HTTP and the command line see it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import PROTOCOL, Client, Running, actions, up
from typer.testing import CliRunner

from benchpool.ao.dataitem import sign
from benchpool.ao.signers import Ed25519Signer
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.client.served import open_to_write
from benchpool.errors import HandlerError, InferenceError
from benchpool.inference.engine import (
    ChoicesAnswer,
    LogLikelihood,
    ModelCard,
    Precision,
    Runtime,
)
from benchpool.server.sockets import Options

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ana(serve: Callable[..., Running]) -> Client:
    return Client(serve().url)


@pytest.fixture
def token(ana: Client) -> str:
    token = ana.spawn("WrappedAR", Name="Token")
    ana.send(token, "Mint", Quantity="1000")
    return token


def test_a_transfer_is_seen_by_both_and_a_dry_run_leaves_no_trace(ana: Client, token: str) -> None:
    ben = Client(str(ana.http.base_url), seed=2)
    sent = ana.send(token, "Transfer", Recipient=ben.address, Quantity="300", X_Note="rent")
    result = ana.result(sent, token)
    assert actions(result) == ["Debit-Notice", "Credit-Notice"]
    assert "Error" not in result
    debit, credit = result["Messages"]
    assert [tag["name"] for tag in debit["Tags"][:4]] == [
        "Data-Protocol",
        "Variant",
        "Type",
        "Reference",
    ]
    assert {"name": "X-Note", "value": "rent"} in credit["Tags"]
    assert (credit["Target"], credit["Anchor"]) == (ben.address, f"{3:032d}")
    before = ana.http.get(f"/cu/state/{token}").content
    assert (ana.balance(token), ben.balance(token)) == ("700", "300")
    assert ana.http.get(f"/cu/state/{token}").content == before
    assert len(ana.results(token)) == 3


def test_results_are_paged_both_ways_without_failures(ana: Client, token: str) -> None:
    for _ in range(4):
        ana.send(token, "Balance")
    failed = ana.send(token, "Transfer")
    assert "Recipient" in ana.result(failed, token)["Error"]
    up = ana.results(token)
    down = ana.results(token, sort="DESC")
    assert [each["node"] for each in up] == [each["node"] for each in reversed(down)]
    assert len(up) == 6
    behind = ana.results(token, **{"from": up[1]["cursor"], "limit": 2})
    assert [each["cursor"] for each in behind] == [each["cursor"] for each in up[2:4]]
    older = ana.results(token, **{"from": down[1]["cursor"], "limit": 2})
    assert [each["cursor"] for each in older] == [each["cursor"] for each in down[2:4]]
    between = ana.results(token, **{"from": up[0]["cursor"], "to": up[2]["cursor"]})
    assert [each["cursor"] for each in between] == [up[1]["cursor"], up[2]["cursor"]]


def test_what_is_not_signed_or_not_trusted_does_nothing(ana: Client, token: str) -> None:
    item = ana.item(token, "Mint", Quantity="5")
    forged = item.raw[:-1] + b"!"
    for body, text in (
        (forged, "valid and signed data item"),
        (b"{}", "valid and signed data item"),
        (sign(ana.signer, target=token, data=b" ").raw, "'Data-Protocol': must contain 'ao'"),
        (sign(ana.signer, target=token, tags=PROTOCOL, data=b" ").raw, "'Type': must be either"),
        (ana.item(ana.address, "Mint").raw, "no process"),
    ):
        answer = ana.http.post("/mu", content=body)
        assert answer.status_code == 500
        assert text in answer.json()["error"]
    assert ana.http.post("/mu", content=b"x" * (11 << 20)).status_code == 413
    stranger = Client(str(ana.http.base_url), seed=9)
    claimed = stranger.send(token, "Mint", Quantity="7", From_Process=ana.address)
    result = stranger.result(claimed, token)
    assert result["Messages"] == []
    assert result["Output"]["data"] == (
        f"Message is not trusted! From: {ana.address} - Owner: {stranger.address}"
    )
    ana.post(item)
    again = ana.http.post("/mu", content=item.raw)
    assert again.status_code == 500
    assert "before" in again.json()["error"]
    assert ana.balance(token) == "1005"


def test_the_scheduler_shows_signed_messages_and_a_chain_of_assignments(
    ana: Client, token: str
) -> None:
    sent = ana.send(token, "Balance")
    page = ana.http.get(f"/su/{token}", params={"process-id": token}).json()
    nodes = [edge["node"] for edge in page["edges"]]
    assert [node["message"]["id"] for node in nodes][::2] == [token, sent]
    one = ana.http.get(f"/su/{sent}", params={"process-id": token}).json()
    assert one == nodes[-1]
    assert one["message"]["owner"]["address"] == ana.address
    assert one["message"]["signature"]
    by_assignment = ana.http.get(f"/su/{one['assignment']['id']}", params={"process-id": token})
    assert by_assignment.json() == one
    rest = ana.http.get(f"/su/{token}", params={"from-nonce": "1"}).json()
    assert [edge["cursor"] for edge in rest["edges"]] == ["2"]
    assert ana.http.get(f"/su/{token}x", params={"process-id": token}).status_code == 400
    assert ana.http.get(f"/su/{sent}").status_code == 400


def test_the_gateway_answers_what_aoconnect_asks(ana: Client, token: str) -> None:
    query = """query ($ids: [ID!]!) { transactions(ids: $ids) { edges { node {
        id owner { address } tags { name value } block { id height timestamp } } } } }"""
    found = ana.http.post("/graphql", json={"query": query, "variables": {"ids": [token]}}).json()
    (edge,) = found["data"]["transactions"]["edges"]
    assert edge["node"]["owner"]["address"] == ana.address
    modules = """{ transactions(tags: [{name: "Type", values: ["Module"]}], first: 100) {
        edges { node { id tags { name value } } } } }"""
    listed = ana.http.post("/graphql", json={"query": modules}).json()
    named = {
        tag["value"]: edge["node"]["id"]
        for edge in listed["data"]["transactions"]["edges"]
        for tag in edge["node"]["tags"]
        if tag["name"] == "Name"
    }
    assert b"class WrappedAR" in ana.http.get(f"/{named['WrappedAR']}").content
    assert ana.result(other := ana.spawn(named["WrappedAR"]), other)["Output"]["data"] == ""
    assert ana.http.head(f"/{'x' * 43}").status_code == 404


def test_a_restart_keeps_everything_and_a_replay_agrees(
    serve: Callable[..., Running], home: Path
) -> None:
    first = serve()
    ana = Client(first.url)
    token = ana.spawn("WrappedAR")
    ana.send(token, "Mint", Quantity="50")
    before = ana.results(token)
    first.stop()
    assert not (home / "server.json").exists()
    again = Client(serve().url)
    assert again.results(token) == before
    assert again.balance(token) == "50"
    replay_home(home).check()


def test_commands_work_on_a_served_home(
    serve: Callable[..., Running], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = Client(serve().url)
    assert stat.S_IMODE((home / "server.json").stat().st_mode) == 0o600
    monkeypatch.setenv("BENCHPOOL_HOME", str(home))

    def run(*args: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, [*args, "--json"])
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return json.loads(done.stdout) if code == 0 else done.stderr

    run("wallet", "new", "bea")
    token = run("spawn", "WrappedAR", "--name", "Token", "--from", "bea")["id"]
    minted = ("--tag", "Quantity=5", "--tag", f"Recipient={ana.address}")
    sent = run("send", "--target", "Token", "--action", "Mint", "--from", "bea", *minted)
    assert sent["replies"][0]["Tags"]
    assert ana.balance(token) == "5"
    assert [each["name"] for each in run("processes")] == ["Token"]
    assert "stop it first" in run("advance", "1d", code=2)
    assert "no module named" in run("spawn", "Nothing", code=1)
    assert "no process" in run("send", "--target", "Nobody", code=1)
    refused = ana.http.post("/api/wallets", json={"name": "eve"})
    assert refused.status_code == 401


def test_the_scripts_go_through_the_server_of_a_served_home(
    serve: Callable[..., Running], home: Path
) -> None:
    ana = Client(serve().url)

    def run(*words: str) -> Any:
        command = [sys.executable, *words, "--home", str(home), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    names = run("scripts/spawn.py")
    assert run("scripts/spawn.py") == names
    assert ana.balance(names["WrappedAR"]) == "0"
    shown = run("scripts/wrapped_ar.py", "mint", "2", "--to", "bea")
    assert shown["balances"] == {"bea": str(2 * 10**12)}


def test_a_heavy_process_that_refuses_its_tags_leaves_its_name_free(
    serve: Callable[..., Running], home: Path
) -> None:
    serve(engine_factory=PatientEngine)
    with open_to_write(home) as (network, writer):
        for _ in range(2):
            with pytest.raises(HandlerError, match="refused its tags"):
                writer.spawn("LlamaWorker", {"Model-Data": "A" * 43}, name="model")
            assert "model" not in network.names()
        assert writer.spawn("LlamaWorker", name="model") == network.names()["model"]


def test_commands_that_check_a_served_home_see_one_moment_of_it(
    serve: Callable[..., Running], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = Client(serve().url)
    token = ana.spawn("WrappedAR")
    monkeypatch.setenv("BENCHPOOL_HOME", str(home))
    ended = threading.Event()

    def go_on() -> None:
        writer = Client(str(ana.http.base_url), seed=3)
        while not ended.is_set():
            writer.send(token, "Balance")

    traffic = threading.Thread(target=go_on)
    traffic.start()
    try:
        for number in range(3):
            copy = str(tmp_path / f"{number}.jsonl")
            for args in (["replay", "--verify"], ["export", copy]):
                done = CliRunner().invoke(app, args)
                assert done.exit_code == 0, (done.stdout, done.stderr, done.exception)
    finally:
        ended.set()
        traffic.join()
    # A private database commits by itself, beside the log.
    (home / "databases").mkdir(exist_ok=True)
    (home / "databases" / f"{token}.sqlite").touch()
    refused = CliRunner().invoke(app, ["replay", "--verify"])
    assert refused.exit_code != 0
    assert f"a server runs on {home} (process {os.getpid()}, http" in refused.stderr
    assert "stop it first, or verify a copy" in refused.stderr
    (home / "databases" / f"{token}.sqlite").unlink()


def test_a_process_is_monitored_once_until_it_is_not(ana: Client, token: str) -> None:
    item = sign(ana.signer, target=token, data=b" ").raw

    def ask(method: str) -> tuple[int, str]:
        answer = ana.http.request(method, f"/mu/monitor/{token}", content=item)
        return answer.status_code, answer.text

    assert ask("DELETE") == (500, '{"error":"Process monitor not found"}')
    assert ask("POST") == (200, "Process monitoring initiated")
    assert ask("POST") == (500, '{"error":"Process already being monitored"}')
    assert ask("DELETE") == (200, "Process monitoring stopped")
    assert ana.http.post(f"/mu/monitor/{token}", content=b"nothing").status_code == 500


def test_eval_runs_nothing_and_tells_the_owner_so(ana: Client, token: str) -> None:
    stranger = Client(str(ana.http.base_url), seed=9)
    for client in (ana, stranger):
        result = client.result(client.send(token, "Eval", b"1 + 1"), token)
        assert (result["Messages"], result["Spawns"]) == ([], [])
        assert ("no Lua" in result.get("Error", "")) is (client is ana)
    assert ana.balance(token) == "1000"


def test_a_server_file_of_a_program_that_is_gone_is_ignored(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True,
                          capture_output=True, text=True)  # fmt: skip
    stale = {"url": "http://127.0.0.1:9", "token": "t", "pid": int(gone.stdout)}
    (home / "server.json").write_text(json.dumps(stale))
    monkeypatch.setenv("BENCHPOOL_HOME", str(home))
    assert CliRunner().invoke(app, ["wallet", "new", "ana"]).exit_code == 0


class PatientEngine:
    """A model that thinks until it is allowed to answer."""

    allowed = threading.Event()
    asked = threading.Event()

    def __init__(self, path: Path, precision: Precision) -> None:
        self._closed = threading.Event()
        self.card = ModelCard("patient", "none", 1, "F32", 64, 1, 2, "none", 1)
        self.runtime = Runtime("patient", "any", precision, "canonical-1")
        self._path = path

    def answer(self, requests: Any, progress: Any = None) -> list[Any]:
        self.asked.set()
        while not self.allowed.wait(0.01):
            if self._closed.is_set():
                raise InferenceError("the engine was closed")
        return [
            ChoicesAnswer(tuple(LogLikelihood(-1.0, 1) for _ in each.choices), 1)
            for each in requests
        ]

    def close(self) -> None:
        self._closed.set()


def test_stopped_in_the_middle_of_inference_it_goes_on_at_the_next_start(
    serve: Callable[..., Running], home: Path
) -> None:
    PatientEngine.allowed.clear()
    PatientEngine.asked.clear()
    first = serve(engine_factory=PatientEngine)
    ana = Client(first.url)
    weights = first.network.data.put(b"weights")
    worker = ana.spawn("LlamaWorker", Model_Data=weights)
    ana.result(worker, worker)
    question = json.dumps({"prompt": "2 + 2 =", "choices": [" 4", " 5"]}).encode()
    asked = ana.send(worker, "Inference", question)
    assert PatientEngine.asked.wait(20)
    # The model thinks, and everybody else goes on.
    token = ana.spawn("WrappedAR")
    ana.send(token, "Mint", Quantity="8")
    assert ana.balance(token) == "8"
    busy = ana.http.get(f"/cu/state/{worker}")
    assert (busy.status_code, "in progress" in busy.json()["message"]) == (202, True)
    first.stop()
    assert first.error is None
    PatientEngine.allowed.set()
    again = Client(serve(engine_factory=PatientEngine).url)
    result = again.result(asked, worker)
    assert actions(result) == ["Inference-Response"]
    assert again.balance(token) == "8"
    replay_home(home).check()


def test_a_failed_disk_ends_the_server_and_nothing_unsaved_was_acknowledged(
    serve: Callable[..., Running], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = serve()
    ana = Client(running.url)
    token = ana.spawn("WrappedAR")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(running.network.store, "commit", fail)
    answer = ana.http.post("/mu", content=ana.item(token, "Mint", Quantity="3").raw)
    assert answer.status_code == 503
    assert "No space left" in answer.json()["error"]
    running.stop()
    assert "No space left" in str(running.error)
    monkeypatch.undo()
    assert Client(serve().url).balance(token, ana.address) == "0"


def test_up_prints_where_it_is_and_ends_on_ctrl_c(home: Path) -> None:
    with up(home) as (program, addresses):
        ana = Client(addresses["gateway"])
        ana.spawn("WrappedAR")
        assert "benchpool_messages_total" in ana.http.get("/metrics").text
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
        assert program.returncode == 0
        assert said.splitlines() == [
            f"a new network begins in {home}",
            "stopping; Ctrl-C again ends it at once",
            "stopped; what was pending is taken up at the next start",
        ]
    assert not (home / "server.json").exists()
    replay_home(home).check()


@pytest.mark.parametrize("quiet", [[], pytest.param(["--quiet"], marks=pytest.mark.slow)])
def test_up_shows_requests_as_they_are_answered(home: Path, quiet: list[str]) -> None:
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), "--port", "0", *quiet]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as program:
        assert program.stdout is not None
        url = program.stdout.readline().split()[-1].removesuffix("/mu")
        httpx.get(f"{url}/cu/results/nobody?limit=1")
        httpx.get(f"{url}/health")
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    shown = [line.split()[1:] for line in said.splitlines() if " ms  " in line]
    assert [(one[0], *one[3:]) for one in shown] == (
        [] if quiet else [("500", "GET", "/cu/results/nobody?limit=1"), ("200", "GET", "/health")]
    )
    assert "\x1b" not in said


def test_units_on_ports_of_their_own(home: Path) -> None:
    running = Running(home, Options(port=0, mu_port=0, su_port=0, cu_port=0))
    try:
        where = running.addresses
        assert len({where.gateway, where.mu, where.su, where.cu}) == 4
        assert httpx.get(where.mu).text == "ao messenger unit"
        item = sign(
            Ed25519Signer(bytes(32)),
            tags=[*PROTOCOL, ("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", "s")],
            data=b" ",
        )
        assert httpx.post(where.mu, content=item.raw).status_code == 202
        found = httpx.get(f"{where.cu}/result/{item.id}", params={"process-id": item.id})
        assert found.headers["access-control-allow-origin"] == "*"
        assert httpx.get(f"{where.su}/processes/{item.id}").json()["process_id"] == item.id
    finally:
        running.stop()


def test_cron_runs_by_the_wall(ana: Client) -> None:
    token = ana.spawn("WrappedAR", Cron_Interval="1-second", Cron_Tag_Action="Total-Supply")
    deadline = time.monotonic() + 20
    while not (ticks := ana.http.get(f"/cu/cron/{token}").json()["edges"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert actions(ticks[0]["node"]) == ["Total-Supply"]
