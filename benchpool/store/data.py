"""Data transactions: bytes kept under the hash of their content (models, data sets, code)."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchpool.ao.ids import complete_id, encode_id, is_id
from benchpool.errors import DataCorrupt, DataNotFound, StoreError
from benchpool.store.uploads import INCOMING, Incoming, Upload, Uploads, settle

_STALE_S: Final = 3600
"""How long nothing is written to what is still coming in."""


def file_id(path: Path) -> str:
    """Return the id that a file's bytes have as data. Raises: OSError if it cannot be read."""
    with path.open("rb") as stream:
        return encode_id(hashlib.file_digest(stream, "sha256").digest())


def free_bytes(folder: Path) -> int:
    """Return what may be written to a folder."""
    return shutil.disk_usage(folder).free


class DataStore:
    """A folder of read-only files, each named by the base64url SHA-256 of its bytes.

    What came as a signed item is found by the id of the item, too.

    Without a folder it makes a temporary one at its first use.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._verified: dict[str, tuple[int, int]] = {}
        self._uploads: Uploads | None = None

    @property
    def folder(self) -> Path:
        """Where the files are."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="benchpool-data-")
            self._folder = Path(self._temporary.name)
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def put(self, data: bytes) -> str:
        """Keep bytes; return their id. The same bytes are kept once, and again if they changed."""
        data_id = encode_id(hashlib.sha256(data).digest())
        if not self._is_whole(data_id):
            self._keep(data_id, data)
        return data_id

    def put_file(self, source: Path) -> str:
        """Keep a copy of a file; return the id of its bytes.

        Raises: OSError if it cannot be read; StoreError if there is no room for it.
        """
        self._check_room(source)
        data_id = file_id(source)
        if not self._is_whole(data_id):
            self._keep(data_id, source)
        return data_id

    def _check_room(self, source: Path) -> None:
        """Look at a file's size before all of it is read: it may be larger than any disk."""
        size, room = source.stat().st_size, free_bytes(self.folder)
        # What is kept already needs no more room.
        if size > room and all(path.stat().st_size != size for path in self.files().values()):
            raise StoreError(
                f"{source} has {size:,} bytes, and there is room for {room:,} in {self.folder}:"
                " free some, or take another home"
            )

    def _keep(self, data_id: str, source: bytes | Path) -> None:
        handle, name = tempfile.mkstemp(dir=self.folder, prefix=INCOMING)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                if isinstance(source, bytes):
                    out.write(source)
                else:
                    with source.open("rb") as stream:
                        shutil.copyfileobj(stream, out, 1 << 20)
            settle(partial, self._path(data_id))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    # -- signed items ------------------------------------------------------------------------

    @property
    def uploads(self) -> Uploads:
        """What came as signed items."""
        if self._uploads is None:
            self._uploads = Uploads(self.folder)
        return self._uploads

    def incoming(self) -> Incoming:
        """Begin to take a signed item in. What is left of others that were cut off is removed."""
        for path in self.folder.glob(f"{INCOMING}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_S:  # its program was killed
                    path.unlink()
        return Incoming(self.folder)

    def put_item(self, incoming: Incoming, timestamp_ms: int) -> Upload:
        """Keep a signed item that `finish` accepted, once; its data is found by both ids.

        Raises: OSError if it cannot be written.
        """
        record = incoming.record(timestamp_ms)
        if not self._path(record.data).exists():
            settle(incoming.path, self._path(record.data))
        return self.uploads.add(record)

    def content_id(self, data_id: str) -> str:
        """Return the hash of the bytes that are kept under an id, which it mostly is itself.

        Raises: DataCorrupt.
        """
        upload = None if self._is_here(data_id) else self.uploads.find(data_id)
        return data_id if upload is None else upload.record.data

    def _is_whole(self, data_id: str) -> bool:
        """Tell whether the bytes of a hash are here as they were."""
        try:
            return self._is_here(data_id) and self.path(data_id).exists()
        except DataCorrupt:
            return False

    def _is_here(self, data_id: str) -> bool:
        return is_id(data_id) and self._path(data_id).exists()

    # -- looking -----------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Return the ids under which something is kept, those of signed items too."""
        names = [path.stem for path in self.folder.iterdir()]
        return [name for name in names if is_id(name)]

    def files(self) -> dict[str, Path]:
        """Return the files, not verified, by the ids of their bytes, in the order of the ids."""
        return {name: path for name in sorted(self.ids()) if (path := self._path(name)).exists()}

    def resolve(self, text: str) -> str:
        """Return the id that begins with a text, or the text if none does. Raises: AmbiguousId."""
        return text if is_id(text) else complete_id(text, self.ids(), "data ids") or text

    def path(self, data_id: str) -> Path:
        """Return the verified file of an id.

        Raises:
            DataNotFound: nothing is stored under it, or it has not the form of an id.
            DataCorrupt: the bytes no longer hash to it.
        """
        if not is_id(data_id):
            raise DataNotFound(f"not a data id: {data_id[:80]!r}; it has 43 base64url characters")
        path = self._path(data_id)
        upload = None if self._is_here(data_id) else self.uploads.find(data_id)
        if upload is not None:
            path = self.path(upload.record.data)
            self.uploads.check(upload, path)
            return path
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise DataNotFound(
                f"no data with id {data_id}; store the file with: benchpool data put FILE"
            ) from None
        seen = (stat.st_mtime_ns, stat.st_size)
        if self._verified.get(data_id) != seen:
            with path.open("rb") as stream:
                actual = encode_id(hashlib.file_digest(stream, "sha256").digest())
            if actual != data_id:
                raise DataCorrupt(
                    f"the data with id {data_id} was changed: it now hashes to {actual}"
                )
            self._verified[data_id] = seen
        return path

    def size(self, data_id: str) -> int | None:
        """Return how many bytes are kept under the hash of them, not verified; None if none are."""
        try:
            return self._path(data_id).stat().st_size if is_id(data_id) else None
        except FileNotFoundError:
            return None

    def get(self, data_id: str) -> bytes:
        """Return the verified bytes of an id. Raises: as `path`."""
        return self.path(data_id).read_bytes()

    def _path(self, data_id: str) -> Path:
        return self.folder / data_id

    def close(self) -> None:
        """Remove the temporary folder, if there is one."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
            self._folder = None
            self._uploads = None
