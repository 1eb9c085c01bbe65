"""Messages, tags, results: what travels between processes and what an evaluation gives.

The wire names of AO (``From``, ``Block-Height``, ...) are mapped to attributes in this file and
nowhere else. Everything here is immutable and cheap: millions of messages pass in a run, so
input is validated at the borders of the program and not again at each hop.
"""

from __future__ import annotations

import json
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from benchpool.ao.ids import encode_id
from benchpool.ao.tags import NO_TAGS, Tags, normalise_name
from benchpool.errors import HandlerError

if TYPE_CHECKING:
    Data = str | bytes
else:
    Data = Any  # MessagePack tells text from bytes by itself; msgspec takes no such union


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message as it stands in a process's log, and as a handler sees it."""

    id: str
    """43 characters: SHA-256 of the canonical bytes. For a process's first message, its own id."""
    process: str
    """The process, or wallet, whose log holds this message."""
    target: str
    """Where it was sent to; differs from `process` only in an assignment."""
    owner: str
    """The address that signed it; for a message pushed from a process, the messenger's."""
    sender: str
    """AO's ``From``: the process that sent it, else its owner."""
    tags: Tags = NO_TAGS
    data: Data = ""
    timestamp: int = 0
    """Milliseconds since 1970."""
    block_height: int = 0
    nonce: int = 0
    """Place in the process's log. A cron tick has none of its own and bears the one before it."""
    epoch: int = 0
    hash_chain: str = ""
    anchor: str = ""
    """What tells two otherwise equal messages of one wallet apart."""
    reference: str = ""
    """The sending process's outbox counter; empty for a message from a wallet."""
    pushed_for: str = ""
    """Id of the wallet's message that started the chain; empty on that message itself."""
    from_module: str = ""
    cron: bool = False
    read_only: bool = False
    """True in a dry run."""
    type: str = "Message"
    """``Process`` on the message that creates a process, else ``Message``."""
    depth: int = 0
    """How many pushes lie between this message and the one that started the chain."""
    position: int = 0
    """Place among everything the process evaluates, cron ticks included."""

    @property
    def action(self) -> str:
        """The last ``Action`` tag, or an empty text; see `get`."""
        return self.tags.last("Action")

    @property
    def text(self) -> str:
        """Data as text. Raises: HandlerError if it is not UTF-8."""
        if isinstance(self.data, str):
            return self.data
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise HandlerError("Data is not UTF-8 text") from None

    def json(self) -> Any:
        """Parse Data as JSON. Raises: HandlerError with the place of the fault."""
        text = self.text
        try:
            value = json.loads(text)
            if "\\u" in text:
                # Half a surrogate pair is no text: it could not be written to the log.
                json.dumps(value, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise HandlerError(f"Data is not valid JSON: {error}") from None
        return value

    def get(self, name: str, default: str = "") -> str:
        """Look a name up as aos does at a message's root: its own fields first, then its tags.

        Of a tag that is there more than once, the last counts at the root, and the first in
        `tags`.
        """
        name = normalise_name(name)
        field = _ROOT_FIELDS.get(name)
        if field is not None:
            value = getattr(self, field)
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return self.tags.last(name, default)


_ROOT_FIELDS = {
    "Id": "id",
    "From": "sender",
    "Owner": "owner",
    "Target": "target",
    "Data": "data",
    "Timestamp": "timestamp",
    "Block-Height": "block_height",
    "Nonce": "nonce",
    "Epoch": "epoch",
    "Hash-Chain": "hash_chain",
    "Anchor": "anchor",
    "Reference": "reference",
    "Pushed-For": "pushed_for",
    "From-Module": "from_module",
}


class Outgoing(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message in an outbox, before it is pushed."""

    target: str
    tags: Tags
    data: Data
    reference: int


class SpawnRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A process that an evaluation asks for."""

    module: str
    tags: Tags
    data: Data
    reference: int


class AssignRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An existing message that an evaluation assigns to further processes."""

    message: str
    processes: tuple[str, ...]


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an evaluation gave. With an ``error``, the outbox is empty and the state unchanged."""

    messages: tuple[Outgoing, ...] = ()
    spawns: tuple[SpawnRequest, ...] = ()
    assignments: tuple[AssignRequest, ...] = ()
    output: str = ""
    """The lines that the process logged."""
    error: str = ""
    recorded: tuple[bytes, ...] = ()
    """Answers from outside (inference), in the order asked: they stand in for it in a replay."""
    given: bytes = b""
    """A WASM module's response as JSON, as the module wrote it; empty for all other modules."""


EMPTY_RESULT = Result()


EDITION = 2
"""Of the rules of modules. A process keeps the rules that there were when it was spawned, as on AO,
where it is an instance of one module for ever: what benchpool 0.1 spawned keeps edition 1."""


TESTNET_MESSENGER = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY"
"""The messenger of AO's legacy network, whom aos has every process trust that it spawns there. Here
it stands for the local one."""


class ProcessInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was fixed when a process was spawned."""

    id: str
    module: str
    owner: str
    """The wallet or process that spawned it."""
    tags: Tags
    created_ms: int
    created_height: int
    order: int
    """Its place among all processes: ticks that fall together come in this order."""
    edition: int = EDITION
    """Not stored: it follows from when the process was spawned."""

    @property
    def name(self) -> str:
        """The ``Name`` tag, or an empty text."""
        return self.tags.get("Name")

    @property
    def authorities(self) -> frozenset[str]:
        """Addresses trusted to pass on other processes' messages."""
        return frozenset(
            part.strip() for value in self.tags.all("Authority") for part in value.split(",")
        )

    def trusts(self, message: Message) -> bool:
        """Tell whether an authority of this process passed a message on.

        Where it comes from and what it was pushed for are known of what the messenger pushed alone.
        """
        authorities = self.authorities
        pushed = bool(message.from_module or message.pushed_for)
        return message.owner in authorities or (
            pushed and self.edition > 1 and TESTNET_MESSENGER in authorities
        )


class Item(msgspec.Struct, frozen=True, gc=False):
    """What a sender says: a message before it is scheduled."""

    target: str
    owner: str
    sender: str
    tags: Tags
    data: Data
    anchor: str = ""
    reference: str = ""
    pushed_for: str = ""
    from_module: str = ""
    type: str = "Message"

    @classmethod
    def of(cls, message: Message, *, type: str) -> Item:  # noqa: A002 - the field's name
        """Return what the sender of a logged message said, as an item of this type."""
        return cls(
            message.target,
            message.owner,
            message.sender,
            message.tags,
            message.data,
            message.anchor,
            message.reference,
            message.pushed_for,
            message.from_module,
            type,
        )

    def id(self) -> str:
        """Hash the canonical bytes: the MessagePack array of the fields, data as bytes."""
        return encode_id(content_digest(self, self.target))


def content_digest(said: Item | Message, target: str) -> bytes:
    """Hash what a sender says, which makes the id: 32 bytes."""
    data = said.data
    if type(data) is str:
        data = data.encode()
    canonical = bytearray(_CANONICAL_BYTES)
    _canonical.encode_into(
        (
            said.type,
            target,
            said.owner,
            said.sender,
            said.tags.pairs,
            data,
            said.anchor,
            said.reference,
            said.pushed_for,
        ),
        canonical,
    )
    return sha256(canonical).digest()


_Pairs = tuple[tuple[str, str], ...]


def _decode_tags(kind: type, value: Any) -> Any:
    if kind is Tags:
        return Tags.of(msgspec.convert(value, _Pairs))
    raise TypeError(f"cannot decode {kind}")


_COMMON_BYTES, _CANONICAL_BYTES = 768, 512
"""What most messages fit in and fill by half: such a buffer takes half as long as growing bytes."""
_canonical = msgspec.msgpack.Encoder()
_encoder = msgspec.msgpack.Encoder(enc_hook=attrgetter("pairs"))  # of tags, the only foreign type
_message_decoder = msgspec.msgpack.Decoder(Message, dec_hook=_decode_tags)
_result_decoder = msgspec.msgpack.Decoder(Result, dec_hook=_decode_tags)


def encode(said: Message | Result | tuple[object, ...]) -> bytes:
    """Write a message, a result or its fields as the bytes that the log keeps."""
    buffer = bytearray(_COMMON_BYTES)
    _encoder.encode_into(said, buffer)
    return bytes(buffer)


_BROKEN = (AttributeError, TypeError, ValueError, RecursionError)
"""What bytes that nobody encoded raise beside msgspec's own errors."""


def _plain(result: Result) -> tuple[object, ...]:
    """Return the fields of a result without `given`, as results were before there was such."""
    return (
        result.messages,
        result.spawns,
        result.assignments,
        result.output,
        result.error,
        result.recorded,
    )


_ENCODED_EMPTY = _encoder.encode(_plain(EMPTY_RESULT))


def encode_result(result: Result) -> bytes:
    """Write a result as the bytes that the log keeps; most results are empty."""
    if result is EMPTY_RESULT:
        return _ENCODED_EMPTY
    return encode(result if result.given else _plain(result))


def decode_message(data: bytes) -> Message:
    """Read a message back from the log. Raises: msgspec.DecodeError if it is none."""
    try:
        message = _message_decoder.decode(data)
        _check_data(message.data)
    except _BROKEN as error:
        raise msgspec.DecodeError(f"not a message: {error}") from None
    return message


def decode_result(data: bytes) -> Result:
    """Read a result back from the log. Raises: msgspec.DecodeError if it is none."""
    try:
        result = _result_decoder.decode(data)
        for message in result.messages:
            _check_data(message.data)
        for spawn in result.spawns:
            _check_data(spawn.data)
    except _BROKEN as error:
        raise msgspec.DecodeError(f"not a result: {error}") from None
    return result


def _check_data(data: object) -> None:
    if type(data) is not str and type(data) is not bytes:
        raise TypeError("its Data is neither text nor bytes")
