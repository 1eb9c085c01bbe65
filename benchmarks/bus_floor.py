"""The floor of the bus: what AO demands of a Transfer, in the least Python that does it.

Of every message: its id by its canonical bytes, its place in a hash chain, trust, the handler of
its action, an undo log, its encoded bytes and those of its result, and an index of ids. Left out is
what benchpool does beside: limits, the watchdog, tags in any case, modules, forks, crons, mail.

The floor goes on from a network in which one message waits, and writes the bytes that benchpool
writes: `check` compares all of them.
"""

from __future__ import annotations

import sqlite3
from binascii import b2a_base64
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import create_engine

from benchpool import Network
from benchpool.ao.ids import decode_id
from benchpool.store import schema
from benchpool.units.garbage import A_PUSH, fewer_collections
from benchpool.units.scheduler import assignment_digest

Pairs = tuple[tuple[str, str], ...]
Outgoing = tuple[str, Pairs, str, int]
"""Target, tags, data, reference."""

encode = msgspec.msgpack.Encoder().encode
EMPTY = encode(((), (), (), "", "", ()))
TO_URL = bytes.maketrans(b"+/", b"-_")


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A message as the log has it, in the order of its fields."""

    id: str
    process: str
    target: str
    owner: str
    sender: str
    tags: Pairs
    data: str
    timestamp: int
    block_height: int
    nonce: int
    epoch: int
    hash_chain: str
    anchor: str
    reference: str
    pushed_for: str
    from_module: str
    cron: bool
    read_only: bool
    type: str
    depth: int
    position: int


class Party:
    """A process: the end of its log, its outbox, what its writes replaced, and its handlers."""

    def __init__(self, network: Network, process: str) -> None:
        last = network.store.last_scheduled(process)
        assert last is not None
        self.id = process
        self.module = network.info(process).module
        self.authorities = network.info(process).authorities
        self.nonce = last.nonce
        self.position = last.position
        self.chain = decode_id(last.hash_chain)
        self.assignment = assignment_digest(last, self.chain)
        self.reference = reference_of(network, process)
        self.outbox: list[Outgoing] = []
        self.undo: list[tuple[dict[str, int], str, int]] = []
        self.handlers: dict[str, Callable[[Entry, dict[str, str]], None]] = {}

    def send(self, target: str, tags: Pairs, data: str) -> None:
        """Put a message into the outbox."""
        self.reference += 1
        self.outbox.append((target, tags, data, self.reference))

    def write(self, table: dict[str, int], key: str, value: int) -> None:
        """Set a number of the state so that it can be undone."""
        self.undo.append((table, key, table.get(key, 0)))
        table[key] = value


class Token(Party):
    """WrappedAR's Transfer."""

    def __init__(self, network: Network, process: str) -> None:
        super().__init__(network, process)
        self.balances = dict(network.process(process).state.balances)
        self.handlers["Transfer"] = self.transfer

    def transfer(self, message: Entry, tags: dict[str, str]) -> None:
        """Move an amount and tell both sides."""
        balances, sender = self.balances, message.sender
        recipient, amount = tags["Recipient"], tags["Quantity"]
        quantity = int(amount)
        left = balances.get(sender, 0) - quantity
        if left < 0 or quantity <= 0:
            raise ValueError(amount)
        self.write(balances, sender, left)
        self.write(balances, recipient, balances.get(recipient, 0) + quantity)
        carried = [pair for pair in message.tags if pair[0][:2] == "X-"]
        debit = (
            ("Action", "Debit-Notice"),
            ("Recipient", recipient),
            ("Quantity", amount),
            *carried,
            ("X-Reference", message.reference),
        )
        credit = (("Action", "Credit-Notice"), ("Sender", sender), ("Quantity", amount), *carried)
        self.send(sender, debit, f"You transferred {amount} to {recipient}")
        self.send(recipient, credit, f"You received {amount} from {sender}")


class Spender(Party):
    """The bench's own process."""

    def __init__(self, network: Network, process: str) -> None:
        super().__init__(network, process)
        self.counts = {"notices": network.process(process).state.notices}
        self.handlers["Spend"] = self.spend
        self.handlers["Debit-Notice"] = self.handlers["Credit-Notice"] = self.count

    def spend(self, _message: Entry, tags: dict[str, str]) -> None:
        """Send so many transfers of one winston."""
        sent = (
            ("Action", "Transfer"),
            ("Recipient", tags["To"]),
            ("Quantity", "1"),
            ("X-Note", "bench"),
        )
        for _ in range(int(tags["Count"])):
            self.send(tags["Token"], sent, "")

    def count(self, _message: Entry, _tags: dict[str, str]) -> None:
        """Count a notice."""
        self.write(self.counts, "notices", self.counts["notices"] + 1)


class Floor:
    """A log that grows from the one message that waits in a network.

    Args:
        network: holds a token and spenders; the message to one of these is its only one pending.
        token: the id of the token.
    """

    def __init__(self, network: Network, token: str) -> None:
        (first,) = network.store.pending()
        self.address = network.messenger.address
        self.now_ms, self.height = first.timestamp, first.block_height
        self.parties: dict[str, Party] = {
            process: (Token if process == token else Spender)(network, process)
            for process in (info.id for info in network.store.processes())
        }
        fields = [getattr(first, name) for name in Entry.__struct_fields__]
        fields[Entry.__struct_fields__.index("tags")] = first.tags.pairs
        self.first = Entry(*fields)
        self.log = [encode(self.first)]
        self.results: list[bytes] = []
        self.places = {first.id: (first.process, first.position, decode_id(first.id))}

    def run(self) -> None:
        """Evaluate and push until nothing is pending."""
        with fewer_collections(A_PUSH):
            self._run(deque([self.first]))

    def _run(self, queue: deque[Entry]) -> None:
        parties, address, now_ms, height = self.parties, self.address, self.now_ms, self.height
        log, results, places = self.log, self.results, self.places
        while queue:
            message = queue.popleft()
            party = parties[message.process]
            outbox, undo = party.outbox, party.undo
            error = ""
            owner, sender = message.owner, message.sender
            if message.target != party.id or (sender != owner and owner not in party.authorities):
                error = f"Message is not trusted! From: {sender} - Owner: {owner}"
            else:
                tags = dict(message.tags)
                handle = party.handlers.get(tags.get("Action", ""))
                before = party.reference
                try:
                    if handle is not None:
                        handle(message, tags)
                    undo.clear()
                except Exception as failure:
                    error = repr(failure)
                    for table, key, old in reversed(undo):
                        table[key] = old
                    undo.clear()
                    outbox.clear()
                    party.reference = before
            if not (outbox or error):
                results.append(EMPTY)
                continue
            results.append(encode((tuple(outbox), (), (), "", error, ())))
            emitter, module = party.id, party.module
            root, depth = message.pushed_for or message.id, message.depth + 1
            for target, pairs, data, reference in outbox:
                cause = str(reference)
                digest = sha256(
                    encode(
                        (
                            "Message",
                            target,
                            address,
                            emitter,
                            pairs,
                            data.encode(),
                            "",
                            cause,
                            root,
                        )
                    )
                ).digest()
                message_id = b2a_base64(digest, newline=False).translate(TO_URL)[:43].decode()
                head = parties[target]
                nonce = head.nonce = head.nonce + 1
                position = head.position = head.position + 1
                chain = head.chain = sha256(head.assignment + head.chain).digest()
                head.assignment = sha256(
                    chain + f"{message_id}{target} 0 {nonce} {now_ms} {height}".encode()
                ).digest()
                entry = Entry(
                    message_id,
                    target,
                    target,
                    address,
                    emitter,
                    pairs,
                    data,
                    now_ms,
                    height,
                    nonce,
                    0,
                    b2a_base64(chain, newline=False).translate(TO_URL)[:43].decode(),
                    "",
                    cause,
                    root,
                    module,
                    False,
                    False,
                    "Message",
                    depth,
                    position,
                )
                log.append(encode(entry))
                places[message_id] = (target, position, digest)
                queue.append(entry)
            outbox.clear()

    def run_into(self, file: sqlite3.Connection) -> None:
        """Do the same into a file of `open_file`, as one transaction, on the disk at the end."""
        self.run()
        rows = [
            (process, position, int.from_bytes(digest[:8], "big", signed=True), 0, *encoded)
            for (process, position, digest), *encoded in zip(
                self.places.values(), self.log, self.results, strict=True
            )
        ]
        file.executemany(INSERT, rows)
        file.commit()

    def check(self, network: Network) -> None:
        """Compare with what the network made of the same message, byte by byte.

        Raises: AssertionError.
        """
        theirs = [(line.message, line.result) for line in network.store.lines()][-len(self.log) :]
        ours = list(zip(self.log, self.results, strict=True))
        for party in self.parties.values():
            last = network.store.last_scheduled(party.id)
            assert last is not None
            assert decode_id(last.hash_chain) == party.chain, f"another hash chain: {party.id}"
            assert reference_of(network, party.id) == party.reference, party.id
        assert ours == theirs, "the floor's log is not benchpool's"


def reference_of(network: Network, process: str) -> int:
    """Return the reference of the last message that a process sent."""
    outbox: Any = network.process(process)
    return int(outbox.reference)


INSERT = (
    "INSERT INTO log (process, position, id_key, cron, message, result) VALUES (?, ?, ?, ?, ?, ?)"
)


def open_file(path: Path) -> sqlite3.Connection:
    """Make a SQLite file with the tables of a home, written through to the disk by every commit."""
    engine = create_engine(f"sqlite:///{path}")
    schema.metadata.create_all(engine)
    engine.dispose()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection
