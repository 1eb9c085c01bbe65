"""Uploads: data that came as signed items, beside what is kept under the hash of its bytes.

The data of an item is kept under that hash like any other. `ID.item` beside it says what the item
has before its data, so that the data is found by the id of the item too, and its signature can be
verified again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import IO, Final, Self

import msgspec

from benchpool.ao.dataitem import MAX_HEAD_BYTES, BlobHash, DataItem, decode, verify
from benchpool.ao.ids import encode_id, is_id
from benchpool.errors import DataCorrupt, DataItemError
from benchpool.store.base import OnDamage, ignore

INCOMING: Final = "incoming-"
"""How the names of files begin that are not kept yet."""
_SUFFIX: Final = ".item"
_PART_BYTES: Final = 1 << 20
_FIRST_BYTES: Final = 16
_SETTLED_NS: Final = 1_000_000_000


class UploadRecord(msgspec.Struct, frozen=True):
    """What `ID.item` says, as JSON."""

    head: bytes
    """The item up to its data."""
    data: str
    """The id of its data: the hash of those bytes."""
    size: int
    """Of its data, in bytes."""
    timestamp: int
    """When it came, in milliseconds."""


class Upload:
    """An item whose data is kept.

    Raises: DataItemError if the record's head is none.
    """

    def __init__(self, record: UploadRecord) -> None:
        self.record = record
        self.item: DataItem = decode(record.head)
        """With its data left out."""

    @property
    def id(self) -> str:
        """The id of the item."""
        return self.item.id


class Uploads:
    """The records of a data folder.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Upload] = {}
        self._listed: tuple[int, list[Upload]] | None = None
        """All of them, as long as the folder has this time."""
        self._verified: set[str] = set()

    def find(self, item_id: str) -> Upload | None:
        """Return the upload of this id. Raises: DataCorrupt if its record was changed."""
        known = self._known.get(item_id)
        if known is not None:
            return known
        if not is_id(item_id):
            return None
        try:
            raw = (self._folder / f"{item_id}{_SUFFIX}").read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = Upload(msgspec.json.decode(raw, type=UploadRecord))
        except (msgspec.DecodeError, DataItemError) as error:
            raise DataCorrupt(f"what is kept of upload {item_id} was changed: {error}") from None
        if found.id != item_id:
            raise DataCorrupt(f"what is kept of upload {item_id} is that of {found.id}")
        self._known[item_id] = found
        return found

    def all(self, on_damage: OnDamage | None = None) -> list[Upload]:
        """Return all uploads, in the order in which they came.

        Args:
            on_damage: is told of each record that was changed, which is left out then.

        Raises: DataCorrupt for such a record, if nobody is to be told.
        """
        changed_ns = self._folder.stat().st_mtime_ns
        if self._listed is not None and self._listed[0] == changed_ns:
            return self._listed[1]
        found, damaged = [], False
        for path in self._folder.glob(f"*{_SUFFIX}"):
            name = path.name.removesuffix(_SUFFIX)
            try:
                upload = self.find(name)
            except DataCorrupt as error:
                if on_damage is None:
                    raise
                on_damage(name, error)
                damaged = True
            else:
                if upload is not None:
                    found.append(upload)
        found.sort(key=lambda upload: (upload.record.timestamp, upload.id))
        # What comes within one step of the file system's clock does not change the folder's time.
        settled = time.time_ns() - changed_ns > _SETTLED_NS
        self._listed = (changed_ns, found) if settled and not damaged else None
        return found

    def total_bytes(self) -> int:
        """Return how many bytes all uploads have together, as their owners signed them."""
        return sum(upload.record.size for upload in self.all(ignore))

    def check(self, upload: Upload, path: Path) -> None:
        """Accept a file as the data that an upload's owner signed. Raises: DataCorrupt."""
        if upload.id in self._verified:
            return
        data = BlobHash()
        with path.open("rb") as stream:
            while part := stream.read(_PART_BYTES):
                data.update(part)
        try:
            verify(upload.item, data)
        except DataItemError as error:
            raise DataCorrupt(f"upload {upload.id} was changed: {error}") from None
        self._verified.add(upload.id)

    def add(self, record: UploadRecord) -> Upload:
        """Keep a record, durably; the data is kept already. Raises: DataItemError."""
        upload = Upload(record)
        path = self._folder / f"{upload.id}{_SUFFIX}"
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=INCOMING)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(msgspec.json.encode(record))
            settle(Path(name), path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._known[upload.id] = upload
        return upload


class Incoming:
    """Takes a signed item in parts, writes its data to a file, and hashes it as it comes.

    Use it in a `with` block: what was not kept is removed at the end.

    Args:
        folder: where the data is going to be kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        handle, name = tempfile.mkstemp(dir=folder, prefix=INCOMING)
        self._out: IO[bytes] = os.fdopen(handle, "wb")
        self.path = Path(name)
        """The data so far."""
        self._item: DataItem | None = None
        self._begun = b""
        self._head = b""
        self._first = b""
        self._hash = BlobHash()
        self._sha256 = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._out.close()
        self.path.unlink(missing_ok=True)

    def feed(self, part: bytes) -> None:
        """Take the next bytes. Raises: DataItemError; OSError if they cannot be written."""
        if self._item is not None:
            self._write(part)
            return
        self._begun += part
        if len(self._begun) >= MAX_HEAD_BYTES:
            self._begin()

    def _begin(self) -> None:
        self._item = decode(self._begun)
        self._head = self._begun[: -len(self._item.data) or None]
        self._write(self._item.data)
        self._begun = b""

    def _write(self, part: bytes) -> None:
        if len(self._first) < _FIRST_BYTES:
            self._first = (self._first + part)[:_FIRST_BYTES]
        self._hash.update(part)
        self._sha256.update(part)
        self._out.write(part)

    def finish(self) -> DataItem:
        """Take the end, and return the item without its data, if its owner signed it.

        Raises: DataItemError.
        """
        if self._item is None:
            self._begin()
        self._out.flush()
        item = decode(self._head)
        verify(item, self._hash)
        return item

    def starts_with(self, magic: bytes) -> bool:
        """Tell whether the data begins with these few bytes, by which kinds of files are known."""
        return self._first.startswith(magic)

    @property
    def data_id(self) -> str:
        """The id of the data: the hash of its bytes."""
        return encode_id(self._sha256.digest())

    def record(self, timestamp: int) -> UploadRecord:
        """Return what is to be kept of the item."""
        return UploadRecord(self._head, self.data_id, self._hash.size, timestamp)


def settle(partial: Path, path: Path) -> None:
    """Give a whole file its name, durably: written beside its place, it is there or not at all."""
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    partial.chmod(0o444)
    partial.rename(path)
    # Else a name that a message refers to could be gone after the machine has lost its power.
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
