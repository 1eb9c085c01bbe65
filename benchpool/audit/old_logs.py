"""What the words of an error tell of the outside, in a log of before such facts were typed.

Benchpool 0.1 recorded that a time budget had ended a handler, and that data was not there, in the
words of `Result.error` alone. They count in the part of a log that it wrote, and only if they are
exactly its words.
"""

from __future__ import annotations

import re

from benchpool.ao.message import Message, Result
from benchpool.extensions.outside import old_positions, read_fact
from benchpool.store import Store


class OldLog:
    """The part of a run that was written before facts from outside were recorded typed."""

    def __init__(self, store: Store) -> None:
        self._until = old_positions(store)

    def holds(self, message: Message, record: Result) -> bool:
        """Tell whether a message was evaluated in it; it may have waited for what came later."""
        return message.position <= self._until.get(message.process, -1) and not any(
            map(read_fact, record.recorded)
        )


def was_ended(message: Message, record: Result) -> bool:
    """Tell whether a result of an old log is that of a handler that its time budget ended."""
    action = re.escape(message.action or "a handler")
    said = rf"{action} exceeded its time budget of \d+(\.\d+)?(e[-+]\d+)? s"
    return record == Result(error=record.error) and bool(re.fullmatch(said, record.error))


def absence(data_id: str) -> str:
    """Return the words in which an old log tells that data was missing."""
    return f"no data with id {data_id}; store the file with: benchpool data put FILE"
