import sqlite3

import pytest
from sqlalchemy import text

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, encode
from benchpool.ao.tags import Tags
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SignedAssignment
from benchpool.errors import SchemaMismatch, StoreError
from benchpool.store import migrations
from benchpool.store.connections import connect
from benchpool.store.migrations import Migration, migrate, read_version
from benchpool.store.schema import SCHEMA_VERSION
from benchpool.store.sqlite import SqliteStore

IDS = [encode_id(bytes([number]) * 32) for number in (1, 200, 77)]


@pytest.fixture
def old_home(tmp_path):
    """A home of version 1, whose log is indexed by the whole text of the ids."""
    path = tmp_path / "benchpool.sqlite"
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            DROP TABLE log;
            CREATE TABLE log (sequence INTEGER PRIMARY KEY, process VARCHAR NOT NULL,
                position INTEGER NOT NULL, id VARCHAR(43) NOT NULL, cron BOOLEAN NOT NULL,
                message BLOB NOT NULL, result BLOB);
            CREATE UNIQUE INDEX log_place ON log (process, position);
            CREATE INDEX log_id ON log (id);
            CREATE INDEX log_pending ON log (sequence) WHERE result IS NULL;
            UPDATE facts SET value = '1' WHERE name = 'schema_version';
            """
        )
        for position, message_id in enumerate(IDS):
            message = Message(message_id, "p", "p", "o", "o", Tags([("N", str(position))]))
            message = message.__class__(*message.__struct_fields__ and _fields(message, position))
            connection.execute(
                "INSERT INTO log (process, position, id, cron, message, result)"
                " VALUES ('p', ?, ?, 0, ?, NULL)",
                (position, message_id, encode(message)),
            )
    connection.close()
    return path


def _fields(message, position):
    values = {name: getattr(message, name) for name in message.__struct_fields__}
    return (values | {"position": position, "nonce": position}).values()


def version_of(path):
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT value FROM facts WHERE name = 'schema_version'")
        version = rows.fetchone()[0]
    connection.close()
    return version


def check(path):
    store = SqliteStore(path)
    try:
        assert [store.find(message_id).message.id for message_id in IDS] == IDS
        assert [message.tags["N"] for message in store.pending()] == ["0", "1", "2"]
        assert store.last_position("p") == 2
        store.append(Message(encode_id(b"\x05" * 32), "p", "p", "o", "o", position=3), mail=False)
        store.commit(1)
        assert store.count() == 4
    finally:
        store.close()


def test_an_older_home_opens_in_the_present_version(old_home):
    check(old_home)
    assert version_of(old_home) == str(SCHEMA_VERSION)


@pytest.mark.parametrize("call", range(1, 6))
def test_a_crash_between_the_steps_leaves_the_older_home_whole(
    old_home, monkeypatch, call, in_a_child, die_at
):
    def upgrade():
        from sqlalchemy import Connection

        die_at(Connection, "execute", 2 + call, "after")
        SqliteStore(old_home)

    assert in_a_child(upgrade) == -9
    assert version_of(old_home) == "1"
    check(old_home)


def test_a_step_that_fails_says_so_and_changes_nothing(old_home):
    def half(connection):
        connection.execute(text("CREATE TABLE extra (n INTEGER)"))
        connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    done = []
    steps = [Migration(2, lambda connection: done.append(2)), Migration(3, half)]
    engine = connect(old_home)
    with engine.connect() as connection:
        with pytest.raises(StoreError, match="from version 2 to 3: no such table: nowhere"):
            migrate(connection, old_home, 1, steps)
        assert read_version(connection, old_home) == 2
        tables = connection.execute(text("SELECT name FROM sqlite_master")).scalars().all()
        assert "extra" not in tables
    engine.dispose()
    assert done == [2]


def test_homes_with_short_ids_of_version_1_are_only_renumbered(tmp_path):
    path = tmp_path / "benchpool.sqlite"
    store = SqliteStore(path)
    store.set_fact("schema_version", "1")
    store.commit(5)
    store.close()
    SqliteStore(path).close()
    assert version_of(path) == str(SCHEMA_VERSION)


def form(path):
    """Return every table with its columns, and every index with its statement."""
    with sqlite3.connect(path) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        tables = {
            name: {row[1:] for row in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in names
        }
        indexes = connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
        ).fetchall()
    connection.close()
    return tables, [index for index in indexes if index[2]]


def test_a_home_of_version_2_gets_what_signatures_are_kept_in(tmp_path):
    path, fresh = tmp_path / "benchpool.sqlite", tmp_path / "fresh.sqlite"
    SqliteStore(path).close()
    SqliteStore(fresh).close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            DROP TABLE items;
            DROP TABLE assignments;
            DROP TABLE wallets;
            CREATE TABLE wallets ("order" INTEGER NOT NULL, name VARCHAR NOT NULL,
                address VARCHAR(43) NOT NULL, secret BLOB NOT NULL, PRIMARY KEY ("order"),
                UNIQUE (name), UNIQUE (address));
            INSERT INTO wallets (name, address, secret) VALUES ('ana', 'a', x'01');
            DROP INDEX log_id;
            CREATE INDEX log_id ON log (id_key);
            UPDATE facts SET value = '2' WHERE name = 'schema_version';
            """
        )
    connection.close()
    store = SqliteStore(path)
    assert store.wallets() == [Wallet("ana", "a", b"\x01", "ed25519")]
    store.add_item(IDS[0], b"head", "mark")
    store.add_signed_assignment(IDS[0], 0, SignedAssignment(b"s" * 64))
    store.commit(1)
    assert store.marked("mark") == IDS[0]
    assert store.signed_assignment(IDS[0], 0).signature == b"s" * 64
    store.close()
    assert version_of(path) == str(SCHEMA_VERSION)
    (tables, indexes), (expected, expected_indexes) = form(path), form(fresh)
    assert {"process", "position", "id_key", "signature", "exclude"} == {
        column[0] for column in tables["assignments"]
    }
    assert {"message", "head", "mark"} == {column[0] for column in tables["items"]}
    assert ("kind", "VARCHAR", 1, "'ed25519'", 0) in tables["wallets"]
    assert tables == expected
    assert indexes == expected_indexes


def test_an_older_home_is_not_changed_by_looking_at_it(old_home):
    with pytest.raises(SchemaMismatch, match="run a command that writes to it once"):
        SqliteStore(old_home, read_only=True)
    assert version_of(old_home) == "1"


@pytest.mark.parametrize("version", ["99", "two", "-1"])
def test_a_newer_home_says_so_and_is_left_alone(tmp_path, version):
    path = tmp_path / "benchpool.sqlite"
    store = SqliteStore(path)
    store.set_fact("schema_version", version)
    store.commit(5)
    store.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match=f"version '?{version}"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_the_migrations_lead_to_the_present_version():
    versions = [migration.version for migration in migrations.MIGRATIONS]
    assert versions == sorted(set(versions))
    assert versions[-1] == SCHEMA_VERSION
