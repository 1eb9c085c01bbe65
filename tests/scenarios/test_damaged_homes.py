"""Damage to any fact or file of a home is told in one sentence, by every command that meets it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchpool.audit.replay import replay_home
from benchpool.cli import app
from benchpool.errors import BenchpoolError

COMMANDS = [
    ["processes"],
    ["inspect", "SiqaDataset"],
    ["send", "--target", "SiqaDataset", "--action", "Info", "--from", "ana"],
    ["replay", "--verify"],
    ["audit", "happy"],
]
FACTS = (
    *("clock", "databases", "log_end", "messenger", "names", "naming", "outside_facts_untyped"),
    *("pushed", "scheduler", "schema_version", "seals", "seed", "sent"),
)
VALUES = ("", "x", "-1", "[]", "{}", "9" * 400, "[" * 3000, "\u00e9", b"\xff\xfe", 1.5)


def run(home: Path, command: list[str]) -> tuple[int, str]:
    """Run a command; return how it ended, and what it said of that."""
    done = CliRunner().invoke(app, [*command, "--home", str(home)])
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    said = " ".join(errors)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "BENCHPOOL_DEBUG" not in done.stderr, (command, done.stderr)
    assert "Traceback" not in done.stderr
    assert len(errors) == (done.exit_code != 0), (command, done.stderr)
    assert done.exit_code in (0, 1, 2, 4), (command, done.exit_code)
    return done.exit_code, said


def told(home: Path) -> list[tuple[int, str]]:
    """Run all commands on copies of a home."""
    outcomes = []
    for number, command in enumerate(COMMANDS):
        copy = home.with_name(f"{home.name}-{number}")
        shutil.copytree(home, copy)
        outcomes.append(run(copy, command))
        shutil.rmtree(copy)
    return outcomes


@pytest.fixture
def edit(finished: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(finished / "benchpool.sqlite")
    yield connection
    connection.close()


def test_a_sound_home(finished: Path) -> None:
    assert told(finished) == [(0, "")] * len(COMMANDS)


def test_every_fact_is_tried(edit: sqlite3.Connection) -> None:
    names = {name for (name,) in edit.execute("SELECT name FROM facts")}
    assert names == set(FACTS)


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize(
    "value", [VALUES[0], *(pytest.param(each, marks=pytest.mark.slow) for each in VALUES[1:])]
)
def test_a_fact_that_cannot_be_right(
    finished: Path, edit: sqlite3.Connection, fact: str, value: str | bytes | float
) -> None:
    kept = edit.execute("SELECT value FROM facts WHERE name = ?", (fact,)).fetchone()
    if kept == (value,) or (fact, value) == ("seals", "{}"):
        return  # as it was, or as in a home that an older benchpool wrote
    edit.execute("UPDATE facts SET value = ? WHERE name = ?", (value, fact))
    edit.commit()
    outcomes = told(finished)
    for code, said in outcomes:
        assert not code or fact in said or "form of version" in said, (fact, value, said)
    # To show a log and audit it, one may need nothing of it.
    assert [bool(code) for code, _ in outcomes[:4]] == [True] * 4, (fact, value, outcomes)


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_that_was_changed_or_lost_is_named(
    finished: Path, edit: sqlite3.Connection, fact: str
) -> None:
    (value,) = edit.execute("SELECT value FROM facts WHERE name = ?", (fact,)).fetchone()
    changed = str(int(value) + 1) if value.isdigit() else value[:-2] + value[-2:][::-1]
    for statement, values in (
        ("UPDATE facts SET value = ? WHERE name = ?", (changed, fact)),
        ("DELETE FROM facts WHERE name = ?", (fact,)),
    ):
        edit.execute("SAVEPOINT whole")
        edit.execute(statement, values)
        edit.commit()
        for command in (COMMANDS[0], COMMANDS[2], COMMANDS[3]):
            code, said = run(finished, command)
            if changed == value and statement.startswith("UPDATE"):
                continue
            if fact == "seals" and statement.startswith("DELETE"):
                continue
            assert code, (fact, statement, command)
            assert fact in said or "form of version" in said, (fact, said)
        edit.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (fact, value))
        edit.commit()


DAMAGED_ROWS = [
    ("UPDATE names SET identity = 'nobody' WHERE name = 'ana'", "names"),
    ("UPDATE names SET identity = (SELECT identity FROM names WHERE name = 'ben')"
     " WHERE name = 'ana'", "names"),
    ("DELETE FROM names WHERE name = 'SiqaDataset'", "names"),
    ("INSERT INTO names VALUES ('ghost', 'x')", "names"),
    ("UPDATE wallets SET secret = x'00'", "secret"),
    ("UPDATE wallets SET secret = (SELECT secret FROM wallets WHERE name = 'ben')"
     " WHERE name = 'ana'", "secret"),
    ("UPDATE wallets SET kind = 'none' WHERE name = 'ana'", "ana"),
    ("UPDATE wallets SET address = 'x' WHERE name = 'ana'", "ana"),
    ("DELETE FROM wallets WHERE name = 'ana'", "'ana'"),
    ('UPDATE processes SET "order" = "order" + 100 WHERE "order" = 3', "number"),
    ("UPDATE processes SET tags = x'c1'", "tags"),
    ("UPDATE processes SET tags = x'c1' WHERE module = 'Benchmark'", "tags"),
    ("UPDATE processes SET module = 'Nothing' WHERE module = 'Benchmark'", "register"),
    ("UPDATE checkpoints SET position = position + 1000", "position"),
    ("UPDATE checkpoints SET memory = x'00'", "state"),
    ("DELETE FROM log WHERE sequence = (SELECT max(sequence) FROM log)", "log"),
    ("DELETE FROM log WHERE sequence > (SELECT max(sequence) - 9 FROM log)", "log"),
    ("DROP TABLE names", "names"),
    ("DROP TABLE log", "log"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "named"), DAMAGED_ROWS)
def test_a_row_that_was_damaged_is_named_by_verify(
    finished: Path, edit: sqlite3.Connection, statement: str, named: str
) -> None:
    edit.execute(statement)
    edit.commit()
    with pytest.raises(BenchpoolError, match=named):
        replay_home(finished).check()


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(statement, marks=() if place % 6 == 1 else pytest.mark.slow)
        for place, (statement, _) in enumerate(DAMAGED_ROWS)
    ],
)
def test_a_row_that_was_damaged_is_told_by_every_command_that_meets_it(
    finished: Path, edit: sqlite3.Connection, statement: str
) -> None:
    edit.execute(statement)
    edit.commit()
    told(finished)


def private(home: Path) -> Path:
    (path,) = (home / "databases").glob("*.sqlite")
    return path


def truncated(size: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:size]) and None


def flipped(place: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        raw = bytearray(path.read_bytes())
        for at in range(place, min(place + 40, len(raw))):
            raw[at] ^= 0xFF
        path.write_bytes(raw)

    return damage


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SIZES = (0, 1, 15, 99, 100, 512, 4095, 4096, 4097, 8192, 12288, 20000, 30000)
SLOW = pytest.mark.slow
PLACES = (0, 16, 18, 28, 52, 100, 105, 16384, 16388, 32768, 32776, 49152, 65536, 81920)


@pytest.mark.parametrize(
    "damage",
    [
        *(
            pytest.param(truncated(size), id=f"cut to {size}", marks=SLOW if size else ())
            for size in SIZES
        ),
        *(
            pytest.param(flipped(place), id=f"flipped at {place}", marks=SLOW if place else ())
            for place in PLACES
        ),
        pytest.param(folder, id="a folder"),
        pytest.param(lambda path: path.write_bytes(b"text, and no database. " * 400), id="text"),
    ],
)
def test_a_damaged_private_database(finished: Path, damage: Callable[[Path], None]) -> None:
    path = private(finished)
    whole = path.read_bytes()
    damage(path)
    outcomes = told(finished)
    if path.is_dir() or path.read_bytes() != whole:
        code, said = outcomes[3]
        assert code, said
        assert path.stem in said or "SiqaDataset" in said
    if path.is_dir() or path.stat().st_size < len(whole):
        assert [code for code, _ in outcomes[:4]] == [1, 1, 1, outcomes[3][0]], outcomes
        assert all("benchpool rebuild" in said for _, said in outcomes[:3]), outcomes


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET mark = mark || 'x' WHERE mark != ''",
        "UPDATE items SET mark = '' WHERE mark LIKE 'Message %'",
        "UPDATE items SET mark = 'Message x y' WHERE mark = ''",
    ],
)
def test_a_mark_that_its_message_does_not_say(
    signed_and_finished: Path, tmp_path: Path, statement: str
) -> None:
    home = Path(shutil.copytree(signed_and_finished, tmp_path / "home"))
    replay_home(home).check()
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        assert connection.execute(statement).rowcount
    connection.close()
    assert "it is marked" in str(replay_home(home).difference)
