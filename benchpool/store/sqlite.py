"""A store in a home folder: SQLite in WAL mode.

Everything between two commits is one transaction. New log entries collect in memory, so that an
entry that is scheduled and evaluated within one transaction is written once, by one insert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

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
from benchpool.store.base import (
    MAIL,
    MOST_SIFTED_BYTES,
    Durability,
    Line,
    LogEntry,
    OnDamage,
    Placed,
    Search,
    Sifted,
    ignore,
)
from benchpool.store.id_index import IdIndex
from benchpool.store.registers import Registers
from benchpool.store.search import holding, neighbours, part, search
from benchpool.store.signed import SignedItems

_PAGE: Final = 1_000
_COLLECTED_BYTES: Final = 64 << 20
"""How much of the log collects in memory: what goes beyond is written before the commit."""
_LINES = "SELECT process, position, id_key, cron, message, result FROM log"
_INSERT = (
    "INSERT INTO log (process, position, id_key, cron, message, result) VALUES (?, ?, ?, ?, ?, ?)"
)

_Row = list[Any]
"""The columns of the log in the order of `_INSERT`; the result is None until it is known."""


class SqliteStore(SignedItems, Registers, IdIndex):
    """A home's log and registers.

    Raises:
        SchemaMismatch: the file was written by another version of benchpool.
        StoreError: the file cannot be opened or written.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self._fresh: dict[tuple[str, int], _Row] = {}
        """What is to be written, by its place."""
        self._by_key: dict[int, list[_Row]] = {}
        """The same by what the index has for their ids, so that to look for one writes nothing."""
        self._unsorted: list[_Row] = []
        """Those that are not in there yet: most are written before anybody looks for one."""
        self._late: list[tuple[bytes, str, int]] = []
        """Results of messages that were written before: each with its place."""
        self._collected_bytes = 0
        self._flushed = 0
        """Entries that are written and not committed: a read writes what it must see."""
        super().__init__(path, read_only=read_only, durability=durability)

    @property
    def uncommitted(self) -> int:
        """See `Store`."""
        return self._flushed + len(self._fresh) + len(self._late)

    def append(self, message: Message, *, mail: bool) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        if self._collected_bytes > _COLLECTED_BYTES:
            self._flush()
        process, position = message.process, message.position
        try:
            encoded = encode(message)
            key = id_key(message.id)
        except BaseException as error:
            self.failure.note(error)
            raise
        row: _Row = [process, position, key, message.cron, encoded, MAIL if mail else None]
        self._fresh[process, position] = row
        self._unsorted.append(row)
        self._collected_bytes += len(encoded)

    def record(self, message: Message, result: Result) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        encoded = encode_result(result)
        self._collected_bytes += len(encoded)
        row = self._fresh.get((message.process, message.position))
        if row is None:
            self._late.append((encoded, message.process, message.position))
        else:
            row[-1] = encoded

    def commit(self, now_ms: int) -> None:
        """See `Store`."""
        self._flush()
        self._keep_filters()
        self._keep_facts(now_ms, self._written_end())
        self._commit()
        self._flushed = 0

    def _flush(self) -> None:
        self.failure.check()
        self._flushed += len(self._fresh) + len(self._late)
        self._collected_bytes = 0
        if self._fresh:
            end = self._written_end()
            self._write(_INSERT, self._fresh.values())
            self._end = end + len(self._fresh)
            self._fresh.clear()
            self._by_key.clear()
            self._unsorted.clear()
        if self._late:
            self._write(_RECORD, self._late)
            self._late.clear()
        super()._flush()

    def last_scheduled(self, process: str, until: int | None = None) -> Message | None:
        """See `Store`."""
        self._flush()
        before, values = (
            ("", (process,)) if until is None else ("AND position <= ?", (process, until))
        )
        row = self._one(
            f"SELECT message FROM log WHERE process = ? AND NOT cron {before}"  # noqa: S608 - own words
            " ORDER BY position DESC LIMIT 1",
            values,
        )
        return None if row is None else decode_message(row[0])

    def last_position(self, process: str) -> int:
        """See `Store`."""
        self._flush()
        (last,) = self._one("SELECT max(position) FROM log WHERE process = ?", (process,))
        return -1 if last is None else int(last)

    def newest(self) -> Message | None:
        """See `Store`."""
        self._flush()
        row = self._one("SELECT message FROM log ORDER BY sequence DESC LIMIT 1")
        return None if row is None else decode_message(row[0])

    def end(self) -> int:
        """See `Store`."""
        self._flush()
        return self._written_end()

    def entries(
        self, process: str, *, after: int = -1, limit: int | None = None
    ) -> Iterator[LogEntry]:
        """See `Store`."""
        self._flush()
        left = limit
        while left is None or left > 0:
            most = _PAGE if left is None else min(left, _PAGE)
            page = self._all(_ENTRIES, (process, after, most))
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
        except sqlite3.Error as error:
            raise StoreError(f"{self.path} is damaged: {error}") from error

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
        for row in self._unsorted:
            self._by_key.setdefault(row[2], []).append(row)
        self._unsorted.clear()
        rows = self._by_key.get(id_key(message_id), ())
        entries = (_entry(*row[-2:]) for row in rows if process in (None, row[0]))
        return _first(entries, message_id)

    def _find_written(self, message_id: str, process: str | None) -> LogEntry | None:
        if self._late:  # a result of a message that is written
            self._flush()
        entries = (_entry(*row) for row in self._written(id_key(message_id), process))
        return _first(entries, message_id)

    def beginning(self, text: str) -> Iterator[str]:
        """See `Store`."""
        self._flush()
        try:
            least, most = id_keys(text)
        except ValueError:
            return
        for (raw,) in self._beginning(least, most):
            message_id = decode_message(raw).id
            if message_id.startswith(text):
                yield message_id

    def search(self, wanted: Search, on_damage: OnDamage = ignore) -> Iterator[tuple[int, Message]]:
        """See `Store`."""
        self._flush()
        return search(self._all, wanted, on_damage)

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
        return part(self._all, process, beyond=beyond, limit=limit, descending=descending)

    def sift(
        self,
        texts: Sequence[frozenset[str]],
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> Sifted:
        """See `Store`."""
        self._flush()
        column, rest, values = neighbours(process, beyond, descending=descending)
        held, texts_held = holding(texts)
        query = f"SELECT {column}, CASE WHEN {held} THEN message END, result {rest}"
        found: list[tuple[int, LogEntry]] = []
        looked_at, last, size = 0, None, 0
        rows = self._rows(query, (*texts_held, *values, limit))
        for last, message, result in rows:
            looked_at += 1
            size += len(message or b"") + len(result or b"")
            if message is not None:
                found.append((last, _entry(message, result)))
            if size > MOST_SIFTED_BYTES:
                break
        rows.close()
        return Sifted(found, looked_at, last)

    def pending(self) -> list[Message]:
        """See `Store`."""
        self._flush()
        rows = self._all("SELECT message FROM log WHERE result IS NULL ORDER BY sequence")
        return [decode_message(raw) for (raw,) in rows]

    def count(self) -> int:
        """See `Store`."""
        self._flush()
        (count,) = self._one("SELECT count(*) FROM log")
        return int(count)

    def refresh(self) -> None:
        """See `Store`."""
        super().refresh()
        self._end = None


_RECORD = "UPDATE log SET result = ? WHERE process = ? AND position = ?"
_ENTRIES = (
    "SELECT message, result FROM log WHERE process = ? AND position > ? ORDER BY position LIMIT ?"
)


def _entry(message: bytes, result: bytes | None) -> LogEntry:
    return LogEntry(decode_message(message), decode_result(result) if result else None)


def _first(entries: Iterable[LogEntry], message_id: str) -> LogEntry | None:
    """Return the first entry with an id, of those that have what an index has for it."""
    return next((entry for entry in entries if entry.message.id == message_id), None)
