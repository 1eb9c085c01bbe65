"""What a data set says of an entry, and what was counted again."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from benchpool.ao.message import Outgoing
from benchpool.ao.tags import Tags


class Count(NamedTuple):
    """How far an entry has come."""

    correct: int
    evaluated: int
    unscored: int
    total: int


class Score(NamedTuple):
    """A Score that was asked for, what the data set said and what a recount gives."""

    position: int
    model: str
    protocol: str
    said: Count | None
    counted: Count | None
    answers: dict[int, tuple[bool, tuple[float, ...]]]
    """By the number of the question, those answered; only of a Score that asks for them."""
    wrong: str = ""
    """What of the answers that it told is not what was answered."""


def is_response(outgoing: Outgoing) -> bool:
    """Tell whether a message is the answer to a Score."""
    return outgoing.tags.get("Action") == "Score-Response"


def wrong_answers(
    reply: Outgoing | None, answers: dict[int, tuple[bool, tuple[float, ...]]]
) -> str:
    """Say which of the answers that were told was not given; empty if all were."""
    if reply is None:
        return ""
    try:
        told = {number: (bool(right), tuple(nats)) for number, right, nats in _decode(reply.data)}
    except (msgspec.MsgspecError, ValueError, TypeError):
        return "its answers cannot be read"
    differ = sorted(n for n in {*told, *answers} if told.get(n) != answers.get(n))
    return f"question {differ[0]} was answered otherwise than it told" if differ else ""


def said_counts(outgoing: Outgoing | None) -> Count | None:
    """Read the counts of an answer; None if there is none, or it cannot be read."""
    names = ("Correct", "Evaluated", "Unscored", "Total")
    if outgoing is None:
        return None
    try:
        return Count(*(int(outgoing.tags[name]) for name in names))
    except (KeyError, ValueError):
        return None


_decode = msgspec.json.Decoder(list[tuple[int, int, list[float]]]).decode


def is_whole(tags: Tags) -> bool:
    """Tell whether every question is answered or given up, as a Score-Response says it."""
    evaluated, unscored, total = (
        int(tags.get(name, "0")) for name in ("Evaluated", "Unscored", "Total")
    )
    return 0 < total <= evaluated + unscored
