"""Ask several engines of one model at the same time."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from types import TracebackType
from typing import Self

from benchpool.inference.engine import Answer, Engine, EngineStats, ModelCard, Progress, Request

_SHARE = 32
"""Most requests given to an engine at a time: enough to pack, few enough that all end together."""


class ParallelEngine:
    """Engines of one model that share its requests; each answers what it is free for.

    An answer does not depend on the engine that gives it, so neither do the results on their
    number. One engine of one thread for each core is the fastest arrangement measured.

    Args:
        engines: All of one model and runtime, at least one; they belong to this engine then.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)

    @property
    def card(self) -> ModelCard:
        """The model that all engines run."""
        return self._engines[0].card

    @property
    def stats(self) -> EngineStats:
        """What all engines did; the milliseconds add up, they do not tell the time that passed."""
        total = EngineStats()
        for engine in self._engines:
            total.add(getattr(engine, "stats", EngineStats()))
        return total

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order. See ``Engine.answer``.

        The first failure ends the call when the shares in progress have ended.
        """
        shares: queue.SimpleQueue[range] = queue.SimpleQueue()
        size = max(1, min(_SHARE, -(-len(requests) // (2 * len(self._engines)))))
        for first in range(0, len(requests), size):
            shares.put(range(first, min(first + size, len(requests))))
        answers: dict[int, Answer] = {}
        lock, failed = Lock(), Event()
        answered = 0

        def count(_done: int, _asked: int) -> None:
            nonlocal answered
            with lock:
                answered += 1
                if progress is not None:
                    progress(answered, len(requests))

        def work(engine: Engine) -> None:
            try:
                while not failed.is_set():
                    share = shares.get_nowait()
                    given = engine.answer([requests[number] for number in share], count)
                    answers.update(zip(share, given, strict=True))
            except queue.Empty:
                return
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(len(self._engines)) as pool:
            try:
                for done in [pool.submit(work, engine) for engine in self._engines]:
                    done.result()
            except BaseException:
                failed.set()
                raise
        return [answers[number] for number in range(len(requests))]

    def close(self) -> None:
        """Close every engine."""
        for engine in self._engines:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
