"""ServedLife: drives a network as a running server does, in an order that the seed decides.

A server's network is live: its clock is the machine's, ticks that were missed are coalesced, and
heavy processes are evaluated beside everything else. Here the plan moves the machine's clock, and
each turn of the server is one of what might have come next: a lane is evaluated, or is done and is
taken, or a message or a tick comes. Nothing sleeps and nothing runs on a thread of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from random import Random
from typing import Any, Final

from benchpool.ao.clock import GENESIS_MS, HOUR_MS, WallClock
from benchpool.ao.message import Message
from benchpool.network import Network
from benchpool.simulation.driver import Driver
from benchpool.simulation.plan import Operation

_NS_PER_MS: Final = 1_000_000
_LATE: Final = 0.15
"""How often a tick is late."""
_LATEST_MS: Final = 9 * HOUR_MS
"""How late it may be: the machine slept, and ticks behind it are late too."""
_TURNS: Final = (0, 0, 1, 2, 4, None)
"""How many turns lanes get before something else comes; None: as many as there are."""


class ChosenLanes(Executor):
    """Evaluates a batch when it is told to, on the thread that tells it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep it for `evaluate`."""
        self.waiting.append(partial(fn, *args, **kwargs))
        return Future()

    def evaluate(self, place: int) -> None:
        """Evaluate one of those that wait."""
        self.waiting.pop(place)()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Forget what waits."""
        self.waiting.clear()


class ServedLife(Driver):
    """Runs one plan on one home that is served."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._machine_ms = GENESIS_MS
        self._place = 0
        self._lanes = ChosenLanes()
        self._jobs: deque[Callable[[], object]] = deque()
        self._stop_live: Callable[[], None] | None = None
        self._random = Random()  # noqa: S311 - made anew for each operation

    # -- beginning and end -------------------------------------------------------------------

    def _open(self, **settings: Any) -> Network:
        network = super()._open(clock=WallClock(wall_ns=self._ns, steady_ns=self._ns), **settings)
        self._jobs, self._lanes = deque(), ChosenLanes()
        self._stop_live = network.live.start(self._jobs.append, self._lanes)
        network.messenger.observe(self._observe)
        return network

    def _ns(self) -> int:
        return self._machine_ms * _NS_PER_MS

    def _observe(self, kind: str, batch: Sequence[Message], *_rest: Any) -> None:
        if kind == "heavy":
            self.counts["live batches"] += 1
            self.counts["live batches of several"] += len(batch) > 1

    def _end(self, network: Network, *, abort: bool) -> None:
        self._leave(network)
        super()._end(network, abort=abort)

    def _leave(self, network: Network) -> None:
        if self._stop_live is not None:
            lanes = network.messenger.lanes
            self.counts["given up in lanes"] += len([*lanes.messages()]) if lanes else 0
            stop, self._stop_live = self._stop_live, None
            stop()

    def _finish(self, network: Network) -> Network:
        self._turn(network, None)
        self._leave(network)
        return network

    # -- what comes next ---------------------------------------------------------------------

    def _perform(self, operation: Operation) -> None:
        self._opened()
        # What comes depends on what is committed, and on nothing that a crash takes back.
        key = f"{self.plan.seed}:turns:{self._place}:{self.counts['openings']}"
        self._random = Random(key)  # noqa: S311 - reproducible on purpose
        super()._perform(operation)
        self._turn(self._opened(), None if operation.kind == "wait" else self._some())

    def _take(self, place: int, operation: Operation) -> None:
        self._place = place
        super()._take(place, operation)

    def _some(self) -> int | None:
        return self._random.choice(_TURNS)

    def _turn(self, network: Network, most: int | None) -> None:
        """Let lanes be evaluated and taken, some times or until they are empty."""
        left = most
        while (self._jobs or self._lanes.waiting) and left != 0:
            left = None if left is None else left - 1
            if self._jobs and (not self._lanes.waiting or self._random.random() < 0.5):
                self._run(network, least=1)
            else:
                self.counts["lanes at once"] += len(self._lanes.waiting) > 1
                self._lanes.evaluate(self._random.randrange(len(self._lanes.waiting)))
                while self.points.tripped and self._jobs:
                    self._jobs.popleft()()  # it ends the program at once

    def _run(self, network: Network, least: int = 0) -> None:
        """Take some of what lanes have done, with what came meanwhile, in one commit."""
        for _ in range(self._random.randint(least, len(self._jobs))):
            self._jobs.popleft()()
        network.run()

    def _wait(self, network: Network, until_ms: int) -> None:
        while self._machine_ms < until_ms:
            due_s = network.timeline.wait_s()
            due_ms = until_ms if due_s is None else network.clock.now() + round(due_s * 1000)
            late_ms = self._random.randrange(_LATEST_MS) if self._random.random() < _LATE else 0
            self._machine_ms = min(until_ms, max(due_ms, self._machine_ms) + late_ms)
            self.counts["live ticks"] += network.live.tick()
            self._turn(network, self._some())

    def _spawn(self, network: Network, operation: Operation, tags: list[tuple[str, str]]) -> None:
        module, name, owner = operation.module, operation.name, network.wallet(operation.sender)
        with network.dispatch.rehearsed(module, tags, name, "", owner) as hand_over:
            hand_over(network.post_spawn(module, tags, name=name, data="", sender=owner))
        self._run(network)
