"""What the routes of one server share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from secrets import token_urlsafe

from fastapi import Request

from benchpool.errors import ConfigError
from benchpool.network import Network
from benchpool.server.answers import RefusedRequest
from benchpool.server.assignments import Assignments
from benchpool.server.bus import Bus
from benchpool.server.lookups import Lookups
from benchpool.server.metrics import Metrics
from benchpool.server.progress import Progress
from benchpool.server.recent import Recent

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
    url: str = ""
    """Where the gateway is; the units are below it."""
    su_url: str = ""
    token: str = field(default_factory=token_urlsafe)
    """What the command line shows to be let in."""
    on_request: OnRequest | None = None
    """Is told of every request when it is answered."""
    progress: Progress = field(default_factory=Progress)
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(4, thread_name_prefix="benchpool-http")
    )

    def __post_init__(self) -> None:
        self.assignments = Assignments(self.network)
        if self.network.home is None:
            raise ConfigError("a network in memory cannot be served; give it a home")
        self.lookups = Lookups(self.network.home.database)

    def close(self) -> None:
        """End the threads of the routes."""
        self.threads.shutdown(cancel_futures=True)
        self.lookups.close()

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


async def read_body(request: Request, most: int) -> bytes:
    """Read a request's body. Raises: Refused with status 413 if it is too large."""
    too_large = RefusedRequest(f"the body is larger than {most:,} bytes", 413)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large
        parts.append(part)
    return b"".join(parts)
