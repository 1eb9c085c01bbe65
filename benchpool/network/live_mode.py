"""LiveMode: cron by the wall clock, and heavy processes evaluated beside everything else."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

from benchpool.ao.message import Message, Result
from benchpool.errors import ProcessBusy, Unavailable
from benchpool.network.timeline import Timeline
from benchpool.units.compute import ComputeUnit
from benchpool.units.lanes import Lanes
from benchpool.units.messenger import MessengerUnit

Submit = Callable[[Callable[[], object]], object]
"""Has a function called soon by the network's thread, and `Network.run` after it."""


class LiveMode:
    """Puts lanes for heavy processes into the messenger, and takes them out again.

    Args:
        lock: guards the network, and with it what the lanes' threads touch.
    """

    def __init__(
        self, *, compute: ComputeUnit, messenger: MessengerUnit, timeline: Timeline, lock: RLock
    ) -> None:
        self._compute = compute
        self._messenger = messenger
        self._timeline = timeline
        self._lock = lock

    def start(self, submit: Submit, tick: Callable[[], object]) -> Callable[[], None]:
        """Go live, see `Network.live`; return what stops it."""
        messenger = self._messenger
        self._compute.guard = self._lock
        messenger.lanes = lanes = Lanes(
            self._compute,
            threads=self._compute.threads,
            on_finish=lambda *finished: submit(lambda: messenger.finish(*finished)),
        )
        stop_cron = self._timeline.start_live(lambda: submit(tick))

        def stop() -> None:
            stop_cron()
            self._compute.forget(lanes.stop())
            messenger.lanes = None

        return stop

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
