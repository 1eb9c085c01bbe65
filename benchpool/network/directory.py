"""Directory: the wallets of a network, and the names of its wallets and processes."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from hashlib import sha256

from benchpool.ao.ids import complete_id
from benchpool.ao.wallet import ED25519, Wallet, check_name
from benchpool.errors import ConfigError, UnknownProcess
from benchpool.store import Store

DEFAULT_WALLET = "default"

_SEED = "seed"
"""The fact that keeps what the keys of the wallets are made from."""
_NAMING = "naming"
"""The fact that keeps the names of processes that have not taken their first message yet."""

Party = str | Wallet
"""A wallet or process: its name, its id or address, the beginning of that, or the wallet itself."""


class Directory:
    """Who is known in a network. Keys are made from the network's seed and the wallet's name."""

    def __init__(self, store: Store, seed: bytes) -> None:
        self._store = store
        self._seed = seed
        self._read()

    def _read(self) -> None:
        store = self._store
        self._wallets = {wallet.name: wallet for wallet in store.wallets()}
        self._owners = {wallet.address: wallet for wallet in self._wallets.values()}
        self._ids = store.names()
        self._names = {identity: name for name, identity in self._ids.items()}
        self._naming: list[str] = json.loads(store.fact(_NAMING) or "[]")

    def refresh(self) -> None:
        """Read again what another program writes."""
        self._seed = bytes.fromhex(self._store.fact(_SEED) or self._seed.hex())
        self._read()

    # -- wallets -----------------------------------------------------------------------------

    def new_wallet(self, name: str, kind: str = ED25519) -> Wallet:
        """Make a wallet. Raises: ConfigError for a bad name or one that is taken."""
        self.check_free(name)
        return self.add_wallet(Wallet.derive(self._seed, name, kind))

    def add_wallet(self, wallet: Wallet) -> Wallet:
        """Take a wallet in. Raises: ConfigError if its name is bad, or it or its key is taken."""
        self.check_free(wallet.name)
        known = self._owners.get(wallet.address)
        if known is not None:
            raise ConfigError(f"this key is here already: it is wallet {known.name!r}")
        self._store.add_wallet(wallet)
        self._wallets[wallet.name] = self._owners[wallet.address] = wallet
        self.set_name(wallet.name, wallet.address)
        return wallet

    def derive(self, name: str) -> Wallet:
        """Return the Ed25519 wallet that a name has in this network, made or not."""
        return Wallet.derive(self._seed, name)

    def wallets(self) -> list[Wallet]:
        """Return the wallets in the order in which they were made."""
        return list(self._wallets.values())

    def wallet(self, name: str) -> Wallet:
        """Return a wallet by name, address or the beginning of it.

        Raises: UnknownProcess with the nearest names; AmbiguousId.
        """
        wallet = self._wallets.get(name) or self._owners.get(name)
        if wallet is None and (address := complete_id(name, self._owners, "wallets")):
            wallet = self._owners[address]
        if wallet is None:
            raise UnknownProcess(_unknown("wallet", name, self._wallets))
        return wallet

    # -- names -------------------------------------------------------------------------------

    def names(self) -> dict[str, str]:
        """Return every name with the id that it stands for."""
        return dict(self._ids)

    def resolve(self, party: Party) -> str:
        """Return the id of a wallet or process.

        Raises: UnknownProcess with the nearest names; AmbiguousId.
        """
        if isinstance(party, Wallet):
            return party.address
        identity = self._ids.get(party)
        if identity is not None:
            return identity
        if party in self._names or self._store.process(party) is not None:
            return party
        ids = [*self._names, *(info.id for info in self._store.processes())]
        if found := complete_id(party, ids, "processes and wallets"):
            return found
        raise UnknownProcess(_unknown("process or wallet", party, self._ids))

    def name_of(self, identity: str) -> str:
        """Return the name of an id, or the id itself if it has none."""
        return self._names.get(identity, identity)

    def check_free(self, name: str) -> None:
        """Accept a new name. Raises: ConfigError if it is none, or taken."""
        check_name(name)
        if name in self._ids:
            raise ConfigError(f"the name {name!r} is taken by {self._ids[name]}")

    def set_name(self, name: str, identity: str) -> None:
        """Give an id a name."""
        self._store.set_name(name, identity)
        self._ids[name] = identity
        self._names.setdefault(identity, name)

    def name_newborn(self, name: str, process: str) -> None:
        """Give a process a name that it keeps if it takes its first message, see `settle`."""
        self.set_name(name, process)
        self._keep_naming([*self._naming, name])

    def settle(self) -> bool:
        """Take the names of processes back that refused their first message.

        Returns: whether anything is to be committed.
        """
        waiting = []
        for name in self._naming:
            process = self.resolve(name)
            entry = self._store.find(process, process)
            if entry is None or entry.result is None:
                waiting.append(name)  # it thinks on, in a lane of its own
            elif entry.result.error:
                self._remove_name(name)
        if waiting == self._naming:
            return False
        self._keep_naming(waiting)
        return True

    def _keep_naming(self, names: list[str]) -> None:
        self._naming = names
        self._store.set_fact(_NAMING, json.dumps(names))

    def _remove_name(self, name: str) -> None:
        self._store.remove_name(name)
        self._names.pop(self._ids.pop(name), None)


def take_seed(store: Store, seed: str | int | None, *, random: bool) -> bytes:
    """Return the seed that a network was made with, or give a new one its own.

    Args:
        store: the network's.
        seed: what the user wants it to be.
        random: make a random one where the user does not say; else it is always the same.

    Raises: ConfigError if the network was made with another seed.
    """
    kept = store.fact(_SEED)
    digest = None if seed is None else _seed_digest(seed)
    if kept is None:
        kept = digest or _seed_digest(os.urandom(32).hex() if random else "memory")
        store.set_fact(_SEED, kept)
    elif digest not in (None, kept):
        raise ConfigError("this home was made with another seed; name a new home")
    return bytes.fromhex(kept)


def _seed_digest(seed: str | int) -> str:
    return sha256(f"benchpool seed {seed}".encode()).hexdigest()


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"no {kind} named {name[:80]!r}{hint}"
