"""Lookups: the gateway's own thread and connection, so that nobody's message waits for a query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from benchpool.errors import Unavailable
from benchpool.store import Store
from benchpool.store.opening import open_store

T = TypeVar("T")


class Lookups:
    """Looks at what is committed: that is all that was acknowledged.

    Args:
        path: the home's database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="benchpool-gateway")
        self._store: Store | None = None

    async def read(self, work: Callable[[Store], T]) -> T:
        """Look at one moment of the network. Raises: what the work raises; Unavailable."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._look, work)
        except RuntimeError as error:
            raise Unavailable(f"the server is stopping: {error}") from None

    def _look(self, work: Callable[[Store], T]) -> T:
        if self._store is None:
            self._store = open_store(self._path, read_only=True)
        try:
            return work(self._store)
        finally:
            # Else the moment would be kept, and the write-ahead log could not be shortened.
            self._store.refresh()

    def close(self) -> None:
        """End the thread and let go of the database."""
        self._thread.shutdown(cancel_futures=True)
        if self._store is not None:
            self._store.close()
