"""What the routes of one server share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_urlsafe

from fastapi import Request

from benchpool.errors import ConfigError, Unavailable
from benchpool.network import Network
from benchpool.server.access import Access
from benchpool.server.answers import RefusedRequest
from benchpool.server.assignments import Assignments
from benchpool.server.bounds import more_files
from benchpool.server.bus import Bus
from benchpool.server.connections import Connections
from benchpool.server.damage import Damage
from benchpool.server.dashboard.dashboard import Dashboard
from benchpool.server.lookups import Lookups
from benchpool.server.metrics import Metrics
from benchpool.server.progress import Progress
from benchpool.server.recent import Recent
from benchpool.server.reserves import Reserves
from benchpool.server.virtual_time import VirtualTime

MU_BODY_BYTES = 10 << 20
CU_BODY_BYTES = 1 << 20
_MONITORED = "note monitored"
"""The fact that keeps which processes are monitored."""


OnRequest = Callable[[str, str, int, float], None]
"""Called with method, path with query, status, and the seconds until the answer began."""


@dataclass
class Context:
    """One server."""

    network: Network
    bus: Bus
    metrics: Metrics
    connections: Connections
    access: Access
    url: str = ""
    """Where the gateway is; the units are below it."""
    su_url: str = ""
    token: str = field(default_factory=token_urlsafe)
    """What the command line shows to be let in."""
    acting: bool = True
    """Whether somebody can act from the pages, with the token."""
    on_request: OnRequest | None = None
    """Is told of every request when it is answered."""
    waiting: int = 0
    """Requests that wait for an evaluation."""
    progress: Progress = field(default_factory=Progress)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="benchpool-http")
    )

    def __post_init__(self) -> None:
        self.assignments = Assignments(self.network)
        if self.network.home is None:
            raise ConfigError("a network in memory cannot be served; give it a home")
        home = self.network.home
        self.damage = Damage()
        self.lookups = Lookups(home.database, self.connections.bounds.search_s)
        self.time = VirtualTime(self.bus)
        self.dashboard = Dashboard(self.bus, self.progress)
        self.reserves = Reserves(
            home.folder,
            self.network.data,
            self.network.limits,
            files=more_files(),
            most_uploads=self.connections.bounds.uploads,
        )

    def close(self) -> None:
        """End the threads of the routes."""
        self.threads.shutdown(cancel_futures=True)
        self.lookups.close()
        self.dashboard.close()

    @property
    def recent(self) -> Recent:
        """The newest results."""
        return self.bus.recent

    def monitors(self) -> list[str]:
        """Return the processes that somebody monitors; the bus's thread calls this."""
        return (self.network.store.fact(_MONITORED) or "").split()

    def set_monitors(self, processes: list[str]) -> None:
        """Keep which processes are monitored; the bus's thread calls this."""
        self.network.store.set_fact(_MONITORED, " ".join(processes))


class Held:
    """What one request keeps in memory of its body, until it is answered."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.body_s = connections.bounds.body_s
        self._size = 0
        self._counted = 0

    def add(self, size: int) -> None:
        """Keep so many bytes more. Raises: Unavailable if requests hold too many already."""
        self._size += size
        over = self._size - self._connections.bounds.body_free_bytes - self._counted
        if over > 0:
            if not self._connections.hold(over):
                raise Unavailable("the server holds too many large requests; send it again later")
            self._counted += over

    def release(self) -> None:
        """Keep nothing any more."""
        self._connections.release(self._counted)
        self._size = self._counted = 0


async def read_body(request: Request, most: int) -> bytes:
    """Read a request's body.

    Raises: RefusedRequest with status 413 if it is too large; Unavailable.
    """
    too_large = RefusedRequest(f"the body is larger than {most:,} bytes", 413)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > most:
        raise too_large
    held: Held = request.scope["held"]
    body = bytearray()
    try:
        async with asyncio.timeout(held.body_s):
            async for part in request.stream():
                if len(body) + len(part) > most:
                    raise too_large
                held.add(len(part))
                body += part
    except TimeoutError:
        raise RefusedRequest("the body comes too slowly", 408) from None
    return bytes(body)
