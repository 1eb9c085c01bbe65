"""Facts: what a home keeps about its network itself, each in a form of its own and sealed.

Each commit seals every fact with the beginning of its hash, and tells where the log ends and what
the names are, so that a fact which was changed or lost outside a network is known by its name, and
so is a log that was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.ao.ids import is_id
from benchpool.errors import StoreError
from benchpool.store.base import Store
from benchpool.store.shelf import (
    GIVEN_IDS,
    MODULES,
    PACKAGES,
    read_given_ids,
    read_modules,
    read_packages,
)

SEALS: Final = "seals"
LOG_END: Final = "log_end"
NAMES: Final = "names"
DATABASES: Final = "databases"
"""The fact that keeps which processes have a private database."""
VERSION: Final = "schema_version"
RESTORE: Final = "restore the home from a backup"
REBUILD: Final = f"{RESTORE}, or take its log as it is with: benchpool rebuild"

_UNSEALED: Final = frozenset({SEALS, VERSION})
"""The second changes when a home is brought up to date, before anything is committed."""
MENDABLE: Final = frozenset(
    {*("clock", "sent", "naming", "pushed", "monitored"), DATABASES, LOG_END, NAMES, SEALS}
)
"""Facts that follow from the log, or that a network can do without."""
_SHOWN: Final = 40
_NEEDED: Final = ("clock", "seed", "messenger", "scheduler")
"""Without these a home would go on as another network, or at another time."""


def _number(value: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) <= 16):
        raise ValueError("not a whole number")


def _hexadecimal(value: str) -> None:
    if len(bytes.fromhex(value)) != 32:
        raise ValueError("not 32 bytes in hexadecimal")


def _address(value: str) -> None:
    if not is_id(value):
        raise ValueError("not an address")


def _json(kind: Any) -> Callable[[str], None]:
    decoder = msgspec.json.Decoder(kind)

    def check(value: str) -> None:
        decoder.decode(value)

    return check


_FORMS: Final[dict[str, Callable[[str], object]]] = {
    "clock": _number,
    "sent": _number,
    "signed": _number,
    LOG_END: _number,
    "seed": _hexadecimal,
    "seed_digest": _hexadecimal,
    NAMES: _hexadecimal,
    "messenger": _address,
    "scheduler": _address,
    "naming": _json(list[str]),
    DATABASES: _json(list[str]),
    "pushed": _json(tuple[dict[str, int], dict[str, int]]),
    "outside_facts_untyped": _json(dict[str, int]),
    MODULES: read_modules,
    PACKAGES: read_packages,
    GIVEN_IDS: read_given_ids,
    SEALS: _json(dict[str, str]),
}
"""By fact, what accepts its value. Raises: ValueError."""


def seal(facts: Mapping[str, str]) -> str:
    """Return the value of the fact that seals the others."""
    return msgspec.json.encode(
        {name: _digest(value) for name, value in sorted(facts.items()) if name not in _UNSEALED}
    ).decode()


def _digest(value: object) -> str:
    return sha256(str(value).encode(errors="surrogatepass")).hexdigest()[:16]


def digest_names(rows: Iterable[tuple[str, str]]) -> str:
    """Return one hash of all names with what they stand for."""
    return sha256("\n".join(f"{name} {identity}" for name, identity in sorted(rows)).encode(
        errors="surrogatepass")).hexdigest()  # fmt: skip


def is_form(name: str, value: object) -> bool:
    """Tell whether a fact can have this value."""
    try:
        _check_form(name, value)
    except (ValueError, RecursionError):
        return False
    return True


def _check_form(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"kept as {type(value).__name__}")  # noqa: TRY004 - as the forms do
    if name in _FORMS:
        _FORMS[name](value)


def check_forms(folder: Path, store: Store, but: Collection[str] = ()) -> None:
    """Accept facts that can be read.

    Args:
        folder: the home.
        store: what it keeps.
        but: facts that may say anything.

    Raises: StoreError naming home, fact and remedy.
    """
    facts = store.facts()
    for name in facts.keys() - but:
        try:
            _check_form(name, facts[name])
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"{folder}: fact {name!r} of its database is damaged: it says"
                f" {str(facts[name])[:_SHOWN]!r}, {error}; {_remedy(name)}"
            ) from None
    if store.end():
        for name in _NEEDED:
            if name not in facts and name not in but:
                raise StoreError(
                    f"{folder}: fact {name!r} of its database is gone; {_remedy(name)}"
                )


def _remedy(name: str) -> str:
    return REBUILD if name in MENDABLE else RESTORE


def altered_facts(store: Store) -> list[str]:
    """Return the facts that are not as the last commit left them."""
    facts = store.facts()
    seals = msgspec.json.decode(facts.get(SEALS, "{}"), type=dict[str, str])
    if not seals:  # nothing was committed since homes are sealed
        return []
    return [
        name
        for name in sorted(seals.keys() | facts.keys() - _UNSEALED)
        if name not in facts or _digest(facts[name]) != seals.get(name)
    ]


def altered_fact(store: Store) -> str | None:
    """Say which fact differs from the last commit; None if none does."""
    facts = store.facts()
    for name in altered_facts(store):
        if name not in facts:
            return f"fact {name!r} of its database is gone"
        return f"fact {name!r} of its database was changed to {facts[name][:_SHOWN]!r}"
    return None


def altered(store: Store) -> str | None:
    """Say what differs from the last commit in facts, names or the end of the log."""
    what = altered_fact(store)
    if what is not None:
        return what
    facts = store.facts()
    end, kept_end = store.end(), facts.get(LOG_END)
    if kept_end is not None and end != int(kept_end):
        return f"its log ends at entry {end:,}, and {int(kept_end):,} were committed"
    if NAMES in facts and facts[NAMES] != digest_names(store.names().items()):
        return "the names of its wallets and processes were changed"
    return None
