"""A network of libraries, which keep private databases: what tests of lost files play."""

from __future__ import annotations

import os
import signal
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select

from benchpool import Message, Network, Process, State, handler
from benchpool.audit.replay import replay_home
from benchpool.errors import StoreError
from benchpool.process.registry import Registry

TABLES = MetaData()
BOOKS = Table("books", TABLES, Column("id", Integer, primary_key=True), Column("title", String))
ROUNDS = 6


class Kept(State):
    written: int = 0


class Library(Process):
    """Writes a row a message, and says how many there are."""

    state: Kept
    extensions = ("Database",)

    def on_spawn(self, message: Message) -> None:
        self.database.create(TABLES)

    @handler("Write")
    def write(self, message: Message) -> None:
        self.state.written += 1
        self.database.session.execute(insert(BOOKS), {"title": message.id})
        count = self.database.session.scalar(select(func.count()).select_from(BOOKS))
        self.log(f"{self.state.written} written, {count} books")
        if "To" in message.tags:
            self.send(message.tags["To"], "Note", {"Count": str(count)})


class Tally(Process):
    """Adds up what it hears of."""

    state: Kept

    @handler("Note")
    def note(self, message: Message) -> None:
        self.state.written += int(message.tags["Count"])
        self.log(str(self.state.written))


MODULES = (Library, Tally)


def registry() -> Registry:
    made = Registry()
    for module in MODULES:
        made.add(module)
    return made


def opened(home: Path, **options: object) -> Network:
    return Network(home, seed=1, registry=registry(), **options)  # type: ignore[arg-type]


def begin(network: Network) -> None:
    tally = network.spawn("Tally", name="tally")
    cron = [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Write"), ("Cron-Tag-To", tally)]
    network.spawn("Library", cron, name="library")
    network.spawn("Library", cron, name="other")


def go_on(network: Network, rounds: int = ROUNDS) -> None:
    """Play the rounds that are missing."""
    network.run()
    if "other" not in network.names():
        for name in ("tally", "library", "other"):
            if name in network.names():
                return  # it was killed while it began: nothing to compare with
        begin(network)
    for _ in range(rounds):
        network.send("library", "Write", {"To": network.resolve("tally")})
        network.advance("1h")


def check(home: Path, rounds: int = 2) -> str | None:
    """Go on; return why it was refused. Whatever goes on must be what the log gives."""
    try:
        with opened(home) as network:
            go_on(network, rounds)
    except StoreError as refusal:
        said = str(refusal)
        assert str(home) in said
        assert "backup" in said
        assert len(said.splitlines()) == 1
        return said
    replay_home(home, registry=registry()).check()
    with opened(home, read_only=True) as network:
        for name in ("library", "other"):
            if name in network.names():
                rows = network.log(name)
                total = sum(m.action == "Write" for m, _ in rows)
                assert network.process(name).state.written == total
                if total:
                    last = rows[-1][1]
                    assert last is not None
                    assert last.output == f"{total} written, {total} books"
    return None


def in_a_child(work: Callable[[], object]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(home: Path, owner: type, method: str, count: int) -> None:
    """Begin a run and kill it behind the n-th call of a method."""

    def run() -> None:
        original, calls = getattr(owner, method), 0

        def dying(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            result = original(*args, **options)
            if calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, method, dying)
        with opened(home) as network:
            begin(network)
            go_on(network)

    assert in_a_child(run) == -signal.SIGKILL


def library(home: Path, name: str = "library") -> Path:
    with sqlite3.connect(home / "benchpool.sqlite") as connection:
        row = connection.execute("SELECT identity FROM names WHERE name = ?", (name,)).fetchone()
    connection.close()
    return home / "databases" / f"{row[0]}.sqlite"
