"""Lanes: the heavy processes of a live network, evaluated beside everything else.

A process is serial, so it has one lane: its messages wait there in their order, and one batch at a
time is evaluated on a thread. Nothing else waits for it. What it put out is pushed when it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from time import perf_counter

from benchpool.ao.message import Message, Result
from benchpool.errors import ProcessBusy
from benchpool.units.compute import ComputeUnit

Finish = Callable[[list[Message], list[Result] | BaseException, float], object]
"""Takes a batch, what came of it and the seconds it took; called on the lane's thread."""


class Lanes:
    """Used by one thread, the network's. Only evaluation itself runs elsewhere.

    Args:
        compute: evaluates; its `guard` must keep the network's thread out.
        threads: how many processes are evaluated at the same time.
        on_finish: hands a finished batch over to the network's thread, which calls `leave`.
        executor: evaluates the batches, in place of that many threads.
    """

    def __init__(
        self,
        compute: ComputeUnit,
        *,
        threads: int,
        on_finish: Finish,
        executor: Executor | None = None,
    ) -> None:
        self._compute = compute
        self._on_finish = on_finish
        self._executor = executor or ThreadPoolExecutor(threads, "benchpool-lane")
        self._waiting: dict[str, list[Message]] = {}
        self._running: dict[str, list[Message]] = {}
        self._gates: dict[str, Lock] = {}
        self._stopping = False

    def divert(self, batch: Iterable[Message]) -> list[Message]:
        """Put the messages of heavy processes into their lanes; return the others."""
        light: list[Message] = []
        for message in batch:
            if self._compute.instance(message.process).process.heavy:
                self._waiting.setdefault(message.process, []).append(message)
            else:
                light.append(message)
        return light

    def start(self) -> None:
        """Evaluate what waits for idle processes. It must be committed in the log before."""
        for process in [each for each in self._waiting if each not in self._running]:
            if self._stopping:
                return
            batch = self._running[process] = self._waiting.pop(process)
            self._executor.submit(self._work, process, batch)

    def _work(self, process: str, batch: list[Message]) -> None:
        started = perf_counter()
        try:
            with self.gate(process):
                outcome: list[Result] | BaseException = self._compute.evaluate_heavy(batch)
        except BaseException as error:  # the network's thread raises it
            outcome = error
        # Engines that were closed under an evaluation make it fail, and that is not its result.
        if not self._stopping:
            self._on_finish(batch, outcome, perf_counter() - started)

    def leave(self, process: str) -> None:
        """Take note that a batch is done and recorded."""
        del self._running[process]

    @contextmanager
    def gate(self, process: str, timeout_s: float = -1) -> Iterator[None]:
        """Keep a process to oneself. Raises: ProcessBusy after `timeout_s` seconds."""
        lock = self._gates.setdefault(process, Lock())
        if not lock.acquire(timeout=timeout_s):
            raise ProcessBusy(f"Evaluation of process {process} is in progress.")
        try:
            yield
        finally:
            lock.release()

    def counts(self) -> dict[str, int]:
        """Return how many messages are in the lane of each process."""
        counts = {process: len(batch) for process, batch in self._waiting.items()}
        for process, batch in self._running.items():
            counts[process] = counts.get(process, 0) + len(batch)
        return counts

    def messages(self) -> Iterator[Message]:
        """Go through the messages in the lanes."""
        for lane in (self._waiting, self._running):
            for batch in lane.values():
                yield from batch

    def busy(self) -> frozenset[str]:
        """Return the processes whose state moves: nobody else may look at it."""
        return frozenset(self._running)

    def stop(self) -> list[str]:
        """Give up what is being evaluated; it stays pending in the log.

        Returns: the processes whose state in memory is ahead of the log and must be forgotten.
        """
        self._stopping = True
        self._compute.stop_engines()
        self._executor.shutdown(wait=True, cancel_futures=True)
        return list(self._running)
