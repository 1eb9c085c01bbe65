"""Directory: the wallets of a network, and the names of its wallets and processes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from benchpool.errors import ConfigError, UnknownProcess
from benchpool.store import Store
from benchpool.wallet import ED25519, Wallet, check_name

DEFAULT_WALLET = "default"

Party = str | Wallet
"""A wallet or process: its name, its id or address, or the wallet itself."""


class Directory:
    """Who is known in a network. Keys are made from the network's seed and the wallet's name."""

    def __init__(self, store: Store, seed: bytes) -> None:
        self._store = store
        self._seed = seed
        self._wallets = {wallet.name: wallet for wallet in store.wallets()}
        self._owners = {wallet.address: wallet for wallet in self._wallets.values()}
        self._ids = store.names()
        self._names = {identity: name for name, identity in self._ids.items()}

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
        """Return a wallet by name or address. Raises: UnknownProcess with the nearest names."""
        wallet = self._wallets.get(name) or self._owners.get(name)
        if wallet is None:
            raise UnknownProcess(_unknown("wallet", name, self._wallets))
        return wallet

    def names(self) -> dict[str, str]:
        """Return every name with the id that it stands for."""
        return dict(self._ids)

    def resolve(self, party: Party) -> str:
        """Return the id of a wallet or process. Raises: UnknownProcess with the nearest names."""
        if isinstance(party, Wallet):
            return party.address
        identity = self._ids.get(party)
        if identity is not None:
            return identity
        if party in self._names or self._store.process(party) is not None:
            return party
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

    def remove_name(self, name: str) -> None:
        """Take a name back."""
        self._store.remove_name(name)
        self._names.pop(self._ids.pop(name), None)


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"no {kind} named {name[:80]!r}{hint}"
