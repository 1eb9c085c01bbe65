"""Values: a part of a state, found by its keys and written as JSON, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from benchpool.process import State
from benchpool.server.answers import RefusedRequest
from benchpool.server.fields import field, opened

MOST_BYTES: Final = 4 << 20
"""Of one value as JSON, roughly; more is to be asked for key by key."""
DEEPEST: Final = 64
_NODE_BYTES: Final = 8
_EXACT: Final = 1 << 53
"""Whole numbers from here on are written as text: JavaScript would change them."""


def find(value: Any, keys: Iterable[str]) -> Any:
    """Go into a value key by key; lists count from 1, as in Lua and HyperBEAM.

    Raises: RefusedRequest with status 404 if a key is missing.
    """
    for key in keys:
        value = _step_into(value, key)
    return value


def has(value: Any, key: str) -> bool:
    """Tell whether a map has a key, as `find` finds it."""
    try:
        _step_into(value, key)
    except RefusedRequest:
        return False
    return True


def scalars_of(value: Any) -> Any:
    """Return of a map what is neither a map nor a list; anything else as it is."""
    value = opened(value)
    if not isinstance(value, Mapping):
        return value
    return {key: each for key, each in value.items() if isinstance(each, _SCALARS) or each is None}


_SCALARS = (str, bytes, int, float, bool)


def _step_into(value: Any, key: str) -> Any:
    if isinstance(value, State) and key in value.views:
        return getattr(value, key)()
    if isinstance(value, BaseModel):
        value = {key: field(value, key)} if key in type(value).model_fields else opened(value)
    if isinstance(value, Mapping):
        if key in value:
            return value[key]
        for other in (key.lower(), int(key) if _is_index(key) else None):
            if other in value:
                return value[other]
    elif isinstance(value, list | tuple) and _is_index(key) and 0 < int(key) <= len(value):
        return value[int(key) - 1]
    raise RefusedRequest(f"there is no key {key[:80]!r} here", 404)


def _is_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= 15


def plain(value: Any) -> Any:
    """Write a value as JSON holds it. Raises: RefusedRequest if it is too large or too deep."""
    return _Writer().write(value, 0)


class _Writer:
    """Writes values until they have come to too much."""

    def __init__(self) -> None:
        self._left = MOST_BYTES

    def write(self, value: Any, depth: int) -> Any:
        self._spend(_NODE_BYTES)
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -_EXACT < value < _EXACT else str(value)
        if isinstance(value, str | bytes):
            self._spend(len(value))
            return value if isinstance(value, str) else value.decode(errors="replace")
        if depth >= DEEPEST:
            raise RefusedRequest(f"the value is nested more than {DEEPEST} deep", 413)
        value = opened(value)
        if isinstance(value, Mapping):
            written = {}
            for key, each in value.items():
                name = str(key)
                self._spend(len(name))
                written[name] = self.write(each, depth + 1)
            return written
        if isinstance(value, Iterable):
            return [self.write(each, depth + 1) for each in value]
        return self.write(str(value), depth)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise RefusedRequest(
                f"the value is larger than {MOST_BYTES:,} bytes; ask for a key of it", 413
            )


def is_scalar(value: Any) -> bool:
    """Tell whether a value is neither a map nor a list."""
    return not isinstance(value, dict | list)


def text_of(value: Any) -> str:
    """Write a scalar as text: numbers in digits, truth in words, nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
