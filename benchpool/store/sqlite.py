"""A store in a home folder: SQLAlchemy on SQLite in WAL mode.

Everything between two commits is one transaction. New log entries collect in memory, so that an
entry that is scheduled and evaluated within one transaction is written once, by one insert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import DBAPIError

from benchpool.ao.ids import id_key, id_keys, is_id
from benchpool.ao.message import (
    Message,
    Result,
    decode_message,
    decode_result,
    encode,
    encode_result,
)
from benchpool.errors import StoreError
from benchpool.store import schema
from benchpool.store.base import MAIL, Line, LogEntry, OnDamage, Placed, Search, ignore
from benchpool.store.registers import Registers
from benchpool.store.search import part, search
from benchpool.store.signed import SignedItems

_PAGE = 1_000
_LINES = "SELECT process, position, id_key, cron, message, result FROM log"
_INSERT = (
    "INSERT INTO log (process, position, id_key, cron, message, result) VALUES (?, ?, ?, ?, ?, ?)"
)


class SqliteStore(SignedItems, Registers):
    """A home's log and registers.

    Raises:
        SchemaMismatch: the file was written by another version of benchpool.
        StoreError: the file cannot be opened or written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        # Tuples and bytes only: the garbage collector would visit lists again and again.
        self._fresh: dict[tuple[str, int], tuple[str, int, int, bool, bytes]] = {}
        self._fresh_results: dict[tuple[str, int], bytes] = {}
        self._fresh_ids: dict[str, tuple[tuple[str, int], ...]] = {}
        """Where each message is among the fresh ones, so that to look for it writes nothing."""
        self._late: list[dict[str, Any]] = []
        self._flushed = 0
        """Entries that are written and not committed: a read writes what it must see."""
        super().__init__(path, read_only=read_only)

    @property
    def uncommitted(self) -> int:
        """See `Store`."""
        return self._flushed + len(self._fresh) + len(self._late)

    def append(self, message: Message, *, mail: bool) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        place = (message.process, message.position)
        try:
            self._fresh[place] = (*place, id_key(message.id), message.cron, encode(message))
            self._fresh_ids[message.id] = (*self._fresh_ids.get(message.id, ()), place)
        except BaseException as error:
            self.failure.note(error)
            raise
        if mail:
            self._fresh_results[place] = MAIL

    def record(self, message: Message, result: Result) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        place = (message.process, message.position)
        if place in self._fresh:
            self._fresh_results[place] = encode_result(result)
        else:
            self._late.append({"p": place[0], "n": place[1], "r": encode_result(result)})

    def commit(self, now_ms: int) -> None:
        """See `Store`."""
        self._flush()
        self._keep_facts(now_ms, self.end())
        with self._writing() as connection:
            connection.commit()
        self._flushed = 0

    def _flush(self) -> None:
        self.failure.check()
        if self._fresh or self._late:
            self._flushed += len(self._fresh) + len(self._late)
            with self._writing() as connection:
                if self._fresh:
                    # The driver's own executemany: a third faster than Core's for plain rows.
                    given, results = self._fresh.items(), self._fresh_results
                    rows = [(*row, results.get(place)) for place, row in given]
                    connection.exec_driver_sql(_INSERT, rows)
                    self._fresh.clear()
                    self._fresh_ids.clear()
                    results.clear()
                if self._late:
                    connection.execute(_RECORD, self._late)
                    self._late.clear()
        super()._flush()

    def last_scheduled(self, process: str, until: int | None = None) -> Message | None:
        """See `Store`."""
        self._flush()
        before = [] if until is None else [schema.log.c.position <= until]
        raw = self._connection.scalar(
            select(schema.log.c.message)
            .where(schema.log.c.process == process, schema.log.c.cron.is_(False), *before)
            .order_by(schema.log.c.position.desc())
            .limit(1)
        )
        return None if raw is None else decode_message(raw)

    def last_position(self, process: str) -> int:
        """See `Store`."""
        self._flush()
        last = self._connection.scalar(
            select(func.max(schema.log.c.position)).where(schema.log.c.process == process)
        )
        return -1 if last is None else int(last)

    def newest(self) -> Message | None:
        """See `Store`."""
        self._flush()
        raw = self._connection.scalar(
            select(schema.log.c.message).order_by(schema.log.c.sequence.desc()).limit(1)
        )
        return None if raw is None else decode_message(raw)

    def end(self) -> int:
        """See `Store`."""
        self._flush()
        return int(self._connection.scalar(select(func.max(schema.log.c.sequence))) or 0)

    def entries(
        self, process: str, *, after: int = -1, limit: int | None = None
    ) -> Iterator[LogEntry]:
        """See `Store`."""
        self._flush()
        left = limit
        while left is None or left > 0:
            page = self._connection.execute(
                select(schema.log.c.message, schema.log.c.result)
                .where(schema.log.c.process == process, schema.log.c.position > after)
                .order_by(schema.log.c.position)
                .limit(_PAGE if left is None else min(left, _PAGE))
            ).all()
            if not page:
                return
            for message, result in page:
                yield _entry(message, result)
            after += len(page)
            left = None if left is None else left - len(page)

    def lines(self, process: str | None = None) -> Iterator[Line]:
        """See `Store`. Goes by the table itself, so that a damaged index hides nothing."""
        self._flush()
        where, values = ("WHERE process = ?", (process,)) if process is not None else ("", ())
        try:
            rows = self._rows(f"{_LINES} {where} ORDER BY sequence", values)
            while page := rows.fetchmany(_PAGE):
                yield from map(Line._make, page)
            rows.close()
        except (DBAPIError, sqlite3.Error) as error:
            raise StoreError(f"{self.path} is damaged: {getattr(error, 'orig', error)}") from error

    def find(self, message_id: str, process: str | None = None) -> LogEntry | None:
        """See `Store`."""
        self.failure.check()
        if not is_id(message_id):
            return None
        fresh = self._find_fresh(message_id, process)
        if fresh is not None and process is not None:
            return fresh
        return self._find_written(message_id, process) or fresh

    def _find_fresh(self, message_id: str, process: str | None) -> LogEntry | None:
        for place in self._fresh_ids.get(message_id, ()):
            if process in (None, place[0]):
                return _entry(self._fresh[place][-1], self._fresh_results.get(place))
        return None

    def _find_written(self, message_id: str, process: str | None) -> LogEntry | None:
        if self._late:  # a result of a message that is written
            self._flush()
        given = {"key": id_key(message_id), "process": process}
        rows = self._rows(_FIND if process is None else _FIND_IN, given)
        entries = (_entry(*row) for row in rows)
        return next((entry for entry in entries if entry.message.id == message_id), None)

    def beginning(self, text: str) -> Iterator[str]:
        """See `Store`."""
        self._flush()
        try:
            least, most = id_keys(text)
        except ValueError:
            return
        for raw, _ in self._rows(_FIND_BEGINNING, {"least": least, "most": most}):
            message_id = decode_message(raw).id
            if message_id.startswith(text):
                yield message_id

    def search(self, wanted: Search, on_damage: OnDamage = ignore) -> Iterator[tuple[int, Message]]:
        """See `Store`."""
        self._flush()
        return search(self._connection, wanted, on_damage)

    def part(
        self,
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> list[Placed]:
        """See `Store`."""
        self._flush()
        return part(self._connection, process, beyond=beyond, limit=limit, descending=descending)

    def pending(self) -> list[Message]:
        """See `Store`."""
        self._flush()
        rows = self._connection.execute(
            select(schema.log.c.message)
            .where(schema.log.c.result.is_(None))
            .order_by(schema.log.c.sequence)
        )
        return [decode_message(raw) for (raw,) in rows]

    def count(self) -> int:
        """See `Store`."""
        self._flush()
        return int(self._connection.scalar(select(func.count()).select_from(schema.log)) or 0)

    def refresh(self) -> None:
        """See `Store`."""
        self._connection.rollback()


_RECORD = (
    update(schema.log)
    .where(schema.log.c.process == bindparam("p"), schema.log.c.position == bindparam("n"))
    .values(result=bindparam("r"))
)
_FIND = (
    "WITH RECURSIVE stretch (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM stretch"  # noqa: S608 - its blanks are this program's
    f" WHERE n < (SELECT max(sequence) >> {schema.STRETCH_BITS} FROM log))"
    " SELECT message, result FROM stretch CROSS JOIN log INDEXED BY log_id"
    f" ON (sequence >> {schema.STRETCH_BITS}) = n AND id_key = :key ORDER BY sequence"
)
_FIND_IN = _FIND.replace("= :key", "= :key AND process = :process")
_FIND_BEGINNING = _FIND.replace("= :key", "BETWEEN :least AND :most")


def _entry(message: bytes, result: bytes | None) -> LogEntry:
    return LogEntry(decode_message(message), decode_result(result) if result else None)
