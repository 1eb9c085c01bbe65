"""Pace: how many cron ticks a live network runs at a time, so that messages find their way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

SLICE_S: Final = 0.02
"""How long the ticks of one slice shall take: a message that comes meanwhile waits for them."""
MOST: Final = 32
"""Ticks of one slice."""
IDLE_S: Final = 0.1
"""How long to wait when all that is due is of processes that are at a tick still."""


class Pace:
    """Allows so many ticks a second, in slices that take half of the time at most.

    Args:
        per_second: ticks in each second, of all processes together.
        now_s: reads a clock that nobody sets, in seconds.
    """

    def __init__(self, per_second: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._now_s = now_s
        self._slice = 1
        self._second = 0
        self._left = per_second
        self._rest_until_s = 0.0

    def allowed(self) -> int:
        """Return how many ticks may run now."""
        now_s = self._now_s()
        if now_s < self._rest_until_s:
            return 0
        if int(now_s) != self._second:
            self._second, self._left = int(now_s), self._per_second
        return min(self._slice, self._left)

    def spent(self, ticks: int, seconds: float) -> None:
        """Take note of what a slice ran, and how long that took with all that came of it."""
        self._left -= ticks
        if not ticks:
            seconds = max(seconds, IDLE_S)
        elif seconds > 0:
            # Growing slowly: at a start, the first ticks of all processes take long.
            self._slice = max(1, min(MOST, 2 * self._slice, int(ticks * SLICE_S / seconds)))
        self._rest_until_s = self._now_s() + seconds

    def wait_s(self) -> float:
        """Return how long it is until ticks may run, in seconds."""
        now_s = self._now_s()
        until_s = self._rest_until_s
        if not self._left:
            until_s = max(until_s, self._second + 1)
        return max(0.0, until_s - now_s)
