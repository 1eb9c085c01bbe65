"""Search in the log of a SQLite file, and reading a part of it.

SQLite looks through the bytes of the messages for the texts that must be in them, which takes a
hundredth of the time of reading each message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from benchpool.ao.message import Message, decode_message
from benchpool.store.base import OnDamage, Placed, Search

_PAGE = 200


def search(
    connection: Connection, wanted: Search, on_damage: OnDamage
) -> Iterator[tuple[int, Message]]:
    """Go through the messages that are wanted, see `Store`."""
    where, values = _where(wanted)
    order, beyond = ("DESC", "<") if wanted.descending else ("ASC", ">")
    after = wanted.after
    while True:
        bound, given = ("", ()) if after is None else (f"AND sequence {beyond} ?", (after,))
        rows: Sequence[Any] = connection.exec_driver_sql(
            "SELECT sequence, process, message FROM log WHERE NOT cron"  # noqa: S608 - own words
            f" {where} {bound} ORDER BY sequence {order} LIMIT {_PAGE}",
            (*values, *given),
        ).all()
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
    for texts in wanted.texts:
        clauses.append(f"AND ({' OR '.join(['instr(message, ?)'] * len(texts)) or '0'})")
        values += [text.encode() for text in sorted(texts)]
    return " ".join(clauses), tuple(values)


def part(
    connection: Connection,
    process: str | None,
    *,
    beyond: int | None,
    limit: int,
    descending: bool,
) -> list[Placed]:
    """Return neighbours in a log, see `Store`."""
    column = "sequence" if process is None else "position"
    order, past = ("DESC", "<") if descending else ("ASC", ">")
    clauses, values = ["1"], list[object]()
    if process is not None:
        clauses.append("process = ?")
        values.append(process)
    if beyond is not None:
        clauses.append(f"{column} {past} ?")
        values.append(beyond)
    rows = connection.exec_driver_sql(
        f"SELECT {column}, message FROM log WHERE {' AND '.join(clauses)}"  # noqa: S608 - own words
        f" ORDER BY {column} {order} LIMIT ?",
        (*values, limit),
    )
    return [Placed(place, decode_message(raw)) for place, raw in rows]
