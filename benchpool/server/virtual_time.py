"""Virtual time of a served network: moved on when somebody asks, one due moment after the other."""

from __future__ import annotations

import asyncio
from typing import Final

from benchpool.ao.clock import SECOND_MS
from benchpool.errors import ConfigError, Unavailable
from benchpool.network import Network
from benchpool.server.bus import Bus

LOOK_S: Final = 1.0


class VirtualTime:
    """Moves a network's time on, as `Network.advance` does while nobody serves it.

    Time stands still until all that came of a moment's ticks is done, models' answers too: the log
    is the one that there would be without a server.

    Args:
        bus: of the network.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._moving = asyncio.Lock()

    async def advance(self, length_ms: int) -> tuple[int, int]:
        """Move time on; return how many ticks ran, and what time it is, in milliseconds.

        Raises: ConfigError on the wall clock, or for a time that there is not; Unavailable while
            time is moved on already.
        """
        network = self._bus.network
        if not self._bus.is_virtual:
            raise ConfigError(
                "this network runs on the wall clock, which cannot be advanced; serve a home in"
                " virtual time with: benchpool up --virtual"
            )
        if length_ms < 0:
            raise ConfigError("time does not go back")
        if self._moving.locked():
            raise Unavailable("time is being moved on already; ask again when that is done")
        async with self._moving:
            await self._bus.idle()
            until_ms = await self._bus.read(network.clock.now) + length_ms
            count, now_ms = 0, -1
            while now_ms < until_ms:
                ticks, now_ms = await self._bus.write(lambda: _step(network, until_ms))
                count += ticks
                await self._bus.idle()
            return count, now_ms


def _step(network: Network, until_ms: int) -> tuple[int, int]:
    """Move on to the next moment at which anything is due; the network's thread calls this."""
    now_ms, due_s = network.clock.now(), network.timeline.wait_s()
    left_ms = until_ms - now_ms
    step_ms = left_ms if due_s is None else min(left_ms, round(due_s * SECOND_MS))
    ticks = network.advance(step_ms)
    return ticks, network.clock.now()
