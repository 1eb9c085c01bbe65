"""SchedulerUnit: gives each message its place in a process's log."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from msgspec.structs import replace

from benchpool.ao.clock import Clock, block_height
from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Item, Message, ProcessInfo
from benchpool.ao.signers import Signer
from benchpool.ao.wire import SignedAssignment, assignment_item
from benchpool.store import Store

EPOCH = 0
"""AO's schedulers have never begun a second one."""


class _Head:
    """The end of one log: what the next entry follows."""

    __slots__ = ("assignment", "chain", "nonce", "position")

    def __init__(self, nonce: int, position: int, chain: bytes, assignment: bytes) -> None:
        self.nonce = nonce
        self.position = position
        self.chain = chain
        self.assignment = assignment


class SchedulerUnit:
    """Orders the messages of each process: nonces without gaps from 0, and a hash chain.

    Hash chain, as on AO: of nonce 0, SHA-256(process id); of nonce n, SHA-256(id of assignment
    n - 1, hash chain of n - 1). With a key each assignment is a signed data item, whose id is the
    SHA-256 of its signature; without one it is the SHA-256 of what the assignment says. A cron tick
    lies between two messages: it has a position in the log, no nonce of its own and no part in the
    chain.

    Args:
        store: keeps the logs.
        clock: says when a message is scheduled.
        signer: the scheduler's Ed25519 key, in a signed network.
    """

    def __init__(self, store: Store, clock: Clock, signer: Signer | None = None) -> None:
        self._store = store
        self._clock = clock
        self._signer = signer
        self._heads: dict[str, _Head] = {}
        self._now_ms = -1
        self._height = 0
        self._moment = ""

    def schedule(
        self,
        item: Item,
        message_id: str,
        process: str,
        *,
        mail: bool = False,
        depth: int = 0,
        exclude: Sequence[str] = (),
    ) -> Message:
        """Append a message to a process's log, or to a wallet's as mail.

        Raises: DataItemError for `exclude`, see `wire.assignment_item`; nothing is logged then.
        """
        head = self._heads.get(process) or self._find_head(process)
        now_ms = self._clock.now()
        if now_ms != self._now_ms:
            self._now_ms, self._height = now_ms, block_height(now_ms)
            self._moment = moment_of(now_ms, self._height)
        nonce = head.nonce + 1
        chain = sha256(head.assignment + head.chain).digest() if nonce else first_chain(process)
        position = head.position + 1
        # By position, in the order of the fields: by keyword it takes five times as long, and this
        # runs for every message there is.
        message = Message(
            message_id,
            process,
            item.target,
            item.owner,
            item.sender,
            item.tags,
            item.data,
            now_ms,
            self._height,
            nonce,
            EPOCH,
            encode_id(chain),
            item.anchor,
            item.reference,
            item.pushed_for,
            item.from_module,
            False,
            False,
            item.type,
            depth,
            position,
        )
        if self._signer is None:
            self._store.append(message, mail=mail)
            head.assignment = assignment_digest(message, chain, self._moment)
        else:
            made = assignment_item(message, self._signer, exclude)
            signed = SignedAssignment(made.signature, tuple(exclude))
            self._store.append(message, mail=mail)
            self._store.add_signed_assignment(process, position, signed)
            head.assignment = signed.id
        head.nonce = nonce
        head.position = position
        head.chain = chain
        return message

    def tick(self, item: Item, message_id: str, process: str, due_ms: int) -> Message:
        """Put a cron tick between the last message of a log and the next."""
        head = self._heads.get(process) or self._find_head(process)
        head.position += 1
        message = Message(
            id=message_id,
            process=process,
            target=item.target,
            owner=item.owner,
            sender=item.sender,
            tags=item.tags,
            timestamp=due_ms,
            block_height=block_height(due_ms),
            nonce=head.nonce,
            cron=True,
            position=head.position,
        )
        self._store.append(message, mail=False)
        return message

    def preview(self, item: Item, process: str) -> Message:
        """Make the message that a dry run evaluates; it takes no place in the log."""
        head = self._heads.get(process) or self._find_head(process)
        now_ms = self._clock.now()
        return Message(
            id=item.id(),
            process=process,
            target=item.target,
            owner=item.owner,
            sender=item.sender,
            tags=item.tags,
            data=item.data,
            timestamp=now_ms,
            block_height=block_height(now_ms),
            nonce=head.nonce + 1,
            read_only=True,
            position=head.position + 1,
        )

    def preview_spawn(self, item: Item) -> tuple[ProcessInfo, Message]:
        """Make the process of an item and its first message; neither takes a place anywhere."""
        process_id = item.id()
        preview = self.preview(replace(item, target=process_id), process_id)
        # aos boots only by the message whose id is the process's own.
        first = replace(preview, id=process_id, type=item.type)
        info = ProcessInfo(
            id=process_id,
            module=item.tags.get("Module"),
            owner=item.sender,
            tags=item.tags,
            created_ms=first.timestamp,
            created_height=first.block_height,
            order=0,
        )
        return info, first

    def _find_head(self, process: str) -> _Head:
        last = self._store.last_scheduled(process)
        if last is None:
            head = _Head(-1, -1, b"", b"")
        else:
            chain = decode_id(last.hash_chain)
            position = self._store.last_position(process)
            # What was scheduled before its network was signed has no signed assignment.
            signed = self._store.signed_assignment(process, last.position)
            assignment = assignment_digest(last, chain) if signed is None else signed.id
            head = _Head(last.nonce, position, chain, assignment)
        self._heads[process] = head
        return head


def assignment_digest(message: Message, chain: bytes, moment: str = "") -> bytes:
    """Hash what an unsigned assignment says: which message stands where, when, after what.

    Args:
        message: as it is assigned.
        chain: its hash chain.
        moment: when, if it is written down already, see `moment_of`.
    """
    moment = moment or moment_of(message.timestamp, message.block_height)
    said = f"{message.id}{message.process} {message.epoch} {message.nonce}{moment}"
    return sha256(chain + said.encode()).digest()


def moment_of(timestamp: int, height: int) -> str:
    """Write down when a message is assigned, as the assignment ends."""
    return f" {timestamp} {height}"


def first_chain(process: str) -> bytes:
    """Return the hash chain of a log's first message."""
    try:
        return sha256(decode_id(process)).digest()
    except ValueError:
        # An address of another form, an Ethereum wallet's for instance, can hold mail.
        return sha256(process.encode()).digest()
