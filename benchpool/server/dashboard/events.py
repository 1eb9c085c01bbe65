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
GIVEN_S: Final = 0.002
"""What it takes to give somebody a page that is made."""
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
        seen: Hashable = None
        while not self._ended:
            before_s, told = self._reader.spent_s, 0
            if self._followers and self._reader.moment != seen:
                seen = self._reader.moment
                try:
                    told = await self._tell()
                except Unavailable:
                    seen = None  # it is looked again
            await asyncio.sleep(TICK_S)
            spent_s = self._reader.spent_s - before_s + told * GIVEN_S
            await asyncio.sleep(min(SHARE * spent_s, LONGEST_S))

    async def _tell(self) -> int:
        """Tell those whose page changed; return how many. Raises: Unavailable."""
        told = 0
        for url, place in {each.place.url: each.place for each in self._followers}.items():
            try:
                mark = await self._gallery.renew(place)
            except Unavailable:
                raise
            except BenchpoolError as error:
                mark = mark_of(str(error))
            for each in self._followers:
                if each.place.url == url and each.mark not in (mark, None):
                    each.mark = mark
                    each.changed.set()
                    told += 1
        return told
