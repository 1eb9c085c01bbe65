"""Connections: all of one server's, of all its ports, watched all the time.

Who sends nothing, a byte now and then, or does not take what it asked for, holds up nobody: its
connection ends. When there are as many as may be, the one that waits longest makes room.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from benchpool.server.bounds import Bounds
from benchpool.server.metrics import Metrics

if TYPE_CHECKING:
    from benchpool.server.protocol import Protocol

_LARGE_BYTES: Final = 16 << 20
"""When so much was held and let go, the system gets it back."""


class Connections:
    """Counts, and looks after, the connections of a server.

    Args:
        bounds: see `Bounds`.
        metrics: is told what had to be ended, and why.
    """

    def __init__(self, bounds: Bounds, metrics: Metrics) -> None:
        self.bounds = bounds
        self._metrics = metrics
        self._open: set[Protocol] = set()
        self._unsent = 0
        """At least what waits to be sent: counted up with each answer, and anew now and then."""
        self.bodies_bytes = 0
        """Of bodies in memory."""
        self._held_most = 0
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look after connections; call it in the event loop."""
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End all that is left."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        for each in list(self._open):
            each.abort()

    def __len__(self) -> int:
        return len(self._open)

    # -- coming and going --------------------------------------------------------------------

    def add(self, new: Protocol) -> bool:
        """Take a connection in; False if there is no room, nor one that could make it."""
        if len(self._open) >= self.bounds.connections:
            awaited = [(each.awaited_since, id(each), each) for each in self._open]
            found = min((each for each in awaited if each[0] is not None), default=None)
            if found is None:
                self._ended("full")
                return False
            oldest = found[-1]
            self._open.discard(oldest)
            self._ended("replaced")
            oldest.abort()
        self._open.add(new)
        return True

    def discard(self, gone: Protocol) -> None:
        """Forget a connection."""
        self._open.discard(gone)

    # -- memory ------------------------------------------------------------------------------

    def hold(self, size: int) -> bool:
        """Count bytes of a body in; False, and nothing is counted, if there is no room for them."""
        if self.bodies_bytes + size > self.bounds.bodies_bytes:
            return False
        self.bodies_bytes += size
        self._held_most = max(self._held_most, self.bodies_bytes)
        return True

    def release(self, size: int) -> None:
        """Count bytes of a body out."""
        self.bodies_bytes -= size

    def unsent_bytes(self) -> int:
        """Return how many bytes of answers clients have not taken."""
        return sum(each.unsent for each in self._open)

    def sent(self, size: int) -> None:
        """Count bytes of an answer; clients that have not taken theirs for longest make room."""
        self._unsent += size
        if self._unsent <= self.bounds.unsent_bytes:
            return
        self._unsent = self.unsent_bytes()
        self._held_most = max(self._held_most, self._unsent)
        waiting = sorted(
            (each for each in self._open if each.unsent), key=lambda each: each.stalled_since
        )
        for each in waiting:
            if self._unsent <= self.bounds.unsent_bytes:
                return
            self._unsent -= each.unsent
            self._ended("unsent")
            each.abort()

    # -- time --------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self.bounds.look_s)
            now_s = monotonic()
            for each in list(self._open):
                why = each.overdue(now_s)
                if why:
                    self._ended(why)
            self._unsent = self.unsent_bytes()
            if self._held_most > _LARGE_BYTES > self.bodies_bytes + self._unsent:
                self._held_most = 0
                await asyncio.to_thread(give_memory_back)

    def _ended(self, why: str) -> None:
        self._metrics.dropped.labels(why).inc()


def give_memory_back() -> None:
    """Have the system take back what was let go; the C library would keep it for later."""
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def written(status: int, reason: str, error: str) -> bytes:
    """Write a whole answer to what cannot be read as a request; the connection is closed then."""
    body = json.dumps({"error": error}).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
