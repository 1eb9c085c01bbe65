"""Builds the extensions that a module names, for one process."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from benchpool.errors import PrerequisiteError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.llama import EngineFactory, EngineHost, Llama
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine import Engine, Precision
from benchpool.store import DataStore

if TYPE_CHECKING:
    from benchpool.inference.engine_pool import EnginePool

EXTENSIONS = ("Database", "Llama", "WeaveDrive")


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
        self._cache: AnswerCache | None = None
        self._pool: EnginePool | None = None

    def __call__(self, path: Path, precision: Precision = "stored") -> Engine:
        """Open a GGUF file. Raises: InferenceError."""
        from benchpool.inference.engine_pool import EnginePool  # noqa: PLC0415 - needed by few

        with self._lock:
            if self._pool is None:
                self._cache = AnswerCache(self._answers) if self._answers is not None else None
                self._pool = EnginePool(cache=self._cache, **self._options)
            pool = self._pool
        return pool.open(path, precision)

    def admit(self, path: Path) -> None:
        """Try a file in a process that may die of it. Raises: InferenceError."""
        from benchpool.inference.admission import admit  # noqa: PLC0415 - needed by few

        admit(path, memory_bytes=self._options["child_memory_bytes"])

    def close(self) -> None:
        """End the children and close the cache."""
        with self._lock:
            pool, self._pool = self._pool, None
            cache, self._cache = self._cache, None
        if pool is not None:
            pool.close()
        if cache is not None:
            cache.close()


default_engine = LlamaCppEngines()
"""Keeps no answers."""


class ExtensionHost:
    """What the extensions of a network's processes share: its data and its engines."""

    def __init__(
        self,
        data: DataStore,
        folder: Path | None,
        *,
        engine_factory: EngineFactory = default_engine,
        read_only: bool = False,
    ) -> None:
        self.data = data
        self.engines = EngineHost(data, engine_factory)
        self._factory = engine_factory
        self._folder = folder
        self._read_only = read_only

    def close(self) -> None:
        """End the engines for good."""
        self.engines.close()
        if isinstance(self._factory, LlamaCppEngines):
            self._factory.close()

    def admit(self, path: Path) -> None:
        """Try a GGUF file if llama.cpp is what will run it. Raises: InferenceError."""
        if isinstance(self._factory, LlamaCppEngines):
            self._factory.admit(path)

    def check(self, name: str) -> None:
        """Make sure that there is an extension of this name. Raises: PrerequisiteError."""
        if name not in EXTENSIONS:
            raise PrerequisiteError(
                f"no extension named {name!r}; there are: {', '.join(EXTENSIONS)}"
            )

    def build(self, name: str, process: str, recorder: Recorder) -> Extension:
        """Make one extension for one process. Raises: PrerequisiteError if there is none such."""
        self.check(name)
        if name == "WeaveDrive":
            return WeaveDrive(self.data)
        if name == "Llama":
            return Llama(process, self.engines, recorder)
        from benchpool.extensions.database import Database  # noqa: PLC0415 - slow to import

        path = None if self._folder is None else self._folder / f"{process}.sqlite"
        return Database(path, read_only=self._read_only)
