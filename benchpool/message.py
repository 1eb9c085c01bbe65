"""Messages, tags, results: what travels between processes and what an evaluation gives.

The wire names of AO (``From``, ``Block-Height``, ...) are mapped to attributes in this file and
nowhere else. Everything here is immutable and cheap: millions of messages pass in a run, so
input is validated at the borders of the program and not again at each hop.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from benchpool.errors import HandlerError

Pair = tuple[str, str]
TagsInput = Mapping[str, Any] | Iterable[Pair]
if TYPE_CHECKING:
    Data = str | bytes
else:
    Data = Any  # MessagePack tells text from bytes by itself; msgspec takes no such union

ID_LENGTH = 43
"""Characters of an id or address: 32 bytes as base64url without padding."""

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/..")  # what base64url does not have is refused


def encode_id(digest: bytes) -> str:
    """Write 32 bytes as the 43 base64url characters of an AO id."""
    return b2a_base64(digest, newline=False).translate(_TO_URL)[:ID_LENGTH].decode()


def decode_id(text: str) -> bytes:
    """Read the 32 bytes of an id back. Raises: ValueError if it is not one."""
    raw = text.encode("ascii")
    if len(raw) != ID_LENGTH:
        raise ValueError(f"an id has {ID_LENGTH} characters, this has {len(raw)}: {text[:60]!r}")
    return a2b_base64(raw.translate(_FROM_URL) + b"=", strict_mode=True)


def is_id(text: str) -> bool:
    """Tell whether a text has the form of an id or address."""
    try:
        return len(decode_id(text)) == 32
    except ValueError:
        return False


@lru_cache(maxsize=65536)
def normalise_name(name: str) -> str:
    """Write a tag name as aos does: ``x-foo_bar`` and ``X-FOO-BAR`` are both ``X-Foo-Bar``.

    Source: aos process 2.0.4, ao.normalize.
    """
    return "-".join(
        part[:1].upper() + part[1:].lower() for part in name.replace("_", "-").split("-")
    )


def as_pairs(tags: TagsInput) -> Iterable[Pair]:
    """Return the (name, value) pairs of tags in either form."""
    # Asking an abstract class costs more than all the rest, so lists and tuples go first.
    if tags.__class__ is list or tags.__class__ is tuple or not isinstance(tags, Mapping):
        return tags
    return tags.items()


class Tags:
    """The tags of a message: ordered, duplicates allowed, names found in any case.

    Looking a name up gives its first value; `all` gives every one. `pairs` keeps the tags as they
    were sent.
    """

    __slots__ = ("_first", "ascii", "pairs")

    def __init__(self, tags: TagsInput = ()) -> None:
        pairs = tuple(as_pairs(tags))
        first: dict[str, str] = {}
        plain = True
        for name, value in reversed(pairs):
            if value.__class__ is not str:
                pairs = tuple((name, str(value)) for name, value in pairs)
                first = {normalise_name(name): value for name, value in reversed(pairs)}
                plain = False
                break
            if not value.isascii():
                plain = False
            first[normalise_name(name)] = value
        self.pairs: tuple[Pair, ...] = pairs
        self.ascii = plain
        """True if all values are known to be ASCII."""
        self._first = first

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a tag, or the default."""
        return self._first.get(normalise_name(name), default)

    def __getitem__(self, name: str) -> str:
        return self._first[normalise_name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normalise_name(name) in self._first

    def all(self, name: str) -> list[str]:
        """Return every value of a tag, in order."""
        wanted = normalise_name(name)
        return [value for key, value in self.pairs if normalise_name(key) == wanted]

    def extras(self) -> list[Pair]:
        """Return the `X-` tags, which belong to the user and are carried along."""
        return [pair for pair in self.pairs if pair[0][:2] in {"X-", "x-"}]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tags) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return f"Tags({', '.join(f'{name}={value}' for name, value in self.pairs)})"


NO_TAGS = Tags()


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
        """The first ``Action`` tag, or an empty text."""
        return self.tags._first.get("Action", "")

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
        """Look a name up as aos does at a message's root: its own fields first, then its tags."""
        name = normalise_name(name)
        field = _ROOT_FIELDS.get(name)
        if field is not None:
            value = getattr(self, field)
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return self.tags.get(name, default)

    def view(self) -> dict[str, Any]:
        """Show the message under AO's names, for people and for JSON."""
        shown: dict[str, Any] = {
            "Id": self.id,
            "From": self.sender,
            "Owner": self.owner,
            "Target": self.target,
            "Tags": [{"name": name, "value": value} for name, value in self.tags],
            "Data": self.data if isinstance(self.data, str) else f"({len(self.data)} bytes)",
            "Timestamp": self.timestamp,
            "Block-Height": self.block_height,
            "Nonce": self.nonce,
            "Epoch": self.epoch,
            "Hash-Chain": self.hash_chain,
            "Cron": self.cron,
        }
        if self.reference:
            shown["Reference"] = self.reference
        if self.pushed_for:
            shown["Pushed-For"] = self.pushed_for
        return shown


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

    def view(self) -> dict[str, Any]:
        """Show it as a compute unit does: Target, Tags, Data, Anchor."""
        return {
            "Target": self.target,
            "Tags": [{"name": name, "value": value} for name, value in self.tags],
            "Data": self.data if isinstance(self.data, str) else f"({len(self.data)} bytes)",
            "Anchor": f"{self.reference:032d}",
        }


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

    def view(self) -> dict[str, Any]:
        """Show it in the shape of a compute unit's answer."""
        shown: dict[str, Any] = {
            "Messages": [message.view() for message in self.messages],
            "Spawns": [
                {
                    "Module": spawn.module,
                    "Tags": [{"name": name, "value": value} for name, value in spawn.tags],
                    "Anchor": f"{spawn.reference:032d}",
                }
                for spawn in self.spawns
            ],
            "Assignments": [
                {"Message": assign.message, "Processes": list(assign.processes)}
                for assign in self.assignments
            ],
            "Output": self.output,
        }
        if self.error:
            shown["Error"] = self.error
        return shown


EMPTY_RESULT = Result()


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

    def id(self) -> str:
        """Hash the canonical bytes: the MessagePack array of the fields, data as bytes."""
        data = self.data
        if data.__class__ is str:
            data = data.encode()
        return encode_id(
            sha256(
                _canonical.encode(
                    (
                        self.type,
                        self.target,
                        self.owner,
                        self.sender,
                        self.tags.pairs,
                        data,
                        self.anchor,
                        self.reference,
                        self.pushed_for,
                    )
                )
            ).digest()
        )


def _encode_tags(value: object) -> object:
    if isinstance(value, Tags):
        return value.pairs
    raise TypeError(f"cannot encode {type(value)}")


def _decode_tags(kind: type, value: Any) -> Any:
    if kind is Tags:
        return Tags([(name, text) for name, text in value])
    raise TypeError(f"cannot decode {kind}")


_canonical = msgspec.msgpack.Encoder()
_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_tags)
_message_decoder = msgspec.msgpack.Decoder(Message, dec_hook=_decode_tags)
_result_decoder = msgspec.msgpack.Decoder(Result, dec_hook=_decode_tags)

encode: Any = _encoder.encode
"""Message or Result -> the bytes that the log keeps."""

_ENCODED_EMPTY = _encoder.encode(EMPTY_RESULT)


def encode_result(result: Result) -> bytes:
    """Write a result as the bytes that the log keeps; most results are empty."""
    return _ENCODED_EMPTY if result is EMPTY_RESULT else _encoder.encode(result)


def decode_message(data: bytes) -> Message:
    """Read a message back from the log."""
    return _message_decoder.decode(data)


def decode_result(data: bytes) -> Result:
    """Read a result back from the log."""
    return _result_decoder.decode(data)
