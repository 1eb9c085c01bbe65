"""Which evaluations had nothing pushed because a limit stopped their chain: worked out again.

The messenger unit evaluates and pushes in the order in which messages were scheduled, which is the
order of the log. So what it counted can be counted again from the log alone.
"""

from __future__ import annotations

from collections.abc import Callable

from benchpool.ao.message import (
    Item,
    Message,
    Outgoing,
    ProcessInfo,
    Result,
    decode_message,
    decode_result,
)
from benchpool.ao.wire import PROCESS
from benchpool.errors import BenchpoolError
from benchpool.store import Store
from benchpool.units.chains import Chains
from benchpool.units.limits import Limits
from benchpool.units.pushing import pushed_messages, root_of, spawn_item

Place = tuple[str, int]
"""Process and position."""


Find = Callable[[Item, str], str]
"""From an item and its type to the id that it got."""
Sends = Callable[[Outgoing, ProcessInfo, str], bool]
"""From a message, its process and the root of its chain to whether it could be signed."""


def stopped_chains(
    store: Store, limits: Limits, find: Find, sends: Sends | None = None
) -> set[Place]:
    """Return where an evaluation put out more than its chain, or a queue, could take.

    Args:
        store: the logs.
        limits: those under which they came about.
        find: how the id of a spawned process is known.
        sends: what a signed network could push; None where everything is pushed.

    Raises: StoreError if the file is damaged.
    """
    rounds = _Rounds(store, limits, find, sends)
    for line in store.lines():
        try:
            message = decode_message(line.message)
            result = decode_result(line.result) if line.result else None
        except (ValueError, TypeError, BenchpoolError):
            break  # nothing behind it can be believed
        rounds.take(message, result)
    return rounds.stopped


class _Rounds:
    """Follows the messenger unit's rounds along the log.

    A round is what was pending when it began. Messages from outside are scheduled only while
    nothing is pushed, so they stand together at the beginning of a run.
    """

    def __init__(self, store: Store, limits: Limits, find: Find, sends: Sends | None) -> None:
        self._find = find
        self._sends = sends
        self.stopped: set[Place] = set()
        self._store = store
        self._messenger = store.fact("messenger") or ""
        self._chains = Chains(limits)
        self._processes = {info.id: info for info in store.processes()}
        self._waiting: dict[str, int] = {}
        self._pushed = 0
        """Entries that were pushed by what has been taken so far."""
        self._met = 0
        """Entries of the log, of those that were pushed."""
        self._positions: dict[str, int] = {}
        """How far each log has been met."""
        self._assigned: set[tuple[str, str]] = set()
        self._round = 0
        """How many had been pushed when the present round began."""

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        self._positions[message.process] = message.position
        if not message.depth:
            if self._met >= self._pushed:  # all is quiet: a new run begins
                self._chains.clear()
                self._waiting = {}
        else:
            if self._met >= self._round:
                self._waiting, self._round = {}, self._pushed
            self._met += 1
        if result is None or not (result.messages or result.spawns or result.assignments):
            return
        depth, root = message.depth + 1, root_of(message)
        if self._chains.excess(result, root, depth, self._waiting):
            self.stopped.add((message.process, message.position))
        else:
            self._push(message, result)

    def _push(self, message: Message, result: Result) -> None:
        """Count the entries that a result became."""
        emitter, root, sends = self._processes[message.process], root_of(message), self._sends
        for spawn in result.spawns:
            child = self._find(spawn_item(spawn, emitter, self._messenger, root), PROCESS)
            if child in self._processes:
                self._deliver(child)
            self._deliver(message.process)
        for outgoing in pushed_messages(result):
            if sends is None or sends(outgoing, emitter, root):
                self._deliver(outgoing.target)
        for assign in result.assignments:
            for process in assign.processes:
                if self._is_new(assign.message, process):
                    self._assigned.add((assign.message, process))
                    self._deliver(process)

    def _is_new(self, message_id: str, process: str) -> bool:
        """Tell whether an assignment gave a process a message that it did not have."""
        if process not in self._processes or (message_id, process) in self._assigned:
            return False
        entry = self._store.find(message_id, process)
        return entry is not None and entry.message.position > self._positions.get(process, -1)

    def _deliver(self, process: str) -> None:
        self._pushed += 1
        if process in self._processes:
            self._waiting[process] = self._waiting.get(process, 0) + 1
