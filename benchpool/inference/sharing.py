"""Which request is computed next, and which models stay in memory: the rules, without threads.

Calls in progress take turns, a share of their requests at a time. A call whose model is loaded
and idle goes first, as long as no other call falls more than a few turns behind. Models beyond
the bound on memory are unloaded, the least recently used first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.machine import memory_bytes
from benchpool.inference.recovery import Call
from benchpool.inference.shared_model import SharedModel

_AHEAD = 4
"""Turns that a call may be ahead of another one before it gives its worker up."""


class Memory:
    """The bound on what all models take; ``end`` unloads a child."""

    def __init__(self, bound_bytes: int | None, end: Callable[[IsolatedEngine], None]) -> None:
        self._end = end
        self.bound_bytes = bound_bytes or memory_bytes() // 2

    def make_room(self, model: SharedModel, models: Sequence[SharedModel]) -> bool:
        """Unload idle children until one more child of a model fits; one always may run alone."""
        while True:
            resident = sum(other.resident_bytes for other in models)
            more = model.child_bytes + (0 if model.children else model.file_bytes)
            if resident == 0 or resident + more <= self.bound_bytes:
                return True
            idle = [other for other in models if other.idle]
            if not idle:
                return False
            oldest = min(idle, key=lambda other: other.used)
            oldest.children -= 1
            self._end(oldest.idle.pop())


def choose(
    calls: Sequence[Call], models: Sequence[SharedModel], memory: Memory
) -> tuple[Call, IsolatedEngine | None] | None:
    """Choose whose turn it is, and an idle child for it; no child: one may be started.

    None where a worker has to wait: what is due needs memory that others still use.
    """
    least = min((call.turn for call in calls), default=0)
    due = [call for call in calls if call.turn <= least + _AHEAD]
    for call in sorted(due, key=lambda call: (not call.model.idle, call.turn)):
        if call.model.idle:
            return call, call.model.idle.pop()
        if memory.make_room(call.model, models):
            return call, None
    return None
