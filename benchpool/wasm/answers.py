"""Answers: what a module gives back, as the network takes it.

Whatever has another shape than AO's fails the message; nothing that a module writes ends more.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

from benchpool.ao.message import AssignRequest, Outgoing, SpawnRequest
from benchpool.ao.tags import Pair, Tags
from benchpool.errors import HandlerError, LimitExceeded, ModuleError
from benchpool.process.outbox import PutOut

_MOST_REFERENCE: Final = 1 << 53
_SHOWN: Final = 200
_NUMBER: Final = re.compile(r"[0-9]{1,16}")
_OWN: Final = frozenset({"Data-Protocol", "Variant", "Type", "Reference"})
"""Tags that every message bears, and that the network writes for it."""
_OWN_OF_A_SPAWN: Final = _OWN | {"From-Process", "From-Module", "Module", "Pushed-For"}


class _Answer(msgspec.Struct):
    ok: bool
    response: msgspec.Raw = msgspec.Raw(b"null")


class Taken(NamedTuple):
    """What an answer holds, whether it is an error or not."""

    out: PutOut
    given: bytes
    """The response as JSON, as the module wrote it."""
    reference: int
    """The last that was given out."""
    error: str = ""


def read_answer(text: bytes, reference: int, most: int) -> Taken:
    """Read a module's answer.

    Args:
        text: JSON as the module wrote it.
        reference: the last that the process gave out before.
        most: how many messages, spawns and assignments may be in it, each.

    Raises: ModuleError if the module says that it failed itself; HandlerError for another shape;
        LimitExceeded for too many.
    """
    if not text:
        raise HandlerError("the module answered with an empty text")
    text = text.decode(errors="replace").encode()
    try:
        answer = msgspec.json.decode(text, type=_Answer)
        given = bytes(answer.response)
        response = msgspec.json.decode(given)
    except (ValueError, RecursionError) as error:
        raise HandlerError(f"the module's answer is not what AO's modules give: {error}") from None
    if not answer.ok:
        raise ModuleError(_text(response) or "the module failed without a word")
    if response == []:
        response = {}  # an empty table of Lua is either
    if not isinstance(response, dict):
        raise HandlerError(f"the module's response is {_shape(response)}, not an object")
    if response.get("Error"):
        return Taken(((), (), (), ""), given, reference, _text(response["Error"]))
    references = _References(reference)
    messages = tuple(
        outgoing
        for each in _list(response, "Messages", most)
        if (outgoing := _message(each, references)) is not None
    )
    spawns = tuple(_spawn(each, references) for each in _list(response, "Spawns", most))
    assignments = tuple(_assignment(each) for each in _list(response, "Assignments", most))
    output = _output(response.get("Output"))
    return Taken((messages, spawns, assignments, output), given, references.last)


class _References:
    """Numbers that tell what one process puts out apart: the module's own, if they are new."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._taken: set[int] = set()
        self.last = before

    def take(self, tags: Tags) -> int:
        said = tags.get("Reference")
        number = int(said) if _NUMBER.fullmatch(said) else 0
        if not self._before < number < _MOST_REFERENCE or number in self._taken:
            number = self.last + 1
        self._taken.add(number)
        self.last = max(self.last, number)
        return number


def _message(each: Any, references: _References) -> Outgoing | None:
    """Return a message as it is pushed; None for one that goes nowhere."""
    fields = _object(each, "a message")
    target = fields.get("Target")
    if target is None or target == "":
        return None
    if not isinstance(target, str):
        raise HandlerError(f"the Target of a message is {_shape(target)}, not a text")
    tags = _tags(fields.get("Tags"), "a message")
    number = references.take(tags)
    return Outgoing(target, _without(tags, _OWN, number), _data(fields), number)


def _spawn(each: Any, references: _References) -> SpawnRequest:
    fields = _object(each, "a spawn")
    tags = _tags(fields.get("Tags"), "a spawn")
    module = tags.get("Module")
    number = references.take(tags)
    return SpawnRequest(module, _without(tags, _OWN_OF_A_SPAWN, number), _data(fields), number)


def _without(tags: Tags, hidden: frozenset[str], number: int) -> Tags:
    kept = [
        (name, value)
        for name, value in tags.pairs
        if name not in hidden or (name == "Reference" and value != str(number))
    ]
    return Tags.of(tuple(kept))


def _assignment(each: Any) -> AssignRequest:
    fields = _object(each, "an assignment")
    message, processes = fields.get("Message"), fields.get("Processes")
    if not isinstance(message, str):
        raise HandlerError(f"the Message of an assignment is {_shape(message)}, not a text")
    if not isinstance(processes, list) or not all(isinstance(one, str) for one in processes):
        raise HandlerError("the Processes of an assignment are no list of ids")
    return AssignRequest(message, tuple(processes))


def _list(response: dict[str, Any], name: str, most: int) -> list[Any]:
    found = response.get(name)
    if found is None or found == {}:
        return []
    if not isinstance(found, list):
        raise HandlerError(f"{name} of the module's response are {_shape(found)}, not a list")
    if len(found) > most:
        raise LimitExceeded(
            f"this evaluation puts out {len(found):,} {name}; at most {most:,} are allowed"
            " (outbox_messages)"
        )
    return found


def _object(each: Any, what: str) -> dict[str, Any]:
    if not isinstance(each, dict):
        raise HandlerError(f"{what} of the module's response is {_shape(each)}, not an object")
    return each


def _tags(found: Any, what: str) -> Tags:
    if found is None or found == {}:
        return Tags.of(())
    if not isinstance(found, list):
        raise HandlerError(f"the Tags of {what} are {_shape(found)}, not a list")
    pairs: list[Pair] = []
    for each in found:
        tag = _object(each, "a tag")
        if "name" not in tag:
            raise HandlerError(f"a tag of {what} has no name")
        pairs.append((_text(tag["name"]), _text(tag.get("value", ""))))
    return Tags.of(tuple(pairs))


def _data(fields: dict[str, Any]) -> str:
    found = fields.get("Data")
    return "" if found is None else _text(found)


def _output(found: Any) -> str:
    """Return what people read of an Output: a text, or aos's {data, prompt, print}."""
    if isinstance(found, dict) and "data" in found:
        found = found["data"]
        if isinstance(found, dict) and "output" in found:
            found = found["output"]
    return "" if found is None or found in ([], {}) else _text(found)


def _text(value: Any) -> str:
    """Return text as it is, and all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shape(value: Any) -> str:
    shown = _text(value)[:_SHOWN]
    return "nothing" if value is None else f"{type(value).__name__} {shown}"
