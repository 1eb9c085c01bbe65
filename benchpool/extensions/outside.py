"""Facts from outside that are no answers: typed, so that nothing a message says can pass for one.

They stand in `Result.recorded` beside the answers, and are told from them by their first part.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from benchpool.errors import BenchpoolError
from benchpool.inference.texts import bounded
from benchpool.store import Store

OLD_LOG_FACT: Final = "outside_facts_untyped"
"""By process, up to which position a home was written before such facts were recorded typed."""


class Absence(msgspec.Struct, frozen=True, array_like=True, tag="unavailable"):
    """What was asked for could not be had then. What can be had is the same for ever."""

    what: str
    why: str


class OutOfTime(msgspec.Struct, frozen=True, array_like=True, tag="out of time"):
    """The time budget ended the handler."""

    seconds: float


class OutOfFuel(msgspec.Struct, frozen=True, array_like=True, tag="out of fuel"):
    """A module of WebAssembly used up what it may."""

    fuel: int


Fact = Absence | OutOfTime | OutOfFuel

encode_fact = msgspec.msgpack.Encoder().encode
_decode: Any = msgspec.msgpack.Decoder(Fact).decode


def read_fact(raw: bytes) -> Fact | None:
    """Read a part of a record; None if it is an answer."""
    try:
        fact: Fact = _decode(raw)
    except msgspec.MsgspecError:
        return None
    return fact


def reason(error: Exception) -> str:
    """Write a failure of the outside as it is recorded: any failure, and never at any length."""
    if isinstance(error, BenchpoolError):
        return bounded(str(error))
    return bounded(f"{type(error).__name__}: {error}")


def old_positions(store: Store) -> dict[str, int]:
    """Return the last position of each process that was written before facts were typed."""
    kept = store.fact(OLD_LOG_FACT)
    if kept is not None:
        return msgspec.json.decode(kept, type=dict[str, int])
    return {info.id: store.last_position(info.id) for info in store.processes()}


def note_old_positions(store: Store) -> None:
    """From here on, what is written to a home records its facts typed."""
    if store.fact(OLD_LOG_FACT) is None:
        store.set_fact(OLD_LOG_FACT, msgspec.json.encode(old_positions(store)).decode())
