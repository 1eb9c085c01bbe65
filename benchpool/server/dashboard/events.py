"""Events: pages left open are told that what they show has changed, so that they ask for it again.

One task looks for all of them, at most twice a second and the less often the longer looking takes:
who follows costs the network a twentieth of its time at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import suppress
from typing import Final

from benchpool.errors import BenchpoolError, Unavailable
from benchpool.network import Network
from benchpool.server.dashboard.reader import Reader
from benchpool.server.dashboard.shown import Gallery, Place, mark_of

TICK_S: Final = 0.5
"""The shortest time between two looks."""
SHARE: Final = 20
"""Looking, and the views that are made because of it, take one part of so many."""
LONGEST_S: Final = 30.0
"""The longest time between two looks, whatever they take."""
MOST_FOLLOWERS: Final = 128
"""Pages that are told at a time; more are refused, and go on without."""
NOT_SEEN: Final = object()
"""The version of a page that was not looked at yet."""
ALIVE_S: Final = 15.0
"""How often a page is sent something even if nothing changed."""


class Follower:
    """A page that is left open."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.version: Hashable = NOT_SEEN
        self.changed = asyncio.Event()


class Events:
    """Tells open pages what has changed. All is called in the event loop.

    Args:
        reader: looks.
        gallery: knows what a page changes with.
    """

    def __init__(self, reader: Reader, gallery: Gallery) -> None:
        self._reader = reader
        self._gallery = gallery
        self._followers: set[Follower] = set()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    async def follow(self, place: Place, seen: str) -> AsyncIterator[bytes]:
        """Give the lines of an event stream, until the client leaves or the server stops.

        Args:
            place: what is followed.
            seen: the mark of what the client shows.

        Raises: Unavailable if too many follow already.
        """
        if self._ended or len(self._followers) >= MOST_FOLLOWERS:
            raise Unavailable("too many pages are open; this one does not follow")
        follower = Follower(place)
        self._followers.add(follower)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            versions = await self._reader.look(
                lambda network: self._versions(network, {place.url: place})
            )
            follower.version = versions[place.url]
            if mark_of(follower.version) != seen:
                follower.changed.set()
            yield b"retry: 2000\n\n"
            while not self._ended:
                try:
                    async with asyncio.timeout(ALIVE_S):
                        await follower.changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if self._ended:
                    break
                follower.changed.clear()
                yield b"event: changed\ndata: \n\n"
        finally:
            self._followers.discard(follower)

    async def end(self) -> None:
        """End all streams."""
        self._ended = True
        for each in self._followers:
            each.changed.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self) -> None:
        seen: Hashable = None
        while not self._ended:
            before_s = self._reader.spent_s
            if self._followers and self._reader.moment != seen:
                seen = self._reader.moment
                with suppress(BenchpoolError):  # it is looked again, and the page says why
                    await self._tell()
            await asyncio.sleep(TICK_S)
            await asyncio.sleep(min(SHARE * (self._reader.spent_s - before_s), LONGEST_S))

    async def _tell(self) -> None:
        places = {each.place.url: each.place for each in self._followers}
        versions = await self._reader.look(lambda network: self._versions(network, places))
        for each in self._followers:
            if each.place.url in versions and each.version is not NOT_SEEN:
                if versions[each.place.url] != each.version:
                    each.changed.set()
                each.version = versions[each.place.url]

    def _versions(self, network: Network, places: dict[str, Place]) -> dict[str, Hashable]:
        found: dict[str, Hashable] = {}
        for url, place in places.items():
            try:
                found[url] = self._gallery.version(network, place)
            except BenchpoolError as error:
                found[url] = str(error)
        return found
