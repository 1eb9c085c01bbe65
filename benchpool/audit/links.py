"""What must hold in one log whatever its modules do: places, hash chain, ids, signatures.

A check returns what is wrong in a few words, or None. It trusts nothing that it can recompute.
"""

from __future__ import annotations

from hashlib import sha256

from msgspec.structs import replace

from benchpool.ao.clock import block_height
from benchpool.ao.dataitem import decode, verify
from benchpool.ao.ids import encode_id, id_key
from benchpool.ao.message import (
    Item,
    Message,
    ProcessInfo,
    content_digest,
)
from benchpool.ao.signers import from_base64url
from benchpool.ao.wire import (
    MESSAGE,
    NOTICE,
    PROCESS,
    SCHEDULER_KEY_FACT,
    SIGNED_FACT,
    Wire,
    content_mark,
    data_of,
    kept_assignment,
    mark_of,
)
from benchpool.errors import DataItemError
from benchpool.store import Store
from benchpool.store.shelf import given_ids, modules_of
from benchpool.units.cron import Tick, parse_cron
from benchpool.units.scheduler import EPOCH, assignment_digest, first_chain


class Links:
    """Follows one log from its first message: nonces, positions, hash chain, ids, ticks."""

    __slots__ = (
        *("_assignment", "_chain", "_height", "_info", "_party", "_scheduler", "_sealed", "_store"),
        *("_time_ms", "_wire"),
        *("assignments", "digest", "nonce", "position", "signatures"),
    )

    def __init__(self, store: Store, party: str) -> None:
        self._store = store
        self._party = party
        self._info = store.process(party)
        self._wire = wire_of(store)
        self._scheduler = scheduler_of(store)
        self._sealed = store.fact(SIGNED_FACT) == "0"
        """Whether the scheduler signs from here on."""
        self.signatures = 0
        """How many signatures of messages were verified."""
        self.assignments = 0
        """How many signatures of assignments were verified."""
        self._chain = b""
        self._assignment = b""
        self._time_ms = -1
        self._height = -1
        self.digest = b""
        """Of the contents of the last message, if its id was found to be that; else empty."""
        self.nonce = -1
        self.position = -1

    def follow(self, message: Message) -> str | None:  # noqa: PLR0911 - one a check
        """Take the next message of the log."""
        self.digest = b""
        if message.process != self._party:
            return f"it says that it is in the log of {message.process}"
        if message.position != self.position + 1:
            return f"position {message.position} comes after {self.position}"
        if message.timestamp != self._time_ms:
            self._time_ms, self._height = message.timestamp, block_height(message.timestamp)
        if message.block_height != self._height:
            return f"block height {message.block_height} is not that of {message.timestamp}"
        self.position += 1
        if message.cron:
            return self._follow_tick(message)
        if message.read_only:
            return "it was evaluated and taken back: a dry run is in no log"
        if message.type == PROCESS and message.target != message.process:
            return "a process begins in its own log, and this is that of another one"
        if message.nonce != self.nonce + 1 or message.epoch != EPOCH:
            return f"nonce {message.nonce} comes after {self.nonce}"
        self.nonce += 1
        self._chain = (
            sha256(self._assignment + self._chain).digest()
            if self.nonce
            else first_chain(self._party)
        )
        if message.hash_chain != encode_id(self._chain):
            return "its hash chain does not follow from the message before it"
        what = self._wrong_id(message) or self._wrong_assignment(message)
        if what is not None:
            return what
        if self.nonce == 0 and self._info is not None:
            return _wrong_register(self._info, message, self._store)
        return None

    def _follow_tick(self, message: Message) -> str | None:  # noqa: PLR0911 - one a check
        info = self._info
        if info is None:
            return "a cron tick in the log of a wallet"
        if message.nonce != self.nonce:
            return f"a cron tick bears nonce {message.nonce} after {self.nonce}"
        if message != _tick_of(message):
            return "a cron tick bears what no tick has"
        if (message.target, message.owner, message.sender) != (info.id, info.owner, info.owner):
            return "a cron tick is not from the owner of its process"
        for entry in parse_cron(info.tags):
            tick = Tick(message.timestamp, info, entry)
            if tick.id() == message.id and entry.tags == message.tags:
                origin_ms = info.created_ms - info.created_ms % 1000
                if (message.timestamp - origin_ms) % entry.interval_ms:
                    return f"no cron tick was due at {message.timestamp}"
                return None
        return "no Cron-Interval of its process gives this tick"

    def _wrong_id(self, message: Message) -> str | None:
        head = None if self._wire is None else self._store.item_head(message.id)
        if self._wire is not None and head is not None:
            self.signatures += 1
            return wrong_item(message, head, self._wire) or self._wrong_mark(message, head)
        digest = content_digest(message, "" if message.type == PROCESS else message.target)
        if encode_id(digest) == message.id:
            self.digest = digest
        elif not (self._was_given(message, digest) or self._is_copy(message)):
            return f"its contents do not hash to its id {message.id}"
        return None

    def _wrong_mark(self, message: Message, head: bytes) -> str | None:
        """Compare what a signed message is found by with what it says."""
        if message.process != message.target:
            return None  # it is that of the message where it came first
        assert self._wire is not None, "only a network with signed messages has marks"
        item = decode(head + data_of(message))
        said, mark = self._wire.read(item), self._store.item_mark(message.id)
        if item.address == self._wire.messenger:
            kinds = (PROCESS,) if said.type == PROCESS else (MESSAGE, NOTICE)
            right = {mark_of(kind, said.sender, said.reference) for kind in kinds}
        else:
            right = {"", content_mark(item)} if "From-Process" in said.tags else {""}
        return None if mark in right else f"it is marked {mark[:80]!r}, which it does not say"

    def _wrong_assignment(self, message: Message) -> str | None:
        """Verify what the scheduler signed, and note the id that the next link follows from."""
        signed = None
        if self._scheduler is not None:
            signed = self._store.signed_assignment(message.process, message.position)
        if self._scheduler is None or signed is None:
            self._assignment = assignment_digest(message, self._chain)
            return "the scheduler's signature of its assignment is gone" if self._sealed else None
        self._sealed = True
        self._assignment = signed.id
        self.assignments += 1
        if signed.id_key not in {None, id_key(encode_id(signed.id))}:
            return "the index of assignments differs from the signature"
        key, address = self._scheduler
        try:
            item = kept_assignment(message, signed, key)
            verify(item)
        except DataItemError as error:
            return f"the scheduler's signature of its assignment does not hold: {error}"
        if item.address != address:
            return f"the public key that is kept of the scheduler is not that of {address}"
        return None

    def _was_given(self, message: Message, digest: bytes) -> bool:
        """Tell whether it made a process whose id was asked for, and says what it said then."""
        if message.type != PROCESS or message.process != message.target:
            return False
        return given_ids(self._store).get(message.id) == encode_id(digest)

    def _is_copy(self, message: Message) -> bool:
        """Tell whether it is the message of another log, assigned to this one."""
        if message.target == message.process:
            return False
        original = self._store.find(message.id, message.target)
        return original is not None and said_by(original.message) == said_by(message)


def wire_of(store: Store) -> Wire | None:
    """Return the wire of a network that has signed messages."""
    if not store.has_items():
        return None
    return Wire(store.fact("messenger") or "", store.fact("scheduler") or "")


def scheduler_of(store: Store) -> tuple[bytes, str] | None:
    """Return public key and address of the scheduler of a signed network."""
    if store.fact(SIGNED_FACT) is None:
        return None
    try:
        key = from_base64url(store.fact(SCHEDULER_KEY_FACT) or "")
    except ValueError:
        key = b""
    return key, store.fact("scheduler") or ""


def wrong_item(message: Message, head: bytes, wire: Wire) -> str | None:
    """Compare a message with the data item that it came as, whose signature is verified."""
    try:
        item = decode(head + data_of(message))
        verify(item)
    except DataItemError as error:
        return f"its signature does not hold: {error}"
    if item.id != message.id:
        return f"the signature that is kept for it is that of {item.id}"
    said = wire.read(item)
    copied = message.process != message.target
    if said.type == PROCESS:
        if message.target != item.id:
            return "the process that it makes is another one"
        said = replace(said, target=message.target)
    found = Item.of(message, type=said.type if copied else message.type)
    return None if said == found else "it does not say what its signed data item says"


def said_by(message: Message) -> tuple[object, ...]:
    """Return what a message says, wherever it stands."""
    return (
        message.target,
        message.owner,
        message.sender,
        message.tags,
        message.data,
        message.anchor,
        message.reference,
        message.pushed_for,
    )


def _tick_of(message: Message) -> Message:
    """Return a tick with all that a tick may have of what this message has."""
    return Message(
        id=message.id,
        process=message.process,
        target=message.target,
        owner=message.owner,
        sender=message.sender,
        tags=message.tags,
        timestamp=message.timestamp,
        block_height=message.block_height,
        nonce=message.nonce,
        cron=True,
        position=message.position,
    )


def _wrong_register(info: ProcessInfo, first: Message, store: Store) -> str | None:
    """Compare what is kept of a process with the message that made it."""
    module = first.tags.get("Module")
    if module != info.module:  # a process may ask for a module by the name that it has here
        named = (each.id for each in modules_of(store) if each.name == module)
        module = next(named, module)
    facts = (info.id, info.module, info.owner, info.tags, info.created_ms, info.created_height)
    said = (
        first.id,
        module,
        first.sender,
        first.tags,
        first.timestamp,
        first.block_height,
    )
    return None if facts == said else "the register of processes differs from its first message"
