"""Modules: what the modules that are installed here are for."""

from __future__ import annotations

from benchpool.errors import HandlerError
from benchpool.extensions.base import Extension, Recorder
from benchpool.process.registry import Registry


class Modules(Extension):
    """Tells which installed modules serve for what. What was told is recorded for replays."""

    def __init__(self, registry: Registry | None, recorder: Recorder) -> None:
        self._registry = registry
        self._recorder = recorder

    def serves(self, module: str, role: str) -> bool:
        """Tell whether a module, by its name or id, is installed and declares a role.

        See `Process.roles`. Code that somebody uploaded is installed nowhere.
        """
        registry = self._registry
        return bool(
            self._recorder.ask(
                lambda: registry is not None and role in registry.roles(module),
                failure=HandlerError,
            )
        )
