"""What came of a message: for its sender, and as a tree of all that it led to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from benchpool.ao.message import Message, Result
from benchpool.ao.wire import MESSAGE, NOTICE, PROCESS
from benchpool.errors import HandlerError, UnknownProcess
from benchpool.store import Store
from benchpool.units.pushing import (
    pushed_id,
    pushed_item,
    pushed_messages,
    root_of,
    spawn_item,
    spawned_notice,
)


@dataclass(frozen=True, slots=True)
class Trace:
    """One message with what it led to; `result` is None for mail and while it is pending."""

    message: Message
    result: Result | None
    children: list[Trace] = field(default_factory=list)

    def walk(self) -> Iterator[Trace]:
        """Go through the tree, each message before those it led to."""
        # Not recursive: a chain may be thousands of messages deep.
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    def replies(self, address: str) -> list[Message]:
        """Return the messages in the tree that went to an address, nearest first."""
        found = [node.message for node in self.walk() if node.message.process == address]
        return sorted(found, key=lambda message: (message.depth, message.position))

    def errors(self) -> list[tuple[Message, str]]:
        """Return the messages in the tree whose evaluation failed, with the reasons."""
        return [(n.message, n.result.error) for n in self.walk() if n.result and n.result.error]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message in the log, looked at by who sent it. What came of it is read when asked for."""

    id: str
    process: str
    """The process or wallet it went to."""
    sender: str
    _store: Store = field(repr=False)
    _messenger: str = field(repr=False)

    @property
    def result(self) -> Result:
        """The result of its own evaluation; empty if it went to a wallet."""
        entry = self._store.find(self.id, self.process)
        return (entry and entry.result) or Result()

    @property
    def error(self) -> str:
        """Why its evaluation failed; empty if it did not."""
        return self.result.error

    @property
    def trace(self) -> Trace:
        """All that came of it."""
        return trace(self._store, self._messenger, self.id, self.process)

    @property
    def replies(self) -> list[Message]:
        """The messages that came back to the sender, nearest first."""
        return self.trace.replies(self.sender)

    def reply(self, action: str | None = None) -> Message:
        """Return the first message that came back, or the first of that action.

        Raises: HandlerError with the reason if the message failed, or if nothing came back.
        """
        for message in self.replies:
            if action is None or message.action == action:
                return message
        wanted = "no reply" if action is None else f"no {action}"
        raise HandlerError(f"{wanted} came back: {self.error or 'the process sent none'}")


def trace(
    store: Store,
    address: str,
    message_id: str,
    process: str | None = None,
    most: int = sys.maxsize,
) -> Trace:
    """Gather what came of a message.

    Nothing of the tree is stored: the id of a pushed message follows from its sender's result.

    Args:
        store: where the log is.
        address: the messenger that signed the pushed messages.
        message_id: the message at the root.
        process: whose log it is in, if it was assigned to several.
        most: messages of the tree; what is beyond them is left out.

    Raises: UnknownProcess if no message has this id.
    """
    entry = store.find(message_id, process)
    if entry is None:
        raise UnknownProcess(f"no message with id {message_id}")
    root = Trace(entry.message, entry.result)
    waiting = [root]
    seen = {(root.message.process, root.message.position)}
    while waiting:
        node = waiting.pop()
        for child_id, place in _children(store, address, node):
            if len(seen) >= most:
                return root
            child = store.find(child_id, place)
            if child is None:
                continue
            # Assignments can lead back to a message that is in the tree already.
            spot = (child.message.process, child.message.position)
            if spot not in seen:
                seen.add(spot)
                node.children.append(Trace(child.message, child.result))
        waiting.extend(node.children)
    return root


def _children(store: Store, address: str, node: Trace) -> Iterator[tuple[str, str | None]]:
    emitter = store.process(node.message.process)
    if node.result is None or emitter is None:
        return
    root = root_of(node.message)
    find = partial(pushed_id, store, signed=store.has_items())
    for spawn in node.result.spawns:
        item = spawn_item(spawn, emitter, address, root)
        child_id = find(item, PROCESS)
        yield child_id, child_id
        if store.process(child_id) is not None:
            yield find(spawned_notice(item, child_id), NOTICE), emitter.id
        else:
            yield from _spawn_error(store, node.message, item.reference)
    for outgoing in pushed_messages(node.result):
        for start in dict.fromkeys((root, node.message.id)):  # the latter if it was pushed again
            yield find(pushed_item(outgoing, emitter, address, start), MESSAGE), outgoing.target
    for assign in node.result.assignments:
        for process in assign.processes:
            yield assign.message, process


def _spawn_error(store: Store, spawner: Message, reference: str) -> Iterator[tuple[str, str]]:
    # Its id follows from the reason, which is in the notice alone.
    for entry in store.entries(spawner.process, after=spawner.position):
        message = entry.message
        if message.action == "Spawn-Error" and message.reference == reference:
            yield message.id, message.process
            return
