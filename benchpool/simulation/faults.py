"""Faults: what goes wrong in a simulated run, all of it decided by the seed.

A fault of a handler, a worker or a model depends on the seed and on the message or request that it
meets, and on nothing else. So a run that crashed and was taken up again meets the same ones as a
run that was never stopped, and the two can be compared byte by byte. Crashes and full disks come at
the n-th write since an operation began.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal, cast

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from benchpool.store.connections import watchers

FAULTS: Final[Mapping[str, str]] = {
    "raise": "a handler raises after it has done its work",
    "refuse": "the token refuses a payment or a refund",
    "silent": "a worker never answers",
    "late": "a worker answers when a later message wakes it",
    "twice": "a worker answers twice",
    "rubbish": "a worker answers with what cannot be read",
    "weights": "a worker answers for other weights",
    "error": "a worker answers with an error",
    "hang": "a model does not answer in time, for an hour",
}
"""The faults that a seed may have a rate of, beside crashes and what strangers send."""

CrashKind = Literal["kill", "full", "blip", "answer", "commit"]

_WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "REPLACE")


class SimulatedCrash(BaseException):
    """The program ends here. Not an Exception: nothing may catch it and go on."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where an operation is interrupted."""

    number: int
    """At which write or answer, counted from 1 since the operation began or was taken up again; or
    after how many commits."""
    kind: CrashKind = "kill"
    """Killed before a write; the disk is full at that write and stays so, or has room again right
    after it; killed in an inference; killed before the first write after a commit."""

    def __str__(self) -> str:
        what = {
            "kill": "killed before write",
            "full": "disk full from write",
            "blip": "disk full for write",
            "answer": "killed in inference",
            "commit": "killed after commit",
        }
        return f"{what[self.kind]} {self.number}"


class CrashPoints:
    """Counts the writes to every SQLite file, and lets the chosen one fail.

    A write is a statement that changes a file, or a commit. Once the program is dead, or the disk
    full, every later write fails too, until the home is opened again.
    """

    def __init__(self) -> None:
        self.writes = 0
        self.commits = 0
        self.answers = 0
        self.taken: Counter[str] = Counter()
        self.tripped = False
        self.crash: Crash | None = None
        """What is armed."""
        self.kept = 0
        """Commits that succeeded since it was."""
        self._count = 0

    def arm(self, crash: Crash | None) -> None:
        """Begin to count anew; None lets everything succeed."""
        self.crash, self.kept, self._count, self.tripped = crash, 0, 0, False

    def last_commit(self) -> Crash | None:
        """Return what ends the program with the same files as what was armed did, or would have.

        A crash leaves the files as they were at the last commit, wherever it came after that.
        """
        if not self.tripped or self.crash is None or self.crash.kind == "answer":
            return self.crash
        return Crash(self.kept, "commit")

    @contextmanager
    def watching(self) -> Iterator[CrashPoints]:
        """Watch every store, and every SQLAlchemy engine, while the block runs."""
        listeners: tuple[tuple[str, Callable[..., None]], ...] = (
            ("before_cursor_execute", self._executes),
            ("commit", self._commits),
        )
        for name, listener in listeners:
            event.listen(SqlEngine, name, listener)
        watchers.append(self._store_writes)
        try:
            yield self
        finally:
            watchers.remove(self._store_writes)
            for name, listener in listeners:
                event.remove(SqlEngine, name, listener)

    def answering(self) -> None:
        """A model is about to answer."""
        self.answers += 1
        if self._is_due("answer"):
            raise SimulatedCrash

    def _store_writes(self, statement: str) -> None:
        try:
            if statement == "COMMIT":
                self._commits(None)
            else:
                self._write(statement)
        except OperationalError as error:  # a store has the driver's own
            raise cast("sqlite3.Error", error.orig) from None

    def _executes(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip()[:7].upper().startswith(_WRITES):
            self._write(statement)

    def _commits(self, _connection: Any) -> None:
        self.commits += 1
        self._write("COMMIT")
        self.kept += 1

    def _write(self, statement: str) -> None:
        self.writes += 1
        if self._is_due("kill") or self._is_due("commit"):
            raise SimulatedCrash
        if self._is_due("full") or self._is_due("blip"):
            full = sqlite3.OperationalError("database or disk is full (simulated)")
            full.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise OperationalError(statement[:80], None, full)

    def _is_due(self, kind: str) -> bool:
        crash = self.crash
        if crash is None:
            return False
        if self.tripped:  # a dead program writes nothing more
            lasting = "kill" if crash.kind == "answer" else crash.kind
            return kind == lasting != "blip"
        if crash.kind != kind:
            return False
        self._count += 1
        if (self.kept if kind == "commit" else self._count) < crash.number:
            return False
        self.tripped = True
        self.taken[kind] += 1
        return True


@dataclass(slots=True)
class Faults:
    """Decides which message, request or answer meets which fault."""

    seed: str
    rates: Mapping[str, float]
    injected: Counter[str] = field(default_factory=Counter)

    def strikes(self, kind: str, key: str) -> bool:
        """Tell whether a fault strikes here; the same key gives the same answer for ever."""
        rate = self.rates.get(kind, 0.0)
        if not rate or Random(f"{self.seed}:{kind}:{key}").random() >= rate:  # noqa: S311
            return False
        self.injected[kind] += 1
        return True

    def choose(self, kind: str, key: str, options: int) -> int:
        """Pick one of so many options, as constant as `strikes`."""
        return Random(f"{self.seed}:choice of {kind}:{key}").randrange(options)  # noqa: S311
