"""The program of a server: signals, and what becomes of it when the disk is full."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from benchpool.ao.clock import WallClock
from benchpool.errors import StoreError, Unavailable
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.server.answers import refusal
from benchpool.server.bounds import Bounds
from benchpool.server.context import OnRequest
from benchpool.server.metrics import Metrics
from benchpool.server.run import GRACE_S, Listeners, Server, bounded_connections
from benchpool.server.sockets import Addresses, Options, Sockets, close_all, listen
from benchpool.units.garbage import fewer_collections
from benchpool.units.outage import is_shortage

log = logging.getLogger("benchpool.server")

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
END_S: Final = 2 * GRACE_S
"""How long after a signal the program ends at the latest, whatever is under way."""
SWITCH_S: Final = 0.0001
"""How long a thread may keep others waiting. By Python's own 5 ms, every request that needs a
signature verified, which lets others go on, would wait for the network's thread for so long."""
LOOK_AGAIN_S: Final = 2.0


@dataclass
class Hooks:
    """What is told to whoever runs the program."""

    on_ready: Callable[[Addresses, int], None] = lambda _addresses, _resumed: None
    """Called with the addresses, and how many messages are taken up again."""
    on_stop: Callable[[], None] = lambda: None
    """Called when a signal has come."""
    on_wait: Callable[[str], None] = lambda _why: None
    """Called with what is short, when the network is closed until there is more."""
    on_again: Callable[[], None] = lambda: None
    """Called when it is open again."""
    on_request: OnRequest | None = None


@dataclass
class Program:
    """Serves a home until it is stopped.

    When disk or open files run out, the network is closed as it was at its last commit, requests
    get 503, and it is opened again when there is room.

    Args:
        home: the folder; one that holds no network yet becomes a new one. From now on, all that
            is sent and pushed in it is signed.
        options: where to listen.
        hooks: see `Hooks`.
        registry: modules beside the installed ones.
        ahead: serve a home whose time is ahead of the machine's clock, see `WallClock`.
        virtual: leave a home in virtual time, which stands still until somebody moves it on; it
            is signed only if it was.
        settings: further arguments of `Network`.
    """

    home: Path
    options: Options
    hooks: Hooks = field(default_factory=Hooks)
    registry: Registry | None = None
    ahead: bool = False
    virtual: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One, however often the network is opened.
        self._clock = None if self.virtual else WallClock(ahead=self.ahead)
        self._token = token_urlsafe()
        self._server: Server | None = None
        self._stopping = asyncio.Event()

    async def run(self, sockets: Sockets, network: Network) -> None:
        """Serve. Raises: StoreError if the network could not go on."""
        on_ready: Callable[[Addresses], None] = partial(self._ready, network.resumed)
        again: Network | None = network
        while again is not None:
            error = await self._serve(again, _copies(sockets), on_ready)
            if error is None:
                return
            self.hooks.on_wait(str(error))
            on_ready = self._ready_again
            again = await self._wait(sockets)

    def _ready(self, resumed: int, addresses: Addresses) -> None:
        self.hooks.on_ready(addresses, resumed)

    def _ready_again(self, _addresses: Addresses) -> None:
        self.hooks.on_again()

    async def _serve(
        self, network: Network, sockets: Sockets, on_ready: Callable[[Addresses], None]
    ) -> StoreError | None:
        """Serve until the end, or until something is short, which is returned."""
        on_request = self.hooks.on_request
        self._server = Server(
            network, self.options, sockets, on_request=on_request, token=self._token
        )
        if self._stopping.is_set():
            network.close()
            return None
        try:
            await self._server.serve(on_ready)
        except StoreError as error:
            if self._stopping.is_set() or not is_shortage(error):
                raise
            return error
        finally:
            self._server = None
        return None

    def stop(self) -> None:
        """End; called in the event loop."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()

    def open(self) -> Network:
        """Open the network. Raises: HomeLocked, StoreError, ConfigError."""
        return Network(self.home, clock=self._clock, registry=self.registry, **self.settings)

    async def _wait(self, sockets: Sockets) -> Network | None:
        """Refuse requests until the network can be opened again; None when it is to end."""
        connections = bounded_connections(Bounds(), Metrics())
        copies = list(_copies(sockets).values())
        listeners = Listeners(connections, copies, [_refuse_all] * len(copies))
        listeners.start()
        try:
            while not self._stopping.is_set():
                try:
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._stopping.wait()
                except TimeoutError:
                    disk = shutil.disk_usage(self.home)
                    if disk.free < min(disk.total // 20, 64 << 20):
                        continue
                    try:
                        return self.open()
                    except StoreError as error:
                        if not is_shortage(error):
                            raise
            return None
        finally:
            await listeners.stop()


async def _refuse_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request alike while the network is closed."""
    if scope["type"] == "http":
        why = "the server has no room to write; what was accepted is kept; ask again later"
        await refusal(Unavailable(why))(scope, receive, send)


def _copies(sockets: Sockets) -> Sockets:
    """Return sockets that may be closed while the addresses are kept."""
    return {unit: each.dup() for unit, each in sockets.items()}


def serve_home(program: Program) -> None:
    """Serve until SIGINT or SIGTERM; the second of them ends the program.

    Whatever is under way, it ends `END_S` after the first: the log bears that.

    Raises: HomeLocked, ConfigError; StoreError if the network could not go on.
    """
    program.settings.setdefault("signed", not program.virtual)  # clients look at signatures
    sockets = listen(program.options)  # before the home's time moves on

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            # The next one is the system's: nothing here can hold it up, and the log bears it.
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
            end_at_the_latest(END_S)
            program.hooks.on_stop()
            program.stop()

        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
        await program.run(sockets, network)

    try:
        network = program.open()
        sys.setswitchinterval(SWITCH_S)
        with fewer_collections(), asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main())
    finally:
        close_all(sockets)


def end_at_the_latest(seconds: float) -> None:
    """End this program in so many seconds, also if a thread does not let go of it.

    A handler may run for a minute, and Python waits for its threads. Should one even hold the
    interpreter, the system's alarm ends it.
    """

    def end() -> None:
        sys.stderr.write("ended in the midst of something, which is taken up at the next start\n")
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(seconds) + 2)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not everywhere
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
