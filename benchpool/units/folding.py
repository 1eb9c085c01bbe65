"""Folding: one message evaluated on one process, whole or not at all."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchpool.ao.message import EMPTY_RESULT, Message, Result
from benchpool.ao.tags import Tags
from benchpool.errors import (
    BenchpoolError,
    FuelExhausted,
    ModuleError,
    ReplayDivergence,
    StoreError,
)
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.outside import OutOfFuel, OutOfTime, encode_fact
from benchpool.process.module import ModuleProcess
from benchpool.process.outbox import PutOut
from benchpool.units.budget import TimeBudgetExceeded, Watch
from benchpool.units.limits import Limits
from benchpool.units.outage import is_outage

if TYPE_CHECKING:
    from benchpool.extensions.database import Database

MAX_ERROR_CHARACTERS = 4_000
"""How much of an error's text a result keeps."""


@dataclass(slots=True)
class Instance:
    """A process in memory, and how far it has got."""

    process: ModuleProcess
    recorder: Recorder
    extensions: tuple[Extension, ...] = ()
    database: Database | None = None
    """The one of its extensions that must be saved together with the log."""
    position: int = -1
    """Position of the last message evaluated."""
    saved_position: int = -1
    """Position of the last checkpoint."""
    memory_bytes: int = 0
    """Size of the last checkpoint."""
    fresh: list[tuple[int, bytes]] = field(default_factory=list)
    """Results since the last save of its database, by position."""
    adopted: dict[int, bytes] = field(default_factory=dict)
    """Results that its database has and the log has not: a crash came between the two commits."""

    def close(self) -> None:
        """Let go of what the process holds beside its memory."""
        for extension in self.extensions:
            extension.close()


def fold(  # noqa: PLR0912 - the hottest path there is: a call costs what a branch does not
    instance: Instance,
    message: Message,
    *,
    recorded: Sequence[bytes] | None = None,
    keep: bool = True,
    watch: Watch | None = None,
    limits: Limits | None = None,
) -> Result:
    """Evaluate one message on a process.

    Args:
        instance: the process.
        message: what it evaluates.
        recorded: answers from outside that an earlier evaluation got; None asks the outside.
        keep: False takes everything back afterwards.
        watch: the watchdog's view of this thread; None lets the handler take all time.
        limits: bounds on what it puts out; None for a message that was accepted before.

    Returns: what came of it. A handler's failure is a result with `error`.

    Raises: TimeBudgetExceeded, after which the process must be made anew.
    """
    process = instance.process
    extensions = instance.extensions
    most = sys.maxsize if limits is None else limits.outbox_messages
    if extensions:
        instance.recorder.start(recorded, watch)
        for extension in extensions:
            extension.begin()
    try:
        if watch is None:
            messages, spawns, assigns, output = process.handle(message, most)
        else:
            messages, spawns, assigns, output = _handle_in_time(process, message, most, watch)
        quiet = not (messages or spawns or assigns or output)
        if limits is not None and not quiet:
            limits.check_outbox(messages, spawns, assigns, output)
        if extensions:
            _settle(instance, limits, keep=keep)
    except (ReplayDivergence, KeyboardInterrupt, SystemExit):
        _take_back(instance)
        raise  # a record at fault, or somebody who wants to stop: not the message's error
    except Exception as error:
        _take_back(instance)
        if is_outage(error):
            raise StoreError(f"{process.id} cannot be written: {explain(error)}") from error
        if isinstance(error, FuelExhausted):
            return ended(message, OutOfFuel(error.fuel))
        recorded = instance.recorder.finish()
        given = instance.recorder.given if isinstance(error, ModuleError) else b""
        return Result(error=explain(error), recorded=recorded, given=given)
    if keep:
        process.commit()
    else:
        process.undo()
    if extensions:
        recorder = instance.recorder
        return Result(messages, spawns, assigns, output, "", recorder.finish(), recorder.given)
    return EMPTY_RESULT if quiet else Result(messages, spawns, assigns, output)


def ended(message: Message, fact: OutOfTime | OutOfFuel) -> Result:
    """Make the result of an evaluation that a bound ended, which is a fact from outside."""
    if isinstance(fact, OutOfTime):
        error = f"{message.action or 'a handler'} exceeded its time budget of {fact.seconds:g} s"
    else:
        error = _printable(FuelExhausted(message.action, fact.fuel))
    return Result(error=error, recorded=(encode_fact(fact),))


def _handle_in_time(process: ModuleProcess, message: Message, most: int, watch: Watch) -> PutOut:
    watch.turn += 1
    try:
        watch.inside = True
        return process.handle(message, most)
    finally:
        watch.inside = False
        if watch.alarm and watch.settle():
            raise TimeBudgetExceeded


def _settle(instance: Instance, limits: Limits | None, *, keep: bool) -> None:
    """Let what the extensions did stand, or take it back. Raises: LimitExceeded."""
    if limits is not None:
        limits.check_given(instance.recorder.given)
    for extension in instance.extensions:
        if keep:
            extension.commit()
        else:
            extension.rollback()


def _take_back(instance: Instance) -> None:
    for extension in instance.extensions:
        extension.rollback()
    instance.process.undo()


def explain(error: Exception) -> str:
    """Write a handler's failure as text: for a fault in the module's code, with its place."""
    if isinstance(error, BenchpoolError):
        return _printable(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    if isinstance(error, AttributeError) and isinstance(error.obj, Tags):
        # Said here, since a `__getattr__` of tags would make all their attributes slow.
        name = error.name
        error = AttributeError(f"tags have no {name}; look a tag up with tags.get({name!r})")
    return f"{type(error).__name__}: {_printable(error)}{place}"


def _printable(error: Exception) -> str:
    # An error may quote anything, text that is no Unicode and could not be logged included.
    return str(error)[:MAX_ERROR_CHARACTERS].encode(errors="backslashreplace").decode()
