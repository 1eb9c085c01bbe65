"""Where a network's engines come from: what every backend implements."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from benchpool.inference.engine import Engine, EngineStats, Precision

EngineFactory = Callable[[Path, Precision], Engine]
"""Opens a GGUF file in a precision. Raises: InferenceError if it is not usable."""


@runtime_checkable
class Engines(Protocol):
    """Opens models for a network; see `EnginePool`, which does it by llama.cpp."""

    def open(self, path: Path, precision: Precision = "stored") -> Engine:
        """Open a GGUF file; whoever asked closes the engine.

        Raises:
            InferenceError: It is no usable model.
        """

    def admit(self, path: Path) -> None:
        """Try a file before anybody relies on it.

        Raises:
            InferenceError: It is no model that computes numbers.
        """

    def stats(self) -> EngineStats:
        """Return what all engines have done so far."""
        return EngineStats()

    def close(self) -> None:
        """Let go of everything; closing twice is allowed."""


class MadeEngines(Engines):
    """Engines that a function makes, such as a test's: nothing is tried, counted or held."""

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory

    def open(self, path: Path, precision: Precision = "stored") -> Engine:
        """See `Engines`."""
        return self._factory(path, precision)

    def admit(self, path: Path) -> None:
        """See `Engines`."""

    def close(self) -> None:
        """See `Engines`."""
