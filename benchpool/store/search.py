"""Search in the log of a SQLite file, and reading a part of it.

SQLite looks through the bytes of the messages for the texts that must be in them, which takes a
hundredth of the time of reading each message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from benchpool.ao.message import Message, decode_message
from benchpool.store.base import OnDamage, Placed, Search

_PAGE = 200
_BEHIND_ALL = (1 << 63) - 1

Read = Callable[[str, tuple[object, ...]], list[Any]]
"""Returns the rows that a query gives with these values."""


def search(read: Read, wanted: Search, on_damage: OnDamage) -> Iterator[tuple[int, Message]]:
    """Go through the messages that are wanted, see `Store`."""
    where, values = _where(wanted)
    order, beyond = ("DESC", "<") if wanted.descending else ("ASC", ">")
    after = wanted.after
    while True:
        bound, given = ("", ()) if after is None else (f"AND sequence {beyond} ?", (after,))
        rows = read(
            "SELECT sequence, process, message FROM log WHERE NOT cron"  # noqa: S608 - own words
            f" {where} {bound} ORDER BY sequence {order} LIMIT {_PAGE}",
            (*values, *given),
        )
        for sequence, process, raw in rows:
            try:
                message = decode_message(raw)
            except msgspec.DecodeError as error:
                on_damage(f"entry {sequence} of the log", error)
                continue
            if message.target == process:  # else it was assigned, and stands elsewhere too
                yield sequence, message
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _where(wanted: Search) -> tuple[str, tuple[object, ...]]:
    clauses: list[str] = []
    values: list[object] = []
    if wanted.spawns:
        clauses.append("AND position = 0 AND process IN (SELECT id FROM processes)")
    if wanted.targets:
        clauses.append(f"AND process IN ({', '.join('?' * len(wanted.targets))})")
        values += sorted(wanted.targets)
    held, held_values = holding(wanted.texts)
    return " ".join([*clauses, f"AND {held}"]), (*values, *held_values)


def part(
    read: Read,
    process: str | None,
    *,
    beyond: int | None,
    limit: int,
    descending: bool,
) -> list[Placed]:
    """Return neighbours in a log, see `Store`."""
    column, rest, values = neighbours(process, beyond, descending=descending)
    rows = read(f"SELECT {column}, message {rest}", (*values, limit))
    return [Placed(place, decode_message(raw)) for place, raw in rows]


def neighbours(
    process: str | None, beyond: int | None, *, descending: bool
) -> tuple[str, str, tuple[object, ...]]:
    """Say in SQL which entries of the log are meant: as many as the value behind the others says.

    Returns: the column of their place; what comes behind the columns; its values but the last.
    """
    column = "sequence" if process is None else "position"
    order, past = ("DESC", "<") if descending else ("ASC", ">")
    if beyond is None:
        beyond = _BEHIND_ALL if descending else -1
    where, values = ("", (beyond,)) if process is None else ("process = ? AND ", (process, beyond))
    return (
        column,
        f"FROM log WHERE {where}{column} {past} ? ORDER BY {column} {order} LIMIT ?",
        values,
    )


def holding(texts: Sequence[frozenset[str]]) -> tuple[str, tuple[bytes, ...]]:
    """Say in SQL that of each set one text at least stands in a message; and with which values."""
    clauses = [f"({' OR '.join(['instr(message, ?)'] * len(each)) or '0'})" for each in texts]
    return " AND ".join(clauses) or "1", tuple(
        text.encode() for each in texts for text in sorted(each)
    )
