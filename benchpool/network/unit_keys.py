"""UnitKeys: the addresses of a network's units, and the keys that they sign with."""

from __future__ import annotations

from typing import Final

from benchpool.ao.signers import Signer, to_base64url
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SCHEDULER_KEY_FACT, SIGNED_FACT, Wire
from benchpool.errors import StoreError
from benchpool.network.directory import Directory
from benchpool.store import Store

_MESSENGER: Final = "messenger unit"
_SCHEDULER: Final = "scheduler unit"


class UnitKeys:
    """Derived from the network's seed; the addresses are kept with the network.

    Args:
        signed: make it a signed network, which it then stays.
        read_only: nothing is kept, and nobody signs.

    Raises: StoreError if it is a signed network whose keys are not here.
    """

    def __init__(
        self, store: Store, directory: Directory, *, signed: bool, read_only: bool
    ) -> None:
        self._store = store
        self._directory = directory
        self._read_only = read_only
        self.wire = Wire(
            self._address("messenger", _MESSENGER), self._address("scheduler", _SCHEDULER)
        )
        if signed and not read_only and store.fact(SIGNED_FACT) is None:
            store.set_fact(SIGNED_FACT, str(store.count()))
        self.signed = store.fact(SIGNED_FACT) is not None
        """Whether everything that is sent or pushed is a signed data item."""
        self.messenger = self._signer(_MESSENGER, self.wire.messenger)
        """Signs what is pushed; None where nothing is signed."""
        self.scheduler = self._signer(_SCHEDULER, self.wire.scheduler)
        """Signs assignments; None where nothing is signed."""
        if self.scheduler is not None:
            # The address is a hash of it: without the key nobody could verify an assignment.
            store.set_fact(SCHEDULER_KEY_FACT, to_base64url(self.scheduler.owner))

    def scheduler_wallet(self) -> Wallet:
        """Return the scheduler unit's wallet."""
        return self._directory.derive(_SCHEDULER)

    def _address(self, fact: str, wallet: str) -> str:
        kept = self._store.fact(fact)
        if kept is None:
            kept = self._directory.derive(wallet).address
            if not self._read_only:
                self._store.set_fact(fact, kept)
        return kept

    def _signer(self, name: str, address: str) -> Signer | None:
        if not self.signed or self._read_only:
            return None
        wallet = self._directory.derive(name)
        if wallet.address != address:
            raise StoreError(
                "this home holds a signed network and not its keys: it can be looked at and"
                " replayed, and not go on; export it again with --with-keys"
            )
        return wallet.signer()
