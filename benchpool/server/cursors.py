"""Cursors: places in a process's log, as a compute unit's clients say them."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple

from benchpool.ao.message import Message
from benchpool.errors import ConfigError


class Cursor(NamedTuple):
    """A place in a process's log, between or at evaluations."""

    timestamp: int
    nonce: int | None = None
    """None: the moment alone is meant."""
    position: int = -1
    """Of a cron tick; -1 for a message."""
    sort: str = ""

    def key(self) -> tuple[int, int]:
        """Order evaluations as their log does."""
        assert self.nonce is not None, "a moment has no place"
        return (self.nonce, self.position)


def place(message: Message) -> tuple[int, int]:
    """Order evaluations as their log does; see `Cursor.key`."""
    return (message.nonce, message.position if message.cron else -1)


def write_cursor(message: Message, sort: str) -> str:
    """Write where an evaluation stands: base64 of JSON, as the compute unit does."""
    fields: dict[str, Any] = {"timestamp": message.timestamp, "ordinate": str(message.nonce)}
    if message.cron:
        fields["cron"] = str(message.position)
    fields["sort"] = sort
    return base64.b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode()


def read_cursor(text: str) -> Cursor:
    """Read a cursor, or a time in milliseconds. Raises: ConfigError."""
    if text.isascii() and text.isdigit():
        return Cursor(int(text[:15]))
    try:
        padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
        fields = json.loads(base64.b64decode(padded, validate=True))
        cron = fields.get("cron")
        return Cursor(
            _whole(fields["timestamp"]),
            _whole(fields["ordinate"]),
            _whole(cron) if cron is not None else -1,
            str(fields.get("sort") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"not a cursor: {text[:80]!r}") from None


def _whole(value: object) -> int:
    """Read a number as clients write it: in digits, or as JSON. Raises: ValueError."""
    text = str(value)
    if isinstance(value, bool) or re.fullmatch(r"-1|[0-9]{1,18}", text) is None:
        raise ValueError(text[:80])
    return int(text)
