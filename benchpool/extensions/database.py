"""Database: a private SQLAlchemy database of one process.

What a message writes here stands or falls with the message. On disk, the database also holds the
process's checkpoint and the results of the messages since the network's last commit, all written in
one transaction: after a crash, the results found here stand in for an evaluation that would
otherwise write a second time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from benchpool.errors import StoreError
from benchpool.extensions.base import Extension
from benchpool.store import Checkpoint
from benchpool.store.base import Durability
from benchpool.store.connections import connect, damaged, prepare_connections

_own = MetaData()
_checkpoint = Table(
    "benchpool_checkpoint",
    _own,
    Column("position", Integer, primary_key=True),
    Column("memory", LargeBinary, nullable=False),
    # What binds it to its log; databases of an older benchpool have none.
    Column("link", String, nullable=False, server_default=""),
)
_results = Table(
    "benchpool_results",
    _own,
    Column("position", Integer, primary_key=True),
    Column("result", LargeBinary, nullable=False),
)

_OWN_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    " AND name NOT IN ('benchpool_checkpoint', 'benchpool_results') ORDER BY name"
)


class Database(Extension):
    """A SQLite file, or memory where the network has no home. Foreign keys are enforced."""

    def __init__(
        self, path: Path | None, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self.path = path
        if path is None:
            self._engine = create_engine(
                "sqlite://",
                poolclass=StaticPool,
                connect_args={"check_same_thread": False},
            )
            prepare_connections(self._engine)
        else:
            self._engine = connect(path, read_only=read_only, durability=durability)
        self._read_only = read_only
        self._session: Session | None = None
        self.dirty = False
        try:
            self._connection = self._engine.connect()
        except DBAPIError as error:
            self._engine.dispose()
            raise StoreError(damaged(path or Path(), error.orig or error)) from error
        if not read_only:
            try:
                self._make_own_tables()
            except BaseException:
                self.close()  # else its lock would outlive it
                raise

    def _make_own_tables(self) -> None:
        _own.create_all(self._connection)
        columns = inspect(self._connection).get_columns(_checkpoint.name)
        if "link" not in {column["name"] for column in columns}:
            self._connection.exec_driver_sql(
                "ALTER TABLE benchpool_checkpoint ADD COLUMN link VARCHAR NOT NULL DEFAULT ''"
            )
        self._connection.commit()

    def go_on_in_memory(self) -> None:
        """Leave the file as it is, if it is only read: what is written stays in memory."""
        if not self._read_only:
            return
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        driver: Any = self._connection.connection.driver_connection
        driver.backup(copy)
        self.close()
        self._engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
        prepare_connections(self._engine)
        self._connection = self._engine.connect()
        self._read_only, self.path = False, None

    @property
    def session(self) -> Session:
        """The session of the message being handled; what it writes is kept if that succeeds."""
        if self._session is None:
            self._session = Session(
                self._connection,
                join_transaction_mode="create_savepoint",
                expire_on_commit=False,
            )
            if not self._connection.in_transaction():
                self._connection.begin()
            self.dirty = True
        return self._session

    def create(self, metadata: MetaData) -> None:
        """Make the tables that do not exist yet."""
        metadata.create_all(self.session.connection())

    def begin(self) -> None:
        """See `Extension`."""

    def commit(self) -> None:
        """See `Extension`."""
        if self._session is not None:
            self._session.commit()
            self._session.close()
            self._session = None

    def rollback(self) -> None:
        """See `Extension`."""
        if self._session is not None:
            self._session.rollback()
            self._session.close()
            self._session = None

    def save(self, checkpoint: Checkpoint, results: Iterable[tuple[int, bytes]]) -> None:
        """Make all writes since the last `save` durable, with the process's memory and results."""
        if not self._connection.in_transaction():
            self._connection.begin()
        self._connection.execute(delete(_checkpoint))
        self._connection.execute(insert(_checkpoint), checkpoint._asdict())
        self._connection.execute(delete(_results))
        rows = [{"position": position, "result": result} for position, result in results]
        if rows:
            self._connection.execute(insert(_results), rows)
        self._connection.commit()
        self.dirty = False

    def saved(self) -> tuple[Checkpoint | None, dict[int, bytes]]:
        """Return the checkpoint, and the results that came with it, by position."""
        if not inspect(self._connection).has_table(_checkpoint.name):
            return None, {}
        row = self._connection.exec_driver_sql("SELECT * FROM benchpool_checkpoint").first()
        results = {row.position: row.result for row in self._connection.execute(select(_results))}
        self._connection.rollback()
        if row is None:
            return None, results
        return Checkpoint(row.position, row.memory, getattr(row, "link", "")), results

    def digests(self) -> dict[str, str]:
        """Hash the rows of each of the process's tables: table name -> SHA-256."""
        names = self._connection.exec_driver_sql(_OWN_TABLES).scalars().all()
        found = {}
        for name in names:
            digest = sha256()
            quoted = name.replace('"', '""')
            rows = self._connection.exec_driver_sql(f'SELECT * FROM "{quoted}"')  # noqa: S608 - quoted
            for row in sorted(map(repr, map(tuple, rows))):
                digest.update(row.encode(errors="surrogatepass"))
            found[name] = digest.hexdigest()
        return found

    def close(self) -> None:
        """See `Extension`. What was not saved is lost."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._connection.close()
        self._engine.dispose()
