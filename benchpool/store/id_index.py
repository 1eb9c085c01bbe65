"""IdIndex: where in a home's log an id stands, in the same time however long the log is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

from benchpool.store.base import Durability
from benchpool.store.connections import SqliteFile
from benchpool.store.schema import STRETCH_BITS
from benchpool.store.stretches import GROUP, Stretches


class IdIndex(SqliteFile):
    """The part of a store that finds entries by their ids.

    The filters of the full stretches follow from the log. They are kept with it, and made again of
    it where they are not there, or not as they were written.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self._end: int | None = None
        """The sequence of the newest entry that is written, once it was asked for."""
        self._stretches: Stretches | None = None
        self._kept: int | None = None
        """Of how many stretches the filters are written, once it was asked for."""
        super().__init__(path, read_only=read_only, durability=durability)

    def _written_end(self) -> int:
        if self._end is None:
            (end,) = self._one("SELECT max(sequence) FROM log")
            self._end = int(end or 0)
        return self._end

    def _written(self, key: int, process: str | None) -> Iterator[tuple[bytes, bytes | None]]:
        """Go through the entries with a key in the index, of one process or all, oldest first.

        Returns: of each its message and result.
        """
        query, values = (_FIND, ()) if process is None else (_FIND_IN, (process,))
        stretches = self._filters()
        last = self._written_end() >> STRETCH_BITS
        for stretch in stretches.that_may_hold(key):
            yield from self._all(query, (stretch, key, *values))
        for stretch in range(stretches.full, last + 1):
            yield from self._all(query, (stretch, key, *values))

    def _beginning(self, least: int, most: int) -> list[Any]:
        """Return the messages whose keys are in a range."""
        return self._all(_FIND_BETWEEN, {"least": least, "most": most})

    def _filters(self) -> Stretches:
        """Return the filters of all stretches that are full."""
        full = self._written_end() >> STRETCH_BITS
        if self._stretches is None:
            self._stretches = self._read_filters(full)
        while self._stretches.full < full:
            rows = self._all(_KEYS, (self._stretches.full,))
            self._stretches.add(key for (key,) in rows)
        return self._stretches

    def _read_filters(self, full: int) -> Stretches:
        found = Stretches()
        if full:
            kept = self._count_kept()
            rows = self._all(_KEPT) if kept else []
            # A log that was cut off goes on with other ids than its filters have.
            if kept <= full and rows == [_row(row[0], kept, row[3]) for row in rows]:
                found.take_over([bits for *_, bits in rows], kept)
            else:
                self._kept = 0
        return found

    def _count_kept(self) -> int:
        if self._kept is None:
            (there,) = self._one("SELECT count(*) FROM sqlite_master WHERE name = 'filters'")
            (count,) = self._one(_COUNT) if there else (0,)
            self._kept = int(count)
        return self._kept

    def _keep_filters(self) -> None:
        """Write the filters of the stretches that are full since they were last written."""
        full = self._written_end() >> STRETCH_BITS
        if self._count_kept() == full:
            return
        stretches = self._filters()
        groups = range(self._count_kept() // GROUP, (full - 1) // GROUP + 1)
        self._write("DELETE FROM filters WHERE number >= ?", [(groups.start,)])
        self._write(_KEEP, [_row(group, full, stretches.column(group)) for group in groups])
        self._kept = full


def _row(group: int, full: int, column: bytes) -> tuple[int, int, int, bytes]:
    """Return what is written of a group of stretches, of so many that are full in all."""
    return group, min(GROUP, full - group * GROUP), crc32(column), column


_KEYS = f"SELECT id_key FROM log INDEXED BY log_id WHERE (sequence >> {STRETCH_BITS}) = ?"  # noqa: S608 - its blanks are this program's
_FIND = (
    "SELECT message, result FROM log INDEXED BY log_id"  # noqa: S608 - as above
    f" WHERE (sequence >> {STRETCH_BITS}) = ? AND id_key = ? ORDER BY sequence"
)
_FIND_IN = _FIND.replace("id_key = ?", "id_key = ? AND process = ?")
_FIND_BETWEEN = (
    "WITH RECURSIVE stretch (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM stretch"  # noqa: S608 - as above
    f" WHERE n < (SELECT max(sequence) >> {STRETCH_BITS} FROM log))"
    " SELECT message FROM stretch CROSS JOIN log INDEXED BY log_id"
    f" ON (sequence >> {STRETCH_BITS}) = n AND id_key BETWEEN :least AND :most ORDER BY sequence"
)
_KEEP = "INSERT INTO filters (number, stretches, checksum, bits) VALUES (?, ?, ?, ?)"
_COUNT = "SELECT coalesce(sum(stretches), 0) FROM filters"
_KEPT = "SELECT number, stretches, checksum, CAST(bits AS BLOB) FROM filters ORDER BY number"
