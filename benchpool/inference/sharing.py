"""Which request is computed next, and which models stay in memory: the rules, without threads.

Calls in progress take turns, a share of their requests at a time. A call whose model is loaded
and idle goes first, as long as no other call falls more than a few turns behind. Models beyond
the bound on memory are unloaded, the least recently used first.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchpool.inference.backoff import Backoff
from benchpool.inference.engine import (
    Answer,
    ChoicesRequest,
    EngineStats,
    ModelCard,
    Precision,
    Request,
    Runtime,
)
from benchpool.inference.files.gguf_header import GgufHeader
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.machine import memory_bytes

MOST_SHARE = 32
"""Most requests of a share: enough to pack, few enough that all workers end together."""
_LEAST_SHARE = 8
_AHEAD = 4
"""Turns that a call may be ahead of another one before it gives its worker up."""
_BF16_BYTES = 2
_BASE_BYTES = 128 << 20
_ROWS = 128

Answers = Sequence[tuple[int, Answer]]
"""Each with its place in the call."""


class Computed(NamedTuple):
    """Answers that a child gave, and the work that it did for them."""

    answers: Answers
    spent: EngineStats


Event = Computed | BaseException | None
"""New answers, what ended a share, or None at the end of the call."""


class SharedModel:
    """A model that somebody has open, and the children that run it."""

    def __init__(
        self, path: Path, precision: Precision, header: GgufHeader, card: ModelCard, context: int
    ) -> None:
        self.path = path
        self.precision = precision
        self.card = card
        self.runtime: Runtime | None = None
        self.opening = threading.Lock()
        self.users = 0
        self.backoff = Backoff()
        self.idle: list[IsolatedEngine] = []
        self.children = 0
        """Idle, at work, or being started."""
        self.used = 0
        """When it was last used: a count, not a time."""
        copied = precision == "bf16"
        self.file_bytes = _BF16_BYTES * card.parameters if copied else header.size_bytes
        self.child_bytes = _child_bytes(card, header, context)

    @property
    def resident_bytes(self) -> int:
        """Memory in use: children share the mapped file, each has a context of its own."""
        return self.children * self.child_bytes + (self.file_bytes if self.children else 0)


class Call:
    """Requests of one caller to one model, and what came of them."""

    def __init__(self, model: SharedModel, requests: Sequence[Request], places: list[int]) -> None:
        self.model = model
        self.requests = requests
        # Neighbours in this order share most of their prompts.
        self._left = sorted(places, key=lambda place: _order(requests[place]), reverse=True)
        self._loads = not places
        self.turn = 0
        self.running = 0
        self.ended = False
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    @property
    def waits(self) -> bool:
        """Whether there is something to do that nobody has begun."""
        return bool(self._left) or self._loads

    def take(self, workers: int) -> list[int]:
        """Take the next share; shares become smaller, so that all workers end together."""
        self._loads = False
        size = min(MOST_SHARE, max(_LEAST_SHARE, -(-len(self._left) // (2 * workers))))
        share = self._left[-size:]
        del self._left[-size:]
        share.reverse()
        return share

    def stop(self) -> None:
        """Begin no more shares."""
        self._left.clear()
        self._loads = False


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


def _order(request: Request) -> tuple[str, ...]:
    if isinstance(request, ChoicesRequest):
        return ("", request.prompt)
    return ("text", request.system, request.user)


def _child_bytes(card: ModelCard, header: GgufHeader, context: int) -> int:
    def number(key: str, default: int) -> int:
        value = header.metadata.get(f"{card.architecture}.{key}", default)
        return value if isinstance(value, int) and value > 0 else default

    heads = number("attention.head_count", 1)
    keys = number("embedding_length", 0) * number("attention.head_count_kv", heads) // heads
    cells = min(context, card.context_tokens or context)
    cache = cells * card.layers * 2 * _BF16_BYTES * keys
    return _BASE_BYTES + cache + 4 * _ROWS * card.vocabulary
