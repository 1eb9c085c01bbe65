"""Modules by name: those that packages offer under the entry point `benchpool.modules`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from benchpool.ao.ids import is_id, module_id
from benchpool.errors import PrerequisiteError, UnknownModule
from benchpool.process.module import Module

GROUP = "benchpool.modules"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


class Registry:
    """The modules that a network can spawn: those installed, and those added in the program."""

    def __init__(self) -> None:
        self._added: dict[str, Module] = {}

    def add(self, module: Module, name: str | None = None) -> str:
        """Offer a module: a `Process` class, or whatever else makes processes.

        Args:
            module: what makes the processes.
            name: by default its `__name__`.

        Returns: the name.
        """
        name = name or module.__name__
        self._added[name] = module
        return name

    def names(self) -> list[str]:
        """List every module name."""
        return sorted({*self._added, *_installed()})

    def name(self, module: str) -> str:
        """Return the name of a module that is given by its name or id; of others, what is given."""
        if not is_id(module):
            return module
        return next((name for name in self.names() if module_id(name) == module), module)

    def roles(self, name: str) -> tuple[str, ...]:
        """Return what a module says it is for; nothing of one that is not installed here."""
        try:
            return tuple(getattr(self.find(name), "roles", ()))
        except (UnknownModule, PrerequisiteError):
            return ()

    def find(self, name: str) -> Module:
        """Return a module by its name or id.

        Raises: UnknownModule naming those there are; PrerequisiteError if it cannot be imported.
        """
        name = self.name(name)
        if name in self._added:
            return self._added[name]
        point = _installed().get(name)
        if point is None:
            raise UnknownModule(f"no module named {name!r}; there are: {', '.join(self.names())}")
        try:
            module = point.load()
        except Exception as error:
            raise PrerequisiteError(
                f"module {name} ({point.value}) cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not callable(module):
            raise UnknownModule(f"{point.value}, offered as module {name!r}, makes no processes")
        found: Module = module
        return found
