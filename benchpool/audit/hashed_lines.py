"""Chained lines: JSON Lines in Zstandard in which no bit can change unseen.

A line is `{"hash":"...","kind":...}`. Its hash is the SHA-256 of the hash before it and of all
that follows the hash in the line, so a change shows in the line that it was made in. Behind the
last line stands a frame that decompressors skip, with the SHA-256 of every byte before it, so that
nothing can be changed between the lines either.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec
import zstandard

from benchpool.ao.ids import encode_id
from benchpool.errors import StoreError

LONGEST_LINE: Final = 2**28
_LEVEL: Final = 6
MOST_TIMES: Final = 100
"""What is unpacked of a file is at most so many times as long, and `_FREE_BYTES` besides."""
_FREE_BYTES: Final = 2**23
_FRAME_LINES: Final = 5_000
"""Lines that one compressed frame holds: damage is then confined to it."""
_FRAME_BYTES: Final = 2**23
_BLOCK: Final = 2**20
_PREFIX: Final = b'{"hash":"'
_HASH_END: Final = len(_PREFIX) + 43
_SKIP: Final = b"\x50\x2a\x4d\x18\x20\x00\x00\x00"
"""Head of a skippable frame of 32 bytes."""
_SKIP_ANY: Final = _SKIP[:4]
_TRAILER: Final = len(_SKIP) + 32
_ORIGIN: Final = encode_id(bytes(32))


class HashedLine(NamedTuple):
    """A line that was found whole."""

    number: int
    kind: str
    fields: dict[str, Any]


class DamagedFile(StoreError):
    """A file that is not what was written."""


class LineWriter:
    """Writes chained lines into frames."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._digest = sha256()
        self._buffer = io.BytesIO()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        self._held = 0
        self.lines = 0
        self.hash = _ORIGIN

    def write(self, kind: str, **fields: Any) -> bytes:
        """Add a line; return it without its hash."""
        rest = b'",' + msgspec.json.encode({"kind": kind, **fields})[1:]
        if len(rest) > LONGEST_LINE - _HASH_END:
            raise StoreError(f"a line of {len(rest):,} bytes is longer than any that can be read")
        self.hash = _chain(self.hash, rest)
        self._buffer.write(_PREFIX + self.hash.encode() + rest + b"\n")
        self.lines += 1
        self._held += 1
        if self._held >= _FRAME_LINES or self._buffer.tell() > _FRAME_BYTES:
            self._flush()
        return rest

    def _flush(self) -> None:
        if self._held:
            packed = self._compressor.compress(self._buffer.getvalue())
            self._put(packed)
            lacking = self._buffer.tell() // MOST_TIMES + 1 - len(packed)
            if lacking > 0:  # a reader takes what unpacks to more for a bomb
                self._put(_SKIP_ANY + lacking.to_bytes(4, "little") + bytes(lacking))
            self._buffer = io.BytesIO()
            self._held = 0

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)

    def close(self) -> None:
        """Write the last line and the digest of the file."""
        self.write("end", lines=self.lines + 1)
        self._flush()
        self._put(_SKIP)
        self._out.write(self._digest.digest())


def _chain(before: str, rest: bytes) -> str:
    return encode_id(sha256(before.encode() + rest).digest())


def read_lines(stream: IO[bytes], file: Path) -> Iterator[HashedLine]:
    """Check the chain of the lines and give each with its number.

    The digest of the whole file is looked at last, since it cannot tell where it was changed.

    Raises: DamagedFile naming the line.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    digest = sha256()
    body = _Body(stream, max(size - _TRAILER, 0), digest)
    number, before, ended = 0, _ORIGIN, False
    for raw in _split(body, file):
        number += 1
        rest = raw[_HASH_END:]
        if ended:
            raise DamagedFile(f"{file}, line {number}: there is more behind the last line")
        before = _chain(before, rest)
        if raw[:_HASH_END] != _PREFIX + before.encode():
            raise DamagedFile(f"{file}, line {number}: it was changed: its hash does not fit")
        try:
            fields = msgspec.json.decode(b"{" + rest[2:])
        except (ValueError, RecursionError) as error:
            raise DamagedFile(f"{file}, line {number}: not JSON: {error}") from None
        kind = fields.pop("kind", "")
        ended = kind == "end"
        if ended and fields.get("lines") != number:
            raise DamagedFile(
                f"{file}, line {number}: it says that there are {fields.get('lines')}"
            )
        if not ended:
            yield HashedLine(number, kind, fields)
    trailer = stream.read(_TRAILER)
    if not ended:
        raise DamagedFile(f"{file} is truncated: it breaks off after line {number}")
    digest.update(trailer[: len(_SKIP)])
    if trailer[: len(_SKIP)] != _SKIP or trailer[len(_SKIP) :] != digest.digest():
        raise DamagedFile(
            f"{file} was changed outside its lines, of which all {number} are whole: in the head of"
            " a compressed frame, or in the digest behind the last line"
        )


class _Body(io.RawIOBase):
    """The part of a file in front of its trailer, hashed as it is read."""

    def __init__(self, stream: IO[bytes], size: int, digest: Any) -> None:
        self._stream = stream
        self._left = size
        self._digest = digest
        self.taken = 0
        """How many bytes were read."""

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self.taken += len(data)
        self._digest.update(data)
        return data


def _split(body: _Body, file: Path) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
    number, unpacked, length = 0, 0, 0
    held: list[bytes] = []
    source: Any = body  # a RawIOBase is all that it needs
    reader = decompressor.stream_reader(source, read_across_frames=True)
    while True:
        try:
            block = reader.read(_BLOCK)
        except zstandard.ZstdError as error:
            raise DamagedFile(
                f"{file} is truncated or damaged behind line {number}: {error}"
                if number
                else f"{file} is no export of benchpool, or its beginning is damaged: {error}"
            ) from None
        if not block:
            break
        unpacked += len(block)
        if unpacked > body.taken * MOST_TIMES + _FREE_BYTES:
            raise DamagedFile(
                f"{file}, line {number + 1}: {body.taken:,} bytes unpack to more than"
                f" {unpacked - len(block):,}, which no export does"
            )
        *lines, rest = block.split(b"\n")
        for line in lines:
            number += 1
            yield b"".join([*held, line])
            held, length = [], 0
        held.append(rest)
        length += len(rest)
        if length > LONGEST_LINE:
            raise DamagedFile(f"{file}, line {number + 1}: longer than any line that is written")
    while body.read(_BLOCK):
        pass
    if length:
        raise DamagedFile(f"{file} is truncated: it breaks off in line {number + 1}")
