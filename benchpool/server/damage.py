"""Damage: what a server found changed in what it keeps, left out of lists, and reported."""

from __future__ import annotations

import logging
from typing import Final

log = logging.getLogger("benchpool.server")

_MOST: Final = 1_000


class Damage:
    """Items that cannot be read, each reported once."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def note(self, what: str, error: Exception) -> None:
        """Report an item. Any thread may."""
        if what not in self._found and len(self._found) < _MOST:
            self._found[what] = str(error)
            log.warning("left out of lists, since it is damaged: %s: %s", what, error)

    @property
    def items(self) -> list[str]:
        """What was found so far."""
        return list(self._found)
