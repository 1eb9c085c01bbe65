"""LiveMode: cron by the wall clock, and heavy processes evaluated beside everything else."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from threading import Event, RLock, Thread
from time import perf_counter
from typing import Final

from benchpool.ao.message import Message, Result
from benchpool.errors import ProcessBusy, PushLimitExceeded, Unavailable
from benchpool.network.timeline import Fire, Timeline
from benchpool.units.compute import ComputeUnit
from benchpool.units.lanes import Lanes
from benchpool.units.messenger import MessengerUnit
from benchpool.units.pace import Pace

LOOK_AGAIN_S: Final = 1.0
"""How long to wait at most: by a machine that slept, or whose clock was set, more is due."""
Submit = Callable[[Callable[[], object]], object]
"""Has a function called soon by the network's thread, and `Network.run` after it."""


class LiveMode:
    """Puts lanes for heavy processes into the messenger, and takes them out again.

    Args:
        lock: guards the network, and with it what the lanes' threads touch.
        fire: runs cron ticks.
        pace: how many of them run at a time.
    """

    def __init__(
        self,
        *,
        compute: ComputeUnit,
        messenger: MessengerUnit,
        timeline: Timeline,
        lock: RLock,
        fire: Fire,
        pace: Pace,
    ) -> None:
        self._compute = compute
        self._messenger = messenger
        self._timeline = timeline
        self._lock = lock
        self._fire = fire
        self._pace = pace

    def start(
        self, submit: Submit | None = None, executor: Executor | None = None
    ) -> Callable[[], None]:
        """Run heavy processes beside everything else; whoever submits runs cron, by `turn`.

        Then `Network.run` returns when nothing is pending but what heavy processes are at. What
        they put out is pushed by the next `run` after they are done, so the log records the order
        that came about. A replay of it is as exact as of any other.

        Args:
            submit: has a function called soon, and `run` after it, by the thread that uses this
                network, and is called from any thread. Without it, cron alone runs, from a thread
                of its own.
            executor: evaluates heavy processes, see `Lanes`.

        Returns: what stops it; call it before `Network.close`, from the thread that uses this
            network.
        """
        if submit is None:
            return self._start_cron()
        messenger = self._messenger
        self._compute.guard = self._lock
        messenger.lanes = lanes = Lanes(
            self._compute,
            threads=self._compute.threads,
            on_finish=lambda *finished: submit(lambda: messenger.finish(*finished)),
            executor=executor,
        )

        def stop() -> None:
            self._compute.forget(lanes.stop())
            messenger.lanes = None

        return stop

    def _start_cron(self) -> Callable[[], None]:
        stopping = Event()

        def run() -> None:
            while not stopping.wait(self.wait_s()):
                self.turn()

        thread = Thread(target=run, name="benchpool-cron", daemon=True)
        thread.start()

        def stop() -> None:
            stopping.set()
            thread.join()

        return stop

    @property
    def has_lanes(self) -> bool:
        """Whether heavy processes are evaluated beside everything else."""
        return self._messenger.lanes is not None

    def wait_s(self) -> float:
        """Return how long it is until there may be ticks to run, in seconds."""
        with self._lock:
            due_s = self._timeline.wait_s()
            until_s = LOOK_AGAIN_S if due_s is None else max(due_s, self._pace.wait_s())
        return min(until_s, LOOK_AGAIN_S)

    def turn(self) -> int:
        """Run a slice of the cron ticks that are due by the clock; return how many.

        A heavy process that has not come to its last tick gets no further one.
        """
        with self._lock:
            most = self._pace.allowed()
            if not most or self._timeline.wait_s() != 0:
                return 0
            lanes, started_s = self._messenger.lanes, perf_counter()
            busy = {each.process for each in lanes.messages() if each.cron} if lanes else ()
            count = self._timeline.tick(self._fire, most, busy)
            self._pace.spent(count, perf_counter() - started_s)
            return count

    def tick(self) -> int:
        """Run all cron ticks that are due by the clock; return how many."""
        with self._lock:
            return self._timeline.tick(self._fire)

    def unfinished(self) -> set[str]:
        """Return the messages whose chains have not come to their end."""
        with self._lock:
            return self._messenger.roots()

    def take_stopped(self) -> list[PushLimitExceeded]:
        """Return the chains that had to be stopped since this was last asked."""
        return self._messenger.take_stopped()

    def evaluate_dry(self, message: Message, timeout_s: float) -> Result:
        """Evaluate a message of a heavy process and keep nothing of it, from any thread.

        Raises: ProcessBusy if the process is at something else for so long; Unavailable if the
            network is not live any more.
        """
        lanes = self._messenger.lanes
        if lanes is None:
            raise Unavailable("the network is stopping")
        with lanes.gate(message.process, timeout_s):
            return self._compute.dry_run(message)

    def check_idle(self, process: str) -> None:
        """Accept a process whose state does not move now. Raises: ProcessBusy."""
        lanes = self._messenger.lanes
        if lanes is not None and process in lanes.busy():
            raise ProcessBusy(f"Evaluation of process {process} is in progress.")
