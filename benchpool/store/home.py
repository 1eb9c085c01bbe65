"""A home: the folder in which a network lives between two commands."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from benchpool.errors import HomeLocked, StoreError
from benchpool.store import DataStore, Store
from benchpool.store.base import Durability
from benchpool.store.facts import check_forms
from benchpool.store.opening import open_store

DEFAULT_HOME = Path(".benchpool")
LOCK_WAIT_S = 5.0
_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite lays beside a file."""
OWN_FILES = ("limits.toml", "commitments.json")
"""What users and their commands lay into a home."""
_OWN_NAMES = {"answers", "data", "databases", "limits.toml", "lock", "server.json"}
"""What a home may hold before its network: settings, and what a start that was ended left."""


class Home:
    """Paths inside a home folder, and the lock that keeps a second writer out.

    Layout: `benchpool.sqlite` (log and registers), `databases/` (one private database a process),
    `data/` (content-addressed), `answers/` (what models answered, a cache), `lock`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "benchpool.sqlite"
        self.databases = folder / "databases"
        self.data = folder / "data"
        self.answers = folder / "answers"
        self._lock: IO[str] | None = None

    def exists(self) -> bool:
        """Tell whether a network lives here: a start that was ended may leave an empty file."""
        try:
            return self.database.stat().st_size > 0
        except OSError:
            return False

    def private(self) -> dict[str, Path]:
        """Return the private databases, by process."""
        return {path.stem: path for path in sorted(self.databases.glob("*.sqlite"))}

    def require(self) -> None:
        """Accept a folder in which a network lives. Raises: StoreError that says how to make one.

        A command that would work on any network must not make a new one where its user mistyped
        the folder of another.
        """
        _refuse_lost(self)
        if not self.exists():
            raise StoreError(
                f"{self.folder} holds no network yet; make one with: benchpool init, or name"
                " another folder with --home"
            )

    def create(self) -> None:
        """Make the folder, for this user's eyes only: it holds keys.

        Raises: StoreError, also for a folder that is used for something else.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            foreign = {path.name for path in self.folder.iterdir()} - _OWN_NAMES
            if self.database.exists():  # a start may have ended before anything was in it
                foreign -= {f"{self.database.name}{end}" for end in ("", *_BESIDE)}
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be made a home: {error.strerror}") from error
        if foreign and not self.exists():
            raise StoreError(
                f"{self.folder} holds {min(foreign)} and no network; name a new folder with --home"
            )

    def protect(self) -> None:
        """Let nobody else read the file that holds the keys; what SQLite lays beside it follows.

        Raises: StoreError.
        """
        try:
            self.database.touch(mode=0o600)
            self.database.chmod(0o600)
        except OSError as error:
            raise StoreError(f"{self.database} cannot be protected: {error.strerror}") from error

    def lock(self, wait_s: float = LOCK_WAIT_S) -> None:
        """Keep other writers out until `unlock`.

        Raises: HomeLocked if another one is still there after `wait_s` seconds.
        """
        handle = (self.folder / "lock").open("a+")
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    handle.seek(0)
                    holder = handle.read().strip() or "unknown"
                    handle.close()
                    raise HomeLocked(
                        f"{self.folder} is in use by another benchpool (process {holder});"
                        " wait for it to end, or name another home with --home"
                    ) from None
                time.sleep(0.05)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        self._lock = handle

    def locked(self) -> bool:
        """Tell whether somebody writes to this home now."""
        try:
            with (self.folder / "lock").open() as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def unlock(self) -> None:
        """Let other writers in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def open_home(home: Home | None, *, read_only: bool, durability: Durability = "power") -> Store:
    """Open the store of a home, locked for writing, or one in memory.

    Raises: HomeLocked, StoreError, SchemaMismatch.
    """
    if home is None:
        return open_store(None)
    if not read_only:
        home.create()
        home.lock()
    else:
        home.require()
    try:
        if not read_only:
            _refuse_lost(home)
            home.protect()
        store = open_store(home.database, read_only=read_only, durability=durability)
    except BaseException:
        home.unlock()
        raise
    try:
        check_forms(home.folder, store)
    except BaseException:
        store.close()
        home.unlock()
        raise
    return store


def _refuse_lost(home: Home) -> None:
    """Accept a home that has a log, or nothing yet that could have come of one.

    A private database is made when its process evaluates its first message, long after the log.

    Raises: StoreError.
    """
    kept = [process for process, path in home.private().items() if path.stat().st_size]
    if not kept or (home.exists() and not is_empty(home.database)):
        return
    raise StoreError(
        f"{home.database} is gone or empty, and the private database of process {kept[0]} is still"
        " there; restore the home from a backup, or name a new folder with --home"
    )


class OpenHome(NamedTuple):
    """What a home holds, opened to look."""

    home: Home
    store: Store
    data: DataStore


@contextmanager
def open_run(folder: Path) -> Iterator[OpenHome]:
    """Open a home to look, without loading any process. Raises: StoreError if there is none."""
    home = Home(folder)
    store = open_home(home, read_only=True)
    try:
        yield OpenHome(home, store, DataStore(home.data))
    finally:
        store.close()


def is_empty(database: Path) -> bool:
    """Tell whether a SQLite file holds no table; False if it cannot be read."""
    from benchpool.store.connections import open_sqlite  # noqa: PLC0415 - slow to import

    try:
        connection = open_sqlite(database)
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return bool(tables == 0)


def find_home(given: Path | None = None) -> Path:
    """Return the home to use: the one given, else `$BENCHPOOL_HOME`, else `./.benchpool`."""
    if given is not None:
        return given
    configured = os.environ.get("BENCHPOOL_HOME")
    return Path(configured) if configured else DEFAULT_HOME
