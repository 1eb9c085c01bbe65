"""Modules by name: those that packages offer under the entry point `benchpool.modules`.

Beside these, which are code that is installed here, a network has modules that are its data.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, Self

from benchpool.ao.ids import is_id, module_id
from benchpool.errors import PrerequisiteError, StoreError, UnknownModule
from benchpool.process.module import Module

GROUP = "benchpool.modules"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


class ModuleData(Protocol):
    """Modules that are data of a network."""

    def names(self) -> list[str]:
        """List the names of those that have one."""
        ...

    def name(self, module_id: str) -> str:
        """Return the name of a module of this id; empty if there is none."""
        ...

    def pin(self, name: str) -> str:
        """Return the id of a module of this name; empty if there is none."""
        ...

    def find(self, module_id: str) -> Module | None:
        """Return a module of this id; None if there is none.

        Raises: DataNotFound, DataCorrupt if its bytes are not here any more; PrerequisiteError.
        """
        ...


class Registry:
    """The modules that a network can spawn: those installed, and those added in the program."""

    def __init__(self) -> None:
        self._added: dict[str, Module] = {}
        self._data: ModuleData | None = None

    def with_data(self, data: ModuleData) -> Self:
        """Return this registry as a network has it that has modules of its own as data."""
        registry = copy(self)
        registry._data = data
        return registry

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
        """List the names of the modules that are code."""
        return sorted({*self._added, *_installed()})

    def name(self, module: str) -> str:
        """Return the name of a module that is given by its name or id; of others, what is given."""
        if not is_id(module):
            return module
        for name in self.names():
            if module_id(name) == module:
                return name
        name = "" if self._data is None else self._data.name(module)
        # What is code here is known by its name: no data may pass for it.
        return module if not name or self._is_code(name) else name

    def pin(self, module: str) -> str:
        """Return what a process keeps of its module: the id of one that is data, else the text.

        Args:
            module: a name or id, of a module that is here or not.
        """
        if self._data is None or is_id(module) or self._is_code(module):
            return module
        return self._data.pin(module) or module

    def roles(self, name: str) -> tuple[str, ...]:
        """Return what a module says it is for; nothing of one that is not code here."""
        try:
            return tuple(getattr(self._find_code(name), "roles", ()))
        except (UnknownModule, PrerequisiteError):
            return ()

    def find(self, name: str) -> Module:
        """Return a module by its name or id.

        Raises: UnknownModule naming those there are; PrerequisiteError if it cannot be imported;
            DataNotFound, DataCorrupt if it is data that is not here any more.
        """
        found = self._find_data(name)
        return self._find_code(name) if found is None else found

    def is_data(self, module: str) -> bool:
        """Tell whether a module of this id is no code, whether it is here or not."""
        return is_id(module) and all(module_id(name) != module for name in self.names())

    def why_missing(self, module: str) -> str:
        """Say why a module that is data cannot be had now; empty if it can, and of code."""
        try:
            self._find_data(module)
        except (StoreError, PrerequisiteError) as error:
            return str(error)
        return ""

    def _find_data(self, name: str) -> Module | None:
        if self._data is None:
            return None
        module = self.pin(name)
        return self._data.find(module) if self.is_data(module) else None

    def _is_code(self, name: str) -> bool:
        return name in self._added or name in _installed()

    def _find_code(self, name: str) -> Module:
        name = self.name(name)
        if name in self._added:
            return self._added[name]
        point = _installed().get(name)
        if point is None:
            known = [*self.names(), *(() if self._data is None else self._data.names())]
            raise UnknownModule(f"no module named {name!r}; there are: {', '.join(known)}")
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
