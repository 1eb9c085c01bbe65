"""The wire: what an item of the network is as a signed data item, and the other way.

Sources: the ao.TN.1 tags as aoconnect, the reference messenger and the reference scheduler write
and check them (permaweb/ao, connect 0.0.98, servers/mu, servers/su).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from benchpool.ao.dataitem import DataItem, deep_hash, encode_tags, sign
from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Item, Message
from benchpool.ao.signers import LENGTHS, SignatureType, Signer, to_base64url
from benchpool.ao.tags import Pair, Tags, normalise_name
from benchpool.errors import DataItemError, ItemRefused

PROTOCOL: Final = "ao"
VARIANT: Final = "ao.TN.1"
MESSAGE: Final = "Message"
PROCESS: Final = "Process"
NOTICE: Final = "Notice"
SIGNED_FACT: Final = "signed"
"""The fact that a network is signed: how many messages its logs held when it became so."""
SCHEDULER_KEY_FACT: Final = "scheduler_key"
"""The fact that keeps the scheduler's public key, base64url, in a signed network."""
_TYPES: Final = frozenset({MESSAGE, PROCESS})
_OWN_WAY: Final = frozenset({"Data-Protocol", "Variant", "Type"})
_PUSHED_WAY: Final = _OWN_WAY | {"From-Process", "From-Module", "Pushed-For", "Assignments"}
"""Tags that the messenger writes itself, so that no process can claim them."""


class _Parts(NamedTuple):
    """The content of a data item."""

    target: str
    anchor: bytes
    tags: tuple[Pair, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """Turns items into data items and back, in a network with these two units."""

    messenger: str
    """The address that signs what processes send."""
    scheduler: str
    """The address that orders it."""

    def sign(self, item: Item, signer: Signer) -> DataItem:
        """Sign what a sender says.

        Raises: DataItemError if no data item can hold it: tags above 4096 bytes, a target that is
            not 43 characters long.
        """
        return sign(signer, **self._parts(item)._asdict())

    def as_sent(self, item: Item) -> Item:
        """Return an item as it reads once it was signed. Raises: DataItemError, see `sign`."""
        parts = self._parts(item)
        encode_tags(parts.tags)
        return self._read(item.owner, parts)

    def read(self, item: DataItem) -> Item:
        """Return what a data item says.

        From is its first From-Process tag, else its signer. Where it does not come from the
        messenger, nothing else that it claims about its way is taken over, and a process belongs
        to its signer (on AO, to its From-Process).
        """
        return self._read(item.address, _Parts(item.target, item.anchor, item.tags, item.data))

    def _parts(self, item: Item) -> _Parts:
        if item.target and encode_id(_id_bytes(item.target)) != item.target:
            raise DataItemError(f"no data item can be sent to {item.target[:80]!r}")
        anchor = item.anchor.encode()
        if item.reference and not anchor:
            anchor = item.reference.zfill(32).encode()
        # As on AO, where every client and the messenger put a space in place of nothing.
        data = item.data.encode() if isinstance(item.data, str) else item.data
        tags = tuple(_written_tags(item, self.scheduler))
        return _Parts(item.target, anchor, tags, data or b" ")

    def _read(self, owner: str, parts: _Parts) -> Item:
        tags = Tags(parts.tags)
        kind = tags.get("Type") or MESSAGE
        pushed = owner == self.messenger
        sender = tags.get("From-Process") if pushed or kind != PROCESS else ""
        return Item(
            parts.target,
            owner,
            sender or owner,
            tags,
            _text(parts.data),
            anchor=anchor_text(parts.anchor),
            reference=tags.get("Reference"),
            pushed_for=tags.get("Pushed-For") if pushed else "",
            from_module=tags.get("From-Module") if pushed else "",
            type=kind,
        )


def sent_tags(said: Item | Message, scheduler: str) -> Iterable[Pair]:
    """Return the tags of an item as a compute unit gives them to a module.

    Args:
        said: it may have been signed, and then bears the tags of the protocol already.
        scheduler: the address that a process names as its scheduler; none if it is empty.
    """
    pairs = said.tags.pairs
    if any(name == "Data-Protocol" for name, _ in pairs):
        return pairs
    return _written_tags(said, scheduler)


def _written_tags(item: Item | Message, scheduler: str) -> Iterable[Pair]:
    protocol = (("Data-Protocol", PROTOCOL), ("Variant", VARIANT), ("Type", item.type))
    pushed = bool(item.reference)
    hidden = _PUSHED_WAY if pushed else _OWN_WAY
    own = [pair for pair in item.tags.pairs if normalise_name(pair[0]) not in hidden]
    if not pushed:
        yield from own
    yield from protocol
    if pushed:
        yield "Reference", item.reference
        yield from own
        yield "From-Process", item.sender
        if item.from_module:
            yield "From-Module", item.from_module
        if item.pushed_for:
            yield "Pushed-For", item.pushed_for
    if scheduler and item.type == PROCESS and "Scheduler" not in item.tags:
        yield "Scheduler", scheduler


def _id_bytes(text: str) -> bytes:
    try:
        return decode_id(text)
    except ValueError:
        raise DataItemError(f"no data item can be sent to {text[:80]!r}") from None


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def anchor_text(raw: bytes) -> str:
    """Write an anchor as clients gave it: as text, else as base64url."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return to_base64url(raw)


# -- keeping an item -------------------------------------------------------------------------


def head_of(item: DataItem) -> bytes:
    """Return the bytes of an item before its data, which the message of the log holds."""
    return item.raw[: -len(item.data) or None]


def data_of(message: Message) -> bytes:
    """Return the data of a message as its item has it."""
    return message.data.encode() if isinstance(message.data, str) else message.data


def mark_of(kind: str, process: str, reference: str) -> str:
    """Name what a process put out: the item of this kind with this reference."""
    return f"{kind} {process} {reference}"


def content_mark(item: DataItem) -> str:
    """Name the content of an item, whoever signed it, as the reference scheduler compares it."""
    tags = sorted(pair for pair in item.tags if pair[0] != "Pushed-For")
    target = decode_id(item.target) if item.target else b""
    flat = [part.encode() for pair in tags for part in pair]
    return "content " + to_base64url(deep_hash([target, item.anchor, list(flat), item.data]))


# -- the rules of the reference units --------------------------------------------------------


def check_item(item: DataItem) -> None:
    """Accept an item as one of the protocol. Raises: ItemRefused with the rule that it breaks."""
    tags = Tags(item.tags)
    if PROTOCOL not in tags.all("Data-Protocol"):
        raise ItemRefused("data-protocol", "Tag 'Data-Protocol': must contain 'ao'")
    if tags.get("Type") not in _TYPES:
        raise ItemRefused("type", "Tag 'Type': must be either 'Process' or 'Message'")
    if tags.get("Type") == PROCESS:
        for name in ("Module", "Scheduler"):
            if not tags.get(name):
                raise ItemRefused(name.lower(), f"Tag '{name}': a process item must have it")
    elif not item.target:
        raise ItemRefused("target", "a message item must have a target")
    if any(part.endswith("+link") for pair in item.tags for part in pair):
        raise ItemRefused("link", "no name or value of a tag may end in '+link'")


# -- assignments -----------------------------------------------------------------------------


class SignedAssignment(NamedTuple):
    """What the scheduler signed of a message's place in a log: the assignment that it signed."""

    signature: bytes
    exclude: tuple[str, ...] = ()
    """Fields of the message that the assignment leaves out."""
    id_key: int | None = None
    """What the index of assignments has for its id; None where there is no index."""

    @property
    def id(self) -> bytes:
        """The id of the assignment: 32 bytes."""
        return sha256(self.signature).digest()


def assignment_item(message: Message, signer: Signer, exclude: Sequence[str] = ()) -> DataItem:
    """Make the scheduler's assignment of a message of a log, signed by it.

    The same message and an Ed25519 key give the same item each time.

    Args:
        message: as it stands in the log.
        signer: the scheduler's key.
        exclude: fields of the message that are left out.

    Raises: DataItemError if `exclude` has names that are empty, hold a comma or are too long.
    """
    return sign(signer, tags=_assignment_tags(message, exclude))


def kept_assignment(message: Message, signed: SignedAssignment, owner: bytes) -> DataItem:
    """Make the same item of the signature that is kept of it; `verify` tells whether it holds.

    Args:
        message: as it stands in the log.
        signed: what the scheduler signed.
        owner: the scheduler's public key (Ed25519, 32 bytes).

    Raises: DataItemError if the signature has not 64 bytes.
    """
    lengths = LENGTHS[SignatureType.ED25519]
    if (len(signed.signature), len(owner)) != lengths:
        raise DataItemError(f"an Ed25519 signature has {lengths.signature} bytes")
    tags = _assignment_tags(message, signed.exclude)
    kind = int(SignatureType.ED25519)
    return DataItem(kind, signed.signature, owner, "", b"", tags, encode_tags(tags), b"")


def _assignment_tags(message: Message, exclude: Sequence[str]) -> tuple[Pair, ...]:
    if any(not name or "," in name for name in exclude):
        raise DataItemError("a field to exclude has a name without commas")
    own = () if message.id == message.process else (("Message", message.id),)
    return (
        ("Data-Protocol", PROTOCOL),
        ("Variant", VARIANT),
        ("Type", "Assignment"),
        ("Process", message.process),
        ("Epoch", str(message.epoch)),
        ("Nonce", str(message.nonce)),
        ("Hash-Chain", message.hash_chain),
        ("Block-Height", f"{message.block_height:012d}"),
        ("Timestamp", str(message.timestamp)),
        *own,
        *(("Exclude", name) for name in exclude),
    )
