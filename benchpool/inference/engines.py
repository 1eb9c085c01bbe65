"""Where a network's engines come from: the protocol, and llama.cpp behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from benchpool.inference.engine import Engine, EngineStats, Precision

if TYPE_CHECKING:
    from benchpool.inference.engine_pool import EnginePool

EngineFactory = Callable[[Path, Precision], Engine]
"""Opens a GGUF file in a precision. Raises: InferenceError if it is not usable."""


@runtime_checkable
class Engines(Protocol):
    """Opens models for a network; a backend implements it once."""

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

    def close(self) -> None:
        """Let go of everything; closing twice is allowed."""


class MadeEngines:
    """Engines that a function makes, such as a test's: nothing is tried, counted or held."""

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory

    def open(self, path: Path, precision: Precision = "stored") -> Engine:
        """See `Engines`."""
        return self._factory(path, precision)

    def admit(self, path: Path) -> None:
        """See `Engines`."""

    def stats(self) -> EngineStats:
        """See `Engines`."""
        return EngineStats()

    def close(self) -> None:
        """See `Engines`."""


class LlamaCppEngines:
    """Opens models by llama.cpp, in child processes that all models share.

    Args:
        answers: a folder in which answers are kept as they arrive, so that an interruption loses
            none, and a second pool with the same model and questions costs nothing.
        workers: how many children compute at a time; None is one a core.
        models_memory_bytes: what all loaded models may take; None is half of the memory.
        memory_bytes: what a child may allocate; None leaves it to the engine.
    """

    def __init__(
        self,
        answers: Path | None = None,
        *,
        workers: int | None = None,
        models_memory_bytes: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._answers = answers
        self._options: dict[str, Any] = {
            "workers": workers,
            "models_memory_bytes": models_memory_bytes,
            "child_memory_bytes": memory_bytes,
        }
        self._lock = Lock()
        self._pool: EnginePool | None = None

    def open(self, path: Path, precision: Precision = "stored") -> Engine:
        """See `Engines`."""
        from benchpool.inference.answer_cache import AnswerCache  # noqa: PLC0415 - needed by few
        from benchpool.inference.engine_pool import EnginePool  # noqa: PLC0415 - needed by few

        with self._lock:
            if self._pool is None:
                cache = AnswerCache(self._answers) if self._answers is not None else None
                self._pool = EnginePool(cache=cache, **self._options)
            pool = self._pool
        return pool.open(path, precision)

    def admit(self, path: Path) -> None:
        """Try a file in a process that may die of it. See `Engines`."""
        from benchpool.inference.admission import admit  # noqa: PLC0415 - needed by few

        admit(path, memory_bytes=self._options["child_memory_bytes"])

    def stats(self) -> EngineStats:
        """See `Engines`."""
        pool = self._pool
        return EngineStats() if pool is None else pool.stats

    def close(self) -> None:
        """End the children and close the cache."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()
            if pool.cache is not None:
                pool.cache.close()
