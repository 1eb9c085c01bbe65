"""Files: what a module reads by `io.open`. There is nothing but what somebody offers by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

FIRST: Final = 3
"""The first number of a file; those below are C's own streams."""
MOST_OPEN: Final = 1024
MOST_PATH_BYTES: Final = 64 << 10
MOST_READ_BYTES: Final = 64 << 20


class Readable(Protocol):
    """An open file."""

    @property
    def lasting(self) -> bool:
        """Whether it may stay open beyond a message: its path opens the same again."""
        ...

    @property
    def size(self) -> int:
        """Bytes in it."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """Return at most so many bytes."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


Offer = Callable[[str], Readable | None]
"""From a path to what it opens; None if there is no such file."""


def nothing(_path: str) -> None:
    """Offer no file."""


@dataclass(slots=True)
class Place:
    """A file that a module has open, and where it reads on: it may keep it between messages."""

    path: str
    position: int = 0


@dataclass(slots=True)
class Files:
    """The files that one module has open, by number."""

    offer: Offer = nothing
    places: dict[int, Place] = field(default_factory=dict)
    touched: bool = False
    """Whether the module asked for any file since this was last cleared."""
    _open: dict[int, Readable] = field(default_factory=dict)

    def open(self, path: str) -> int:
        """Open a file; return its number, or 0 if there is none such, or too many are open."""
        self.touched = True
        if len(self.places) >= MOST_OPEN or len(path.encode()) > MOST_PATH_BYTES:
            return 0
        found = self.offer(path)
        if found is None:
            return 0
        number = FIRST
        while number in self.places:
            number += 1
        self.places[number] = Place(path)
        self._open[number] = found
        return number

    def read(self, number: int, size: int) -> bytes | None:
        """Read on; None for a number that is no open file."""
        self.touched = True
        place = self.places.get(number)
        if place is None:
            return None
        data = self._readable(number, place).read(place.position, min(size, MOST_READ_BYTES))
        place.position += len(data)
        return data

    def seek(self, number: int, offset: int, whence: int) -> int | None:
        """Go to a place from the start (0), from here (1) or from the end (2); None if not so."""
        self.touched = True
        place = self.places.get(number)
        if place is None or whence not in (0, 1, 2):
            return None
        from_here = 0 if whence == 0 else place.position
        start = self._readable(number, place).size if whence == 2 else from_here
        if not 0 <= start + offset < 1 << 53:
            return None
        place.position = start + offset
        return place.position

    def close(self, number: int) -> bool:
        """Close a file; False if it is not open."""
        self.touched = True
        found = self._open.pop(number, None)
        if found is not None:
            found.close()
        return self.places.pop(number, None) is not None

    def end_message(self) -> None:
        """Close what does not last."""
        for number in [number for number, each in self._open.items() if not each.lasting]:
            self.close(number)

    def _readable(self, number: int, place: Place) -> Readable:
        found = self._open.get(number)
        if found is None:  # it was opened before the memory was written down
            found = self.offer(place.path) or _Empty()
            self._open[number] = found
        return found

    # -- with the memory ---------------------------------------------------------------------

    def kept(self) -> list[tuple[int, str, int]]:
        """Return number, path and position of every open file, to be kept with the memory."""
        return [(number, each.path, each.position) for number, each in sorted(self.places.items())]

    def restore(self, kept: list[tuple[int, str, int]]) -> None:
        """Take over what `kept` gave."""
        self.places = {number: Place(path, position) for number, path, position in kept}
        for number in set(self._open) - set(self.places):
            self._open.pop(number).close()

    def close_all(self) -> None:
        """Let go of every file; the places stay."""
        for each in self._open.values():
            each.close()
        self._open.clear()


class _Empty:
    """What is left of a file that is gone."""

    size = 0
    lasting = True

    def read(self, _start: int, _size: int) -> bytes:
        return b""

    def close(self) -> None:
        """There is nothing to let go of."""
