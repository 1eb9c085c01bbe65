"""Bus: the one thread that uses the network of a running server.

Everything that a server does with its network is a job on this thread, so nothing in the network
needs a lock of its own and the order in which things happen is the order in which they are logged.
Jobs that write are taken together: they are scheduled, evaluated and pushed, then there is one
commit, and only then are those who wait told. Many requests at once cost little more than one.
Behind each such turn comes a slice of the cron ticks that are due: requests that wait go first, and
none waits for more than a slice.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from time import monotonic, perf_counter
from typing import Any, NamedTuple, TypeVar

from benchpool.ao.clock import VirtualClock
from benchpool.errors import DataCorrupt, DataNotFound, PushLimitExceeded, StoreError, Unavailable
from benchpool.network import Network
from benchpool.server.metrics import Metrics
from benchpool.server.recent import Recent
from benchpool.units.outage import is_outage

T = TypeVar("T")

MOST_TOGETHER = 512
"""Jobs that one commit may cover."""
LOOK_AGAIN_S = 0.25
MOST_WAITING = 20_000
"""Jobs that may wait; more are refused."""
MOST_STOPPED = 1_000
"""Chains of which it is known that they were stopped; the oldest are forgotten."""

log = logging.getLogger("benchpool.server")


class _Job(NamedTuple):
    work: Callable[[], object]
    future: asyncio.Future[Any] | None
    writes: bool


class Bus:
    """Takes jobs from the event loop and from other threads.

    Args:
        network: nobody else may use it from `start` to `stop`.
        metrics: is told how long things take.
        on_failure: called from the bus's thread when the network cannot go on.
    """

    def __init__(
        self,
        network: Network,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self.network = network
        self.failure: BaseException | None = None
        """Why the network cannot go on; every further job is refused with it."""
        self.recent = Recent()
        self.commits = 0
        """How often all that was pending was evaluated, pushed and committed."""
        self._metrics = metrics
        self._on_failure = on_failure
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="benchpool-bus", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False
        self._unfinished: frozenset[str] = frozenset()
        self._stopped: dict[str, PushLimitExceeded] = {}
        self._moved = asyncio.Event()

    @property
    def is_virtual(self) -> bool:
        """Whether time stands still until somebody moves it on."""
        return isinstance(self.network.clock, VirtualClock)

    # -- from the event loop -----------------------------------------------------------------

    def start(self) -> None:
        """Begin. Call it in the event loop that will ask for jobs."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def read(self, work: Callable[[], T]) -> T:
        """Look at the network; whatever was acknowledged before is seen."""
        return await self._submit(work, writes=False)

    async def write(self, work: Callable[[], T]) -> T:
        """Change the network; when this returns, the change is committed."""
        return await self._submit(work, writes=True)

    async def finished(self, message_id: str, timeout_s: float) -> bool:
        """Wait until nothing that came of a message is pending; return whether that is so."""
        deadline = monotonic() + timeout_s
        while message_id in self._unfinished:
            left_s = deadline - monotonic()
            if left_s <= 0:
                return False
            await self.moves(left_s)
        return True

    async def idle(self) -> None:
        """Wait until nothing is pending, and no heavy process is at anything."""
        while await self.read(self.network.live.unfinished):
            await self.moves(LOOK_AGAIN_S)

    def stopped(self, message_id: str) -> PushLimitExceeded | None:
        """Say why the chain that a message began was stopped, if it was."""
        return self._stopped.get(message_id)

    async def moves(self, timeout_s: float) -> None:
        """Wait until something was evaluated, or for a moment. Raises: Unavailable at the end."""
        self._refuse()
        try:
            async with asyncio.timeout(min(timeout_s, LOOK_AGAIN_S)):
                await self._moved.wait()
        except TimeoutError:
            return

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

    def refuse(self) -> None:
        """Take no more jobs, and let those go who wait for something to move."""
        self._stopping = True
        self._wake()

    async def stop(self) -> None:
        """Do what was asked for, give up what heavy processes are at, and end."""
        self._stopping = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _submit(self, work: Callable[[], T], *, writes: bool) -> T:
        self._refuse()
        assert self._loop is not None, "the bus was not started"
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(work, future, writes))
        return await future

    def _refuse(self) -> None:
        if self.failure is not None:
            raise Unavailable(f"the network cannot go on: {self.failure}")
        if self._stopping:
            raise Unavailable("the server is stopping")
        if self._jobs.qsize() >= MOST_WAITING:
            raise Unavailable("the server has too much to do; ask again later")

    # -- from any thread ---------------------------------------------------------------------

    def post(self, work: Callable[[], object]) -> None:
        """Have something done that nobody waits for."""
        self._jobs.put(_Job(work, None, writes=True))

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with ExitStack() as until:
                if not self.is_virtual:
                    # Virtual time stands still meanwhile: heavy processes have their turn in the
                    # rounds, and the log does not depend on who answers first.
                    until.callback(self.network.live.start(self.post))
                self._settle()
                while self._take():
                    pass
        except BaseException as error:
            log.exception("the network cannot go on")
            self.failure = error
            self._refuse_all()
            self._on_failure(error)

    def _take(self) -> bool:
        """Do the jobs that wait, then a slice of the ticks; return whether there may be more."""
        jobs, more = self._wait()
        self._answer([(each.future, *_try(each)) for each in jobs if not each.writes])
        writes = [each for each in jobs if each.writes]
        if writes:
            self._write(writes)
        if more and self.network.live.turn():
            self._settle()
        return more

    def _wait(self) -> tuple[list[_Job], bool]:
        """Wait for jobs, or until ticks are due; return them, and whether there may be more."""
        jobs: list[_Job] = []
        try:
            job = self._jobs.get(timeout=self.network.live.wait_s())
            while job is not None:
                jobs.append(job)
                if len(jobs) >= MOST_TOGETHER:
                    break
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, job is not None

    def _write(self, writes: list[_Job]) -> None:
        started = perf_counter()
        try:
            done = [(each.future, *_try(each)) for each in writes]
            self._settle()
        except BaseException as error:
            why = Unavailable(f"the network cannot go on: {error}")
            self._answer((each.future, None, why) for each in writes)
            raise
        self._metrics.push_seconds.observe(perf_counter() - started)
        self._answer(done)

    def _settle(self) -> None:
        """Evaluate and push what is pending, and commit."""
        self.network.run()
        for stopped in self.network.live.take_stopped():
            log.warning("%s", stopped)
            self._stopped.setdefault(stopped.root, stopped)
        while len(self._stopped) > MOST_STOPPED:
            del self._stopped[next(iter(self._stopped))]
        self.recent.committed()
        self.commits += 1
        self._unfinished = frozenset(self.network.live.unfinished())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        # Whoever waits looks again; the next ones wait for the next time.
        self._moved.set()
        self._moved = asyncio.Event()

    def _answer(self, done: Iterable[tuple[asyncio.Future[Any] | None, Any, Any]]) -> None:
        outcomes = [(future, value, error) for future, value, error in done if future is not None]
        if outcomes and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, outcomes)

    def _refuse_all(self) -> None:
        why = Unavailable(f"the network cannot go on: {self.failure}")
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                self._answer([(job.future, None, why)])


def _try(job: _Job) -> tuple[object, Exception | None]:
    """Do a job and return its answer, or the error that is its answer.

    Raises: what leaves the network in doubt: a failed write, or work that nobody waits for and that
        must not be lost.
    """
    try:
        return job.work(), None
    except (DataNotFound, DataCorrupt) as error:
        return None, error
    except Exception as error:
        if job.future is None or (
            job.writes and (isinstance(error, StoreError) or is_outage(error))
        ):
            raise
        return None, error


def _resolve(outcomes: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for future, value, error in outcomes:
        if future.done():  # whoever asked has gone
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
