"""Images: the memory of a module between two messages, which is all of its state.

C's stack is dead then, so an image is what lies below and above it. What the host keeps for the
module stands in a header: the size of the memory, the clock, references given out, open files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from benchpool.errors import StoreError

_MAGIC: Final = b"benchpool wasm 1\n"
_MOST_REGIONS: Final = 2

Region = tuple[int, int]
"""Where a stretch of memory begins and ends."""


class Header(msgspec.Struct, frozen=True):
    """What an image says beside the bytes."""

    module: str
    """SHA-256 of the module's bytes, to which every address in the image belongs."""
    pages: int = 0
    """Size of the memory; 0 of a module that has not begun."""
    clock: int = 0
    reference: int = 0
    """The last reference that a message or spawn bore."""
    files: tuple[tuple[int, str, int], ...] = ()
    """Open files: number, path, position."""
    regions: tuple[Region, ...] = ()
    """The stretches of memory, one after the other in the bytes; all else is zero or dead."""

    @property
    def size(self) -> int:
        """How many bytes the regions hold."""
        return sum(end - start for start, end in self.regions)

    @property
    def top(self) -> int:
        """Behind the last byte."""
        return self.regions[-1][1] if self.regions else 0


@dataclass(slots=True)
class Image:
    """A header and its bytes, which may stand in a larger buffer."""

    header: Header
    data: bytearray

    def dump(self) -> bytes:
        """Write it down, uncompressed."""
        head = _MAGIC + msgspec.json.encode(self.header) + b"\n"
        return b"".join((head, memoryview(self.data)[: self.header.size]))


def read_image(memory: bytes, module: str) -> Image:
    """Read what `Image.dump` wrote.

    Args:
        memory: what was written.
        module: SHA-256 of the module that is to go on with it.

    Raises: StoreError if it is another module's; ValueError if it is no image.
    """
    if not memory.startswith(_MAGIC):
        raise ValueError("these bytes are no memory of a WASM module")
    end = memory.find(b"\n", len(_MAGIC))
    try:
        header = msgspec.json.decode(memory[len(_MAGIC) : max(end, 0)], type=Header)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the head of this memory cannot be read: {error}") from None
    if header.module != module:
        raise StoreError(
            f"this memory belongs to the WASM module with SHA-256 {header.module[:16]}..., and"
            f" cannot be taken over by one with {module[:16]}...; add that module again"
        )
    data = bytearray(memoryview(memory)[end + 1 :])
    last = 0
    for start, stop in header.regions:
        if not last <= start <= stop:
            raise ValueError("the stretches of this memory are out of order")
        last = stop
    if header.size != len(data) or len(header.regions) > _MOST_REGIONS or header.clock < 0:
        raise ValueError(f"this memory has {len(data):,} bytes and says {header.size:,}")
    return Image(header, data)


class Buffers:
    """Buffers to copy into, used again and again: one is out for each message under way.

    Args:
        most: how many are kept.
        most_bytes: how large one of them may be.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._free: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """Return a buffer of at least so many bytes."""
        best = self._free.pop() if self._free else bytearray()
        return best if len(best) >= size else bytearray(size + size // 8)

    def give(self, buffer: bytearray) -> None:
        """Take a buffer back."""
        if len(self._free) < self._most and len(buffer) <= self._most_bytes:
            self._free.append(buffer)


_buffers = Buffers(most=4, most_bytes=9 << 20)


def take_buffer(size: int) -> bytearray:
    """Return a buffer of at least so many bytes, to be given back by `release`."""
    return _buffers.take(size)


def release(image: Image) -> None:
    """Give back the buffer of an image that is not needed any more."""
    if image.data:
        _buffers.give(image.data)
        image.data = bytearray()
