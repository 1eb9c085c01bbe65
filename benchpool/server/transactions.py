"""Transactions: what a gateway knows, as Arweave's GraphQL shows it."""

from __future__ import annotations

import heapq
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchpool.ao.clock import block_height
from benchpool.ao.dataitem import DataItem, decode
from benchpool.ao.ids import encode_id, is_id, module_id
from benchpool.ao.message import Message
from benchpool.ao.shapes import PROTOCOL
from benchpool.ao.signers import to_base64url
from benchpool.ao.tags import Pair, Tags
from benchpool.ao.wire import MESSAGE, PROCESS, data_of
from benchpool.errors import BenchpoolError, DataNotFound
from benchpool.server.assignments import message_tags
from benchpool.store import Search, Store
from benchpool.store.uploads import Upload

if TYPE_CHECKING:
    from benchpool.server.context import Context

FORMAT = "python-benchpool"
"""The Module-Format of modules that are Python classes."""
LOCATION_TTL_MS = 24 * 3600 * 1000
OCTETS = "application/octet-stream"
_IMPLIED = ("Data-Protocol", "Variant", "Type", "From-Process", "Reference", "Pushed-For")
"""Tags that an unsigned message has and its bytes in the log do not."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction."""

    id: str
    owner: str
    owner_key: str
    tags: tuple[Pair, ...]
    height: int
    timestamp_ms: int
    recipient: str = ""
    anchor: str = ""
    signature: str = ""
    data_size: int = 0

    def bears(self, name: str, values: frozenset[str]) -> bool:
        """Tell whether it has a tag of this name with one of these values."""
        return any(name == key and value in values for key, value in self.tags)


class Wanted(NamedTuple):
    """Which transactions are wanted; what is empty is any."""

    required: tuple[tuple[str, frozenset[str]], ...] = ()
    """Tags that each must have, with one of the values."""
    barred: tuple[tuple[str, frozenset[str]], ...] = ()
    """Tags that none may have."""
    owners: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    lowest: int | None = None
    """A block height."""
    highest: int | None = None

    def takes(self, found: Transaction) -> bool:
        """Tell whether a transaction is one of them."""
        return (
            (not self.owners or found.owner in self.owners)
            and (not self.recipients or found.recipient in self.recipients)
            and (self.lowest is None or found.height >= self.lowest)
            and (self.highest is None or found.height <= self.highest)
            and all(found.bears(*pair) for pair in self.required)
            and not any(found.bears(*pair) for pair in self.barred)
        )

    def may_be(self, kind: str) -> bool:
        """Tell whether a transaction of this Type can be one of them."""
        return all(kind in values for name, values in self.required if name == "Type")


class Place(NamedTuple):
    """How far a list of transactions has come, in each of its three sources; -1 is nowhere."""

    known: int = -1
    """Modules and locations of schedulers."""
    upload: int = -1
    log: int = -1
    """A sequence."""


class Transactions:
    """Everything in the network, as its store has it committed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._data = context.network.data
        self._registry = context.network.registry

    def find(self, store: Store, transaction_id: str) -> Transaction | None:
        """Return a transaction by its id."""
        if not is_id(transaction_id):
            return None
        entry = store.find(transaction_id)
        if entry is not None:
            return self._of_message(store, entry.message)
        for known in self._known(store, Wanted()):
            if known.id == transaction_id:
                return known
        upload = self._data.uploads.find(transaction_id)
        if upload is not None:
            return self._of_upload(upload)
        try:
            size = self._data.path(transaction_id).stat().st_size
        except BenchpoolError:
            return None
        return Transaction(transaction_id, "", "", (), 0, 0, data_size=size)

    def select(
        self, store: Store, wanted: Wanted, after: Place, *, descending: bool
    ) -> Iterator[tuple[Place, Transaction]]:
        """Go through what is wanted, by time, from behind a place."""
        sources = (
            self._number(self._known(store, wanted), 0, after.known, descending=descending),
            self._number(self._uploads(), 1, after.upload, descending=descending),
            self._search(store, wanted, after.log, descending=descending),
        )
        place = after
        merged = heapq.merge(*sources, key=lambda each: each[0], reverse=descending)
        for (_time_ms, source, number), found in merged:
            if wanted.takes(found):
                place = Place(*(number if n == source else old for n, old in enumerate(place)))
                yield place, found

    def _number(
        self, found: Iterable[Transaction], source: int, after: int, *, descending: bool
    ) -> Iterator[_Keyed]:
        numbered = list(enumerate(found))
        for number, each in reversed(numbered) if descending else numbered:
            if after < 0 or (number < after if descending else number > after):
                yield (each.timestamp_ms, source, number), each

    def _search(
        self, store: Store, wanted: Wanted, after: int, *, descending: bool
    ) -> Iterator[_Keyed]:
        if not (wanted.may_be(MESSAGE) or wanted.may_be(PROCESS)):
            return
        texts = [values for name, values in wanted.required if name not in _IMPLIED]
        search = Search(
            texts=(*texts, wanted.owners) if wanted.owners else tuple(texts),
            targets=wanted.recipients,
            spawns=not wanted.may_be(MESSAGE),
            after=None if after < 0 else after,
            descending=descending,
        )
        for sequence, message in store.search(search):
            yield (message.timestamp, 2, sequence), self._of_message(store, message)

    def _known(self, store: Store, wanted: Wanted) -> Iterator[Transaction]:
        if wanted.may_be("Module"):
            for module in self._registry.names():
                yield self._of_module(module)
        if wanted.may_be("Scheduler-Location"):
            yield from self._locations(store, wanted.owners)

    def _locations(self, store: Store, owners: frozenset[str]) -> Iterator[Transaction]:
        """Say where schedulers are: this network's own, and those that its processes name."""
        known = {self._context.assignments.address: None}
        for info in store.processes():
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
            yield Transaction(encode_id(digest), scheduler, "", tags, 1, 1_735_689_600_000)

    def _uploads(self) -> Iterator[Transaction]:
        return map(self._of_upload, self._data.uploads.all())

    def raw(self, store: Store, transaction_id: str) -> tuple[bytes | Path, str] | None:
        """Return the data of a transaction, or a file with it, and its content type."""
        if not is_id(transaction_id):
            return None
        entry = store.find(transaction_id)
        if entry is not None:
            return data_of(entry.message), content_type(entry.message.tags)
        for module in self._registry.names():
            if module_id(module) == transaction_id:
                return self._source(module), "text/x-python"
        try:
            path = self._data.path(transaction_id)
        except DataNotFound:
            return None
        upload = self._data.uploads.find(transaction_id)
        return path, OCTETS if upload is None else content_type(Tags(upload.item.tags))

    def _source(self, module: str) -> bytes:
        try:
            return inspect.getsource(self._registry.find(module)).encode()
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
        return Transaction(module_id(module), owner, "", tags, 1, 1_735_689_600_000, data_size=size)

    def _of_upload(self, upload: Upload) -> Transaction:
        time_ms, size = upload.record.timestamp, upload.record.size
        return _of_item(upload.item, block_height(time_ms), time_ms, size)

    def _of_message(self, store: Store, message: Message) -> Transaction:
        head = store.item_head(message.id)
        height, size = message.block_height, len(data_of(message))
        if head is not None:
            return _of_item(decode(head), height, message.timestamp, size)
        return Transaction(
            message.id,
            message.owner,
            "",
            tuple(message_tags(message)),
            height,
            message.timestamp,
            recipient="" if message.type == PROCESS else message.target,
            anchor=message.anchor,
            data_size=size,
        )


_Keyed = tuple[tuple[int, int, int], Transaction]
"""A transaction with its time, source and number there, by which they are put in order."""


def _of_item(item: DataItem, height: int, time_ms: int, size: int) -> Transaction:
    return Transaction(
        item.id,
        item.owner_address,
        to_base64url(item.owner),
        item.tags,
        height,
        time_ms,
        item.target,
        to_base64url(item.anchor),
        to_base64url(item.signature),
        size,
    )


def content_type(tags: Tags) -> str:
    """Return the Content-Type that tags name, if it can be said in a header."""
    kind = tags.get("Content-Type") or OCTETS
    return kind if kind.isascii() and kind.isprintable() else OCTETS


def transaction_json(found: Transaction) -> dict[str, Any]:
    """Show a transaction as Arweave's nodes do, tags in base64url; data is fetched apart."""

    def written(text: str) -> str:
        return to_base64url(text.encode())

    return {
        "format": 2,
        "id": found.id,
        "last_tx": found.anchor,
        "owner": found.owner_key,
        "tags": [{"name": written(name), "value": written(value)} for name, value in found.tags],
        "target": found.recipient,
        "quantity": "0",
        "data": "",
        "data_size": str(found.data_size),
        "data_root": "",
        "reward": "0",
        "signature": found.signature,
    }
