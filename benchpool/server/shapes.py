"""AO's JSON shapes: results, messages, assignments, cursors.

Source: the reference units' answers, as the AO protocol's clients read them.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from benchpool.ao.ids import is_id, module_id
from benchpool.ao.message import Data, Message, Outgoing, ProcessInfo, Result, SpawnRequest
from benchpool.ao.tags import Pair
from benchpool.errors import ConfigError

PROTOCOL: tuple[Pair, ...] = (("Data-Protocol", "ao"), ("Variant", "ao.TN.1"))


def text_of(data: Data) -> str:
    """Write Data as the text that JSON can hold."""
    return data if isinstance(data, str) else data.decode(errors="replace")


def tags_json(pairs: Any) -> list[dict[str, str]]:
    """Write tags as a list of names and values."""
    return [{"name": name, "value": value} for name, value in pairs]


def wire_module(info: ProcessInfo) -> str:
    """Return the id of a process's module."""
    return info.module if is_id(info.module) else module_id(info.module)


def result_json(result: Result, info: ProcessInfo) -> dict[str, Any]:
    """Write a result as a compute unit does. Error is absent when there is none."""
    shown: dict[str, Any] = {
        "Messages": [_message(each) for each in result.messages],
        "Assignments": [
            {"Processes": list(each.processes), "Message": each.message}
            for each in result.assignments
        ],
        "Spawns": [_spawn(each, info) for each in result.spawns],
        "Output": {
            "data": result.output,
            "prompt": f"{info.name or info.id[:8]}> ",
            "print": True,
        },
        "GasUsed": 0,
    }
    if result.error:
        shown["Error"] = result.error
    return shown


def _message(message: Outgoing) -> dict[str, Any]:
    own = [*PROTOCOL, ("Type", "Message"), ("Reference", str(message.reference))]
    return {
        "Target": message.target,
        "Data": text_of(message.data),
        "Anchor": f"{message.reference:032d}",
        "Tags": tags_json([*own, *message.tags]),
    }


def _spawn(spawn: SpawnRequest, info: ProcessInfo) -> dict[str, Any]:
    own = [
        *PROTOCOL,
        ("Type", "Process"),
        ("From-Process", info.id),
        ("From-Module", wire_module(info)),
        ("Module", spawn.module),
        ("Reference", str(spawn.reference)),
    ]
    return {
        "Data": text_of(spawn.data) or "NODATA",
        "Anchor": f"{spawn.reference:032d}",
        "Tags": tags_json([*own, *spawn.tags]),
    }


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
            int(fields["timestamp"]),
            int(fields["ordinate"]),
            int(cron) if cron is not None else -1,
            str(fields.get("sort") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise ConfigError(f"not a cursor: {text[:80]!r}") from None
