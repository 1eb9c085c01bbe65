"""Modules: what the modules that are installed here are for."""

from __future__ import annotations

from benchpool.errors import HandlerError, PrerequisiteError, UnknownModule
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
        told = self._recorder.ask(lambda: role in self._roles(module), failure=HandlerError)
        return bool(told)

    def _roles(self, module: str) -> tuple[str, ...]:
        if self._registry is None:
            return ()
        try:
            return tuple(getattr(self._registry.find(module), "roles", ()))
        except (UnknownModule, PrerequisiteError):
            return ()
