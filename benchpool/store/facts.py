"""Facts: what a home keeps about its network itself, each in a form of its own and sealed.

Each commit seals every fact with the beginning of its hash, and tells where the log ends and what
the names are, so that a fact which was changed or lost outside a network is known by its name, and
so is a log that was cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.ao.ids import is_id
from benchpool.errors import StoreError
from benchpool.store.base import Store

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


_FORMS: Final[dict[str, Callable[[str], None]]] = {
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


def check_forms(folder: Path, store: Store) -> None:
    """Accept facts that can be read. Raises: StoreError naming home, fact and remedy."""
    facts: Mapping[str, object] = store.facts()
    for name, value in facts.items():
        form = _FORMS.get(name)
        try:
            if not isinstance(value, str):
                raise ValueError(f"kept as {type(value).__name__}")  # noqa: TRY004, TRY301
            if form is not None:
                form(value)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"{folder}: fact {name!r} of its database is damaged: it says"
                f" {str(value)[:_SHOWN]!r}, {error}; {RESTORE}"
            ) from None
    if store.end():
        for name in _NEEDED:
            if name not in facts:
                raise StoreError(f"{folder}: fact {name!r} of its database is gone; {RESTORE}")


def altered(store: Store) -> str | None:  # noqa: PLR0911 - one a check
    """Say what differs from the last commit in facts, names or the end of the log."""
    facts = store.facts()
    seals = msgspec.json.decode(facts.get(SEALS, "{}"), type=dict[str, str])
    if not seals:  # nothing was committed since homes are sealed
        return None
    for name in sorted(seals.keys() | facts.keys() - _UNSEALED):
        if name not in facts:
            return f"fact {name!r} of its database is gone"
        if name not in seals:
            return f"fact {name!r} of its database was never committed"
        if _digest(facts[name]) != seals[name]:
            return f"fact {name!r} of its database was changed to {facts[name][:_SHOWN]!r}"
    end, kept_end = store.end(), int(facts.get(LOG_END, 0))
    if end != kept_end:
        return f"its log ends at entry {end:,}, and {kept_end:,} were committed"
    if facts.get(NAMES) != digest_names(store.names().items()):
        return "the names of its wallets and processes were changed"
    return None
