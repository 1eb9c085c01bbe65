"""Stretches: in which parts of a long log an id may stand.

The index of ids goes by stretches of the log, see `schema`, so to look an id up in it alone takes a
look at each. Of every full stretch a Bloom filter is kept here, and those of all stand side by
side: one look at a few places says which stretches are worth a look, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from benchpool.store.schema import STRETCH_BITS

GROUP: Final = 8
"""Stretches whose filters share the bytes of one column, a bit each."""
_PLACE_BITS: Final = STRETCH_BITS + 4
"""A filter has sixteen bits for each message of its stretch: with four places, one of four hundred
stretches that do not hold an id is looked at for nothing."""
_PLACES: Final = 1 << _PLACE_BITS
_MASK: Final = _PLACES - 1
_SHIFTS: Final = (0, 15, 29, 44)
"""Where in a key of 64 bits its places begin."""


class Stretches:
    """The filters of the full stretches of a log: a table of places, a column for each group."""

    def __init__(self) -> None:
        self.full = 0
        """How many stretches are in."""
        self._width = 0
        """How many columns there are."""
        self._table = bytearray()
        """Row by row, so that the bits of all stretches at one place stand together."""

    def that_may_hold(self, key: int) -> Iterator[int]:
        """Go through the numbers of the stretches in which an id may stand, oldest first.

        Args:
            key: what the index has for the id.
        """
        table, width = self._table, self._width
        found = -1
        for shift in _SHIFTS:
            place = key >> shift & _MASK
            found &= int.from_bytes(table[place * width : (place + 1) * width], "little")
        while found:
            yield (found & -found).bit_length() - 1
            found &= found - 1

    def add(self, keys: Iterable[int]) -> None:
        """Take the next stretch in. What the index has for each of its ids is `keys`."""
        group, number = divmod(self.full, GROUP)
        column, bit = bytearray(self.column(group)), 1 << number
        one, two, three, four = _SHIFTS
        for key in keys:
            column[key >> one & _MASK] |= bit
            column[key >> two & _MASK] |= bit
            column[key >> three & _MASK] |= bit
            column[key >> four & _MASK] |= bit
        self._set(group, column)
        self.full += 1

    def column(self, group: int) -> bytes:
        """Return what can be kept of the filters of a group."""
        return bytes(self._table[group :: self._width] if group < self._width else _PLACES)

    def take_over(self, columns: list[bytes], full: int) -> None:
        """Begin with what was kept: the columns of the groups in order, and how many are full."""
        self._width, self._table = len(columns), bytearray(len(columns) * _PLACES)
        for group, column in enumerate(columns):
            self._set(group, column)
        self.full = full

    def _set(self, group: int, column: bytes | bytearray) -> None:
        if group == self._width:
            columns = [self.column(each) for each in range(group)]
            self.take_over([*columns, bytes(_PLACES)], self.full)
        self._table[group :: self._width] = column
