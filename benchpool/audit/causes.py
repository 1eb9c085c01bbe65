"""Causes: every pushed message is what an outbox held, and nothing that one held is missing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from benchpool.ao.message import (
    Item,
    Message,
    Outgoing,
    ProcessInfo,
    Result,
    SpawnRequest,
)
from benchpool.ao.wire import (
    MESSAGE,
    NOTICE,
    PROCESS,
    SIGNED_FACT,
    Wire,
)
from benchpool.audit.links import said_by, wire_of
from benchpool.audit.stopped_chains import stopped_chains
from benchpool.errors import DataItemError
from benchpool.store import Store
from benchpool.units.limits import Limits
from benchpool.units.pushing import (
    pushed_id,
    pushed_item,
    pushed_messages,
    root_of,
    spawn_item,
    spawned_notice,
)


class Cause(NamedTuple):
    """An entry of an outbox that has not been found in a log yet."""

    process: str
    position: int
    nonce: int
    root: str
    depth: int
    emitted: Outgoing | Item
    module: str


class Causes:
    """Matches outboxes with logs: no pushed message without its cause, no cause without a message.

    Works along the order in which the logs were written, where a cause comes first.
    """

    def __init__(self, store: Store, messenger: str, limits: Limits) -> None:
        self._store = store
        self._messenger = messenger
        self._limits = limits
        self._wire = wire_of(store)
        self._signed = store.fact(SIGNED_FACT) is not None
        self._find = partial(pushed_id, store, signed=self._wire is not None)
        self._open: dict[tuple[str, str], Cause] = {}
        """By sender and reference."""
        self._made: dict[tuple[str, str], Cause] = {}
        """Processes that were asked for and the notices of it, by log and id."""
        self._refused: dict[tuple[str, str], Cause] = {}
        """Processes that were asked for and not made, by spawner and reference."""
        self._assigned: set[tuple[str, str]] = set()

    def emit(self, message: Message, result: Result, info: ProcessInfo) -> None:
        """Note what an evaluation put out."""
        depth, root = message.depth + 1, root_of(message)
        deep = depth > self._limits.push_depth
        for spawn in () if deep else result.spawns:
            self._spawn(message, spawn, info, root, depth)
        process, position, nonce = message.process, message.position, message.nonce
        sender, module, causes = info.id, info.module, self._open
        for outgoing in pushed_messages(result):
            causes[sender, str(outgoing.reference)] = Cause(
                process, position, nonce, root, depth, outgoing, module
            )
        for assign in () if deep else result.assignments:
            self._assigned.update((assign.message, process) for process in assign.processes)

    def _spawn(
        self, message: Message, spawn: SpawnRequest, info: ProcessInfo, root: str, depth: int
    ) -> None:
        item = spawn_item(spawn, info, self._messenger, root)
        at = (message.process, message.position, message.nonce, root, depth)
        child = self._find(item, PROCESS)
        if self._store.process(child) is None:
            self._refused[info.id, item.reference] = Cause(*at, item, "")
            return
        notice = spawned_notice(item, child)
        self._made[child, child] = Cause(*at, item, info.module)
        self._made[info.id, self._find(notice, NOTICE)] = Cause(*at, notice, "")

    def receive(self, message: Message) -> str | None:  # noqa: PLR0911 - one a check
        """Take a message of a log, whose id was checked."""
        if message.cron:
            return None
        if message.process != message.target:
            key = (message.id, message.process)
            if message.depth and key not in self._assigned:
                return "nothing assigned it to this process"
            return None
        if message.owner != self._messenger:
            return "a message from a wallet was pushed by nobody" if message.depth else None
        cause = self._take(message)
        if cause is None:
            return "no outbox holds it: it has no cause"
        if message.depth != cause.depth or message.from_module != cause.module:
            return f"its depth or From-Module is not that of its cause {_place(cause)}"
        return None

    def _take(self, message: Message) -> Cause | None:
        signed = self._wire is not None and self._store.item_head(message.id) is not None
        place = (message.process, message.id)
        made = self._made.get(place) if self._made else None
        if made is not None:
            # Of an unsigned message, the id is the content.
            if signed and not self._is_sent(made, message):
                return None
            return self._made.pop(place)
        key = (message.sender, message.reference)
        cause = self._open.get(key)
        if cause is not None and not message.depth:
            cause = self._again(cause)
        matches = self._is_sent if signed else _is_content
        if cause is not None and matches(cause, message):
            del self._open[key]
            return cause
        refused = self._refused.get(key)
        if refused is not None and message.action == "Spawn-Error" and not message.from_module:
            return self._refused.pop(key)
        return None

    def _again(self, cause: Cause) -> Cause:
        """Return the cause of what was stopped and then pushed again: it heads a chain."""
        [entry] = self._store.entries(cause.process, after=cause.position - 1, limit=1)
        return cause._replace(root=entry.message.id, depth=0)

    def _is_sent(self, cause: Cause, message: Message) -> bool:
        """Tell whether a signed message is what an outbox became on the wire."""
        said = self._on_the_wire(cause)
        if said is None or (said.type, message.type) == (PROCESS, MESSAGE):
            return False
        target = message.process if said.type == PROCESS else said.target
        return said_by(message) == (
            target,
            said.owner,
            said.sender,
            said.tags,
            said.data,
            said.anchor,
            said.reference,
            said.pushed_for,
        )

    def _on_the_wire(self, cause: Cause) -> Item | None:
        wire = self._wire or Wire(self._messenger, self._store.fact("scheduler") or "")
        said = cause.emitted
        if isinstance(said, Outgoing):
            emitter = self._store.process(cause.process)
            assert emitter is not None, "what put it out is a process"
            said = pushed_item(said, emitter, self._messenger, cause.root)
        try:
            return wire.as_sent(said)
        except DataItemError:
            return None

    def left(self) -> Iterator[Cause]:
        """Return the causes whose messages are missing, unless a limit stopped their chain."""
        waiting = [*self._open.values(), *self._made.values(), *self._refused.values()]
        if not waiting:
            return
        sends = self._sends if self._signed else None
        stopped = stopped_chains(self._store, self._limits, self._find, sends)
        for cause in waiting:
            if self._signed and self._on_the_wire(cause) is None:
                continue  # as on AO, it stays in the result
            if cause[:2] not in stopped:
                yield cause

    def _sends(self, outgoing: Outgoing, emitter: ProcessInfo, root: str) -> bool:
        cause = Cause(emitter.id, 0, 0, root, 0, outgoing, emitter.module)
        return self._on_the_wire(cause) is not None


def _is_content(cause: Cause, message: Message) -> bool:
    """Tell whether an unsigned message has the content that an outbox holds."""
    said = cause.emitted
    return (
        isinstance(said, Outgoing)
        and said.target == message.target
        and said.tags.pairs == message.tags.pairs
        and said.data == message.data
        and message.pushed_for == cause.root
        and message.type != PROCESS
    )


def missing(cause: Cause) -> str:
    """Say what is missing."""
    said = cause.emitted
    reference = said.reference
    action = said.tags.get("Action") or ("Process" if isinstance(said, Item) else "(no Action)")
    return (
        f"it put out {action} with reference {reference} to {said.target or 'a new process'},"
        " and no log holds that message"
    )


def _place(cause: Cause) -> str:
    return f"at position {cause.position} of {cause.process}"
