"""Wanted: which transactions somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from benchpool.ao.tags import Pair
from benchpool.server.tag_match import Match


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction."""

    id: str
    owner: str
    owner_key: str
    tags: tuple[Pair, ...]
    height: int
    timestamp_ms: int
    recipient: str = ""
    anchor: str = ""
    signature: str = ""
    data_size: int = 0

    def bears(self, name: str, values: frozenset[str]) -> bool:
        """Tell whether it has a tag of this name with one of these values."""
        return any(name == key and value in values for key, value in self.tags)


class Fitting(NamedTuple):
    """A tag whose values are not compared letter by letter."""

    name: str
    takes: Match

    def fits(self, found: Transaction) -> bool:
        """Tell whether a transaction has such a tag."""
        return any(name == self.name and self.takes(value) for name, value in found.tags)


class Wanted(NamedTuple):
    """Which transactions are wanted; what is empty is any."""

    required: tuple[tuple[str, frozenset[str]], ...] = ()
    """Tags that each must have, with one of the values."""
    barred: tuple[tuple[str, frozenset[str]], ...] = ()
    """Tags that none may have."""
    fitting: tuple[Fitting, ...] = ()
    """Tags that each must have, and how."""
    unfitting: tuple[Fitting, ...] = ()
    """Tags that none may have."""
    owners: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    lowest: int | None = None
    """A block height."""
    highest: int | None = None
    earliest_s: int | None = None
    """When it came here, in seconds."""
    latest_s: int | None = None

    def takes(self, found: Transaction) -> bool:
        """Tell whether a transaction is one of them."""
        return (
            (not self.owners or found.owner in self.owners)
            and (not self.recipients or found.recipient in self.recipients)
            and (self.lowest is None or found.height >= self.lowest)
            and (self.highest is None or found.height <= self.highest)
            and (self.earliest_s is None or found.timestamp_ms // 1000 >= self.earliest_s)
            and (self.latest_s is None or found.timestamp_ms // 1000 <= self.latest_s)
            and all(found.bears(*pair) for pair in self.required)
            and not any(found.bears(*pair) for pair in self.barred)
            and all(each.fits(found) for each in self.fitting)
            and not any(each.fits(found) for each in self.unfitting)
        )

    def may_be(self, kind: str) -> bool:
        """Tell whether a transaction of this Type can be one of them."""
        return all(kind in values for name, values in self.required if name == "Type")
