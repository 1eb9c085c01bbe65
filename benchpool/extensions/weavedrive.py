"""WeaveDrive: read a data transaction by its id. The bytes are verified against the id."""

from __future__ import annotations

from pathlib import Path

from benchpool.ao.ids import is_id
from benchpool.errors import HandlerError, StoreError
from benchpool.extensions.base import Extension, Recorder
from benchpool.store import DataStore

MAX_READ_BYTES = 256 << 20
"""What `read` holds in memory; models are larger, and are used by their path."""


class WeaveDrive(Extension):
    """Read access to the data store. An id has one content for ever: its absence is recorded."""

    def __init__(self, data: DataStore, recorder: Recorder) -> None:
        self._data = data
        self._recorder = recorder

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
        if not is_id(data_id):
            return self.find(data_id)
        return self._recorder.fetch(data_id, lambda: self.find(data_id), failure=HandlerError)

    def find(self, data_id: str) -> Path:
        """Look for a file as it is now, whatever is recorded. Raises: as `path`."""
        try:
            return self._data.path(data_id)
        except StoreError as error:
            raise HandlerError(str(error)) from None
