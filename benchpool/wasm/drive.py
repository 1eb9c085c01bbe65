"""Drive: the paths under which a module finds data, as AO's WeaveDrive has them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from benchpool.errors import HandlerError
from benchpool.wasm.files import Readable


class Finds(Protocol):
    """Finds data by its id, and records what was not there."""

    def path(self, data_id: str) -> Path:
        """Return a file with the bytes. Raises: HandlerError if there is none."""
        ...


def open_data(path: str, drive: Finds) -> Readable | None:
    """Open `/data/ID`; None for another path, or if there is no such data."""
    parts = path.split("/")
    if len(parts) != 3 or parts[:2] != ["", "data"]:
        return None
    try:
        return DataFile(drive.path(parts[2]))
    except HandlerError:
        return None


class DataFile:
    """A file of the data store, which never changes."""

    lasting = True

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def read(self, start: int, size: int) -> bytes:
        """Return at most so many bytes."""
        self._file.seek(start)
        return self._file.read(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
