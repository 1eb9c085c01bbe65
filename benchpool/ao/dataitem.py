"""Data items: signed messages as bytes, and bundles of them.

Sources: ANS-104 (layout, tags, bundles), the Arweave deep hash. The limits are those that
@dha-team/arbundles 1.0.3 enforces.

    item = sign(signer, target=process, tags=[("Action", "Info")], data=b"hello")
    verify(decode(item.raw))
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256, sha384

from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.signers import (
    LENGTHS,
    Signer,
    address_of,
    check_signature,
)
from benchpool.ao.tags import Pair
from benchpool.errors import DataItemError

MAX_TAG_BYTES = 4096
MIN_ITEM_BYTES = 80
MAX_HEAD_BYTES = 2 + max(map(sum, LENGTHS.values())) + 2 * (1 + 32) + 2 * 8 + MAX_TAG_BYTES
"""What an item may have before its data."""
BUNDLE_TAGS: tuple[Pair, ...] = (("Bundle-Format", "binary"), ("Bundle-Version", "2.0.0"))


class BlobHash:
    """Takes bytes in parts that are too many to be held, and stands in for them in a deep hash."""

    def __init__(self) -> None:
        self._digest = sha384()
        self.size = 0

    def update(self, part: bytes) -> None:
        """Take the next part."""
        self._digest.update(part)
        self.size += len(part)

    def digest(self) -> bytes:
        """Return the deep hash of all bytes so far: 48 bytes."""
        return sha384(sha384(b"blob%d" % self.size).digest() + self._digest.digest()).digest()


_Blobs = bytes | BlobHash | list["_Blobs"]


@dataclass(frozen=True)
class DataItem:
    """A signed message. `decode` makes one of bytes, `sign` of a key; `verify` checks it."""

    signature_type: int
    signature: bytes
    owner: bytes
    """The public key."""
    target: str
    """43 characters, or empty."""
    anchor: bytes
    """32 bytes, or none."""
    tags: tuple[Pair, ...]
    raw_tags: bytes
    """The tags as they came: they are signed, and may be encoded in more than one way."""
    data: bytes

    @cached_property
    def id(self) -> str:
        """43 characters: SHA-256 of the signature."""
        return encode_id(sha256(self.signature).digest())

    @cached_property
    def address(self) -> str:
        """The signer's address: 43 characters, or 0x and 40 digits for an Ethereum key."""
        return address_of(self.signature_type, self.owner)

    @cached_property
    def owner_address(self) -> str:
        """43 characters, the hash of the key: how gateways and schedulers name any signer."""
        return encode_id(sha256(self.owner).digest())

    @property
    def raw(self) -> bytes:
        """The whole item as it travels."""
        return b"".join(
            (
                self.signature_type.to_bytes(2, "little"),
                self.signature,
                self.owner,
                b"\x01" + decode_id(self.target) if self.target else b"\0",
                b"\x01" + self.anchor if self.anchor else b"\0",
                len(self.tags).to_bytes(8, "little"),
                len(self.raw_tags).to_bytes(8, "little"),
                self.raw_tags,
                self.data,
            )
        )

    @property
    def signed_message(self) -> bytes:
        """The 48 bytes that the owner signs."""
        return self.signed_over(self.data)

    def signed_over(self, data: bytes | BlobHash) -> bytes:
        """Return the 48 bytes that the owner signs of this item with other data."""
        target = decode_id(self.target) if self.target else b""
        head = _hash_head(self.signature_type, self.owner)
        return _append(head, (target, self.anchor, self.raw_tags, data))


def decode(raw: bytes) -> DataItem:
    """Read a data item. Its signature is not checked: see `verify`.

    Raises: DataItemError if the bytes are none.
    """
    if len(raw) < MIN_ITEM_BYTES:
        raise DataItemError(f"a data item has at least {MIN_ITEM_BYTES} bytes, this has {len(raw)}")
    cursor = _Cursor(raw)
    number = int.from_bytes(cursor.take(2, "signature type"), "little")
    lengths = LENGTHS.get(number)  # type: ignore[call-overload]  # an IntEnum equals its number
    if lengths is None:
        raise DataItemError(
            f"signature type {number} is not supported; 1 (Arweave), 2 (Ed25519) and 3 (Ethereum)"
            " are"
        )
    signature = cursor.take(lengths.signature, "signature")
    owner = cursor.take(lengths.owner, "owner")
    target = cursor.take_optional("target")
    anchor = cursor.take_optional("anchor")
    count = int.from_bytes(cursor.take(8, "number of tags"), "little")
    size = int.from_bytes(cursor.take(8, "length of the tags"), "little")
    if size > MAX_TAG_BYTES:
        raise DataItemError(f"the tags take {size:,} bytes, more than {MAX_TAG_BYTES:,}")
    raw_tags = cursor.take(size, "tags")
    tags = decode_tags(raw_tags)
    if len(tags) != count:
        raise DataItemError(f"the data item says that it has {count} tags, and has {len(tags)}")
    return DataItem(
        number,
        signature,
        owner,
        encode_id(target) if target else "",
        anchor,
        tags,
        raw_tags,
        cursor.rest(),
    )


def verify(item: DataItem, data: BlobHash | None = None) -> None:
    """Accept an item that its owner signed.

    Args:
        item: the item.
        data: in place of its data, where that was read in parts.

    Raises: DataItemError.
    """
    signed = item.signed_message if data is None else item.signed_over(data)
    check_signature(item.signature_type, item.owner, signed, item.signature)


def sign(
    signer: Signer,
    *,
    target: str = "",
    anchor: bytes = b"",
    tags: Iterable[Pair] = (),
    data: bytes = b"",
) -> DataItem:
    """Make a signed data item.

    Raises: DataItemError for a target that is no id, an anchor that has not 32 bytes, and tags of
        more than 4096 bytes or that are no Unicode.
    """
    pairs = tuple((name, value) for name, value in tags)
    target_bytes = _exact_id(target) if target else b""
    if len(anchor) not in {0, 32}:
        raise DataItemError(f"the anchor of a data item has 32 bytes, not {len(anchor)}")
    raw_tags = encode_tags(pairs)
    kind, owner = int(signer.signature_type), signer.owner
    hashed = _append(_hash_head(kind, owner), (target_bytes, anchor, raw_tags, data))
    return DataItem(kind, signer.sign(hashed), owner, target, anchor, pairs, raw_tags, data)


def _exact_id(text: str) -> bytes:
    # 43 characters hold two bits more than 32 bytes: only one of four spellings comes back.
    with suppress(ValueError):
        decoded = decode_id(text)
        if encode_id(decoded) == text:
            return decoded
    raise DataItemError(f"the target of a data item is a 43-character id, not {text[:80]!r}")


def deep_hash(part: _Blobs) -> bytes:
    """Hash bytes, or a list of such parts, with SHA-384 so that the structure counts: 48 bytes."""
    if isinstance(part, list):
        return _append(_hash_list(len(part)), part)
    if isinstance(part, BlobHash):
        return part.digest()
    return sha384(sha384(b"blob%d" % len(part)).digest() + sha384(part).digest()).digest()


def _hash_list(length: int) -> bytes:
    return sha384(b"list%d" % length).digest()


def _append(hashed: bytes, parts: Iterable[_Blobs]) -> bytes:
    for part in parts:
        hashed = sha384(hashed + deep_hash(part)).digest()
    return hashed


@lru_cache(maxsize=256)
def _hash_head(signature_type: int, owner: bytes) -> bytes:
    # The first four of an item's eight signed parts: a signer's items have them all alike.
    return _append(_hash_list(8), [b"dataitem", b"1", b"%d" % signature_type, owner])


class _Cursor:
    """Takes bytes in order, and never more than there are."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.position = 0

    def take(self, size: int, what: str) -> bytes:
        end = self.position + size
        if end > len(self._raw):
            raise DataItemError(f"the bytes end within the {what}")
        part = self._raw[self.position : end]
        self.position = end
        return part

    def take_optional(self, what: str) -> bytes:
        presence = self.take(1, what)[0]
        if presence > 1:
            raise DataItemError(f"the {what} is marked neither present nor absent: {presence}")
        return self.take(32, what) if presence else b""

    def take_long(self) -> int:
        """Read an Avro long: zig-zag, seven bits a byte, the low ones first."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1, "tags")[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise DataItemError("a number in the tags has more than 64 bits")
        return (value >> 1) ^ -(value & 1)

    def take_text(self) -> str:
        size = self.take_long()
        if size < 0:
            raise DataItemError("a tag has a text of negative length")
        try:
            return self.take(size, "tags").decode()
        except UnicodeDecodeError:
            raise DataItemError("a tag is not UTF-8 text") from None

    def rest(self) -> bytes:
        return self._raw[self.position :]


def decode_tags(raw: bytes) -> tuple[Pair, ...]:
    """Read tags: an Avro array of records of two strings, in one block or several.

    No bytes at all are no tags. Raises: DataItemError.
    """
    if not raw:
        return ()
    cursor = _Cursor(raw)
    tags: list[Pair] = []
    while count := cursor.take_long():
        end = None
        if count < 0:
            end = cursor.take_long() + cursor.position
        for _ in range(abs(count)):
            tags.append((cursor.take_text(), cursor.take_text()))  # noqa: PERF401 - may end early
        if end is not None and end != cursor.position:
            raise DataItemError("a block of tags has not the size that it says")
    if cursor.position != len(raw):
        raise DataItemError("more bytes follow the end of the tags")
    return tuple(tags)


def encode_tags(tags: Iterable[Pair]) -> bytes:
    """Write tags as one Avro block; no tags are no bytes.

    Raises: DataItemError if they take more than 4096 bytes, or are no Unicode.
    """
    pairs = list(tags)
    if not pairs:
        return b""
    parts = [_long(len(pairs))]
    try:
        for name, value in pairs:
            for encoded in (name.encode(), value.encode()):
                size = len(encoded)
                parts += (_LONGS[size] if size < len(_LONGS) else _long(size), encoded)
    except UnicodeEncodeError:
        raise DataItemError("a tag is not Unicode text") from None
    raw = b"".join((*parts, b"\0"))
    if len(raw) > MAX_TAG_BYTES:
        raise DataItemError(f"the tags take {len(raw):,} bytes, more than {MAX_TAG_BYTES:,}")
    return raw


def _long(value: int) -> bytes:
    """Write a number that is not negative as an Avro long."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LONGS = tuple(map(_long, range(256)))


def encode_bundle(items: Iterable[DataItem]) -> bytes:
    """Write items as the body of a bundle, whose transaction or item bears `BUNDLE_TAGS`."""
    whole = [(item.id, item.raw) for item in items]
    heads = [len(raw).to_bytes(32, "little") + decode_id(name) for name, raw in whole]
    return b"".join((len(whole).to_bytes(32, "little"), *heads, *(raw for _, raw in whole)))


def decode_bundle(raw: bytes) -> tuple[DataItem, ...]:
    """Read the items of a bundle; an item of it may be a bundle again: see `is_bundle`.

    The items' signatures are not checked.

    Raises: DataItemError if the bytes are no bundle, or an id is not that of its item.
    """
    cursor = _Cursor(raw)
    count = int.from_bytes(cursor.take(32, "number of items"), "little")
    heads = _Cursor(cursor.take(64 * count, "list of items"))
    items: list[DataItem] = []
    for number in range(count):
        size = int.from_bytes(heads.take(32, "size of an item"), "little")
        name = encode_id(heads.take(32, "id of an item"))
        item = decode(cursor.take(size, f"item {number}"))
        if item.id != name:
            raise DataItemError(f"item {number} of the bundle is {item.id}, not {name}")
        items.append(item)
    if cursor.rest():
        raise DataItemError("more bytes follow the last item of the bundle")
    return tuple(items)


def is_bundle(item: DataItem) -> bool:
    """Tell whether the data of an item is a bundle."""
    return all(pair in item.tags for pair in BUNDLE_TAGS)
