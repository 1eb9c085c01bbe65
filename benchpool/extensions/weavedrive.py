"""WeaveDrive: read a data transaction by its id. The bytes are verified against the id."""

from __future__ import annotations

from pathlib import Path

from benchpool.errors import HandlerError, StoreError
from benchpool.extensions.base import Extension
from benchpool.store import DataStore

MAX_READ_BYTES = 256 << 20
"""What `read` holds in memory; models are larger, and are used by their path."""


class WeaveDrive(Extension):
    """Read access to the data store. It needs no record: an id has one content for ever."""

    def __init__(self, data: DataStore) -> None:
        self._data = data

    def read(self, data_id: str) -> bytes:
        """Return the bytes.

        Raises: HandlerError if they are missing, were changed, or are too many to be held.
        """
        path = self.path(data_id)
        size = path.stat().st_size
        if size > MAX_READ_BYTES:
            raise HandlerError(
                f"data {data_id} has {size:,} bytes; at most {MAX_READ_BYTES:,} are read at once"
            )
        return path.read_bytes()

    def path(self, data_id: str) -> Path:
        """Return a file with the bytes. Raises: HandlerError if they are missing or changed."""
        try:
            return self._data.path(data_id)
        except StoreError as error:
            raise HandlerError(str(error)) from None
