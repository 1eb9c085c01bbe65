"""Facts of each run: what was asked of a model, on what it ran, and how long it took.

They are kept apart from the answers, which are logged: times differ from run to run.
"""

from __future__ import annotations

import sqlite3

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
    runs: int
    requests: int
    answered: int
    cached: int
    unanswered: int
    tokens: int
    rows: int
    milliseconds: float
    wall_milliseconds: int
    """Time that passed in the runs that computed something."""
    last: int

    @property
    def tokens_per_second(self) -> float:
        """Of one worker, without what sharing and the bus take."""
        return 1000 * self.tokens / self.milliseconds if self.milliseconds else 0.0

    @property
    def questions_per_second(self) -> float:
        """Answered by the model in the time that passed, by all workers."""
        return 1000 * self.answered / self.wall_milliseconds if self.wall_milliseconds else 0.0


def write(database: sqlite3.Connection, run: Run) -> None:
    """Add a run to a database with this ``SCHEMA``."""
    values = [getattr(run, field) for field in Run.__struct_fields__]
    values[2] = msgspec.json.encode(run.runtime).decode()
    database.execute(f"INSERT INTO runs VALUES ({','.join('?' * len(values))})", values)  # noqa: S608


def totals(database: sqlite3.Connection) -> list[RunTotals]:
    """Add up the runs of a database by model and runtime; what was used last comes last."""
    # With MAX alone, SQLite takes the other columns from the row that has it: the latest name.
    found = database.execute("""
        SELECT model, name, runtime, quantization, chat_template_sha256, COUNT(*), SUM(requests),
            SUM(answered), SUM(cached), SUM(unanswered), SUM(tokens), SUM(rows), SUM(milliseconds),
            SUM(CASE WHEN answered THEN ended - started ELSE 0 END), MAX(ended)
        FROM runs GROUP BY model, runtime ORDER BY MAX(ended)
    """)
    return [
        RunTotals(model, name, msgspec.json.decode(runtime, type=Runtime), *rest)
        for model, name, runtime, *rest in found
    ]


def speeds(database: sqlite3.Connection, most: int) -> dict[tuple[str, Runtime], list[float]]:
    """Return tokens a second of the newest batches, oldest first, by model and runtime.

    Args:
        database: with this ``SCHEMA``.
        most: how many batches, of all models together.
    """
    rows = database.execute(
        "SELECT model, runtime, tokens, milliseconds FROM runs ORDER BY rowid DESC LIMIT ?", (most,)
    ).fetchall()
    found: dict[tuple[str, Runtime], list[float]] = {}
    for model, runtime, tokens, milliseconds in reversed(rows):
        if tokens and milliseconds:
            key = (model, msgspec.json.decode(runtime, type=Runtime))
            found.setdefault(key, []).append(1000 * tokens / milliseconds)
    return found
