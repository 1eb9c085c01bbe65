"""Where a network's engines come from: what every backend implements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from benchpool.errors import InferenceError
from benchpool.inference.engine import (
    Engine,
    EngineStats,
    Outcome,
    Precision,
    Progress,
    Request,
    Unanswered,
    WorkerView,
)

EngineFactory = Callable[[Path, Precision], Engine]
"""Opens a GGUF file in a precision. Raises: InferenceError if it is not usable."""

_PART = 32
"""Requests of a made engine between two looks at the clock."""


@runtime_checkable
class Engines(Protocol):
    """Opens models for a network; see `EnginePool`, which does it by llama.cpp."""

    def open(self, path: Path, precision: Precision = "stored", *, runtime: str = "") -> Engine:
        """Open a GGUF file; whoever asked closes the engine.

        Args:
            path: Of the file.
            precision: In what its weights enter the computation.
            runtime: The id of that on which it is to be computed, where there are several.

        Raises:
            InferenceError: It is no usable model.
        """

    def admit(self, path: Path) -> None:
        """Try a file before anybody relies on it.

        Raises:
            InferenceError: It is no model that computes numbers.
        """

    def begin(self) -> None:
        """Get ready, where that takes long; else it is done when a model is first opened."""
        return

    def stats(self) -> EngineStats:
        """Return what all engines have done so far."""
        return EngineStats()

    def waiting(self) -> int:
        """Return how many requests nobody has begun to compute."""
        return 0

    def workers(self) -> list[WorkerView]:
        """Return what the workers elsewhere are and do; none on this machine's own cores."""
        return []

    def close(self) -> None:
        """Let go of everything; closing twice is allowed."""


def too_slow(seconds: float, answers: int) -> Unanswered:
    """What requests get that a model has left no time for."""
    return Unanswered(f"the model was too slow: {seconds:.0f} s for {answers:,} answers")


class MadeEngines(Engines):
    """Engines that a function makes, such as a test's: nothing is tried, counted or held.

    Args:
        factory: Makes them.
        seconds: That one may take for a batch; 0 is without end.
    """

    def __init__(self, factory: EngineFactory, seconds: float = 0) -> None:
        self._factory = factory
        self._seconds = seconds

    def open(
        self,
        path: Path,
        precision: Precision = "stored",
        *,
        runtime: str = "",  # noqa: ARG002 - there is one
    ) -> Engine:
        """See `Engines`."""
        engine = self._factory(path, precision)
        return _InTime(engine, self._seconds) if self._seconds else engine

    def admit(self, path: Path) -> None:
        """See `Engines`."""

    def close(self) -> None:
        """See `Engines`."""


class _OutOfTimeError(Exception):
    """Raised where an engine tells of its progress, and caught around it."""


class _InTime(Engine):
    """An engine that is stopped after some time: where it tells of an answer, or after a part."""

    def __init__(self, engine: Engine, seconds: float) -> None:
        self.card = engine.card
        self.runtime = engine.runtime
        self._engine = engine
        self._seconds = seconds

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Answer what there is time for. See `Engine`."""
        started = time.monotonic()
        outcomes: list[Outcome] = []

        def look(done: int, _asked: int) -> None:
            if progress is not None:
                progress(len(outcomes) + done, len(requests))
            if len(outcomes) + done < len(requests) and spent_s() > self._seconds:
                raise _OutOfTimeError

        def spent_s() -> float:
            return time.monotonic() - started

        while len(outcomes) < len(requests) and spent_s() <= self._seconds:
            part = requests[len(outcomes) : len(outcomes) + _PART]
            try:
                found = self._engine.answer(part, look)
            except _OutOfTimeError:
                break
            if len(found) != len(part):
                raise InferenceError(f"{self.card.name}: {len(found)} answers to {len(part)} asked")
            outcomes += found
        late = too_slow(spent_s(), len(outcomes))
        return [*outcomes, *[late] * (len(requests) - len(outcomes))]

    def close(self) -> None:
        """See `Engine`."""
        self._engine.close()
