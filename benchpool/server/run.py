"""Running a server: a network on its sockets, and the file that tells other commands of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from secrets import token_urlsafe
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from benchpool.ao.clock import SECOND_MS
from benchpool.errors import StoreError
from benchpool.network import Network
from benchpool.server.access import Access
from benchpool.server.app import make_app
from benchpool.server.bounds import DEFAULT_BOUNDS, Bounds, connections_for, more_files
from benchpool.server.bus import Bus
from benchpool.server.connections import Connections
from benchpool.server.context import Context, OnRequest
from benchpool.server.metrics import Metrics
from benchpool.server.protocol import Protocol
from benchpool.server.sockets import DEFAULT_OPTIONS, Addresses, Options, Sockets, listen, url_of
from benchpool.store.server_file import ServerFile, forget_server, write_server

GRACE_S = 5
"""How long requests under way may take after somebody wants to stop."""


class Server:
    """One network, served.

    Args:
        network: with a wall clock; it is closed at the end.
        options: where to listen.
        sockets: what `listen` gave for these options, if it was called before.
        on_request: see `OnRequest`.
        bounds: what it holds of its clients.
        token: what lets the command line, and who acts from pages, in; by default a new one.
    """

    def __init__(
        self,
        network: Network,
        options: Options = DEFAULT_OPTIONS,
        sockets: Sockets | None = None,
        *,
        on_request: OnRequest | None = None,
        bounds: Bounds = DEFAULT_BOUNDS,
        token: str = "",
    ) -> None:
        self._network = network
        self._options = options
        self._sockets = sockets
        self._on_request = on_request
        self._token = token or token_urlsafe()
        self._metrics = Metrics()
        self.context: Context | None = None
        """What its parts share, while it serves."""
        self._connections = bounded_connections(bounds, self._metrics)
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.failure: BaseException | None = None

    async def serve(self, on_ready: Callable[[Addresses], None] = lambda _: None) -> None:
        """Serve until `stop` is called, or the network fails.

        Raises: ConfigError if an address is taken; StoreError if the network cannot go on.
        """
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        network = self._network
        try:
            sockets = self._sockets or listen(self._options)
            bus = Bus(network, self._metrics, self._failed)
            self.context = context = self._context(bus, sockets)
            try:
                await self._serve(context, sockets, on_ready)
            finally:
                await bus.stop()
                context.close()
        finally:
            if self.failure is None:
                network.close()
            else:
                network.close(abort=True)
        if self.failure is not None:
            raise StoreError(f"the network could not go on: {self.failure}") from self.failure

    async def _serve(
        self,
        context: Context,
        sockets: Sockets,
        on_ready: Callable[[Addresses], None],
    ) -> None:
        assert self._stopping is not None, "serve was called"
        bus = context.bus
        apps = [make_app(context, None if unit == "all" else unit) for unit in sockets]
        bus.start()
        listeners = Listeners(self._connections, list(sockets.values()), apps)
        listeners.start()
        home = self._network.home
        assert home is not None, "the context has looked"
        write_server(home.folder, ServerFile(url=context.url, token=context.token))
        try:
            on_ready(self._addresses(context, sockets))
            await self._stopping.wait()
        finally:
            forget_server(home.folder)
            bus.refuse()
            context.lookups.refuse()
            await context.dashboard.end()
            await listeners.stop()

    def stop(self) -> None:
        """Take no more requests, and end; may be called from any thread."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        self.stop()

    def _context(self, bus: Bus, sockets: Sockets) -> Context:
        url = url_of(sockets["all"])
        su_url = url_of(sockets["su"]) if "su" in sockets else f"{url}/su"
        options = self._options
        context = Context(
            self._network,
            bus,
            self._metrics,
            self._connections,
            Access(options.host, options.allow_hosts, options.allow_origins),
            url=url,
            su_url=su_url,
            token=self._token,
            acting=not options.read_only,
            on_request=self._on_request,
        )
        self._measure(context)
        return context

    def _measure(self, context: Context) -> None:
        network, metrics, bus = self._network, self._metrics, context.bus

        def observe(kind: str, messages: Sequence[Any], results: Sequence[Any], s: float) -> None:
            metrics.evaluation_seconds.labels(kind).observe(s)
            for message, result in zip(messages, results, strict=True):
                info = network.logs.find_process(message.process)
                if info is None:
                    continue
                metrics.messages.labels(
                    network.registry.name(info.module), "error" if result.error else "ok"
                ).inc()
                bus.recent.evaluated(message, result, info)
            if kind == "heavy":
                context.progress.ended(messages[0].process)

        network.messenger.observe(observe)
        network.on_inference(context.progress.report)
        metrics.watch(
            "benchpool_queue_depth", "Requests that wait for the network.", lambda: bus.waiting
        )
        metrics.watch(
            "benchpool_http_connections", "Connections open now.", lambda: len(self._connections)
        )
        metrics.watch(
            "benchpool_ticking_processes",
            "Processes whose cron ticks wait for their turn.",
            lambda: network.timeline.waiting,
        )
        metrics.watch(
            "benchpool_clock_ahead_seconds",
            "How far the machine's clock is ahead of the network's time; below 0: behind it.",
            lambda: network.timeline.off_ms / SECOND_MS,
        )
        metrics.watch_engines(network.host.backend)
        network.host.backend.begin()

    def _addresses(self, context: Context, sockets: Sockets) -> Addresses:
        def where(unit: str) -> str:
            return url_of(sockets[unit]) if unit in sockets else f"{context.url}/{unit}"

        return Addresses(
            gateway=context.url,
            mu=where("mu"),
            su=where("su"),
            cu=where("cu"),
            scheduler=context.assignments.address,
            messenger=self._network.messenger.address,
            dashboard=f"{context.url}/ui/",
            token=context.token if context.acting else "",
        )


class Listeners:
    """Applications on their sockets, whose connections are looked after together.

    Args:
        connections: all of them.
        sockets: what is listened on; closed at the end.
        apps: one a socket.
    """

    def __init__(
        self, connections: Connections, sockets: Sequence[socket.socket], apps: Sequence[ASGIApp]
    ) -> None:
        self._connections = connections
        self._sockets = sockets
        self._servers = [_Uvicorn(app, connections) for app in apps]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; call it in the event loop."""
        self._connections.start()
        self._tasks = [
            asyncio.create_task(server.serve(sockets=[listening]))
            for server, listening in zip(self._servers, self._sockets, strict=True)
        ]

    async def stop(self) -> None:
        """Answer what is under way, for `GRACE_S` at most, and end."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._tasks)
        await self._connections.stop()


def bounded_connections(bounds: Bounds, metrics: Metrics) -> Connections:
    """Make the connections of a server, as many as the system's limit of open files allows."""
    most = connections_for(more_files(), bounds.connections)
    return Connections(replace(bounds, connections=most), metrics)


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to whoever runs it: there may be several."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Protocol, connections),  # type: ignore[arg-type]  # makes them
                ws="none",
                log_config=None,
                log_level="error",  # a bad request is its sender's business
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
            )
        )

    def capture_signals(self) -> Any:
        """Capture none."""
        return nullcontext()
