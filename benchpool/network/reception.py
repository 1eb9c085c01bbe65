"""Reception: signed data items from outside, checked and scheduled."""

from __future__ import annotations

from benchpool.ao.dataitem import DataItem, verify
from benchpool.ao.message import Item, Message
from benchpool.ao.wire import (
    MESSAGE,
    NOTICE,
    PROCESS,
    Wire,
    check_item,
    content_mark,
    head_of,
    mark_of,
)
from benchpool.errors import DuplicateMessage, ItemRefused, UnknownProcess
from benchpool.network.directory import Directory
from benchpool.network.logs import Logs
from benchpool.store import Store
from benchpool.units.limits import Limits
from benchpool.units.messenger import MessengerUnit


class Reception:
    """Takes items in, and keeps their signatures in the transaction that keeps the message."""

    def __init__(
        self,
        *,
        store: Store,
        logs: Logs,
        messenger: MessengerUnit,
        directory: Directory,
        limits: Limits,
        wire: Wire,
    ) -> None:
        self._store = store
        self._logs = logs
        self._messenger = messenger
        self._directory = directory
        self._limits = limits
        self._wire = wire

    def check(self, item: DataItem) -> Item:
        """Return what an item says, if it may be said at all; looks at nothing in the network.

        Raises:
            DataItemError: its signature does not hold.
            ItemRefused: it breaks a rule of the protocol; `rule` says which.
            LimitExceeded: it is too large.
        """
        verify(item)
        check_item(item)
        if item.address == self._wire.messenger:
            raise ItemRefused("signer", "the messenger's own items are pushed by it alone")
        said = self._wire.read(item)
        self._limits.check_item(said)
        return said

    def accept(self, item: DataItem, said: Item) -> Message:
        """Schedule a checked item.

        Raises:
            UnknownProcess: its target is neither a process nor a wallet that is known here.
            UnknownModule: its Module is not installed.
            DuplicateMessage: it was scheduled before, or it says to come from a process and one
                with this content was accepted before.
            ConfigError: a process item with bad cron tags.
            LimitExceeded: too much waits for the process.
        """
        target = item.id if said.type == PROCESS else said.target
        if self._store.find(item.id, target) is not None:
            raise DuplicateMessage(f"message {item.id} was scheduled for {target} before")
        mark = content_mark(item) if "From-Process" in said.tags else ""
        if mark and (self._store.marked(mark) is not None or self._was_pushed(said, mark)):
            raise DuplicateMessage("a message with the same content was scheduled before")
        if said.type == PROCESS:
            self._messenger.spawn(said, item.id)
            entry = self._store.find(item.id, item.id)
            assert entry is not None
            message = entry.message
        else:
            self._check_known(target)
            message = self._messenger.post(said, item.id)
        self._store.add_item(item.id, head_of(item), mark)
        return message

    def _was_pushed(self, said: Item, mark: str) -> bool:
        """Tell whether the messenger pushed a message with this content.

        What it pushes is marked by the process and reference, which are a part of the content.
        """
        process, reference = said.tags["From-Process"], said.tags.get("Reference")
        for kind in (MESSAGE, NOTICE):
            pushed = self._store.marked(mark_of(kind, process, reference))
            item = None if pushed is None else self._logs.item(pushed)
            if item is not None and content_mark(item) == mark:
                return True
        return False

    def _check_known(self, target: str) -> None:
        known = self._store.process(target) is not None or self._store.last_position(target) >= 0
        if not known and all(each.address != target for each in self._directory.wallets()):
            raise UnknownProcess(f"no process or wallet {target} is known here")
