"""A killed home that then lost files, or got older ones back: it goes on rightly or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from libraries import begin, check, go_on, in_a_child, killed, library, opened, registry

from benchpool import Network
from benchpool.audit.replay import replay_home
from benchpool.errors import StoreError
from benchpool.extensions.database import Database
from benchpool.store.sqlite import SqliteStore


def lose_logs(home: Path, which: str) -> None:
    """Delete what SQLite lays beside its files."""
    found = [*home.glob("*.sqlite-*")] if which != "private" else []
    found += [*(home / "databases").glob("*.sqlite-*")] if which != "main" else []
    for path in found:
        path.unlink()


SLOW = pytest.mark.slow
MOMENTS = [(SqliteStore, "commit", n) for n in (2, 5, 9, 14, 22, 40)]
MOMENTS += [(Database, "save", n) for n in (1, 2, 5, 9, 14)]


@pytest.mark.parametrize(
    "which", ["none", *(pytest.param(each, marks=SLOW) for each in ("main", "private")), "all"]
)
@pytest.mark.parametrize(("owner", "method", "count"), MOMENTS)
def test_write_ahead_logs_that_were_lost_after_a_kill(
    tmp_path: Path, owner: type, method: str, count: int, which: str
) -> None:
    home = tmp_path / "home"
    killed(home, owner, method, count)
    if which != "none":
        lose_logs(home, which)
    refusal = check(home)
    assert which != "none" or refusal is None


@pytest.mark.parametrize("second", [1, 2, 3])
@pytest.mark.parametrize("first", [pytest.param(3, marks=SLOW), 6, pytest.param(11, marks=SLOW)])
def test_a_run_that_is_killed_again_while_it_is_taken_up(
    tmp_path: Path, first: int, second: int
) -> None:
    home = tmp_path / "home"
    killed(home, Database, "save", first)

    def again() -> None:
        original, calls = Database.save, 0

        def dying(*args: Any) -> None:
            nonlocal calls
            calls += 1
            original(*args)
            if calls == second:
                os.kill(os.getpid(), signal.SIGKILL)

        Database.save = dying
        with opened(home) as network:
            network.timeline.virtual().set(network.clock.now() + 3_600_000)
            network.live.tick()  # in one round with what the first run left
            go_on(network)

    assert in_a_child(again) == -signal.SIGKILL
    assert check(home) is None


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One home at three ages, each closed well, with the ids of the libraries."""
    folder = tmp_path_factory.mktemp("ages")
    home = folder / "home"
    copies = []
    for age in range(3):
        with opened(home) as network:
            if not age:
                begin(network)
            go_on(network, 2)
        copies.append(Path(shutil.copytree(home, folder / str(age))))
    return copies


@pytest.mark.parametrize("younger", [0, 1, 2])
@pytest.mark.parametrize("older", [0, 1, 2])
def test_files_of_several_ages(tmp_path: Path, ages: list[Path], older: int, younger: int) -> None:
    """The main database of one age, one private database of another."""
    home = Path(shutil.copytree(ages[older], tmp_path / "home"))
    shutil.copy(library(ages[younger]), library(home))
    refusal = check(home)
    if younger <= older:
        assert refusal is None
        return
    assert refusal is not None
    assert "(library)" in refusal
    positions = [5, 9, 13]
    assert f"stands at position {positions[younger] - 1}" in refusal, refusal
    assert f"its log ends at {positions[older] - 1}" in refusal


def test_a_home_that_went_on_from_an_older_copy(tmp_path: Path, ages: list[Path]) -> None:
    """The private database is at a position that the log has, too, and with other messages."""
    home = Path(shutil.copytree(ages[0], tmp_path / "home"))
    with opened(home) as network:
        network.send("library", "Write")
        network.send("library", "Write")
        network.advance("3h")
    shutil.copy(library(ages[1]), library(home))
    said = check(home)
    assert said is not None
    assert "of another log than this one" in said


def test_ticks_are_bound_to_the_messages_before_them(tmp_path: Path, ages: list[Path]) -> None:
    """The same tick at the same position, behind other messages."""
    home = Path(shutil.copytree(ages[0], tmp_path / "home"))
    for _ in range(2):
        with opened(home) as network:
            network.send("library", "Write", data="otherwise")
            network.advance("1h")
    shutil.copy(library(ages[1]), library(home))
    said = check(home)
    assert said is not None
    assert "of another log than this one" in said


def test_the_private_database_of_another_process(tmp_path: Path, ages: list[Path]) -> None:
    home = Path(shutil.copytree(ages[2], tmp_path / "home"))
    shutil.copy(library(home, "other"), library(home))
    said = check(home)
    assert said is not None
    assert "of another log than this one" in said


def test_a_private_database_of_another_network(tmp_path: Path, ages: list[Path]) -> None:
    home = Path(shutil.copytree(ages[2], tmp_path / "home"))
    with Network(tmp_path / "foreign", seed=2, registry=registry()) as network:
        begin(network)
    foreign = library(tmp_path / "foreign")
    shutil.copy(foreign, home / "databases" / foreign.name)
    said = check(home)
    assert said is not None
    assert f"there is a private database of process {foreign.stem}" in said


@pytest.mark.parametrize("how", ["gone", "empty", "all gone"])
def test_a_private_database_that_was_there(tmp_path: Path, ages: list[Path], how: str) -> None:
    home = Path(shutil.copytree(ages[1], tmp_path / "home"))
    path = library(home)
    if how == "all gone":
        shutil.rmtree(home / "databases")
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"")
    said = check(home)
    assert said is not None
    assert "is gone, and its log ends at position 8" in said
    replay = replay_home(home, registry=registry())
    assert "is gone, and its log" in str(replay.difference)


def test_a_log_that_was_cut_off(tmp_path: Path, ages: list[Path]) -> None:
    """Nothing that is kept of any process says that there was more, but for the network itself."""
    home = Path(shutil.copytree(ages[1], tmp_path / "home"))
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        connection.execute("DELETE FROM checkpoints")
        connection.execute("DELETE FROM log WHERE sequence = (SELECT max(sequence) FROM log)")
    connection.close()
    said = check(home)
    assert said is not None
    assert "its log ends at entry" in said
    assert replay_home(home, registry=registry()).difference is not None


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_log_that_is_gone_is_not_begun_anew(tmp_path: Path, ages: list[Path], how: str) -> None:
    home = Path(shutil.copytree(ages[1], tmp_path / "home"))
    main = home / "benchpool.sqlite"
    main.unlink()
    if how == "emptied":
        main.write_bytes(b"")
    said = check(home)
    assert said is not None
    assert "is gone or empty, and the private database of process" in said
    assert main.exists() == (how == "emptied")
    with pytest.raises(StoreError, match="is gone or empty"):
        Network(home, read_only=True)


def test_a_home_whose_creation_was_interrupted_is_usable(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("databases", "data"):
        (home / name).mkdir(parents=True)
    (home / "benchpool.sqlite").write_bytes(b"")
    (home / "benchpool.sqlite-journal").write_bytes(b"")
    (home / "lock").write_text("123")
    with opened(home) as network:
        begin(network)
    assert check(home) is None
