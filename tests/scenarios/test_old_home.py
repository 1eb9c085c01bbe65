"""A home of benchpool 0.1 opens, replays, verifies, is audited and exported, and goes on."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import zstandard
from old_homes import FIXTURES, unpack
from typer.testing import CliRunner

from benchpool.audit.audit import audit_home
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines

EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
PREFIX = len('{"hash":"') + 43 + len('",')


@pytest.fixture(params=["plain", "signed"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old_home(kind: str, tmp_path: Path) -> Path:
    return unpack(kind, tmp_path)


def entries_of(file: Path) -> list[bytes]:
    """The lines of an export that hold log entries, without their hashes."""
    with file.open("rb") as stream:
        text = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True).read()
    lines = [b"{" + line[PREFIX:] for line in text.splitlines()]
    return [line for line in lines if line.startswith(b'{"kind":"entry"')]


def payments(home: Path) -> list[Any]:
    statement = audit_home(home, "happy")
    assert [check for check in statement.checks if check.passed is not True] == []
    return [[paid.recipient, str(paid.quantity)] for paid in statement.paid]


def test_it_replays_and_verifies(old_home: Path, kind: str):
    replay = replay_home(old_home)
    assert replay.difference is None
    assert all(each.compared for each in replay.processes)
    told = {"messages": replay.messages, "mail": replay.mail, "states_sha256": replay.digest}
    assert told == {name: EXPECTED[kind][name] for name in told}
    done = CliRunner().invoke(app, ["replay", "--verify", "--home", str(old_home)])
    assert done.exit_code == 0


def test_its_export_has_the_same_entries(old_home: Path, kind: str, tmp_path: Path):
    export_home(old_home, tmp_path / "run.jsonl.zst")
    entries = entries_of(tmp_path / "run.jsonl.zst")
    ids = [json.loads(line)["message"]["id"] for line in entries]
    assert sha256(b"\n".join(entries)).hexdigest() == EXPECTED[kind]["entries_sha256"]
    assert sha256("\n".join(ids).encode()).hexdigest() == EXPECTED[kind]["ids_sha256"]


def test_its_pool_is_audited(old_home: Path, kind: str):
    assert payments(old_home) == EXPECTED[kind]["payments"]


def test_it_goes_on(old_home: Path, kind: str, tmp_path: Path):
    with Network(old_home, seed=1, engine_factory=ScriptedEngines()) as network:
        given = {"Recipient": network.resolve("ben"), "Quantity": "4"}
        before = network.dry_run("WrappedAR", "Balance", given).messages[0].data
        network.send("WrappedAR", "Transfer", given, sender="funder").reply("Debit-Notice")
        network.advance("1d")
        after = network.dry_run("WrappedAR", "Balance", given).messages[0].data
    assert int(after) - int(before) == 4
    assert replay_home(old_home).difference is None
    assert payments(old_home) == EXPECTED[kind]["payments"]
    file = tmp_path / "run.jsonl.zst"
    exported = export_home(old_home, file)
    assert import_file(file, tmp_path / "copy").difference is None
    assert export_home(tmp_path / "copy", tmp_path / "again").hash == exported.hash


def test_its_token_lists_all_balances_whatever_is_asked(old_home: Path):
    with Network(old_home, seed=1, engine_factory=ScriptedEngines()) as network:
        (whole,) = network.dry_run("WrappedAR", "Balances").messages
        (asked,) = network.dry_run("WrappedAR", "Balances", {"Limit": "1"}).messages
    assert len(json.loads(whole.data)) > 1
    assert (asked.data, asked.tags) == (whole.data, whole.tags)


def test_an_old_export_is_imported(tmp_path: Path):
    done = import_file(FIXTURES / "plain.jsonl.zst", tmp_path / "copy")
    assert done.difference is None
    assert done.digest == EXPECTED["plain"]["states_sha256"]
    assert payments(tmp_path / "copy") == EXPECTED["plain"]["payments"]
