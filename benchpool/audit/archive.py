"""Archives: files in one tar file of a strict form, in which no bit can change unseen.

First comes a manifest with the size and the hash of every file, then the files in its order, then
the hash of all that stands before it. Every header is the only one that a file of that name and
size can have, and nothing is compressed: so what a reader finds is either what was written, or it
is refused before it is read. `tar -xf` reads it, too.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from benchpool.errors import StoreError
from benchpool.store.home import OWN_FILES

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_DIGEST: Final = "digest"
_BLOCK: Final = tarfile.BLOCKSIZE
_PART: Final = 1 << 20
_END: Final = bytes(2 * _BLOCK)
_DIGEST_SIZE: Final = 64
_MOST_MANIFEST: Final = 64 << 20
_MOST_TEXT: Final = 1 << 24
_ID: Final = "[A-Za-z0-9_-]{43}"
_OWN: Final = "|".join(map(re.escape, OWN_FILES))
_NAMES: Final = re.compile(rf"benchpool\.sqlite|databases/{_ID}\.sqlite|data/{_ID}(\.item)?|{_OWN}")
_TEXTS: Final = re.compile(rf"{_OWN}|.*\.item")

Report = Callable[[int, int, str], None]
"""Told how much of how much is done, and of what."""


def silent(_done: int, _total: int, _what: str) -> None:
    """Tell nobody."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of an archive."""

    name: str
    size: int
    sha256: str
    """In hexadecimal."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an archive says that it holds."""

    format: int
    benchpool: str
    """The version that wrote it."""
    messages: int
    """Log entries."""
    processes: int
    wallets: int
    clock: int
    """The network's time, in milliseconds."""
    members: list[Member]

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(member.size for member in self.members)


def write_archive(
    out: IO[bytes], manifest: Manifest, sources: Sequence[Path], report: Report
) -> None:
    """Write files behind their manifest.

    Args:
        out: where to.
        manifest: the files' names, sizes and hashes.
        sources: where each of them is.
        report: see `Report`.

    Raises: StoreError if a file is not what the manifest says; OSError.
    """
    digest, done = sha256(), 0

    def put(data: bytes) -> None:
        digest.update(data)
        out.write(data)

    head = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    put(_header(MANIFEST, len(head)) + _padded(head))
    for member, source in zip(manifest.members, sources, strict=True):
        put(_header(member.name, member.size))
        found, left = sha256(), member.size
        with source.open("rb") as stream:
            while part := stream.read(min(_PART, left)):
                found.update(part)
                put(part)
                left -= len(part)
                done += len(part)
                report(done, manifest.size, "backup")
        if left or found.hexdigest() != member.sha256:
            raise StoreError(f"{source} is not what it was: it changed, or it is damaged")
        put(_padding(member.size))
    tail = digest.hexdigest().encode()
    out.write(_header(_DIGEST, len(tail)) + _padded(tail) + _END)


def read_archive(stream: IO[bytes], file: Path, folder: Path, report: Report = silent) -> Manifest:
    """Lay the files of an archive into a folder.

    Nothing is written before the length of the archive was found to be what its manifest says.

    Args:
        stream: the archive.
        file: what it is called.
        folder: an empty one.
        report: see `Report`.

    Raises: StoreError if it is no archive, truncated or changed; OSError.
    """
    digest, done = sha256(), 0
    length = stream.seek(0, 2)
    stream.seek(0)

    def take(size: int) -> bytes:
        data = stream.read(size)
        if len(data) != size:
            raise StoreError(f"{file} is truncated")
        digest.update(data)
        return data

    manifest = _read_manifest(take, file, length)
    for member in manifest.members:
        if take(_BLOCK) != _header(member.name, member.size):
            raise StoreError(f"{file} was changed: the head of {member.name} does not fit")
        path = folder / member.name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        found, left = sha256(), member.size
        path.touch(mode=0o600, exist_ok=False)
        with path.open("wb") as out:
            while left:
                part = take(min(_PART, left))
                found.update(part)
                out.write(part)
                left -= len(part)
                done += len(part)
                report(done, manifest.size, "restore")
        if found.hexdigest() != member.sha256:
            raise StoreError(f"{file} was changed: the hash of {member.name} does not fit")
        if any(take(-member.size % _BLOCK)):
            raise StoreError(f"{file} was changed behind {member.name}")
    expected = digest.hexdigest().encode()
    if stream.read() != _header(_DIGEST, _DIGEST_SIZE) + _padded(expected) + _END:
        raise StoreError(f"{file} was changed: the hash behind its files does not fit")
    return manifest


def _read_manifest(take: Callable[[int], bytes], file: Path, length: int) -> Manifest:
    head = take(_BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(head, "utf-8", "strict").size
    except (tarfile.HeaderError, ValueError):
        size = -1
    if not 0 <= size <= min(_MOST_MANIFEST, length) or head != _header(MANIFEST, size):
        raise StoreError(f"{file} is no backup of benchpool, or its beginning is damaged")
    raw = take(size)
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{file} was changed: its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise StoreError(
            f"{file} has format {manifest.format}, and this benchpool reads format {FORMAT}"
        )
    for what in _wrong_members(manifest):
        raise StoreError(f"{file} was changed: {what}")
    if any(take(-size % _BLOCK)):
        raise StoreError(f"{file} was changed behind its manifest")
    sizes = [size, *(member.size for member in manifest.members), _DIGEST_SIZE]
    whole = sum(_BLOCK + each + -each % _BLOCK for each in sizes) + len(_END)
    if whole != length:
        what = "is truncated" if length < whole else "was changed"
        raise StoreError(f"{file} {what}: it has {length:,} bytes, and should have {whole:,}")
    return manifest


def _wrong_members(manifest: Manifest) -> Iterator[str]:
    seen: set[str] = set()
    for member in manifest.members:
        if not _NAMES.fullmatch(member.name):
            yield f"it says that it holds {member.name[:80]!r}, which no backup does"
        if member.name in seen:
            yield f"it says twice that it holds {member.name}"
        if member.size < 0 or (_TEXTS.fullmatch(member.name) and member.size > _MOST_TEXT):
            yield f"it says that {member.name} has {member.size:,} bytes"
        seen.add(member.name)


def _header(name: str, size: int) -> bytes:
    """Return the head that a file of this name and size has in a tar file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    made: Any = info.tobuf(tarfile.GNU_FORMAT)
    return bytes(made)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _padded(data: bytes) -> bytes:
    return data + _padding(len(data))
