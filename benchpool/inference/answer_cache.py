"""Keep the answers of models, so that the same question to the same weights is asked once.

An answer is a pure function of the model's bytes, the runtime and the request: these three are
its key. The request stands for its tokens, which the model's bytes make of it. What a model could
not answer is not kept: that may depend on the context that the engine was opened with. Beside
the answers stand the facts of each run (see ``runs``).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference import runs
from benchpool.inference.engine import Answer, Request, Runtime, Unanswered
from benchpool.inference.runs import Run, RunTotals

FILE_NAME = "answers-1.sqlite"
_ANSWER: Any = Answer  # a union, which msgspec takes and its type hints do not
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    model TEXT NOT NULL, runtime TEXT NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL,
    PRIMARY KEY (model, runtime, request)
) WITHOUT ROWID
"""


class AnswerCache:
    """Answers in a SQLite file of a folder; threads and processes may share it.

    Raises:
        InferenceError: The file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self.path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(_SCHEMA)
            self._database.execute(runs.SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise InferenceError(
                f"{self.path}: the answer cache cannot be used: {error}"
            ) from error

    def find(self, sha256: str, runtime: Runtime, requests: Sequence[Request]) -> dict[int, Answer]:
        """Look requests up; the answers found, by place in ``requests``."""
        wanted = (sha256, _text(runtime))
        found: dict[int, Answer] = {}
        with self._lock:
            for number, request in enumerate(requests):
                row = self._database.execute(
                    "SELECT answer FROM answers WHERE model = ? AND runtime = ? AND request = ?",
                    (*wanted, msgspec.msgpack.encode(request)),
                ).fetchone()
                if row is not None:
                    found[number] = msgspec.msgpack.decode(row[0], type=_ANSWER)
        return found

    def keep(
        self, sha256: str, runtime: Runtime, answered: Iterable[tuple[Request, Answer]]
    ) -> None:
        """Write answers; they are there when this returns, whatever becomes of the process."""
        rows = [
            (
                sha256,
                _text(runtime),
                msgspec.msgpack.encode(request),
                msgspec.msgpack.encode(answer),
            )
            for request, answer in answered
            if not isinstance(answer, Unanswered)
        ]
        with self._lock, self._database:
            self._database.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", rows)

    def note(self, run: Run) -> None:
        """Write the facts of a run."""
        with self._lock, self._database:
            runs.write(self._database, run)

    def runs(self) -> list[RunTotals]:
        """All runs, added up by model and runtime."""
        with self._lock:
            return runs.totals(self._database)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


def _text(runtime: Runtime) -> str:
    return msgspec.json.encode(runtime).decode()
