"""Events: pages left open are told that what they show has changed, so that they ask for it again.

One task looks for all of them, at most twice a second and the less often the longer looking takes,
which is by the clock: the more others want the interpreter, the longer. A page that changed is made
once, however many have it open, and lies ready when they are told and ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import suppress
from typing import Final

from benchpool.errors import BenchpoolError, Unavailable
from benchpool.server.dashboard.reader import Reader
from benchpool.server.dashboard.shown import Gallery, Place, mark_of

TICK_S: Final = 0.5
"""The shortest time between two looks."""
SHARE: Final = 40
"""Looking, and making and giving the pages that changed, take one part of so many."""
GIVEN_S: Final = 0.004
"""What it takes to give somebody a page that is made, with a connection of its own."""
LONGEST_S: Final = 30.0
"""The longest time between two looks, whatever they take."""
MOST_FOLLOWERS: Final = 128
"""Pages that are told at a time; more are refused, and go on without."""
ALIVE_S: Final = 15.0
"""How often a page is sent something even if nothing changed."""


class Follower:
    """A page that is left open."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.mark: str | None = None
        """Of what it was told of, or shows; None before that is known."""
        self.looked = 0
        """Which of all looks was the last at it."""
        self.changed = asyncio.Event()


class Events:
    """Tells open pages what has changed. All is called in the event loop.

    Args:
        reader: looks.
        gallery: makes pages.
    """

    def __init__(self, reader: Reader, gallery: Gallery) -> None:
        self._reader = reader
        self._gallery = gallery
        self._followers: set[Follower] = set()
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._seen: Hashable = None
        self._looks = 0
        self._due: dict[str, Place] = {}
        """Pages that may have changed since they were looked at, those that wait longest first."""

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
            follower.mark = await self._gallery.renew(place)
            if follower.mark != seen:
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
        while not self._ended:
            await asyncio.sleep(await self.turn())

    async def turn(self) -> float:
        """Look for a while at the pages that may have changed; return how long to rest, in s.

        What is not looked at in that time comes first the next time.
        """
        if self._reader.moment != self._seen:
            self._seen = self._reader.moment
            longest_ago = sorted(self._followers, key=lambda each: each.looked)
            self._due |= {each.place.url: each.place for each in longest_ago}
        began_s, told = self._reader.spent_s, 0
        while self._due and self._reader.spent_s - began_s < LONGEST_S / SHARE:
            url = next(iter(self._due))
            try:
                told += await self._tell(self._due[url])
            except Unavailable:
                break
            del self._due[url]
        spent_s = self._reader.spent_s - began_s + told * GIVEN_S
        return min(max(TICK_S, SHARE * spent_s), LONGEST_S)

    async def _tell(self, place: Place) -> int:
        """Tell those whose page changed; return how many. Raises: Unavailable."""
        following = [each for each in self._followers if each.place.url == place.url]
        if not following:
            return 0
        try:
            mark = await self._gallery.renew(place)
        except Unavailable:
            raise
        except BenchpoolError as error:
            mark = mark_of(str(error))
        self._looks += 1
        for each in following:
            each.looked = self._looks
        behind = [each for each in following if each.mark not in (mark, None)]
        for each in behind:
            each.mark = mark
            each.changed.set()
        return len(behind)
