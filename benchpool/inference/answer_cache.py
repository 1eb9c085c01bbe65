"""Keep the answers of models, so that the same question to the same weights is asked once.

An answer is a pure function of the model's bytes, the runtime and the request: these three are
its key. The request stands for its tokens, which the model's bytes make of it. What a model could
not answer is not kept: that may depend on the context that the engine was opened with. Beside
the answers stand the facts of each run (see ``runs``).

A cache only saves time, so no fault of it is a fault of a message. A row whose checksum is wrong,
or that is no answer to its request, counts as missing and is written again. A file that is damaged
is set aside for a new one; while a file cannot be used, because it is locked, the disk is full or
the folder read-only, the cache is left out. Both are told by a warning.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from benchpool.inference import runs
from benchpool.inference.engine import Answer, Request, Runtime, Unanswered, fits
from benchpool.inference.runs import Run, RunTotals

FILE_NAME: Final = "answers-2.sqlite"
"""The first edition, ``answers-1.sqlite``, had no checksums; it is left where it is, unread."""
SET_ASIDE: Final = ".damaged"
"""How the name of a file ends that was damaged."""

_LOCK_S: Final = 5.0
_PAUSE_S: Final = 60.0
"""How long a file that cannot be used is left out before it is tried again."""
_UNUSABLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_TOOBIG,
    }
)
"""Errors of SQLite in which the file may be whole. After any other it is taken for damaged."""
_ANSWER: Any = Answer  # a union, which msgspec takes and its type hints do not
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    model TEXT NOT NULL, runtime TEXT NOT NULL, request BLOB NOT NULL, answer BLOB NOT NULL,
    checksum BLOB NOT NULL, PRIMARY KEY (model, runtime, request)
) WITHOUT ROWID
"""
# As bytes whatever they are, or a damaged text could not be read at all.
_FIND = """
SELECT CAST(answer AS BLOB), CAST(checksum AS BLOB) FROM answers
WHERE model = ? AND runtime = ? AND request = ?
"""

log = logging.getLogger("benchpool.inference")
T = TypeVar("T")


class AnswerCache:
    """Answers in a SQLite file of a folder; threads and processes may share it. It never raises."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self.path = folder / FILE_NAME
        self._database: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._again_s = 0.0
        self._closed = False
        self._use(lambda _: None, None)

    def find(self, sha256: str, runtime: Runtime, requests: Sequence[Request]) -> dict[int, Answer]:
        """Look requests up; the answers found, by place in ``requests``."""
        model, computing = sha256, _text(runtime)

        def look(database: sqlite3.Connection) -> dict[int, Answer]:
            found: dict[int, Answer] = {}
            for number, request in enumerate(requests):
                asked = msgspec.msgpack.encode(request)
                row = database.execute(_FIND, (model, computing, asked)).fetchone()
                if row is None or row[1] != _checksum(model, computing, asked, row[0]):
                    continue
                answer = _read(row[0])
                if answer is not None and fits(request, answer):
                    found[number] = answer
            return found

        return self._use(look, {})

    def keep(
        self, sha256: str, runtime: Runtime, answered: Iterable[tuple[Request, Answer]]
    ) -> None:
        """Write answers; they are there when this returns, whatever becomes of the process."""
        model, computing = sha256, _text(runtime)
        rows = []
        for request, answer in answered:
            if not isinstance(answer, Unanswered):
                row = msgspec.msgpack.encode(request), msgspec.msgpack.encode(answer)
                rows.append((model, computing, *row, _checksum(model, computing, *row)))

        def write(database: sqlite3.Connection) -> None:
            # A row that is there already was found to be none, or another caller has just made it.
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", rows)

        if rows:
            self._use(write, None)

    def note(self, run: Run) -> None:
        """Write the facts of a run."""
        self._use(lambda database: runs.write(database, run), None)

    def runs(self) -> list[RunTotals]:
        """All runs, added up by model and runtime."""
        return self._use(runs.totals, [])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._let_go()

    # -- the file ----------------------------------------------------------------------------

    def _use(self, work: Callable[[sqlite3.Connection], T], instead: T) -> T:
        """Do something in one transaction, or give up on it."""
        with self._lock:
            if self._closed or time.monotonic() < self._again_s:
                return instead
            try:
                database = self._database or self._open()
                with database:
                    return work(database)
            except (OSError, ValueError, sqlite3.Error, MemoryError) as error:
                self._give_up(error)
                return instead

    def _open(self) -> sqlite3.Connection:
        """Open the file; one that turns out to be damaged is set aside, and a new one is made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._connect()
        except sqlite3.Error as error:
            if not self._set_aside(error):
                raise
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = self._database = sqlite3.connect(
            self.path, timeout=_LOCK_S, check_same_thread=False
        )
        self._file = _identity(self.path)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(_SCHEMA)
        database.execute(runs.SCHEMA)
        database.execute("SELECT model, runtime, request, answer, checksum FROM answers LIMIT 1")
        return database

    def _give_up(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and self._set_aside(error):
            return
        self._let_go()
        self._again_s = time.monotonic() + _PAUSE_S
        log.warning(
            "%s: the answer cache cannot be used, and answers are computed without it: %s",
            self.path,
            error,
        )

    def _set_aside(self, error: sqlite3.Error) -> bool:
        """Take a damaged file out of the way, unless another program has; False if it stays."""
        file = self._file
        if file is None or not _is_damage(error):
            return False
        self._let_go()
        try:
            if _identity(self.path) != file:
                return True
            for suffix in ("-wal", "-shm"):  # else a new file would take them for its own
                self.path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
            self.path.replace(self.path.with_name(FILE_NAME + SET_ASIDE))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        log.warning(
            "%s: the answer cache is damaged, and set aside for a new one: %s", self.path, error
        )
        return True

    def _let_go(self) -> None:
        database, self._database, self._file = self._database, None, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in _UNUSABLE


def _checksum(model: str, runtime: str, request: bytes, answer: bytes | None) -> bytes:
    parts = model.encode(errors="surrogatepass"), runtime.encode(), request, answer or b""
    sizes = b"".join(len(part).to_bytes(8, "big") for part in parts)
    return hashlib.blake2b(sizes + b"".join(parts), digest_size=16).digest()


def _read(row: bytes) -> Answer | None:
    try:
        answer: Answer = msgspec.msgpack.decode(row, type=_ANSWER)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return None if isinstance(answer, Unanswered) else answer


def _text(runtime: Runtime) -> str:
    return msgspec.json.encode(runtime).decode()
