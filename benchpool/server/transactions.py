"""Transactions: what a gateway knows, as Arweave's GraphQL shows it."""

from __future__ import annotations

import heapq
import inspect
from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchpool.ao.clock import block_height
from benchpool.ao.dataitem import DataItem, decode
from benchpool.ao.ids import encode_id, is_id, module_id
from benchpool.ao.message import Message
from benchpool.ao.shapes import PROTOCOL
from benchpool.ao.signers import to_base64url
from benchpool.ao.tags import Tags
from benchpool.ao.wire import MESSAGE, PROCESS, data_of
from benchpool.errors import BenchpoolError, DataCorrupt, DataItemError
from benchpool.server.assignments import message_tags
from benchpool.server.lookups import View
from benchpool.server.wanted import Transaction, Wanted
from benchpool.store import Search
from benchpool.store.shelf import AddedModule, modules_of
from benchpool.store.uploads import Upload
from benchpool.units.modules import CONTENT_TYPE

if TYPE_CHECKING:
    from benchpool.server.context import Context

FORMAT = "python-benchpool"
"""The Module-Format of modules that are Python classes."""
BEGUN_MS = 1_735_689_600_000
"""The time of what was there before everything else."""
LOCATION_TTL_MS = 24 * 3600 * 1000
OCTETS = "application/octet-stream"
_IMPLIED = ("Data-Protocol", "Variant", "Type", "From-Process", "Reference", "Pushed-For")
"""Tags that an unsigned message has and its bytes in the log do not."""


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
        self.context = context
        self.data = context.network.data
        self._registry = context.network.registry

    def at(self, view: View) -> Moment:
        """Look at one moment."""
        return Moment(self, view)

    @cached_property
    def modules(self) -> dict[str, Transaction]:
        """The installed modules, by id."""
        return {module_id(name): self._of_module(name) for name in self._registry.names()}

    def source(self, module: str) -> bytes:
        """Return the source of a module of this id; empty where there is none to read."""
        return self._sources.get(module, b"")

    @cached_property
    def _sources(self) -> dict[str, bytes]:
        """Sources by id: Python reads and parses the whole file for each that is asked for."""
        return {module_id(name): self._source(name) for name in self._registry.names()}

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
        identity = module_id(module)
        size = len(self.source(identity))
        owner = self.context.assignments.address
        return Transaction(identity, owner, "", tags, 1, BEGUN_MS, data_size=size)


class Moment:
    """The transactions of one moment, for somebody who may not look for ever.

    What is damaged is left out and reported: one bad item must not hide the others.

    Args:
        all_of_them: what does not change from moment to moment.
        view: the moment. Everything raises LookupEnded when its time is over.
    """

    def __init__(self, all_of_them: Transactions, view: View) -> None:
        self._all = all_of_them
        self._view = view
        self._uploads = all_of_them.data.uploads

    def find(self, transaction_id: str) -> Transaction | None:
        """Return a transaction by its id. Raises: DataCorrupt if what is kept of it was changed."""
        self._view.check()
        if not is_id(transaction_id):
            return None
        try:
            entry = self._view.store.find(transaction_id)
            if entry is not None:
                return self._of_message(entry.message)
        except _DAMAGED as error:
            raise DataCorrupt(f"what is kept of {transaction_id} was changed: {error}") from None
        known = (
            self._all.modules.get(transaction_id)
            or self._locations.get(transaction_id)
            or self._of_added(transaction_id)
        )
        if known is not None:
            return known
        upload = self._uploads.find(transaction_id)
        if upload is not None:
            return self._of_upload(upload)
        size = self._all.data.size(transaction_id)
        if size is None:
            return None
        return Transaction(transaction_id, "", "", (), 0, 0, data_size=size)

    def select(
        self, wanted: Wanted, after: Place, *, descending: bool
    ) -> Iterator[tuple[Place, Transaction]]:
        """Go through what is wanted, by time, from behind a place."""
        sources = (
            self._number(self._known(wanted), 0, after.known, descending=descending),
            self._number(self._of_uploads(), 1, after.upload, descending=descending),
            self._search(wanted, after.log, descending=descending),
        )
        place = after
        merged = heapq.merge(*sources, key=lambda each: each[0], reverse=descending)
        for (_time_ms, source, number), found in merged:
            self._view.check()
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

    def _search(self, wanted: Wanted, after: int, *, descending: bool) -> Iterator[_Keyed]:
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
        for sequence, message in self._view.store.search(search, self._all.context.damage.note):
            try:
                found = self._of_message(message)
            except _DAMAGED as error:
                self._all.context.damage.note(message.id, error)
            else:
                yield (message.timestamp, 2, sequence), found

    def _known(self, wanted: Wanted) -> Iterator[Transaction]:
        if wanted.may_be("Module"):
            yield from self._all.modules.values()
            yield from filter(None, map(self._of_added, self._added))
        if wanted.may_be("Scheduler-Location"):
            for each in self._locations.values():
                if not wanted.owners or each.owner in wanted.owners:
                    yield each

    @cached_property
    def _locations(self) -> dict[str, Transaction]:
        """Where schedulers are: this network's own, and those that its processes name; by id."""
        named = (info.tags.get("Scheduler") for info in self._view.store.processes())
        known = dict.fromkeys([self._all.context.assignments.address, *filter(None, named)])
        tags = (
            *PROTOCOL,
            ("Type", "Scheduler-Location"),
            ("Url", self._all.context.su_url),
            ("Time-To-Live", str(LOCATION_TTL_MS)),
        )
        ids = {
            each: encode_id(sha256(f"benchpool location {each}".encode()).digest())
            for each in known
        }
        return {ids[each]: Transaction(ids[each], each, "", tags, 1, BEGUN_MS) for each in known}

    def _of_uploads(self) -> Iterator[Transaction]:
        return map(self._of_upload, self._uploads.all(self._all.context.damage.note))

    def raw(self, transaction_id: str) -> tuple[bytes | str, str] | None:
        """Return the data of a transaction, or the id of a file with it, and its content type.

        The file is to be had of the data store, which looks at its bytes first.

        Raises: DataCorrupt if what is kept of it was changed.
        """
        self._view.check()
        if not is_id(transaction_id):
            return None
        try:
            entry = self._view.store.find(transaction_id)
        except _DAMAGED as error:
            raise DataCorrupt(f"what is kept of {transaction_id} was changed: {error}") from None
        if entry is not None:
            return data_of(entry.message), content_type(entry.message.tags)
        if transaction_id in self._all.modules:
            return self._all.source(transaction_id), "text/x-python"
        if transaction_id in self._added:
            return self._added[transaction_id].id, CONTENT_TYPE
        upload = self._uploads.find(transaction_id)
        if upload is None and self._all.data.size(transaction_id) is None:
            return None
        return transaction_id, OCTETS if upload is None else content_type(Tags(upload.item.tags))

    @cached_property
    def _added(self) -> dict[str, AddedModule]:
        """The modules that are data of the network, by each of their ids."""
        records = modules_of(self._view.store)
        return {name: each for each in records for name in (each.id, *each.ids)}

    def _of_added(self, name: str) -> Transaction | None:
        added, context = self._added.get(name), self._all.context
        if added is None:
            return None
        tags = context.network.modules.tags(added).pairs
        owner = context.assignments.address
        return Transaction(name, owner, "", tags, 1, BEGUN_MS, data_size=added.size)

    def _of_upload(self, upload: Upload) -> Transaction:
        time_ms, size = upload.record.timestamp, upload.record.size
        return _of_item(upload.item, block_height(time_ms), time_ms, size)

    def _of_message(self, message: Message) -> Transaction:
        head = self._view.store.item_head(message.id)
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


_DAMAGED = (msgspec.DecodeError, DataItemError)
"""What the bytes of a message, or of its item, are found to be when they were changed."""
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
