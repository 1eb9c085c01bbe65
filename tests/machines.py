"""A machine whose clock a test sets, and whose time a test lets go by."""

from typing import Any

from benchpool.ao.clock import GENESIS_MS, WallClock

MS = 1_000_000


class Machine:
    """Has a clock that people set and one that nobody sets.

    Args:
        now_ms: what the first one says.
    """

    def __init__(self, now_ms: int = GENESIS_MS) -> None:
        self.wall_ns = now_ms * MS
        self.steady_ns = 77 * MS

    def clock(self, **settings: Any) -> WallClock:
        """Return a clock that reads this machine's."""
        return WallClock(wall_ns=lambda: self.wall_ns, steady_ns=lambda: self.steady_ns, **settings)

    def wait(self, ms: int) -> None:
        """Let time go by, awake or asleep."""
        self.wall_ns += ms * MS
        self.steady_ns += ms * MS

    def set(self, now_ms: int) -> None:
        """Set the clock."""
        self.wall_ns = now_ms * MS

    def turn(self, ms: int) -> None:
        """Set the clock by so much ahead, or back."""
        self.wall_ns += ms * MS
