"""Reader: what pages look at, a network of their own that only reads, beside the served one.

It is used by one thread, never by the bus's, and sees what is committed: all that was acknowledged.
What the bus has folded it does not fold again: the bus writes memories of what a page shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic, perf_counter
from typing import Final, TypeVar

from benchpool.ao.clock import VirtualClock
from benchpool.errors import Unavailable
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.server.dashboard.page import Seen
from benchpool.store import Checkpoint
from benchpool.units.limits import Limits

T = TypeVar("T")

LOOK_S: Final = 5.0
"""The time for one view, with its wait for those before it."""
MOST_WAITING: Final = 64
"""Views that may wait; more are refused."""
MEMORIES_S: Final = 0.5
"""How long the bus may take to write memories; behind that, logs are folded."""

Memories = Callable[[Mapping[str, int]], Awaitable[Mapping[str, Checkpoint]]]
"""Gives the memories of processes that went much further than somebody knows them."""


class Reader:
    """Looks at a home that a server writes to.

    Args:
        home: the folder.
        registry: the modules of the served network.
        limits: of the served network; here a handler gets `LOOK_S` at most.
        moment: says what changes with every commit of the served network, and with whatever else
            pages show.
        memories: asks the bus, see `Following.memories`.
        now_ms: says what time it is there, in milliseconds.
    """

    def __init__(
        self,
        home: Path,
        *,
        registry: Registry,
        limits: Limits,
        moment: Callable[[], Hashable],
        memories: Memories,
        now_ms: Callable[[], int],
    ) -> None:
        self._home = home
        self._registry = registry
        self._limits = replace(limits, evaluation_seconds=LOOK_S)
        self._moment = moment
        self._memories = memories
        self._now_ms = now_ms
        self._seen = Seen(None, 0.0)
        self._positions: dict[str, int] = {}
        self._network: Network | None = None
        self._waiting = 0
        self._stopping = Event()
        self._deadline_s = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="benchpool-pages")
        self.spent_s = 0.0
        """What all views together have taken."""

    @property
    def moment(self) -> Hashable:
        """What changes with everything that pages show."""
        return self._moment()

    @property
    def seen(self) -> Seen:
        """What is being looked at; on the reader's thread."""
        return self._seen

    def note(self, work: Callable[[Network], T]) -> tuple[T, frozenset[str]]:
        """Look at a network and note which processes are asked for; on the reader's thread."""
        network = self._network
        assert network is not None, "it is being looked at"
        network.compute.following.catch_up()
        return work(network), network.compute.following.asked_for()

    async def look(self, work: Callable[[Network], T], asks: Collection[str] = ()) -> T:
        """Have a network looked at, as it stands now.

        Args:
            work: looks.
            asks: the processes that it will ask for, as far as that is known.

        Raises: what the work raises; Unavailable if it takes too long, or the server stops.
        """
        if self._stopping.is_set():
            raise Unavailable("the server is stopping")
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many pages are asked for; ask again later")
        self._waiting += 1
        try:
            memories = await self._ask_for(asks)
            deadline_s = monotonic() + LOOK_S
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._thread, self._look, work, memories, deadline_s)
        except BaseException:
            self._waiting -= 1
            raise
        future.add_done_callback(self._done)
        try:
            # Who leaves does not end it: somebody else may ask for the same.
            return await asyncio.wait_for(asyncio.shield(future), 2 * LOOK_S)
        except TimeoutError:
            raise Unavailable("this page takes too long; ask again later") from None

    async def _ask_for(self, processes: Collection[str]) -> Mapping[str, Checkpoint]:
        """Ask the bus for the memories of processes, before the moment that shows them is taken."""
        if not processes:
            return {}
        known = self._positions
        try:
            async with asyncio.timeout(MEMORIES_S):
                return await self._memories({each: known.get(each, -1) for each in processes})
        except (TimeoutError, Unavailable):
            return {}  # the bus is at something long, or at its end: what is written will do

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # else it would be reported that nobody took note of it

    def _look(
        self,
        work: Callable[[Network], T],
        memories: Mapping[str, Checkpoint],
        deadline_s: float,
    ) -> T:
        self._deadline_s = deadline_s
        self._check()
        began_s = perf_counter()
        try:
            network = self._open()
            if not self.spent_s:
                began_s = perf_counter()  # to open the home is done once
            network.compute.following.take_over(memories)
            return work(network)
        except Exception:
            self._check()  # SQLite was interrupted
            raise
        finally:
            if self._network is not None:
                # Else the moment would be kept, and write-ahead logs could not be shortened.
                self._network.compute.following.forget_databases()
                self._network.store.refresh()
                self._positions = self._network.compute.following.positions()
            self.spent_s += perf_counter() - began_s

    def _open(self) -> Network:
        """Return the network as it stands now."""
        seen = Seen(self._moment(), monotonic())
        if self._network is None:
            self._network = Network(
                self._home, registry=self._registry, limits=self._limits, read_only=True
            )
            self._network.store.interrupt_when(self._over)
        elif seen.moment != self._seen.moment:
            self._network.refresh()
        self._seen = seen
        clock = self._network.clock
        if isinstance(clock, VirtualClock) and self._now_ms() > clock.now():
            clock.set(self._now_ms())
        return self._network

    def _over(self) -> bool:
        return self._stopping.is_set() or monotonic() > self._deadline_s

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Unavailable("the server is stopping")
        if self._over():
            raise Unavailable("this page takes too long; ask again later")

    def refuse(self) -> None:
        """End what is under way, and take no more."""
        self._stopping.set()

    def close(self) -> None:
        """End the thread and let go of the home."""
        self.refuse()
        self._thread.shutdown(cancel_futures=True)
        if self._network is not None:
            self._network.store.interrupt_when(lambda: False)
            self._network.close()
