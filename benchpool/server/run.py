"""Running a server: sockets, signals, and the file that tells other commands of it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from benchpool.ao.clock import SECOND_MS, WallClock
from benchpool.errors import ConfigError, StoreError
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.server.app import make_app
from benchpool.server.bus import Bus
from benchpool.server.context import Context, OnRequest
from benchpool.server.metrics import Metrics
from benchpool.store.server_file import ServerFile, forget_server, write_server
from benchpool.units.garbage import fewer_collections

log = logging.getLogger("benchpool.server")

GRACE_S = 5
"""How long requests under way may take after somebody wants to stop."""


SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 2048
SWITCH_S = 0.0001
"""How long a thread may keep others waiting. By Python's own 5 ms, every request that needs a
signature verified, which lets others go on, would wait for the network's thread for so long."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where a server listens. Port 0 takes any that is free."""

    host: str = "127.0.0.1"
    port: int = 4000
    mu_port: int | None = None
    su_port: int | None = None
    cu_port: int | None = None

    def units(self) -> dict[str, int]:
        """Return the units that get ports of their own."""
        ports = {"mu": self.mu_port, "su": self.su_port, "cu": self.cu_port}
        return {unit: port for unit, port in ports.items() if port is not None}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the units are."""

    gateway: str
    mu: str
    su: str
    cu: str
    scheduler: str
    """The address of the key that signs assignments."""
    messenger: str
    """The address of the key that signs pushed messages: the Authority of processes here."""


Sockets = dict[str, socket.socket]
"""What is listened on, by the unit that is served there; "all" is the port of all of them."""


def listen(options: Options) -> Sockets:
    """Take the addresses. Raises: ConfigError if one cannot be had."""
    sockets: Sockets = {}
    for unit, port in {"all": options.port, **options.units()}.items():
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[unit] = listening
        try:
            listening.bind((options.host, port))
            listening.listen(_BACKLOG)  # who comes before the server is ready waits
        except (OSError, OverflowError) as error:
            close_all(sockets)
            where = f"{options.host}:{port}"
            raise ConfigError(
                f"{where} cannot be listened on: {error}; name another with --port"
            ) from None
    return sockets


def close_all(sockets: Sockets) -> None:
    """Give the addresses up."""
    for each in sockets.values():
        each.close()


class Server:
    """One network, served.

    Args:
        network: with a wall clock; it is closed at the end.
        options: where to listen.
        sockets: what `listen` gave for these options, if it was called before.
        on_request: see `OnRequest`.
    """

    def __init__(
        self,
        network: Network,
        options: Options = Options(),
        sockets: Sockets | None = None,
        *,
        on_request: OnRequest | None = None,
    ) -> None:
        self._network = network
        self._options = options
        self._sockets = sockets
        self._on_request = on_request
        self._metrics = Metrics()
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
            context = self._context(bus, sockets)
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
        servers = [_Uvicorn(make_app(context, None if unit == "all" else unit)) for unit in sockets]
        bus.start()
        tasks = [
            asyncio.create_task(server.serve(sockets=[listening]))
            for server, listening in zip(servers, sockets.values(), strict=True)
        ]
        home = self._network.home
        assert home is not None, "the context has looked"
        write_server(home.folder, ServerFile(url=context.url, token=context.token))
        try:
            on_ready(self._addresses(context, sockets))
            await self._stopping.wait()
        finally:
            forget_server(home.folder)
            bus.refuse()
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks)

    def stop(self) -> None:
        """Take no more requests, and end; may be called from any thread."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        self.stop()

    def _context(self, bus: Bus, sockets: Sockets) -> Context:
        url = self._url(sockets["all"])
        su_url = self._url(sockets["su"]) if "su" in sockets else f"{url}/su"
        context = Context(
            self._network,
            bus,
            self._metrics,
            url=url,
            su_url=su_url,
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
            "benchpool_ticking_processes",
            "Processes whose cron ticks wait for their turn.",
            lambda: network.timeline.waiting,
        )
        metrics.watch(
            "benchpool_clock_ahead_seconds",
            "How far the machine's clock is ahead of the network's time; below 0: behind it.",
            lambda: network.timeline.off_ms / SECOND_MS,
        )
        metrics.watch_engines(network.host.backend.stats)

    def _url(self, listening: socket.socket) -> str:
        host, port = listening.getsockname()[:2]
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def _addresses(self, context: Context, sockets: Sockets) -> Addresses:
        def where(unit: str) -> str:
            return self._url(sockets[unit]) if unit in sockets else f"{context.url}/{unit}"

        return Addresses(
            gateway=context.url,
            mu=where("mu"),
            su=where("su"),
            cu=where("cu"),
            scheduler=context.assignments.address,
            messenger=self._network.messenger.address,
        )


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to whoever runs it: there may be several."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
                server_header=False,
                h11_max_incomplete_event_size=64 << 10,
            )
        )

    def capture_signals(self) -> Any:
        """Capture none."""
        from contextlib import nullcontext  # noqa: PLC0415 - for this line alone

        return nullcontext()


def serve_home(
    home: Path,
    options: Options,
    *,
    on_ready: Callable[[Addresses, int], None] = lambda _addresses, _resumed: None,
    on_stop: Callable[[], None] = lambda: None,
    on_request: OnRequest | None = None,
    registry: Registry | None = None,
    ahead: bool = False,
    **settings: Any,
) -> None:
    """Serve the network of a home until SIGINT or SIGTERM; the second of them ends the program.

    Args:
        home: the folder; one that holds no network yet becomes a new one. From now on, all that
            is sent and pushed in it is signed.
        options: where to listen.
        on_ready: called with the addresses, and how many messages are taken up again.
        on_stop: called when a signal has come.
        on_request: see `OnRequest`.
        registry: modules beside the installed ones.
        ahead: serve a home whose time is ahead of the machine's clock, see `WallClock`.
        settings: further arguments of `Network`.

    Raises: HomeLocked, ConfigError; StoreError if the network could not go on.
    """
    settings.setdefault("signed", True)  # clients look at signatures
    sockets = listen(options)  # before the home's time moves on
    try:
        network = Network(home, clock=WallClock(ahead=ahead), registry=registry, **settings)
    except BaseException:
        close_all(sockets)
        raise
    resumed = network.resumed
    server = Server(network, options, sockets, on_request=on_request)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            # The next one is the system's: nothing here can hold it up, and the log bears it.
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
            on_stop()
            server.stop()

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        await server.serve(lambda addresses: on_ready(addresses, resumed))

    sys.setswitchinterval(SWITCH_S)
    with fewer_collections(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
