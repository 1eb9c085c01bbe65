"""What passes between a network, the driver of a Ray cluster, and the workers on its nodes.

The network and the driver exchange frames; see `benchpool.inference.frames`. What they carry for a
worker, and what it gives back, are the bodies below, as MessagePack: a worker is asked in bytes.
"""

from __future__ import annotations

from typing import Any, BinaryIO, TypeVar

import msgspec

from benchpool.inference.engine import LayoutName, Precision, Request, Runtime
from benchpool.inference.frames import Answered, read_body, write_body

T = TypeVar("T")

# -- the network and the driver ----------------------------------------------------------------


class Settings(msgspec.Struct, frozen=True):
    """How the driver finds its cluster; one argument of the command line, as JSON."""

    address: str
    """As `ray.init` takes it; empty for a cluster of this machine alone."""
    cores: int
    """Of a cluster of this machine alone."""


class Call(msgspec.Struct, frozen=True, tag=True):
    """To the driver: ask a worker."""

    id: int
    worker: str
    method: str
    body: bytes


class Place(msgspec.Struct, frozen=True, tag=True):
    """To the driver: send a file to the node of a worker, in pieces."""

    id: int
    worker: str
    file: ModelFile


class Want(msgspec.Struct, frozen=True, tag=True):
    """To the driver: so many CPUs have work to do; a hint to an autoscaler."""

    cpus: int


class Returned(msgspec.Struct, frozen=True, tag=True):
    """From the driver: what a worker gave back."""

    id: int
    body: bytes


class Lost(msgspec.Struct, frozen=True, tag=True):
    """From the driver: a worker gives nothing back any more."""

    id: int
    reason: str


class Slot(msgspec.Struct, frozen=True):
    """A worker: one CPU of a node."""

    id: str
    node: str
    """The id of its node."""
    host: str
    state: str
    """ready, starting, or why it is not there."""
    about: bytes = b""
    """`About`, once it is ready."""


class Slots(msgspec.Struct, frozen=True, tag=True):
    """From the driver, every second: the workers that there are."""

    slots: tuple[Slot, ...]


class Down(msgspec.Struct, frozen=True, tag=True):
    """From the driver, which ends: it cannot reach its cluster."""

    reason: str


ToDriver = Call | Place | Want
FromDriver = Returned | Lost | Slots | Down

# -- the bodies: what a worker is asked, and what it gives back ------------------------------------


class ModelFile(msgspec.Struct, frozen=True):
    """A file, by the hash of its bytes."""

    sha256: str
    size_bytes: int
    path: str
    """Where the network has it; a node that sees the same bytes there needs no copy."""
    shared: bool
    """Whether nodes shall look there."""


class Piece(msgspec.Struct, frozen=True):
    """Where the bytes that come with it belong."""

    file: ModelFile
    offset: int


class Load(msgspec.Struct, frozen=True):
    """Run a model in a child."""

    child: str
    file: ModelFile
    name: str
    precision: Precision
    layout: LayoutName | None
    context_tokens: int
    memory_bytes: int | None


class Ask(msgspec.Struct, frozen=True):
    """Have a child answer."""

    child: str
    requests: tuple[Request, ...]


class Try(msgspec.Struct, frozen=True):
    """Try a file in a process that may die of it."""

    file: ModelFile
    memory_bytes: int | None


class About(msgspec.Struct, frozen=True):
    """What a worker says of itself and its node."""

    version: str
    """Of benchpool."""
    pid: int
    cores: int
    memory_bytes: int
    files: tuple[str, ...]
    """Hashes of the files in the node's cache."""


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The child has loaded the model, and computes like this."""

    runtime: Runtime


class Missing(msgspec.Struct, frozen=True, tag=True):
    """The node does not have the file."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It went wrong, in the words of the node."""

    error: str
    """The name of the class in `benchpool.errors`."""
    reason: str


class More(msgspec.Struct, frozen=True, tag=True):
    """Answers so far, none where it takes longer; and whether these were the last."""

    frames: tuple[Answered, ...]
    end: bool


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done."""


Given = Loaded | Missing | Failed | More | Done

pack = msgspec.msgpack.Encoder().encode
_to_driver = msgspec.msgpack.Decoder(ToDriver).decode
_from_driver = msgspec.msgpack.Decoder(FromDriver).decode
_given = msgspec.msgpack.Decoder(Given).decode


def unpack(body: bytes, kind: type[T]) -> T:
    """Read a body. Raises: msgspec.DecodeError."""
    return msgspec.msgpack.decode(body, type=kind)


def unpack_given(body: bytes) -> Given:
    """Read what a worker gave back. Raises: msgspec.DecodeError."""
    given: Given = _given(body)
    return given


def write(pipe: BinaryIO, message: Any) -> None:
    """Write one frame and flush it. Raises: OSError if the other side is gone."""
    write_body(pipe, pack(message))


def read_to_driver(pipe: BinaryIO) -> ToDriver | None:
    """Read the network's next frame; None when it is gone."""
    body = read_body(pipe)
    return None if body is None else _to_driver(body)


def read_from_driver(pipe: BinaryIO) -> FromDriver | None:
    """Read the driver's next frame; None when it is gone or talks nonsense."""
    body = read_body(pipe)
    try:
        return None if body is None else _from_driver(body)
    except msgspec.DecodeError:
        return None
