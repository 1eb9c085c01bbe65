"""Shelf: which files of the data store are modules or packages of a network, by their names.

What a module is called and within which bounds it runs is a fact of the network: a process names
its module by id, and is the same process only with the same bytes within the same bounds.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from benchpool.ao.ids import decode_id, is_id
from benchpool.errors import ConfigError
from benchpool.store.base import Store

MODULES: Final = "modules"
"""The fact that keeps which modules were added."""
PACKAGES: Final = "packages"
"""The fact that keeps which Lua packages were added."""
GIVEN_IDS: Final = "given_ids"
"""The fact that keeps which processes were spawned under an id that was asked for."""


class AddedModule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A module whose bytes lie in the data store."""

    id: str
    """The hash of its bytes, under which the data store has them."""
    name: str
    format: str
    """AO's Module-Format."""
    size: int
    """Of its bytes."""
    ids: tuple[str, ...] = ()
    """Under which it is known beside its own id: those that it has on AO's main network."""
    compute_limit: int | None = None
    """What a message may use of fuel; None is what the network allows."""
    memory_limit: int | None = None
    """In bytes; None is what the network allows."""

    @property
    def sha256(self) -> str:
        """The hash of its bytes in hexadecimal."""
        return decode_id(self.id).hex()

    def known_as(self, text: str) -> bool:
        """Tell whether a text is its name or one of its ids."""
        return text in (self.name, self.id, *self.ids)


class AddedPackage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Lua package whose source lies in the data store."""

    name: str
    """What `require` is called with."""
    id: str
    """The hash of its source, under which the data store has it."""


_modules: Final = msgspec.json.Decoder(list[AddedModule])
_packages: Final = msgspec.json.Decoder(list[AddedPackage])
_given: Final = msgspec.json.Decoder(dict[str, str])


def read_modules(value: str) -> list[AddedModule]:
    """Read the fact of modules. Raises: ValueError if it says what none says."""
    found = _modules.decode(value)
    known: set[str] = set()
    for each in found:
        ids = (each.id, *each.ids)
        if is_id(each.name) or not all(map(is_id, ids)):
            raise ValueError(f"module {each.name[:40]!r} has a name or id that none has")
        if min(each.size, each.compute_limit or 1, each.memory_limit or 1) < 0:
            raise ValueError(f"module {each.name[:40]!r} has a size or bound below zero")
        for text in (each.name, *ids):
            if text in known:
                raise ValueError(f"two modules are called {text[:80]!r}")
            known.add(text)
    return found


def read_packages(value: str) -> list[AddedPackage]:
    """Read the fact of packages. Raises: ValueError if it says what none says."""
    found = _packages.decode(value)
    names = {each.name for each in found}
    if len(names) != len(found) or not all(is_id(each.id) for each in found):
        raise ValueError("two packages have one name, or one has an id that none has")
    return found


def read_given_ids(value: str) -> dict[str, str]:
    """Read the fact of given ids. Raises: ValueError if it says what none says."""
    found = _given.decode(value)
    if not all(is_id(each) for pair in found.items() for each in pair):
        raise ValueError("a process has an id that none has")
    return found


def modules_of(store: Store) -> list[AddedModule]:
    """Return the modules that were added to a network, in order."""
    return read_modules(store.fact(MODULES) or "[]")


def packages_of(store: Store) -> list[AddedPackage]:
    """Return the packages that were added to a network, in order."""
    return read_packages(store.fact(PACKAGES) or "[]")


def given_ids(store: Store) -> dict[str, str]:
    """Return the processes with an id that was asked for, each with the hash of its content."""
    return read_given_ids(store.fact(GIVEN_IDS) or "{}")


def check_package_name(name: str) -> None:
    """Accept a name for `require`. Raises: ConfigError."""
    if not re.fullmatch(r"[@A-Za-z0-9._/-]{1,100}", name):
        raise ConfigError(
            f"not a name to require: {name[:80]!r}; use letters, digits and '@._/-', at most 100"
        )


def encode_fact(value: object) -> str:
    """Write the value of one of these facts."""
    return msgspec.json.encode(value).decode()
