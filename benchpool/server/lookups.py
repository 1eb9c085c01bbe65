"""Lookups: the gateway's own threads and connections, so that nobody's message waits for a query.

What is found by its id is quick and has a thread of its own; searches have another, folds over logs
a third, and both have a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from benchpool.errors import Unavailable
from benchpool.store import Store
from benchpool.store.opening import open_store

T = TypeVar("T")

_LOOK_S: Final = 0.25
"""How often it is looked whether a client is still there."""


class LookupEnded(Unavailable):
    """A look-up took too long, its client left, or the server stops."""


class View:
    """One moment of the network, for somebody who may not look for ever.

    Args:
        deadline_s: of `time.monotonic`.
        stopping: whether the server stops.
    """

    store: Store
    """What is looked at; set by the thread that looks."""

    def __init__(self, deadline_s: float, stopping: Event) -> None:
        self.deadline_s = deadline_s
        self.ended = False
        """Set by whoever asked, when nobody waits any more."""
        self._stopping = stopping

    def over(self) -> bool:
        """Tell whether to stop looking."""
        return self.ended or self._stopping.is_set() or monotonic() > self.deadline_s

    def check(self) -> None:
        """Go on only if there is time, and somebody waits. Raises: LookupEnded."""
        if self.over():
            raise LookupEnded("this look-up takes too long; ask for less")


class Lookups:
    """Looks at what is committed: that is all that was acknowledged.

    Args:
        path: the home's database.
        search_s: the time for a search, with its wait for those before it.
    """

    def __init__(self, path: Path, search_s: float) -> None:
        self._search_s = search_s
        self._stopping = Event()
        self._by_id = _Looker(path, "benchpool-gateway", self._stopping)
        self._searches = _Looker(path, "benchpool-search", self._stopping)
        self._folds = _Looker(path, "benchpool-folds", self._stopping)

    async def find(self, request: Request, work: Callable[[View], T]) -> T:
        """Look up what has an id. Raises: what the work raises; Unavailable; ClientDisconnect."""
        return await self._by_id.look(request, work, self._search_s)

    async def search(self, request: Request, work: Callable[[View], T]) -> T:
        """Search. Raises: what the work raises; Unavailable; ClientDisconnect."""
        return await self._searches.look(request, work, self._search_s)

    async def fold(self, request: Request, work: Callable[[View], T]) -> T:
        """Go through a log. Raises: what the work raises; Unavailable; ClientDisconnect."""
        return await self._folds.look(request, work, self._search_s)

    def refuse(self) -> None:
        """End what is under way, and take no more."""
        self._stopping.set()

    def close(self) -> None:
        """End the threads and let go of the database."""
        self.refuse()
        self._by_id.close()
        self._searches.close()
        self._folds.close()


class _Looker:
    """One thread with a connection."""

    def __init__(self, path: Path, name: str, stopping: Event) -> None:
        self._path = path
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._store: Store | None = None
        self._view: View | None = None

    async def look(self, request: Request, work: Callable[[View], T], seconds: float) -> T:
        view = View(monotonic() + seconds, self._stopping)
        try:
            future = asyncio.get_running_loop().run_in_executor(
                self._thread, self._look, view, work
            )
        except RuntimeError as error:
            raise Unavailable(f"the server is stopping: {error}") from None
        try:
            while True:
                done, _ = await asyncio.wait({future}, timeout=_LOOK_S)
                if done:
                    return future.result()
                if monotonic() > view.deadline_s + _LOOK_S:
                    raise LookupEnded("too many look-ups are under way; ask again later")
                if await request.is_disconnected():
                    raise ClientDisconnect
        finally:
            view.ended = True
            future.add_done_callback(_forget)

    def _look(self, view: View, work: Callable[[View], T]) -> T:
        view.check()  # it may have waited until nobody did
        if self._store is None:
            self._store = open_store(self._path, read_only=True)
            self._store.interrupt_when(lambda: self._view is not None and self._view.over())
        view.store, self._view = self._store, view
        try:
            return work(view)
        except Exception:
            view.check()  # SQLite was interrupted
            raise
        finally:
            self._view = None
            # Else the moment would be kept, and the write-ahead log could not be shortened.
            self._store.refresh()

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._store is not None:
            self._store.close()


def _forget(future: asyncio.Future[Any]) -> None:
    """Take note of how it ended, so that nobody is told that nobody did."""
    if not future.cancelled():
        future.exception()
