"""Builds the extensions that a module names, for one process."""

from __future__ import annotations

from pathlib import Path

from benchpool.errors import PrerequisiteError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.llama import EngineHost, Llama
from benchpool.extensions.modules import Modules
from benchpool.extensions.sandbox import FUEL, MEMORY_BYTES, Sandbox
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.engines import EngineFactory, Engines, MadeEngines
from benchpool.process.registry import Registry
from benchpool.store import DataStore
from benchpool.store.base import Durability

EXTENSIONS = ("Database", "Llama", "Modules", "Sandbox", "WeaveDrive")


class ExtensionHost:
    """What the extensions of a network's processes share: its data and its engines."""

    def __init__(
        self,
        data: DataStore,
        folder: Path | None,
        *,
        engine_factory: Engines | EngineFactory,
        registry: Registry | None = None,
        read_only: bool = False,
        inference_seconds: float = 0,
        wasm_fuel: int = FUEL,
        wasm_memory_bytes: int = MEMORY_BYTES,
        durability: Durability = "power",
    ) -> None:
        self.data = data
        self._registry = registry
        self.backend = (
            engine_factory
            if isinstance(engine_factory, Engines)
            else MadeEngines(engine_factory, inference_seconds)
        )
        self._inference_seconds = inference_seconds
        self.engines = EngineHost(data, self.backend)
        self._folder = folder
        self._read_only = read_only
        self._durability = durability
        self._wasm = (wasm_fuel, wasm_memory_bytes)

    def close(self) -> None:
        """End the engines for good."""
        self.engines.close()
        self.backend.close()

    def check(self, name: str) -> None:
        """Make sure that there is an extension of this name. Raises: PrerequisiteError."""
        if name not in EXTENSIONS:
            raise PrerequisiteError(
                f"no extension named {name!r}; there are: {', '.join(EXTENSIONS)}"
            )

    def build(self, name: str, process: str, recorder: Recorder, *, kept: bool = True) -> Extension:
        """Make one extension for one process.

        Args:
            name: of the extension.
            process: the id of the process.
            recorder: of its answers from outside.
            kept: False if nothing that it writes shall stay.

        Raises: PrerequisiteError if there is none such.
        """
        self.check(name)
        if name == "WeaveDrive":
            return WeaveDrive(self.data, recorder)
        if name == "Llama":
            return Llama(process, self.engines, recorder, self._inference_seconds)
        if name == "Sandbox":
            return Sandbox(recorder, *self._wasm)
        if name == "Modules":
            return Modules(self._registry, recorder)
        return self._database(process, kept=kept)

    def _database(self, process: str, *, kept: bool) -> Extension:
        from benchpool.extensions.database import Database  # noqa: PLC0415 - slow to import

        if not kept or self._folder is None:
            return Database(None)
        path = self._folder / f"{process}.sqlite"
        if self._read_only:
            return Database(path if path.exists() else None, read_only=path.exists())
        self._folder.mkdir(parents=True, exist_ok=True)
        return Database(path, durability=self._durability)
