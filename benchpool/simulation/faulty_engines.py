"""Models of a simulated run: they follow a script, and may die, hang or take the program along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchpool.ao.clock import HOUR_MS
from benchpool.errors import InferenceError
from benchpool.inference.engine import Engine, Outcome, Precision, Progress, Request
from benchpool.simulation.faults import CrashPoints, Faults
from benchpool.simulation.scripted_engine import ScriptedEngine, ScriptedEngines

_HANGS = InferenceError("the model did not answer in time (simulated)")


class FaultyEngines(ScriptedEngines):
    """Opens scripted models whose answers fail as the seed says."""

    def __init__(self, faults: Faults, points: CrashPoints, now: Callable[[], int]) -> None:
        super().__init__(_refuse)
        self.faults = faults
        self.points = points
        self.now = now

    def __call__(self, path: Path, precision: Precision = "stored") -> Engine:
        """Open a model. Raises: InferenceError if it is none."""
        super().__call__(path, precision)
        return _FaultyEngine(path.read_bytes(), self, precision)


class _FaultyEngine(ScriptedEngine):
    def __init__(self, script: bytes, engines: FaultyEngines, precision: Precision) -> None:
        super().__init__(script, engines.is_dead, precision)
        self._engines = engines

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Answer every request but those that hang. Raises: ModelDied if it was killed."""
        self._engines.points.answering()
        answers = super().answer(requests, progress)
        hour = self._engines.now() // HOUR_MS
        outcomes: list[Outcome] = []
        for request, answer in zip(requests, answers, strict=True):
            key = f"{self.card.name} {hour} {msgspec.json.encode(request).decode()}"
            hangs = self._engines.faults.strikes("hang", key)
            outcomes.append(_HANGS if hangs else answer)
        return outcomes


def _refuse(path: Path, _precision: Precision) -> Engine:
    raise InferenceError(f"{path.name} is no scripted model; a simulation runs no other")
