"""Transactions: what a gateway knows, as Arweave's GraphQL shows it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from benchpool.errors import BenchpoolError, DataNotFound
from benchpool.message import Message, encode_id
from benchpool.registry import module_id
from benchpool.server.assignments import message_tags
from benchpool.server.shapes import PROTOCOL
from benchpool.signers import to_base64url
from benchpool.tags import Pair, is_id

if TYPE_CHECKING:
    from benchpool.server.context import Context

FORMAT = "python-benchpool"
"""The Module-Format of modules that are Python classes."""
LOCATION_TTL_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction."""

    id: str
    owner: str
    owner_key: str
    tags: tuple[Pair, ...]
    height: int
    timestamp: int
    """Seconds, as Arweave counts."""
    recipient: str = ""
    anchor: str = ""
    signature: str = ""
    data_size: int = 0

    def matches(self, tags: Iterable[tuple[str, frozenset[str]]]) -> bool:
        """Tell whether it bears a tag of each name with one of the values."""
        return all(
            any(name == key and value in values for key, value in self.tags)
            for name, values in tags
        )


class Transactions:
    """Everything in the network; the bus's thread uses it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._network = context.network

    def find(self, transaction_id: str) -> Transaction | None:
        """Return a transaction by its id."""
        network = self._network
        if not is_id(transaction_id):
            return None
        entry = network.find_message(transaction_id)
        if entry is not None:
            return self._of_message(entry)
        for module in network.registry.names():
            if module_id(module) == transaction_id:
                return self._of_module(module)
        for location in self.locations([]):
            if location.id == transaction_id:
                return location
        try:
            size = network.data.path(transaction_id).stat().st_size
        except BenchpoolError:
            return None
        return Transaction(transaction_id, "", "", (), 0, 0, data_size=size)

    def all(
        self, tags: list[tuple[str, frozenset[str]]], owners: list[str]
    ) -> Iterator[Transaction]:
        """Go through those that may bear these tags, oldest first."""
        kinds = next((values for name, values in tags if name == "Type"), None)

        def wanted(kind: str) -> bool:
            return kinds is None or kind in kinds

        if wanted("Module"):
            for module in self._network.registry.names():
                yield self._of_module(module)
        if wanted("Scheduler-Location"):
            yield from self.locations(owners)
        if kinds is not None and set(kinds) == {"Process"}:
            for info in self._network.processes():
                yield self._of_message(self._network.entry_at(info.id, 0))
        elif wanted("Message") or wanted("Process"):
            for message in self._network.messages():
                yield self._of_message(message)

    def locations(self, owners: list[str]) -> Iterator[Transaction]:
        """Say where schedulers are: this network's own, and those that its processes name."""
        known = {self._context.assignments.address: None}
        for info in self._network.processes():
            named = info.tags.get("Scheduler")
            if named:
                known[named] = None
        for scheduler in known:
            if owners and scheduler not in owners:
                continue
            tags = (
                *PROTOCOL,
                ("Type", "Scheduler-Location"),
                ("Url", self._context.su_url),
                ("Time-To-Live", str(LOCATION_TTL_MS)),
            )
            digest = sha256(f"benchpool location {scheduler}".encode()).digest()
            yield Transaction(encode_id(digest), scheduler, "", tags, 1, 1_735_689_600)

    def raw(self, transaction_id: str) -> tuple[bytes, str] | None:
        """Return the data of a transaction with its content type."""
        network = self._network
        message = network.find_message(transaction_id)
        if message is not None:
            item = network.item(transaction_id)
            data = item.data if item is not None else message.data
            kind = message.tags.get("Content-Type", "application/octet-stream")
            if "\n" in kind or "\r" in kind or not kind.isascii():
                kind = "application/octet-stream"
            return (data.encode() if isinstance(data, str) else data), kind
        for module in network.registry.names():
            if module_id(module) == transaction_id:
                return self._source(module), "text/x-python"
        try:
            return network.data.get(transaction_id), "application/octet-stream"
        except DataNotFound:
            return None

    def _source(self, module: str) -> bytes:
        try:
            return inspect.getsource(self._network.registry.find(module)).encode()
        except (OSError, TypeError, BenchpoolError):
            return b""

    def _of_module(self, module: str) -> Transaction:
        tags = (
            *PROTOCOL,
            ("Type", "Module"),
            ("Name", module),
            ("Module-Format", FORMAT),
            ("Input-Encoding", "JSON-1"),
            ("Output-Encoding", "JSON-1"),
            ("Memory-Limit", "1-gb"),
            ("Compute-Limit", "9000000000000"),
        )
        size = len(self._source(module))
        owner = self._context.assignments.address
        return Transaction(module_id(module), owner, "", tags, 1, 1_735_689_600, data_size=size)

    def _of_message(self, message: Message) -> Transaction:
        item = self._network.item(message.id)
        height, seconds = message.block_height, message.timestamp // 1000
        if item is None:
            return Transaction(
                message.id,
                message.owner,
                "",
                tuple(message_tags(message)),
                height,
                seconds,
                recipient="" if message.type == "Process" else message.target,
                anchor=message.anchor,
                data_size=len(message.data),
            )
        return Transaction(
            item.id,
            item.owner_address,
            to_base64url(item.owner),
            item.tags,
            height,
            seconds,
            item.target,
            to_base64url(item.anchor),
            to_base64url(item.signature),
            len(item.data),
        )
