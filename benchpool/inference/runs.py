"""Facts of each run: what was asked of a model, on what it ran, and how long it took.

They are kept apart from the answers, which are logged: times differ from run to run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from benchpool.inference.engine import Runtime

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    model TEXT NOT NULL, name TEXT NOT NULL, runtime TEXT NOT NULL, quantization TEXT NOT NULL,
    chat_template_sha256 TEXT, requests INTEGER NOT NULL, answered INTEGER NOT NULL,
    cached INTEGER NOT NULL, unanswered INTEGER NOT NULL, tokens INTEGER NOT NULL,
    rows INTEGER NOT NULL, milliseconds REAL NOT NULL, started INTEGER NOT NULL,
    ended INTEGER NOT NULL
)
"""


class Run(msgspec.Struct, frozen=True):
    """One batch of requests to one model."""

    model: str
    """SHA-256 of the file."""
    name: str
    runtime: Runtime
    quantization: str
    chat_template_sha256: str | None
    requests: int
    answered: int
    """By the model, now."""
    cached: int
    unanswered: int
    """Of the answered: those that the model cannot answer."""
    tokens: int
    """Evaluated."""
    rows: int
    """Predictions over the whole vocabulary."""
    milliseconds: float
    """Spent computing, added up over all children."""
    started: int
    """By the wall clock, in milliseconds since 1970."""
    ended: int


class RunTotals(msgspec.Struct):
    """All runs of one model on one runtime."""

    model: str
    name: str
    runtime: Runtime
    quantization: str
    chat_template_sha256: str | None
    runs: int = 0
    requests: int = 0
    answered: int = 0
    cached: int = 0
    unanswered: int = 0
    tokens: int = 0
    rows: int = 0
    milliseconds: float = 0.0
    wall_milliseconds: int = 0
    """Time that passed in the runs that computed something."""
    last: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Of one worker, without what sharing and the bus take."""
        return 1000 * self.tokens / self.milliseconds if self.milliseconds else 0.0

    @property
    def questions_per_second(self) -> float:
        """Answered by the model in the time that passed, by all workers."""
        return 1000 * self.answered / self.wall_milliseconds if self.wall_milliseconds else 0.0


def total(runs: Iterable[Run]) -> list[RunTotals]:
    """Add up runs by model and runtime, in the order of their first run."""
    totals: dict[tuple[str, Runtime], RunTotals] = {}
    for run in runs:
        key = (run.model, run.runtime)
        if key not in totals:
            totals[key] = RunTotals(
                run.model, run.name, run.runtime, run.quantization, run.chat_template_sha256
            )
        one = totals[key]
        one.name = run.name
        one.runs += 1
        for field in (
            "requests",
            "answered",
            "cached",
            "unanswered",
            "tokens",
            "rows",
            "milliseconds",
        ):
            setattr(one, field, getattr(one, field) + getattr(run, field))
        if run.answered:
            one.wall_milliseconds += run.ended - run.started
        one.last = max(one.last, run.ended)
    return list(totals.values())


def write(database: sqlite3.Connection, run: Run) -> None:
    """Add a run to a database with this ``SCHEMA``."""
    values = [getattr(run, field) for field in Run.__struct_fields__]
    values[2] = msgspec.json.encode(run.runtime).decode()
    database.execute(f"INSERT INTO runs VALUES ({','.join('?' * len(values))})", values)  # noqa: S608


def read(database: sqlite3.Connection) -> Sequence[Run]:
    """Read all runs, in the order in which they were written."""
    names = Run.__struct_fields__
    found = database.execute(f"SELECT {','.join(names)} FROM runs ORDER BY rowid")  # noqa: S608
    return [
        Run(
            **dict(zip(names, row, strict=True))
            | {"runtime": msgspec.json.decode(row[2], type=Runtime)}
        )
        for row in found
    ]
