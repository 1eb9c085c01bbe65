"""Connections to SQLite files, and what every part of a store on one needs of it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from benchpool.errors import StoreError
from benchpool.store.base import Durability, WriteFailure
from benchpool.store.migrations import open_schema

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
SYNCHRONOUS: Final[Mapping[Durability, str]] = {"power": "FULL", "process": "NORMAL"}
"""What SQLite calls it, see `Durability`."""
_PAGE_BYTES: Final = 16 << 10
"""Of a file: larger pages than SQLite's own 4 KiB hold several messages, and are fewer to write."""
_WAL_BYTES: Final = 32 << 20
"""How far the log of writes may grow before SQLite takes it into the file: the longer it is, the
more writes to a page are one write to the file."""
_STEPS: Final = 20_000
"""Of SQLite's machine, between two looks at whether a read is to end: a millisecond or less."""


def sqlite_uri(path: Path, *, read_only: bool = False) -> str:
    """Return the address of a SQLite file, in a folder that cannot be written too.

    To read in WAL mode, SQLite wants to lay files beside the one that it reads. Where it cannot,
    and no writer has left a log there, the file alone is the whole truth and does not change.
    """
    sealed = read_only and not os.access(path.parent, os.W_OK)
    sealed = sealed and not path.with_name(f"{path.name}-wal").exists()
    return f"file:{quote(str(path.absolute()))}{'?immutable=1' if sealed else ''}"


def open_sqlite(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a SQLite file; one that is only read may lie where nothing can be written.

    Raises: sqlite3.Error; OSError.
    """
    beside = [path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm")]
    if not read_only or os.access(path.parent, os.W_OK):
        return _open(path, sqlite_uri(path))
    if [each.exists() for each in beside] != [True, False]:
        return _open(path, sqlite_uri(path, read_only=True))
    # A log without its index, which SQLite would have to write: both are read from a copy, which
    # is there as long as it is open.
    with tempfile.TemporaryDirectory(prefix="benchpool-") as folder:
        for each in (path, beside[0]):
            shutil.copyfile(each, Path(folder, each.name))
        connection = _open(path, sqlite_uri(Path(folder, path.name)))
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _open(path: Path, uri: str) -> sqlite3.Connection:
    if path.is_dir():
        raise sqlite3.OperationalError("it is a folder")
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


def connect(path: Path, *, read_only: bool = False, durability: Durability = "power") -> Engine:
    """Open a SQLite file in WAL mode with foreign keys.

    SQLAlchemy begins transactions explicitly, so that savepoints and reads hold in them.
    """
    engine = create_engine(
        "sqlite://",  # its own addresses cannot quote a path
        creator=lambda: open_sqlite(path, read_only=read_only),
        poolclass=QueuePool,
    )
    prepare_connections(engine, read_only=read_only, durability=durability)

    @event.listens_for(engine, "handle_error")
    def _tell(context: ExceptionContext) -> None:
        if is_damage(context.original_exception):
            raise StoreError(
                damaged(path, context.original_exception)
            ) from context.sqlalchemy_exception

    return engine


def copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment; others may be writing to it.

    Raises: StoreError if it is damaged, or the copy cannot be written.
    """
    target.unlink(missing_ok=True)
    try:
        with (
            closing(open_sqlite(source, read_only=True)) as original,
            closing(sqlite3.connect(target)) as copy,
        ):
            original.execute("PRAGMA busy_timeout=10000")
            original.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # nothing of it lies beside it
    except sqlite3.Error as error:
        said = damaged(source, error) if is_damage(error) else f"{source} cannot be copied: {error}"
        raise StoreError(said) from error


def check_integrity(path: Path) -> None:
    """Accept a SQLite file that is whole. Raises: StoreError."""
    try:
        with closing(open_sqlite(path, read_only=True)) as connection:
            connection.execute("PRAGMA query_only=ON")
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(damaged(path, error)) from error
    if found != "ok":
        raise StoreError(damaged(path, found))


def is_damage(error: BaseException) -> bool:
    """Tell whether a file is at fault that SQLite reads."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE


def damaged(path: Path, error: object) -> str:
    """Say that a file of a home is damaged, and what to do."""
    return f"{path} is damaged: {error}; restore the home from a backup"


def prepare_connections(
    engine: Engine, *, read_only: bool = False, durability: Durability = "power"
) -> None:
    """Set each new SQLite connection up; see `connect`."""

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout=10000")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file; others keep theirs
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")
            (page_bytes,) = cursor.execute("PRAGMA page_size").fetchone()
            cursor.execute(f"PRAGMA wal_autocheckpoint={_WAL_BYTES // page_bytes}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")


watchers: list[Callable[[str], None]] = []
"""Told of each statement by which a store changes its file, before it is executed. A simulation
lets some of them fail."""


class SqliteFile:
    """A home's file, one connection to it, and whether it can still be written.

    SQLAlchemy makes the tables and brings them up to date. They are read and written by SQLite's
    own driver: around a row, SQLAlchemy takes several times what the row does.

    Raises:
        SchemaMismatch: the file was written by another version of benchpool.
        StoreError: the file cannot be opened or written.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self.path = path
        self.failure = WriteFailure()
        self._engine = connect(path, read_only=read_only, durability=durability)
        try:
            self._opened = self._engine.connect()
        except DBAPIError as error:
            raise StoreError(f"{path} cannot be opened: {error.orig}") from error
        try:
            open_schema(self._opened, path, read_only=read_only)
            self._opened.rollback()
        except DBAPIError as error:
            self.close()
            raise StoreError(f"{path} cannot be opened: {error.orig}") from error
        except BaseException:
            self.close()
            raise
        driver: Any = self._opened.connection.driver_connection
        self._driver: sqlite3.Connection = driver

    # -- reading -----------------------------------------------------------------------------

    def _rows(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """Read rows one after the other, see `_all`."""
        self.failure.check()
        try:
            if not self._driver.in_transaction:
                self._driver.execute("BEGIN")
            return self._driver.execute(query, values)
        except sqlite3.Error as error:
            self._tell_damage(error)
            raise

    def _all(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[Any]:
        """Read all rows that a query gives.

        Raises: StoreError if a write has failed, or the file is damaged; sqlite3.Error.
        """
        try:
            return self._rows(query, values).fetchall()
        except sqlite3.Error as error:
            self._tell_damage(error)
            raise

    def _one(self, query: str, values: Sequence[Any] | dict[str, Any] = ()) -> Any:
        """Read the first row that a query gives, None if there is none. Raises: as `_all`."""
        try:
            return self._rows(query, values).fetchone()
        except sqlite3.Error as error:
            self._tell_damage(error)
            raise

    def _tell_damage(self, error: sqlite3.Error) -> None:
        if is_damage(error):
            raise StoreError(damaged(self.path, error)) from error

    def interrupt_when(self, over: Callable[[], bool]) -> None:
        """See `Store`."""
        self._driver.set_progress_handler(over, _STEPS)

    # -- writing -----------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what collected in memory."""

    def _write(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement with the values of each row. A write that fails is the last.

        Raises: StoreError.
        """
        with self._writing(statement):
            if not self._driver.in_transaction:
                self._driver.execute("BEGIN")
            self._driver.executemany(statement, rows)

    def _commit(self) -> None:
        """Make durable what was written. Raises: as `_write`."""
        with self._writing("COMMIT"):
            self._driver.commit()

    @contextmanager
    def _writing(self, statement: str) -> Iterator[None]:
        self.failure.check()
        try:
            for watcher in watchers:
                watcher(statement)
            yield
        except BaseException as error:
            self.failure.note(error)
            if isinstance(error, sqlite3.Error):
                damage = is_damage(error)
                said = f"{self.path} cannot be written: {error}"
                raise StoreError(damaged(self.path, error) if damage else said) from error
            raise

    def close(self) -> None:
        """Let go of the file. What was not committed is lost."""
        self._opened.close()
        self._engine.dispose()
