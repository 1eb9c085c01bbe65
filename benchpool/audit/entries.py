"""Log entries as JSON that has all that they have, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any, Final

import msgspec

from benchpool.ao.message import (
    EMPTY_RESULT,
    AssignRequest,
    Message,
    Outgoing,
    Result,
    SpawnRequest,
    decode_message,
    decode_result,
)
from benchpool.ao.tags import Tags
from benchpool.errors import StoreError
from benchpool.store import Line, Store

_MESSAGE_FIELDS: Final = Message.__struct_fields__
_MESSAGE_DEFAULTS: Final = msgspec.structs.asdict(Message("", "", "", "", ""))
_RESULT_DEFAULTS: Final = msgspec.structs.asdict(EMPTY_RESULT)


def entry_fields(line: Line, signed: Store | None) -> dict[str, Any]:
    """Return a log entry as JSON that has all that it has.

    Args:
        line: the entry.
        signed: where the signatures of a signed network are kept; None without any.
    """
    try:
        message = decode_message(line.message)
        result = decode_result(line.result) if line.result else None
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"a log entry cannot be read: {error}; see where with: benchpool replay --verify"
        ) from error
    fields = {
        name: _plain(value)
        for name in _MESSAGE_FIELDS
        if (value := getattr(message, name)) != _MESSAGE_DEFAULTS[name]
    }
    entry: dict[str, Any] = {"message": fields}
    if line.result is not None and result is None:
        entry["mail"] = True
    if result is not None:
        entry["result"] = {
            name: _plain(value)
            for name, value in msgspec.structs.asdict(result).items()
            if value != _RESULT_DEFAULTS[name]
        }
    if signed is not None:
        entry |= _item(signed, message) | _assignment(signed, line)
    return entry


def _item(store: Store, message: Message) -> dict[str, str]:
    """Return what is kept of a signed message's item, once: not with what it was assigned to."""
    head = store.item_head(message.id) if message.process == message.target else None
    if head is None:
        return {}
    return {"item": _base64(head), "mark": store.item_mark(message.id)}


def _assignment(store: Store, line: Line) -> dict[str, Any]:
    """Return what the scheduler signed of an entry's assignment."""
    signed = store.signed_assignment(line.process, line.position)
    if signed is None:
        return {}
    excluded = {"exclude": signed.exclude} if signed.exclude else {}
    return {"assignment": _base64(signed.signature), **excluded}


def _plain(value: Any) -> Any:
    if isinstance(value, Tags):
        return value.pairs
    if isinstance(value, bytes):
        return {"base64": _base64(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Outgoing | SpawnRequest | AssignRequest):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    return value


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def read_message(fields: dict[str, Any]) -> Message:
    """Make a message of its fields. Raises: TypeError, ValueError if they are none."""
    return Message(**{name: _rich(name, value) for name, value in fields.items()})


def read_result(fields: dict[str, Any]) -> Result:
    """Make a result of its fields. Raises: TypeError, ValueError, KeyError if they are none."""
    made: dict[str, Any] = dict(fields)
    for name, kind in (("messages", Outgoing), ("spawns", SpawnRequest)):
        if name in made:
            made[name] = tuple(
                kind(**{key: _rich(key, value) for key, value in each.items()})
                for each in made[name]
            )
    if "assignments" in made:
        made["assignments"] = tuple(
            AssignRequest(each["message"], tuple(each["processes"])) for each in made["assignments"]
        )
    if "recorded" in made:
        made["recorded"] = tuple(b64decode(each["base64"]) for each in made["recorded"])
    if "given" in made:
        made["given"] = b64decode(made["given"]["base64"])
    return Result(**made)


def _rich(name: str, value: Any) -> Any:
    if name == "tags":
        return read_tags(value)
    if name == "data" and isinstance(value, dict):
        return b64decode(value["base64"])
    return value


def read_tags(pairs: list[list[str]]) -> Tags:
    """Make tags of pairs."""
    return Tags([(name, value) for name, value in pairs])
