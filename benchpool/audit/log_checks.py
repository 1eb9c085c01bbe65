"""What must hold in a log whatever its modules do: places, hash chain, ids, and causes.

A check returns what is wrong in a few words, or None. It trusts nothing that it can recompute.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from msgspec.structs import replace

from benchpool.ao.clock import block_height
from benchpool.ao.dataitem import decode, verify
from benchpool.ao.ids import encode_id, id_key
from benchpool.ao.message import (
    Item,
    Message,
    Outgoing,
    ProcessInfo,
    Result,
    SpawnRequest,
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
    data_of,
    kept_assignment,
    mark_of,
)
from benchpool.audit.stopped_chains import stopped_chains
from benchpool.errors import DataItemError
from benchpool.store import Store
from benchpool.units.cron import Tick, parse_cron
from benchpool.units.limits import Limits
from benchpool.units.messenger import root_of, spawn_item, spawn_notice
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
            return _wrong_register(self._info, message)
        return None

    def _follow_tick(self, message: Message) -> str | None:  # noqa: PLR0911 - one a check
        info = self._info
        if info is None:
            return "a cron tick in the log of a wallet"
        if message.nonce != self.nonce:
            return f"a cron tick bears nonce {message.nonce} after {self.nonce}"
        if message.hash_chain or message.data or message.pushed_for or message.depth:
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
            return wrong_item(message, head, self._wire)
        digest = content_digest(message, "" if message.type == PROCESS else message.target)
        if encode_id(digest) == message.id:
            self.digest = digest
        elif not self._is_copy(message):
            return f"its contents do not hash to its id {message.id}"
        return None

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

    def _is_copy(self, message: Message) -> bool:
        """Tell whether it is the message of another log, assigned to this one."""
        if message.target == message.process:
            return False
        original = self._store.find(message.id, message.target)
        return original is not None and _said(original.message) == _said(message)


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


def _said(message: Message) -> tuple[object, ...]:
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


def _wrong_register(info: ProcessInfo, first: Message) -> str | None:
    """Compare what is kept of a process with the message that made it."""
    facts = (info.id, info.module, info.owner, info.tags, info.created_ms, info.created_height)
    said = (
        first.id,
        first.tags.get("Module"),
        first.sender,
        first.tags,
        first.timestamp,
        first.block_height,
    )
    return None if facts == said else "the register of processes differs from its first message"


class Cause(NamedTuple):
    """An entry of an outbox that has not been found in a log yet."""

    process: str
    position: int
    nonce: int
    root: str
    depth: int
    emitted: Outgoing | Item
    module: str


class Causes:
    """Matches outboxes with logs: no pushed message without its cause, no cause without a message.

    Works along the order in which the logs were written, where a cause comes first.
    """

    def __init__(self, store: Store, messenger: str, limits: Limits) -> None:
        self._store = store
        self._messenger = messenger
        self._limits = limits
        self._wire = wire_of(store)
        self._signed = store.fact(SIGNED_FACT) is not None
        self._open: dict[tuple[str, str], Cause] = {}
        """By sender and reference."""
        self._made: dict[tuple[str, str], Cause] = {}
        """Processes that were asked for and the notices of it, by log and id."""
        self._refused: dict[tuple[str, str], Cause] = {}
        """Processes that were asked for and not made, by spawner and reference."""
        self._assigned: set[tuple[str, str]] = set()

    def emit(self, message: Message, result: Result, info: ProcessInfo) -> None:
        """Note what an evaluation put out."""
        depth, root = message.depth + 1, root_of(message)
        deep = depth > self._limits.push_depth
        for spawn in () if deep else result.spawns:
            self._spawn(message, spawn, info, root, depth)
        process, position, nonce = message.process, message.position, message.nonce
        sender, module, causes = info.id, info.module, self._open
        for outgoing in result.messages:
            causes[sender, str(outgoing.reference)] = Cause(
                process, position, nonce, root, depth, outgoing, module
            )
        for assign in () if deep else result.assignments:
            self._assigned.update((assign.message, process) for process in assign.processes)

    def _spawn(
        self, message: Message, spawn: SpawnRequest, info: ProcessInfo, root: str, depth: int
    ) -> None:
        item = spawn_item(spawn, info, self._messenger, root)
        at = (message.process, message.position, message.nonce, root, depth)
        child = self._find(item, PROCESS)
        if self._store.process(child) is None:
            self._refused[info.id, item.reference] = Cause(*at, item, "")
            return
        notice = spawn_notice(item, ("Action", "Spawned"), ("Process", child))
        self._made[child, child] = Cause(*at, item, info.module)
        self._made[info.id, self._find(notice, NOTICE)] = Cause(*at, notice, "")

    def _find(self, item: Item, kind: str) -> str:
        """Return the id that an item got; a mark only helps to find it, and proves nothing."""
        mark = mark_of(kind, item.sender, item.reference)
        return (self._store.marked(mark) if self._wire is not None else None) or item.id()

    def receive(self, message: Message) -> str | None:  # noqa: PLR0911 - one a check
        """Take a message of a log, whose id was checked."""
        if message.cron:
            return None
        if message.process != message.target:
            key = (message.id, message.process)
            if message.depth and key not in self._assigned:
                return "nothing assigned it to this process"
            return None
        if message.owner != self._messenger:
            return "a message from a wallet was pushed by nobody" if message.depth else None
        cause = self._take(message)
        if cause is None:
            return "no outbox holds it: it has no cause"
        if message.depth != cause.depth or message.from_module != cause.module:
            return f"its depth or From-Module is not that of its cause {_place(cause)}"
        return None

    def _take(self, message: Message) -> Cause | None:
        signed = self._wire is not None and self._store.item_head(message.id) is not None
        place = (message.process, message.id)
        made = self._made.get(place) if self._made else None
        if made is not None:
            # Of an unsigned message, the id is the content.
            if signed and not self._is_sent(made, message):
                return None
            return self._made.pop(place)
        key = (message.sender, message.reference)
        cause = self._open.get(key)
        if cause is not None and not message.depth:
            cause = self._again(cause)
        matches = self._is_sent if signed else _is_content
        if cause is not None and matches(cause, message):
            del self._open[key]
            return cause
        refused = self._refused.get(key)
        if refused is not None and message.action == "Spawn-Error" and not message.from_module:
            return self._refused.pop(key)
        return None

    def _again(self, cause: Cause) -> Cause:
        """Return the cause of what was stopped and then pushed again: it heads a chain."""
        [entry] = self._store.entries(cause.process, after=cause.position - 1, limit=1)
        return cause._replace(root=entry.message.id, depth=0)

    def _is_sent(self, cause: Cause, message: Message) -> bool:
        """Tell whether a signed message is what an outbox became on the wire."""
        said = self._on_the_wire(cause)
        if said is None or (said.type, message.type) == (PROCESS, MESSAGE):
            return False
        target = message.process if said.type == PROCESS else said.target
        return _said(message) == (
            target,
            said.owner,
            said.sender,
            said.tags,
            said.data,
            said.anchor,
            said.reference,
            said.pushed_for,
        )

    def _on_the_wire(self, cause: Cause) -> Item | None:
        wire = self._wire or Wire(self._messenger, self._store.fact("scheduler") or "")
        said = cause.emitted
        if isinstance(said, Outgoing):
            said = Item(
                said.target,
                self._messenger,
                cause.process,
                said.tags,
                said.data,
                reference=str(said.reference),
                pushed_for=cause.root,
                from_module=cause.module,
            )
        try:
            return wire.as_sent(said)
        except DataItemError:
            return None

    def left(self) -> Iterator[Cause]:
        """Return the causes whose messages are missing, unless a limit stopped their chain."""
        waiting = [*self._open.values(), *self._made.values(), *self._refused.values()]
        if not waiting:
            return
        sends = self._sends if self._signed else None
        stopped = stopped_chains(self._store, self._limits, self._find, sends)
        for cause in waiting:
            if self._signed and self._on_the_wire(cause) is None:
                continue  # as on AO, it stays in the result
            if cause[:2] not in stopped:
                yield cause

    def _sends(self, outgoing: Outgoing, emitter: ProcessInfo, root: str) -> bool:
        cause = Cause(emitter.id, 0, 0, root, 0, outgoing, emitter.module)
        return self._on_the_wire(cause) is not None


def _is_content(cause: Cause, message: Message) -> bool:
    """Tell whether an unsigned message has the content that an outbox holds."""
    said = cause.emitted
    return (
        isinstance(said, Outgoing)
        and said.target == message.target
        and said.tags.pairs == message.tags.pairs
        and said.data == message.data
        and message.pushed_for == cause.root
        and message.type != PROCESS
    )


def missing(cause: Cause) -> str:
    """Say what is missing."""
    said = cause.emitted
    reference = said.reference
    action = said.tags.get("Action") or ("Process" if isinstance(said, Item) else "(no Action)")
    return (
        f"it put out {action} with reference {reference} to {said.target or 'a new process'},"
        " and no log holds that message"
    )


def _place(cause: Cause) -> str:
    return f"at position {cause.position} of {cause.process}"
