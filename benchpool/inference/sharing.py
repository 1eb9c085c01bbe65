"""Which request is computed next, and which models stay in memory: the rules, without threads.

Calls in progress take turns, a share of their requests at a time. A call whose model is loaded
and idle goes first, as long as no other call falls more than a few turns behind. Models beyond
the bound on memory are unloaded, the least recently used first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchpool.inference.machine import memory_bytes
from benchpool.inference.recovery import Call
from benchpool.inference.shared_model import SharedModel
from benchpool.inference.workplaces import Child

_AHEAD = 4
"""Turns that a call may be ahead of another one before it gives its worker up."""


class Memory:
    """The bound on what all models take; ``end`` unloads a child."""

    def __init__(self, bound_bytes: int | None, end: Callable[[Child], None]) -> None:
        self.end = end
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
            self.end(oldest.idle.pop())


def in_turn(calls: Sequence[Call], is_idle: Callable[[SharedModel], bool]) -> list[Call]:
    """Sort the calls that are due: those first whose model is loaded and idle.

    Args:
        calls: That wait for a worker.
        is_idle: Tells whether a model can be asked at once.
    """
    least = min((call.turn for call in calls), default=0)
    due = [call for call in calls if call.turn <= least + _AHEAD]
    return sorted(due, key=lambda call: (not is_idle(call.model), call.turn))
