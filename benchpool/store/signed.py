"""What was signed: the data items of messages, and the scheduler's assignments.

What is new collects in memory until it is written with the log entries that it belongs to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchpool.ao.ids import encode_id, id_key, is_id
from benchpool.ao.message import Message, decode_message
from benchpool.ao.wire import SignedAssignment
from benchpool.store.base import Durability
from benchpool.store.connections import SqliteFile


class SignedItems(SqliteFile):
    """The part of a store that keeps signatures, see `Store`."""

    def __init__(
        self, path: Path, *, read_only: bool = False, durability: Durability = "power"
    ) -> None:
        self._items: dict[str, tuple[str, bytes, str]] = {}
        self._marks: dict[str, str] = {}
        self._assignments: list[tuple[str, int, int, bytes, str]] = []
        super().__init__(path, read_only=read_only, durability=durability)

    def _flush(self) -> None:
        """Write what collected in memory."""
        if self._items:
            self._write(_INSERT_ITEM, list(self._items.values()))
            self._items.clear()
            self._marks.clear()
        if self._assignments:
            self._write(_INSERT_ASSIGNMENT, self._assignments)
            self._assignments.clear()
        super()._flush()

    def add_item(self, message_id: str, head: bytes, mark: str = "") -> None:
        """See `Store`."""
        self._items[message_id] = (message_id, head, mark)
        if mark:
            self._marks[mark] = message_id

    def item_head(self, message_id: str) -> bytes | None:
        """See `Store`."""
        row = self._item("head", "message", message_id)
        return None if row is None else bytes(row)

    def item_mark(self, message_id: str) -> str:
        """See `Store`."""
        return str(self._item("mark", "message", message_id) or "")

    def marked(self, mark: str) -> str | None:
        """See `Store`."""
        fresh = self._marks.get(mark)
        found = fresh or self._item("message", "mark", mark)
        return None if found is None else str(found)

    def _item(self, column: str, by: str, value: str) -> Any:
        fresh = self._items.get(value) if by == "message" else None
        if fresh is not None:
            return fresh[1] if column == "head" else fresh[2]
        # SQLite takes the index of the marks only where the query says that there is one.
        extra = " AND mark != ''" if by == "mark" else ""
        row = self._one(
            f"SELECT {column} FROM items WHERE {by} = ?{extra}",  # noqa: S608 - own names
            (value,),
        )
        return None if row is None else row[0]

    def has_items(self) -> bool:
        """See `Store`."""
        return bool(self._items) or self._one("SELECT 1 FROM items LIMIT 1") is not None

    def add_signed_assignment(self, process: str, position: int, made: SignedAssignment) -> None:
        """See `Store`."""
        key = id_key(encode_id(made.id))
        self._assignments.append((process, position, key, made.signature, ",".join(made.exclude)))

    def signed_assignment(self, process: str, position: int) -> SignedAssignment | None:
        """See `Store`."""
        self._flush()
        row = self._one(
            "SELECT signature, exclude, id_key FROM assignments WHERE process = ? AND position = ?",
            (process, position),
        )
        if row is None:
            return None
        signature, exclude, key = row
        kept = signature if isinstance(signature, bytes) else b""  # no signature: it never holds
        return SignedAssignment(kept, tuple(filter(None, str(exclude).split(","))), key)

    def assigned(self, assignment_id: str) -> Message | None:
        """See `Store`."""
        self._flush()
        if not is_id(assignment_id):
            return None
        rows = self._all(
            "SELECT signature, message FROM assignments JOIN log USING (process, position)"
            " WHERE assignments.id_key = ?",
            (id_key(assignment_id),),
        )
        for signature, message in rows:
            if encode_id(SignedAssignment(signature).id) == assignment_id:
                return decode_message(message)
        return None


_INSERT_ITEM = "INSERT INTO items (message, head, mark) VALUES (?, ?, ?)"
_INSERT_ASSIGNMENT = (
    "INSERT INTO assignments (process, position, id_key, signature, exclude) VALUES (?, ?, ?, ?, ?)"
)
