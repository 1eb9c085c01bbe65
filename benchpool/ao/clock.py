"""Time: handlers know only the timestamp and block height that a clock gave their message."""

from __future__ import annotations

import re
import time
from typing import Protocol

from benchpool.errors import ConfigError

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
    """The machine's own time, kept from running backwards."""

    def __init__(self) -> None:
        self._latest_ms = 0

    def go_on_from(self, now_ms: int) -> None:
        """Never say less than this: a network's time goes on from where it was."""
        self._latest_ms = max(self._latest_ms, now_ms)

    def now(self) -> int:
        """Return the present moment."""
        self._latest_ms = max(self._latest_ms, time.time_ns() // 1_000_000)
        return self._latest_ms
