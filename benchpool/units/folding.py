"""Folding: one message evaluated on one process, whole or not at all."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchpool.ao.message import EMPTY_RESULT, Message, Result
from benchpool.errors import BenchpoolError, HandlerError, ReplayDivergence, StoreError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.outside import OutOfTime, encode_fact
from benchpool.process.handlers import matches
from benchpool.process.process import NO_LUA, Process
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

    process: Process
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
    reference = process.reference
    if limits is not None:
        process.outbox_limit = limits.outbox_messages
    if extensions:
        instance.recorder.start(recorded, watch)
        for extension in extensions:
            extension.begin()
    try:
        if watch is None:
            _handle(process, message)
        else:
            _handle_in_time(process, message, watch)
        messages, spawns, assigns, output = process.take_outbox()
        if limits is not None and (messages or spawns or assigns or output):
            limits.check_outbox(messages, spawns, assigns, output)
        for extension in extensions:
            if keep:
                extension.commit()
            else:
                extension.rollback()
    except (ReplayDivergence, KeyboardInterrupt, SystemExit):
        _take_back(instance, reference)
        raise  # a record at fault, or somebody who wants to stop: not the message's error
    except Exception as error:
        _take_back(instance, reference)
        if is_outage(error):
            raise StoreError(f"{process.id} cannot be written: {explain(error)}") from error
        return Result(error=explain(error), recorded=instance.recorder.finish())
    if keep:
        process.journal.commit()
    else:
        process.undo(reference)
    if extensions:
        return Result(messages, spawns, assigns, output, "", instance.recorder.finish())
    if messages or spawns or assigns or output:
        return Result(messages, spawns, assigns, output)
    return EMPTY_RESULT


def out_of_time(message: Message, seconds: float) -> Result:
    """Make the result of a handler that its time budget ended."""
    error = f"{message.action or 'a handler'} exceeded its time budget of {seconds:g} s"
    return Result(error=error, recorded=(encode_fact(OutOfTime(seconds)),))


def _handle(process: Process, message: Message) -> None:
    refused = refusal(process, message)
    if refused is not None:
        process.log(refused)
        if _is_trusted(process, message) and message.sender != process.id:
            process.send(message.sender, "", data="Assignment is not trusted by this process!")
    elif message.type == "Process" and message.target == process.id:
        if "On-Boot" in message.tags:
            raise HandlerError(f"On-Boot cannot be run: {NO_LUA}")
        process.on_spawn(message)
    else:
        if message.tags._first.get("Content-Type") == "application/json":
            message.json()  # as aos, which decodes it before any handler sees it
        process.handlers.evaluate(message, process.keep_in_inbox)


def _handle_in_time(process: Process, message: Message, watch: Watch) -> None:
    watch.turn += 1
    try:
        watch.inside = True
        _handle(process, message)
    finally:
        watch.inside = False
        if watch.alarm and watch.settle():
            raise TimeBudgetExceeded


def _take_back(instance: Instance, reference: int) -> None:
    for extension in instance.extensions:
        extension.rollback()
    instance.process.undo(reference)


def refusal(process: Process, message: Message) -> str | None:
    """Say why a process must not handle a message, or None if it may.

    A message whose From is its owner speaks for itself; any other comes from a process and is
    trusted only if an authority of this process signed it. A message sent elsewhere and assigned
    to this process must match what the module declares assignable. Source: aos, ao.isTrusted,
    ao.isAssignable. Deviates: aos also trusts a From that claims to be an authority.
    """
    if not _is_trusted(process, message):
        return f"Message is not trusted! From: {message.sender} - Owner: {message.owner}"
    if message.target != process.id and not any(
        matches(pattern, message) for pattern in process.assignable
    ):
        return f"Assignment is not trusted! From: {message.sender} - Owner: {message.owner}"
    return None


def _is_trusted(process: Process, message: Message) -> bool:
    return message.sender == message.owner or message.owner in process.authorities


def explain(error: Exception) -> str:
    """Write a handler's failure as text: for a fault in the module's code, with its place."""
    if isinstance(error, BenchpoolError):
        return _printable(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {_printable(error)}{place}"


def _printable(error: Exception) -> str:
    # An error may quote anything, text that is no Unicode and could not be logged included.
    return str(error)[:MAX_ERROR_CHARACTERS].encode(errors="backslashreplace").decode()
