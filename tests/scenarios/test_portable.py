"""Export and import: the same log, byte by byte; and no bit of the file can change unseen."""

import io
import json
import sqlite3
import stat
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchpool.audit.audit import audit_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.hashed_lines import DamagedFile, LineWriter, read_lines
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import ConfigError, ReplayDivergence, StoreError
from benchpool.network import Network


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
