"""Fewer collections: Python's garbage collector looks less often while messages are evaluated."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ALLOCATIONS: Final = 200_000
A_PUSH: Final = 1_000_000
"""Allocations between two looks inside a push, which ends soon and whose messages are alive."""


@contextmanager
def fewer_collections(allocations: int = _ALLOCATIONS) -> Iterator[None]:
    """Let the collector wait for more allocations while the block runs.

    What waits for its message is alive, and to look at it again and again takes a seventh of the
    time of a run.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(max(allocations, thresholds[0]) if thresholds[0] else 0, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
