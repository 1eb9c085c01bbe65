"""One message: what it says, what became of it, what caused it, and what it caused."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final

import msgspec

from benchpool.ao.message import Message, Result
from benchpool.network import Network
from benchpool.network.sent import Trace
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.data import Shown, show_data
from benchpool.server.dashboard.pages.messages import place_behind
from benchpool.server.dashboard.pages.parties import Known, Names, outcome
from benchpool.store import LogEntry

MOST_CAUSED: Final = 200
"""Messages of the tree of what a message caused."""
MOST_CAUSES: Final = 30
"""Steps back to what began it."""
MOST_SEARCHED: Final = 4_000
"""Entries of a log in which the cause of a message is looked for."""
_PART: Final = 200


class Step(msgspec.Struct):
    """A message on the way to another, or behind it."""

    id: str
    process: Known
    sender: Known
    action: str
    cron: bool
    time: int
    outcome: str
    error: str
    children: list[Step] = []


class MessageView(msgspec.Struct):
    """A message of a log."""

    id: str
    process: Known
    """Whose log it is in."""
    target: Known
    """Where it was sent; differs from `process` if it was assigned."""
    sender: Known
    owner: Known
    action: str
    type: str
    cron: bool
    tags: list[tuple[str, str]]
    data: Shown
    time: int
    block_height: int
    position: int
    nonce: int
    reference: str
    anchor: str
    pushed_for: str
    hash_chain: str
    signed: bool
    outcome: str
    error: str
    output: Shown
    """What its evaluation logged."""
    sent: int
    """How many messages, spawns and assignments its evaluation put out."""
    causes: list[Step]
    """From what began it to what sent it; empty if it came from a wallet or by cron."""
    cause_known: bool
    """Whether the causes reach back to the beginning."""
    caused: list[Step]
    """What it led to, as a tree."""
    caused_count: int
    caused_cut: bool
    """Whether it led to more than is shown."""


def view(network: Network, asked: Asked) -> MessageView:
    """Show a message. Raises: UnknownProcess, AmbiguousId."""
    message_id = network.logs.resolve(asked.parts["message"])
    process = network.resolve(asked.text("process")) if asked.text("process") else None
    trace = network.logs.trace(message_id, process, most=MOST_CAUSED + 1)
    message, result = trace.message, trace.result or Result()
    names = Names(network)
    came, error = outcome(LogEntry(message, trace.result), names.of(message.process).kind)
    causes, known = _causes(network, names, message)
    count = sum(1 for _ in trace.walk()) - 1
    return MessageView(
        id=message.id,
        process=names.of(message.process),
        target=names.of(message.target),
        sender=names.of(message.sender),
        owner=names.of(message.owner),
        action=_action(message),
        type=message.type,
        cron=message.cron,
        tags=list(message.tags),
        data=show_data(message.data),
        time=message.timestamp,
        block_height=message.block_height,
        position=message.position,
        nonce=message.nonce,
        reference=message.reference,
        anchor=message.anchor,
        pushed_for=message.pushed_for,
        hash_chain=message.hash_chain,
        signed=network.store.item_head(message.id) is not None,
        outcome=came,
        error=error,
        output=show_data(result.output),
        sent=len(result.messages) + len(result.spawns) + len(result.assignments),
        causes=causes,
        cause_known=known,
        caused=[_tree(names, each) for each in trace.children],
        caused_count=count,
        caused_cut=count >= MOST_CAUSED,
    )


def _action(message: Message) -> str:
    return "Process" if message.type == "Process" else message.action


def _step(names: Names, message: Message, result: Result | None) -> Step:
    process = names.of(message.process)
    came, error = outcome(LogEntry(message, result), process.kind)
    sender = names.of(message.sender)
    return Step(
        message.id,
        process,
        sender,
        _action(message),
        message.cron,
        message.timestamp,
        came,
        error[:200],
    )


def _tree(names: Names, trace: Trace) -> Step:
    root = _step(names, trace.message, trace.result)
    waiting = [(root, trace)]  # not recursive: a chain may be deep
    while waiting:
        step, node = waiting.pop()
        for child in node.children:
            step.children.append(_step(names, child.message, child.result))
            waiting.append((step.children[-1], child))
    return root


def _causes(network: Network, names: Names, message: Message) -> tuple[list[Step], bool]:
    """Go back to what began a message; return that first, and whether all of it was found."""
    found: list[Step] = []
    while message.reference and not message.cron:
        entry = None if len(found) >= MOST_CAUSES else cause(network, message)
        if entry is None:
            return found[::-1], False
        message = entry.message
        found.append(_step(names, message, entry.result))
    return found[::-1], True


def cause(network: Network, message: Message) -> LogEntry | None:
    """Return the message whose evaluation sent another; None if it is not found soon.

    A process sent it when it had it, or a little later: its log is looked through from then on
    towards the past, and each outgoing message has a reference of its own.
    """
    for entry in _before(network, message.sender, message.timestamp):
        if entry.result is None:
            continue
        sent = [each.reference for each in entry.result.messages]
        sent += [each.reference for each in entry.result.spawns]
        if message.reference in map(str, sent):
            return entry
    return None


def _before(network: Network, process: str, time_ms: int) -> Iterator[LogEntry]:
    end = place_behind(network.store, process, time_ms)
    least = max(0, end - MOST_SEARCHED)
    while end > least:
        start = max(least, end - _PART)
        yield from reversed(
            list(network.store.entries(process, after=start - 1, limit=end - start))
        )
        end = start


def follows(network: Network, asked: Asked) -> Hashable:
    """Follow all messages while something may come of this one."""
    message_id = network.logs.resolve(asked.parts["message"])
    entry = network.store.find(message_id)
    return (message_id, network.store.end(), entry is not None and entry.result is None)


PAGES: Final = (Page("/messages/{message}", "message.html", view, follows),)
