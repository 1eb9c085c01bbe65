"""Search: messages of a log by what they say, for a gateway.

SQLite looks through the bytes of the messages for the texts that must be in them, which takes a
hundredth of the time of reading each message. What it finds has to be compared exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from benchpool.ao.message import Message, decode_message

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Search:
    """Which messages are wanted: those that came to where they were sent, cron ticks left out."""

    texts: tuple[frozenset[str], ...] = ()
    """Of each set, one text at least stands in the bytes of a message."""
    targets: frozenset[str] = frozenset()
    """Processes and wallets; none is all."""
    spawns: bool = False
    """The first messages of processes alone."""
    after: int | None = None
    """The sequence behind which to begin."""
    descending: bool = False

    def run(self, connection: Connection) -> Iterator[tuple[int, Message]]:
        """Go through the messages with their sequences, which are above 0."""
        where, values = self._where()
        order, beyond = ("DESC", "<") if self.descending else ("ASC", ">")
        after = self.after
        while True:
            bound, given = ("", ()) if after is None else (f"AND sequence {beyond} ?", (after,))
            rows: Sequence[Any] = connection.exec_driver_sql(
                "SELECT sequence, process, message FROM log WHERE NOT cron"  # noqa: S608 - own words
                f" {where} {bound} ORDER BY sequence {order} LIMIT {_PAGE}",
                (*values, *given),
            ).all()
            for sequence, process, raw in rows:
                message = decode_message(raw)
                if message.target == process:  # else it was assigned, and stands elsewhere too
                    yield sequence, message
            if len(rows) < _PAGE:
                return
            after = rows[-1][0]

    def _where(self) -> tuple[str, tuple[object, ...]]:
        clauses: list[str] = []
        values: list[object] = []
        if self.spawns:
            clauses.append("AND position = 0 AND process IN (SELECT id FROM processes)")
        if self.targets:
            clauses.append(f"AND process IN ({', '.join('?' * len(self.targets))})")
            values += sorted(self.targets)
        for texts in self.texts:
            clauses.append(f"AND ({' OR '.join(['instr(message, ?)'] * len(texts)) or '0'})")
            values += [text.encode() for text in sorted(texts)]
        return " ".join(clauses), tuple(values)
