"""The tables of a home's `benchpool.sqlite`, and the version of their form."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

SCHEMA_VERSION = 4
"""What this benchpool writes; `migrations` brings older homes here."""

metadata = MetaData()

facts = Table(
    "facts",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

processes = Table(
    "processes",
    metadata,
    Column("order", Integer, primary_key=True),
    Column("id", String(43), nullable=False, unique=True),
    Column("module", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("tags", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_height", BigInteger, nullable=False),
)

names = Table(
    "names",
    metadata,
    Column("name", String, primary_key=True),
    Column("identity", String, nullable=False),
)

wallets = Table(
    "wallets",
    metadata,
    Column("order", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("address", String(43), nullable=False, unique=True),
    Column("secret", LargeBinary, nullable=False),
    Column("kind", String, nullable=False, server_default="ed25519"),
)

log = Table(
    "log",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("process", String, nullable=False),
    Column("position", Integer, nullable=False),
    # The first 8 bytes of the message's id as a signed integer: a third of the index, and of its
    # random writes, that the whole text would take. The rest is compared in the message itself.
    Column("id_key", BigInteger, nullable=False),
    Column("cron", Boolean, nullable=False),
    Column("message", LargeBinary, nullable=False),
    # Empty for mail, NULL while the message is pending.
    Column("result", LargeBinary),
)
log_place = Index("log_place", log.c.process, log.c.position, unique=True)
# Ids are random, and in one index of a large log each would fall on a page of its own, so that a
# commit would write nearly the whole index. By stretches of the log, only the last one is written.
STRETCH_BITS = 16
"""A stretch is so many entries of the log, as a power of two."""
log_id = Index("log_id", text(f"(sequence >> {STRETCH_BITS})"), log.c.id_key)
log_pending = Index("log_pending", log.c.sequence, sqlite_where=log.c.result.is_(None))

items = Table(
    "items",
    metadata,
    # A signed message's id.
    Column("message", String(43), primary_key=True),
    # The bytes of its data item before the data, which stands in the message.
    Column("head", LargeBinary, nullable=False),
    # What else it can be found by, see benchpool.ao.wire; empty if by nothing.
    Column("mark", String, nullable=False),
)
items_mark = Index("items_mark", items.c.mark, sqlite_where=items.c.mark != "")

assignments = Table(
    "assignments",
    metadata,
    # The scheduler's signatures of a signed network, each for one place of a log.
    Column("process", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    # As in the log, of the assignment's id.
    Column("id_key", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    # Names with commas between them.
    Column("exclude", String, nullable=False),
    sqlite_with_rowid=False,
)
assignments_id = Index("assignments_id", assignments.c.id_key)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("process", String, ForeignKey("processes.id"), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("memory", LargeBinary, nullable=False),
)

derived = MetaData()
"""Tables that follow from the others: a home that lacks one is whole, whoever wrote it."""

filters = Table(
    "filters",
    derived,
    # Which stretches an id may stand in, see benchpool.store.stretches: eight of them a row, of
    # which so many are full.
    Column("number", Integer, primary_key=True),
    Column("stretches", Integer, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Column("bits", LargeBinary, nullable=False),
)
