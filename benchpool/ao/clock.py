"""Time: handlers know only the timestamp and block height that a clock gave their message."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol

from benchpool.errors import ConfigError

log = logging.getLogger("benchpool.clock")

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
BLOCK_MS = 2 * MINUTE_MS
"""Arweave's target time between two blocks."""

GENESIS_MS = 1_735_689_600_000
"""Where virtual time starts: 2025-01-01T00:00:00Z."""
GENESIS_HEIGHT = 1_580_000
"""The block height that stands for that moment."""

LEAP_MS = 5 * MINUTE_MS
"""What the machine's clock may be off before it counts as wrong."""

_MS = 1_000_000
_LEAP_NS = LEAP_MS * _MS
_STEADY = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
"""On Linux, the one goes on during a sleep and the other does not; elsewhere the other does."""

_UNITS_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
}


def block_height(now_ms: int) -> int:
    """Say which block a moment falls into: one every two minutes."""
    return GENESIS_HEIGHT + (now_ms - GENESIS_MS) // BLOCK_MS


def parse_duration(text: str, *, bare_ms: bool = False) -> int:
    """Read `90s`, `24h`, `30d` or `1d12h` as milliseconds.

    Args:
        text: what was typed, or what a tag says.
        bare_ms: take a bare number as milliseconds, as tags on the wire do; people leave a unit
            out by mistake.

    Raises: ConfigError for anything else, and for zero.
    """
    cleaned = text.strip().lower()
    bare = re.fullmatch(r"[0-9]{1,15}", cleaned) is not None
    if bare and bare_ms:
        cleaned += "ms"
    total = 0
    if re.fullmatch(r"(?:[0-9]{1,15}(?:ms|[smhdw]))+", cleaned):
        parts = re.findall(r"([0-9]{1,15})(ms|[smhdw])", cleaned)
        total = sum(int(count) * _UNITS_MS[unit] for count, unit in parts)
    if total <= 0:
        what = "a duration needs a unit" if bare and not bare_ms else "not a duration"
        raise ConfigError(f"{what}: {text!r}; write for instance 90s, 24h, 30d or 1d12h")
    return total


def format_duration(ms: int) -> str:
    """Write milliseconds as `1d12h`, the form that `parse_duration` reads."""
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0ms"


def format_moment(ms: int) -> str:
    """Write a time so that people and programs can read it."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_steady_ns() -> int:
    """Read the clock that nobody sets and that goes on while the machine sleeps."""
    return time.monotonic_ns() if _STEADY is None else time.clock_gettime_ns(_STEADY)


class Clock(Protocol):
    """Where the network reads the time, in milliseconds since 1970."""

    def now(self) -> int:
        """Return the present moment."""
        ...


class VirtualClock:
    """Time that moves only when it is told to: thirty days take as long as their inference."""

    def __init__(self, now_ms: int = GENESIS_MS) -> None:
        self._now_ms = now_ms

    def now(self) -> int:
        """Return the present moment."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """Move on. Raises: ValueError if that would be backwards."""
        if now_ms < self._now_ms:
            raise ValueError(f"time cannot run backwards, from {self._now_ms} to {now_ms}")
        self._now_ms = now_ms


class WallClock:
    """The machine's own time, kept from running backwards and from leaping ahead.

    While the network's time is ahead of the machine's, it goes at half pace until that has come
    up. When the machine's leaps ahead by more than `LEAP_MS`, it is not followed until it comes
    back: the network's time goes on by the steady clock. That one goes on while the machine
    sleeps, so a sleep is no leap.

    Args:
        ahead: go on from a kept time that is ahead of the machine's by more than `LEAP_MS`.
        wall_ns: reads the machine's time, in nanoseconds since 1970.
        steady_ns: reads a clock that nobody sets, in nanoseconds since any moment.
    """

    def __init__(
        self,
        *,
        ahead: bool = False,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = read_steady_ns,
    ) -> None:
        self._may_be_ahead = ahead
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._lock = Lock()
        self._latest_ns = wall_ns()
        self._steady_then_ns = steady_ns()
        self._off_ns = 0
        self._was_off = False

    def go_on_from(self, now_ms: int, where: str) -> None:
        """Never say less than this: a network's time goes on from where it was.

        Args:
            now_ms: the kept time.
            where: what keeps it, for the error.

        Raises: ConfigError if that is ahead of the present moment by more than `LEAP_MS`.
        """
        here_ms = self.now()
        if now_ms - here_ms > LEAP_MS and not self._may_be_ahead:
            kept, here = format_moment(now_ms), format_moment(here_ms)
            raise ConfigError(
                f"{where} is at {kept}, {_length(now_ms - here_ms)} ahead of this machine's"
                f" clock, {here}: set the clock if it is wrong; if it was wrong before, go on from"
                " there, at half pace until the clock has come up, with: benchpool up --ahead"
            )
        with self._lock:
            self._latest_ns = max(self._latest_ns, now_ms * _MS)

    def now(self) -> int:
        """Return the present moment."""
        with self._lock:
            wall_ns, steady_ns = self._wall_ns(), self._steady_ns()
            gone_ns = max(0, steady_ns - self._steady_then_ns)
            self._steady_then_ns = steady_ns
            expected_ns = self._latest_ns + gone_ns
            self._off_ns = wall_ns - expected_ns
            if self._off_ns < 0:
                self._latest_ns = max(wall_ns, self._latest_ns + gone_ns // 2)
            elif self._off_ns <= _LEAP_NS:
                self._latest_ns = wall_ns
            else:
                self._latest_ns = expected_ns
            if (abs(self._off_ns) > _LEAP_NS) != self._was_off:
                self._was_off = not self._was_off
                log.warning("%s", self.trouble() or "the machine's clock is right again")
            return self._latest_ns // _MS

    @property
    def off_ms(self) -> int:
        """How far the machine's time was ahead of the network's when that was last read."""
        return self._off_ns // _MS

    def trouble(self) -> str:
        """Say how the machine's clock is wrong, or the network's time; empty if neither is."""
        off_ms = self.off_ms
        if abs(off_ms) <= LEAP_MS:
            return ""
        if off_ms > 0:
            return (
                f"the machine's clock leapt ahead by {_length(off_ms)} and is not followed; set it"
                " right, or restart the server if it is right now"
            )
        return (
            f"the network's time is {_length(-off_ms)} ahead of the machine's clock; it goes at"
            " half pace until that has come up"
        )


def _length(ms: int) -> str:
    """Write a length of time, to the minute."""
    return format_duration(ms - ms % MINUTE_MS)
