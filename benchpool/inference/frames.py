"""What passes between an engine's parent and the child process that runs its model.

A frame is a length (4 bytes, big-endian) and that many bytes of MessagePack.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import msgspec

from benchpool.inference.engine import (
    Answer,
    EngineStats,
    LayoutName,
    Precision,
    Request,
    Runtime,
)
from benchpool.inference.files.sealed import Identity

MAX_FRAME_BYTES = 1 << 28
_LENGTH = struct.Struct(">I")


class Settings(msgspec.Struct, frozen=True):
    """How the parent wants the model run; one argument of the command line, as JSON."""

    path: str
    name: str
    threads: int | None
    context_tokens: int
    heartbeat_s: float
    precision: Precision
    layout: LayoutName | None
    copies: str | None
    sha256: str | None
    memory_bytes: int
    checked: Identity | None


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Parent to child: answer these, in order."""

    requests: tuple[Request, ...]


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the model is loaded, and this decides the bits of its answers."""

    runtime: Runtime
    copy: Identity | None = None
    """The BF16 copy that it runs, whose bytes were checked."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the model cannot be loaded; the child ends."""

    reason: str


class Answered(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: some answers, each with its place in the ``Ask``, and what they took."""

    answers: tuple[tuple[int, Answer], ...]
    stats: EngineStats


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: the current ``Ask`` ends with an error."""

    reason: str


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Child to parent: a heartbeat, and how many evaluations were done so far."""

    decodes: int = 0


FromChild = Loaded | Refused | Answered | Failed | Alive

_encode = msgspec.msgpack.Encoder().encode
_decode_ask = msgspec.msgpack.Decoder(Ask).decode
_decode_from_child = msgspec.msgpack.Decoder(FromChild).decode


def write_frame(pipe: BinaryIO, message: Ask | FromChild) -> None:
    """Write one frame and flush it.

    Raises:
        OSError: The other side is gone.
    """
    write_body(pipe, _encode(message))


def read_ask(pipe: BinaryIO) -> Ask | None:
    """Read the parent's next frame; None when the parent is gone."""
    body = read_body(pipe)
    return None if body is None else _decode_ask(body)


def read_from_child(pipe: BinaryIO) -> FromChild | None:
    """Read the child's next frame; None when the child is gone or talks nonsense."""
    body = read_body(pipe)
    try:
        return None if body is None else _decode_from_child(body)
    except msgspec.DecodeError:
        return None


def write_body(pipe: BinaryIO, body: bytes) -> None:
    """Write the body of one frame, with its length, and flush it. Raises: OSError."""
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def read_body(pipe: BinaryIO) -> bytes | None:
    """Read the body of the next frame; None at the end, and for nonsense."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME_BYTES:
        return None
    body = pipe.read(length)
    return body if len(body) == length else None
