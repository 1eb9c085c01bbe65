"""Dispatch: makes items of what this network's own wallets say, signs and schedules them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from benchpool.ao.dataitem import DataItem
from benchpool.ao.ids import decode_id, encode_id, is_id
from benchpool.ao.message import Data, Item, Message, ProcessInfo
from benchpool.ao.signers import Signer
from benchpool.ao.tags import Pair, Tags, TagsInput
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.ao.wire import PROCESS, Wire, head_of
from benchpool.errors import ConfigError, DuplicateMessage
from benchpool.network.directory import Directory
from benchpool.store import Store
from benchpool.store.shelf import GIVEN_IDS, encode_fact, given_ids
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import parse_cron
from benchpool.units.limits import Limits
from benchpool.units.messenger import MessengerUnit
from benchpool.units.scheduler import SchedulerUnit

_SENT = "sent"
"""The fact that keeps how many items have been sent."""


class Dispatch:
    """Gives each item the number of what was sent before it as Anchor, so that no two are alike."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        compute: ComputeUnit,
        scheduler: SchedulerUnit,
        messenger: MessengerUnit,
        limits: Limits,
        wire: Wire,
        signed: bool,
    ) -> None:
        self._store = store
        self._directory = directory
        self._compute = compute
        self._scheduler = scheduler
        self._messenger = messenger
        self._limits = limits
        self._wire = wire
        self._signed = signed
        self._signers: dict[str, Signer] = {}
        self.count = int(store.fact(_SENT) or 0)
        """How many items were sent."""

    def keep_count(self) -> None:
        """Keep the count with the network, from the next commit on."""
        self._store.set_fact(_SENT, str(self.count))

    def message(
        self, target: str, action: str, tags: TagsInput, data: Data, wallet: Wallet
    ) -> Item:
        """Make the item that a wallet sends to a process or wallet.

        Raises: MessageError if it is too large (LimitExceeded), or text that is no Unicode.
        """
        given = Tags(tags)
        if action:
            given = Tags([("Action", action), *given.pairs])
        # As on AO, a From-Process tag changes From and never the owner, so it earns no trust.
        sender = given.get("From-Process") or wallet.address
        item = Item(target, wallet.address, sender, given, data)
        self._limits.check_item(item)
        return item

    def process(
        self, module: str, tags: TagsInput, name: str | None, data: Data, wallet: Wallet
    ) -> Item:
        """Make the item that creates a process of a wallet.

        Raises: as `message`; UnknownModule; ConfigError for a bad name, or one that is taken.
        """
        module = self._compute.check_module(module)
        pairs: list[Pair] = [("Module", module), *Tags(tags).pairs]
        if name is not None:
            self._directory.check_free(name)
            if not Tags(pairs).get("Name"):
                pairs.append(("Name", name))
        pairs.append(("Authority", self._messenger.address))
        item = Item("", wallet.address, wallet.address, Tags(pairs), data, type=PROCESS)
        self._limits.check_item(item)
        self._compute.check_fork(item.tags, module)
        return item

    @contextmanager
    def rehearsed(
        self, module: str, tags: TagsInput, name: str | None, data: Data, wallet: Wallet
    ) -> Iterator[Callable[[str], None]]:
        """Make sure that a process which is not there yet would not refuse its first message.

        Gives what is to be called with the id of what is spawned of these arguments in the block,
        see `ComputeUnit.rehearsed`. May be called from any thread.

        Raises: as `process` and `ComputeUnit.rehearsed`.
        """
        item = self.process(module, tags, name, data, wallet)
        self._limits.check_crons(len(parse_cron(item.tags)))
        with self._compute.rehearsed(*self._scheduler.preview_spawn(item)) as hand_over:
            yield hand_over

    def post(self, item: Item, wallet: Wallet) -> Message:
        """Schedule a message, signed if the network or the wallet asks for it.

        Raises: as `MessengerUnit.post`; DataItemError if no data item can hold it.
        """
        numbered = self._number(item)
        made = self._sign(numbered, wallet)
        if made is None:
            return self._messenger.post(numbered)
        message = self._messenger.post(self._wire.read(made), made.id)
        self._store.add_item(made.id, head_of(made))
        return message

    def spawn(
        self, item: Item, wallet: Wallet, name: str | None, given_id: str | None = None
    ) -> ProcessInfo:
        """Create a process, see `post`, and give it its name.

        Raises: as `check_given` for an id that it shall have in place of its own.
        """
        if given_id is not None:
            self.check_given(given_id, wallet)
        numbered = self._number(item)
        made = self._sign(numbered, wallet)
        if made is None:
            info = self._messenger.spawn(numbered, given_id)
            if given_id is not None:
                given = given_ids(self._store) | {given_id: numbered.id()}
                self._store.set_fact(GIVEN_IDS, encode_fact(given))
        else:
            info = self._messenger.spawn(self._wire.read(made), made.id)
            self._store.add_item(made.id, head_of(made))
        if name is not None:
            self._directory.name_newborn(name, info.id)
        return info

    def check_given(self, given_id: str, wallet: Wallet) -> None:
        """Accept an id that a process shall have, such as it has on AO's main network.

        Raises: ConfigError in a signed network, where an id is that of a signature, and for an id
            that is none or that anything else has here.
        """
        if self._signed or wallet.kind != ED25519:
            raise ConfigError(
                "no process can be given an id where what makes it is signed: its id is the hash"
                " of the signature; do it in an unsigned network, with an Ed25519 wallet"
            )
        if not is_id(given_id) or encode_id(decode_id(given_id)) != given_id:
            raise ConfigError(f"not an id: {given_id[:80]!r}; it has 43 base64url characters")
        taken = (
            self._store.find(given_id) is not None
            or self._store.last_position(given_id) >= 0
            or given_id in self._directory.names().values()
            or given_id in (self._wire.messenger, self._wire.scheduler)
        )
        if taken:
            raise ConfigError(f"id {given_id} is that of something else here")

    def _number(self, item: Item) -> Item:
        self.count += 1
        return replace(item, anchor=f"{self.count:032d}")

    def _sign(self, item: Item, wallet: Wallet) -> DataItem | None:
        """Sign what must be signed: all in a signed network, and always with a foreign key."""
        if wallet.kind == ED25519 and not self._signed:
            return None
        signer = self._signers.get(wallet.address)
        if signer is None:  # to check an RSA key takes a while
            signer = self._signers[wallet.address] = wallet.signer()
        made = self._wire.sign(item, signer)
        if self._store.item_head(made.id) is not None:
            raise DuplicateMessage(f"message {made.id} was scheduled before")
        return made
