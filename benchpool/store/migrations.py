"""Migrations: bring a home that an older benchpool wrote into the present form.

Each change and the record of it are one transaction: a crash leaves the home either as it was or
changed and recorded, and the next opening goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from benchpool.ao.ids import id_key
from benchpool.errors import SchemaMismatch, StoreError
from benchpool.store import schema

VERSION_FACT: Final = "schema_version"
_DIGITS: Final = 10


class Migration(NamedTuple):
    """One step to a newer form."""

    version: int
    """The form that it leads to, from the one before."""
    change: Callable[[Connection], None]


def open_schema(connection: Connection, path: Path, *, read_only: bool) -> None:
    """Make the tables of a new home, or bring those of an older one up to date.

    Raises:
        SchemaMismatch: written by a newer benchpool, or older and opened to be read only.
        StoreError: a change failed; the home is as it was before that change.
    """
    tables = _tables(connection)
    if not tables:
        if read_only:
            raise StoreError(f"{path} is empty: no network was made in it yet, or all is lost")
        schema.metadata.create_all(connection)
        schema.derived.create_all(connection)
        _record(connection, schema.SCHEMA_VERSION)
        connection.commit()
        return
    version = read_version(connection, path)
    if version > schema.SCHEMA_VERSION:
        raise SchemaMismatch(
            f"{path} has the form of version {version}, and this benchpool reads up to version"
            f" {schema.SCHEMA_VERSION}; open it with the benchpool that wrote it, or a newer one"
        )
    if version < schema.SCHEMA_VERSION:
        if read_only:
            raise SchemaMismatch(
                f"{path} has the form of version {version}, and this benchpool reads version"
                f" {schema.SCHEMA_VERSION}; run a command that writes to it once, such as"
                " 'benchpool wallet new NAME', to bring it up to date"
            )
        migrate(connection, path, version, MIGRATIONS)
    elif lost := schema.metadata.tables.keys() - tables:
        raise StoreError(
            f"{path} is damaged: table {min(lost)} is gone; restore the home from a backup"
        )
    if not (read_only or schema.derived.tables.keys() <= tables):
        schema.derived.create_all(connection)
        connection.commit()


def _tables(connection: Connection) -> set[str]:
    names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
    return set(names.scalars())


def read_version(connection: Connection, path: Path) -> int:
    """Return the version of a home's form. Raises: SchemaMismatch if it says none."""
    version = None
    if "facts" in _tables(connection):
        query = text("SELECT value FROM facts WHERE name = :name")
        version = connection.scalar(query, {"name": VERSION_FACT})
    shown = str(version)
    if not (shown.isascii() and shown.isdigit() and len(shown) < _DIGITS):
        raise SchemaMismatch(
            f"{path} has the form of version {shown[:40]!a}, which is none; restore the home from"
            " a backup"
        )
    return int(shown)


def migrate(
    connection: Connection, path: Path, version: int, migrations: Sequence[Migration]
) -> None:
    """Make the changes behind a version, each with its record. Raises: StoreError."""
    connection.rollback()
    for migration in migrations:
        if migration.version <= version:
            continue
        try:
            migration.change(connection)
            _record(connection, migration.version)
            connection.commit()
        except DBAPIError as error:
            connection.rollback()
            raise StoreError(
                f"{path} could not be brought from version {version} to {migration.version}:"
                f" {error.orig}; it is still of version {version}"
            ) from error
        version = migration.version


def _record(connection: Connection, version: int) -> None:
    connection.execute(
        text(
            "INSERT INTO facts (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        ),
        {"name": VERSION_FACT, "value": str(version)},
    )


def _shorten_ids(connection: Connection) -> None:
    """Version 2: the index of the log holds 8 bytes of each id in place of 43 characters."""
    columns = {row.name for row in connection.execute(text("PRAGMA table_info(log)"))}
    if "id" not in columns:
        return  # the first homes with short ids bear the number 1 too
    driver: Any = connection.connection.driver_connection
    driver.create_function("benchpool_id_key", 1, id_key, deterministic=True)
    for statement in (
        "DROP INDEX IF EXISTS log_id",
        "ALTER TABLE log ADD COLUMN id_key BIGINT NOT NULL DEFAULT 0",
        "UPDATE log SET id_key = benchpool_id_key(id)",
        "ALTER TABLE log DROP COLUMN id",
        "CREATE INDEX log_id ON log (id_key)",
    ):
        connection.execute(text(statement))


def _keep_signatures(connection: Connection) -> None:
    """Version 3: wallets of several kinds, and what signed items are rebuilt from."""
    columns = {row.name for row in connection.execute(text("PRAGMA table_info(wallets)"))}
    if "kind" not in columns:
        connection.execute(
            text("ALTER TABLE wallets ADD COLUMN kind VARCHAR NOT NULL DEFAULT 'ed25519'")
        )
    for statement in (
        "CREATE TABLE IF NOT EXISTS items (message VARCHAR(43) NOT NULL PRIMARY KEY,"
        " head BLOB NOT NULL, mark VARCHAR NOT NULL)",
        "CREATE INDEX IF NOT EXISTS items_mark ON items (mark) WHERE mark != ''",
        "CREATE TABLE IF NOT EXISTS assignments (process VARCHAR NOT NULL,"
        " position INTEGER NOT NULL, id_key BIGINT NOT NULL, signature BLOB NOT NULL,"
        " exclude VARCHAR NOT NULL, PRIMARY KEY (process, position)) WITHOUT ROWID",
        "CREATE INDEX IF NOT EXISTS assignments_id ON assignments (id_key)",
    ):
        connection.execute(text(statement))


def _index_by_stretch(connection: Connection) -> None:
    """Version 4: the index of ids goes by stretches of the log."""
    connection.execute(text("DROP INDEX IF EXISTS log_id"))
    schema.log_id.create(connection)


MIGRATIONS: Final[tuple[Migration, ...]] = (
    Migration(2, _shorten_ids),
    Migration(3, _keep_signatures),
    Migration(4, _index_by_stretch),
)
