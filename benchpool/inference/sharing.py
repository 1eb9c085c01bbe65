"""Which request is computed next, and which models stay in memory: the rules, without threads.

Calls in progress take turns, a share of their requests at a time. A call whose model is loaded
and idle goes first, as long as no other call falls more than a few turns behind. Models beyond
the bound on memory are unloaded, the least recently used first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from benchpool.errors import ModelFileError
from benchpool.inference.engine import ModelCard, Precision, Runtime
from benchpool.inference.files.gguf_header import GgufHeader, read_header
from benchpool.inference.files.transcoding import hash_file
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.machine import memory_bytes
from benchpool.inference.recovery import Backoff, Call

_AHEAD = 4
"""Turns that a call may be ahead of another one before it gives its worker up."""
_BF16_BYTES = 2
_BASE_BYTES = 128 << 20
_ROWS = 128


class SharedModel:
    """A model that somebody has open, and the children that run it.

    Raises:
        ModelFileError: Not a model that llama.cpp can load.
    """

    def __init__(self, path: Path, precision: Precision, name: str | None, context: int) -> None:
        header = read_header(path)
        self.path = path
        self.precision = precision
        self._file = _fingerprint(path)
        name = name or path.name.removesuffix(".gguf")
        self.card = card = header.card(name, sha256=hash_file(path))
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

    def check_file(self) -> None:
        """Check that the file is still the one that was opened.

        Raises:
            ModelFileError: It was changed.
        """
        if _fingerprint(self.path) != self._file:
            raise ModelFileError(f"{self.path} was changed while it was in use")

    @property
    def resident_bytes(self) -> int:
        """Memory in use: children share the mapped file, each has a context of its own."""
        return self.children * self.child_bytes + (self.file_bytes if self.children else 0)


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


def _child_bytes(card: ModelCard, header: GgufHeader, context: int) -> int:
    def number(key: str, default: int) -> int:
        value = header.metadata.get(f"{card.architecture}.{key}", default)
        return value if isinstance(value, int) and value > 0 else default

    heads = number("attention.head_count", 1)
    keys = number("embedding_length", 0) * number("attention.head_count_kv", heads) // heads
    cells = min(context, card.context_tokens or context)
    cache = cells * card.layers * 2 * _BF16_BYTES * keys
    return _BASE_BYTES + cache + 4 * _ROWS * card.vocabulary


def _fingerprint(path: Path) -> tuple[int, int, int]:
    """What tells that a file is still the same: its number, size and time of change."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}") from error
    return status.st_ino, status.st_size, status.st_mtime_ns
