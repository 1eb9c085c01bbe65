"""Export and import: the same log, byte by byte; and no bit of the file can change unseen."""

import io
import json
import shutil
import sqlite3
import stat
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libraries import begin, go_on, opened, registry
from typer.testing import CliRunner

from benchpool.ao.ids import encode_id
from benchpool.audit.audit import audit_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.hashed_lines import DamagedFile, LineWriter, read_lines
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import ConfigError, ReplayDivergence, StoreError
from benchpool.network import Network
from benchpool.store import DataStore


def log_of(home: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        query = "SELECT process, position, id_key, cron, message, result FROM log ORDER BY sequence"
        return connection.execute(query).fetchall()


def written(count: int = 40) -> bytes:
    out = io.BytesIO()
    writer = LineWriter(out)
    for number in range(count):
        writer.write("entry", text=f"line {number}")
    writer.close()
    return out.getvalue()


def read(data: bytes) -> list[object]:
    return list(read_lines(io.BytesIO(data), Path("run.jsonl.zst")))


def test_a_copy_has_the_same_log_states_and_audit(finished: Path, tmp_path: Path):
    file, copy = tmp_path / "run.jsonl.zst", tmp_path / "new" / "copy"
    exported = export_home(finished, file)
    done = import_file(file, copy)
    assert log_of(copy) == log_of(finished)
    assert done.digest == replay_home(finished).digest == replay_home(copy).digest
    assert replay_home(copy).difference is None
    assert all(each.compared for each in replay_home(copy).processes)
    assert audit_home(copy, "happy").view() == audit_home(finished, "happy").view()
    assert export_home(copy, tmp_path / "again").hash == exported.hash
    with Network(copy) as network:
        assert network.dry_run("WrappedAR", "Total-Supply").messages[0].data == str(10**13)
    assert not [path for path in copy.parent.iterdir() if path != copy]


def test_keys_stay_at_home_unless_asked_for(finished: Path, tmp_path: Path):
    with sqlite3.connect(finished / "benchpool.sqlite") as connection:
        (seed,) = connection.execute("SELECT value FROM facts WHERE name = 'seed'").fetchone()
        (secret,) = connection.execute("SELECT secret FROM wallets LIMIT 1").fetchone()
    for with_keys in (False, True):
        file = tmp_path / f"{with_keys}.zst"
        export_home(finished, file, with_keys=with_keys)
        with file.open("rb") as stream:
            text = (
                zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
            )
        assert (seed.encode() in text) is with_keys
        assert (secret.hex().encode() in text) is with_keys
        assert (stat.S_IMODE(file.stat().st_mode) == 0o600) is with_keys
    import_file(tmp_path / "True.zst", tmp_path / "copy")
    with Network(tmp_path / "copy", seed=1) as network:
        assert network.wallet("ana").secret


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(data):
    whole = written()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytearray(whole)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedFile, match=r"line|beginning"):
        read(bytes(changed))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400))
def test_a_truncated_file_is_refused(length: int):
    whole = written()
    with pytest.raises(DamagedFile, match=r"truncated|damaged"):
        read(whole[: min(length, len(whole) - 1)])


def test_a_line_that_was_edited_is_named():
    text = (
        zstandard.ZstdDecompressor()
        .stream_reader(io.BytesIO(written()), read_across_frames=True)
        .read()
    )
    edited = zstandard.ZstdCompressor().compress(text.replace(b'"line 7"', b'"line 0"'))
    with pytest.raises(DamagedFile, match=r"line 8: it was changed"):
        read(edited + bytes(40))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_export_makes_no_home(finished: Path, tmp_path: Path, data):
    file = tmp_path / "run.jsonl.zst"
    if not file.exists():
        export_home(finished, file)
    changed = bytearray(file.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    damaged = tmp_path / "damaged.zst"
    damaged.write_bytes(changed)
    with pytest.raises(StoreError):
        import_file(damaged, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "damaged.zst",
        "finished",
        "run.jsonl.zst",
    ]


def test_a_whole_file_of_a_log_that_lies_is_refused(finished: Path, tmp_path: Path):
    with sqlite3.connect(finished / "benchpool.sqlite") as connection:
        connection.execute(
            "UPDATE log SET result = x'96909090a46c696573a090' WHERE sequence ="
            " (SELECT max(sequence) FROM log JOIN processes ON process = id"
            " WHERE module = 'SiqaDataset')"
        )
    export_home(finished, tmp_path / "run.zst")
    with pytest.raises(ReplayDivergence, match=r"lies"):
        import_file(tmp_path / "run.zst", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_home_that_is_not_empty_is_refused(finished: Path, tmp_path: Path):
    export_home(finished, tmp_path / "run.zst")
    with pytest.raises(StoreError, match=r"not empty"):
        import_file(tmp_path / "run.zst", finished)


def test_large_data_is_named_and_left_out(finished: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("benchpool.audit.export.DATA_LIMIT", 10)
    left_out = export_home(finished, tmp_path / "run.zst").left_out
    assert len(left_out) == 4
    assert export_home(finished, tmp_path / "all.zst", with_data=True).left_out == []
    with pytest.raises(ReplayDivergence, match=r"no data with id"):
        import_file(tmp_path / "run.zst", tmp_path / "copy")


def mint_and_move(home: Path, *, interrupted: bool) -> str:
    """Write the same log in one go, or in several that end at other places; return its hash."""
    network = Network(home, seed=7)
    network.spawn("WrappedAR", name="WrappedAR")
    network.spawn("WrappedAR", {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Info"})
    for quantity in range(1, 9):
        network.send("WrappedAR", "Mint", {"Quantity": str(quantity)})
        if interrupted and not quantity % 3:
            network.close(abort=quantity == 6)
            network = Network(home, seed=7)
    network.advance("2h")
    if interrupted:
        network.advance("10m")  # no tick falls due
        network.data.put(b"nobody asks for it")
    network.close(abort=interrupted)
    return export_home(home, home.parent / f"{home.name}.zst").hash


def test_equal_logs_have_equal_hashes(tmp_path: Path):
    one = mint_and_move(tmp_path / "one", interrupted=False)
    assert mint_and_move(tmp_path / "other", interrupted=True) == one
    with Network(tmp_path / "other", seed=7) as network:
        network.send("WrappedAR", "Info")
    assert export_home(tmp_path / "other", tmp_path / "longer.zst").hash != one


def test_keys_data_and_limits_are_no_part_of_the_hash(finished: Path, tmp_path: Path):
    plain = export_home(finished, tmp_path / "plain.zst").hash
    (finished / "limits.toml").write_text("tags = 255\n")
    full = export_home(finished, tmp_path / "full.zst", with_keys=True, with_data=True)
    assert full.hash == plain


def test_a_file_that_is_there_is_kept_unless_forced(finished: Path, tmp_path: Path):
    file = tmp_path / "thesis.txt"
    file.write_text("three years of work")
    with pytest.raises(ConfigError, match=r"thesis.txt is there already"):
        export_home(finished, file)
    command = ["export", str(file), "--home", str(finished)]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 2
    assert "name another file, or overwrite it with --force" in run.stderr
    assert file.read_text() == "three years of work"
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert import_file(file, tmp_path / "copy").difference is None


def test_the_commands(finished: Path, tmp_path: Path):
    file, copy = str(tmp_path / "run.zst"), str(tmp_path / "copy")
    run = CliRunner().invoke(app, ["export", file, "--json", "--home", str(finished)])
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["entries"] == len(log_of(finished))
    run = CliRunner().invoke(app, ["import", file, "--home", copy])
    assert run.exit_code == 0, run.stderr
    assert CliRunner().invoke(app, ["replay", "--verify", "--home", copy]).exit_code == 0
    Path(file).write_bytes(Path(file).read_bytes()[:-1000])
    run = CliRunner().invoke(app, ["import", file, "--home", str(tmp_path / "other")])
    assert run.exit_code == 1
    assert "truncated" in run.stderr


# -- files that want too much ------------------------------------------------------------------


def forged(file: Path, lines: list[tuple[str, dict[str, object]]]) -> Path:
    """Write lines of any kind, whose hashes are right."""
    with file.open("wb") as out:
        writer = LineWriter(out)
        header = {"format": 1, "schema": 1, "seed_digest": "0" * 64, "with_keys": False}
        writer.write("header", **header)
        for kind, fields in lines:
            writer.write(kind, **fields)
        writer.close()
    return file


def refused(file: Path, why: str) -> None:
    """Import a file that makes nothing."""
    before = sorted(path.name for path in file.parent.iterdir())
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=why):
            import_file(file, file.parent / "copy")
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert sorted(path.name for path in file.parent.iterdir()) == before


ID = "A" * 43
MIB = {"base64": "A" * (2**20 // 3 * 4)}


@pytest.mark.parametrize("size", [0, 10, 2**20])
def test_data_has_no_more_bytes_than_it_says(tmp_path: Path, size: int) -> None:
    lines = [("data", {"id": ID, "size": size, "included": True}), *[("chunk", MIB)] * 200]
    refused(forged(tmp_path / "f", lines), r"line [34]: .*more bytes than it says")


def test_data_has_no_fewer_bytes_than_it_says(tmp_path: Path) -> None:
    lines = [("data", {"id": ID, "size": 2**40, "included": True}), ("chunk", MIB)]
    refused(forged(tmp_path / "f", lines), r"bytes less than it says")


def test_a_chunk_is_no_longer_than_one_is_written(tmp_path: Path) -> None:
    chunk = {"base64": "A" * (2**22)}
    lines = [("data", {"id": ID, "size": 2**40, "included": True}), ("chunk", chunk)]
    refused(forged(tmp_path / "f", lines), r"more bytes than it says")


@pytest.mark.parametrize("name", ["../x", "A" * 42, "", "/" + "A" * 42])
def test_data_has_an_id(tmp_path: Path, name: str) -> None:
    lines = [("data", {"id": name, "size": 1, "included": True})]
    refused(forged(tmp_path / "f", lines), r"no data has id")


def bomb(text: bytes, times: int) -> bytes:
    """Pack a text that is repeated."""
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=1).stream_writer(packed, closefd=False) as out:
        for _ in range(times):
            out.write(text)
    return packed.getvalue() + bytes(40)


@pytest.mark.parametrize("text", [b"x", b"\n", b'{"hash":"', b"[", b"\0"])
def test_a_bomb_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "bomb.zst"
    file.write_bytes(bomb(text * (2**20 // len(text)), 500))
    assert file.stat().st_size < 2**17
    refused(file, r"which no export does|it was changed")


def test_chained_lines_that_are_a_bomb_are_refused(tmp_path: Path) -> None:
    """Every hash is right, and every size is told truly."""
    writer = LineWriter(io.BytesIO())
    packed = io.BytesIO()
    with zstandard.ZstdCompressor(level=3).stream_writer(packed, closefd=False) as out:

        def put(kind: str, **fields: object) -> None:
            rest = writer.write(kind, **fields)
            out.write(b'{"hash":"' + writer.hash.encode() + rest + b"\n")

        put("header", format=1, schema=1, seed_digest="0" * 64)
        put("data", id=ID, size=2**40, included=True)
        for _ in range(200):
            put("chunk", **MIB)
    file = tmp_path / "bomb.zst"
    file.write_bytes(packed.getvalue() + bytes(40))
    assert file.stat().st_size < 2**18
    refused(file, r"line \d+: .* bytes unpack to more than .*, which no export does")


def test_what_packs_very_well_can_be_imported(finished: Path, tmp_path: Path) -> None:
    data = DataStore(finished / "data").put(bytes(15 * 2**20))
    export_home(finished, tmp_path / "run.zst")
    import_file(tmp_path / "run.zst", tmp_path / "copy")
    assert DataStore(tmp_path / "copy" / "data").path(data).stat().st_size == 15 * 2**20


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'"tables":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'"x":"\xff"}',
        b"1" * 100_000 + b"}",
        b"null}",
    ],
)
def test_a_line_that_is_no_line(tmp_path: Path, raw: bytes) -> None:
    rest = b'","kind":"state",' + raw
    hashed = encode_id(sha256(encode_id(bytes(32)).encode() + rest).digest())
    line = b'{"hash":"' + hashed.encode() + rest + b"\n"
    (tmp_path / "f").write_bytes(zstandard.ZstdCompressor().compress(line) + bytes(40))
    refused(tmp_path / "f", r"line 1")


ODD = (*("", "x", -1, 0, 2**70, 1.5, None, True, [], {}, [[1]], ["a", "b"], "\0", "x" * 10_000),)
KINDS = {
    "fact": {"name": "clock", "value": "1"},
    "limits": {"text": ""},
    "wallet": {"name": "w", "address": ID, "type": "ed25519", "secret": ""},
    "process": {
        "id": ID,
        "module": "WrappedAR",
        "owner": ID,
        "tags": [],
        "created_ms": 1,
        "created_height": 1,
        "order": 0,
    },
    "name": {"name": "n", "identity": ID},
    "data": {"id": ID, "size": 1, "included": False},
    "upload": {"head": "", "data": ID, "size": 1, "timestamp": 1},
    "entry": {"message": {"id": ID, "process": ID, "target": ID, "owner": ID, "sender": ID}},
    "state": {"process": ID, "position": 0, "state": "", "tables": {}},
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in {"process", "state"} else ())
        for kind in KINDS
    ],
)
def test_odd_values_are_refused_or_harmless(tmp_path: Path, kind: str) -> None:
    fields, refusals = KINDS[kind], []
    places = [(name, None) for name in fields]
    if kind == "entry":
        places += [("message", name) for name in (*fields["message"], "tags", "data", "position")]
    for name, inner in places:
        for odd in ODD:
            value = odd if inner is None else {**fields[name], inner: odd}
            file = forged(tmp_path / "f", [(kind, {**fields, name: value})])
            try:
                import_file(file, tmp_path / "copy")
            except (StoreError, ReplayDivergence, ConfigError) as error:
                refusals.append(str(error))
            shutil.rmtree(tmp_path / "copy", ignore_errors=True)
            assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert refusals
    assert all(len(said.splitlines()) == 1 for said in refusals)


def test_facts_that_no_export_tells(tmp_path: Path) -> None:
    for name, value in (("seals", "{}"), ("log_end", "7"), ("clock", "x"), ("pushed", "[{},{}]")):
        file = forged(tmp_path / "f", [("fact", {"name": name, "value": value})])
        refused(file, r"line 2: no export tells")


def test_names_states_and_data_are_no_part_of_the_hash(tmp_path: Path) -> None:
    """Nor are limits, keys and checkpoints."""
    with opened(tmp_path / "one") as network:
        begin(network)
        go_on(network, 3)
    plain = export_home(tmp_path / "one", tmp_path / "one.zst").hash
    home = Path(shutil.copytree(tmp_path / "one", tmp_path / "other"))
    with opened(home) as network:
        network.new_wallet("late")
        network.data.put(b"more")
        network.timeline.virtual().set(network.clock.now() + 1)
    (home / "limits.toml").write_text("tags = 255\n")
    assert export_home(home, tmp_path / "other.zst", with_keys=True).hash == plain
    for path in (home / "databases").iterdir():
        path.unlink()
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        connection.execute("DELETE FROM checkpoints")
        connection.execute("UPDATE names SET name = 'renamed' WHERE name = 'late'")
    assert export_home(home, tmp_path / "bare.zst").hash == plain
    import_file(tmp_path / "bare.zst", tmp_path / "copy", registry=registry())
    assert export_home(tmp_path / "copy", tmp_path / "again.zst").hash == plain
