"""Builds the extensions that a module names, for one process."""

from __future__ import annotations

from pathlib import Path

from benchpool.errors import PrerequisiteError
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.llama import EngineFactory, EngineHost, Llama
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.inference.engine import Engine
from benchpool.store import DataStore


def default_engine(path: Path) -> Engine:
    """Run a model by llama.cpp in a child process of its own."""
    from benchpool.inference.isolated import IsolatedEngine  # noqa: PLC0415 - needed by few

    return IsolatedEngine(path)


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
        self._folder = folder
        self._read_only = read_only

    def build(self, name: str, process: str, recorder: Recorder) -> Extension:
        """Make one extension for one process. Raises: PrerequisiteError if there is none such."""
        if name == "WeaveDrive":
            return WeaveDrive(self.data)
        if name == "Llama":
            return Llama(process, self.engines, recorder)
        if name == "Database":
            from benchpool.extensions.database import Database  # noqa: PLC0415 - slow to import

            path = None if self._folder is None else self._folder / f"{process}.sqlite"
            return Database(path, read_only=self._read_only)
        raise PrerequisiteError(
            f"no extension named {name!r}; there are: Database, Llama, WeaveDrive"
        )
