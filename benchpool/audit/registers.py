"""What must hold in the registers of a home beside its logs: wallets, names, order, time."""

from __future__ import annotations

from benchpool.ao.wallet import Wallet
from benchpool.errors import BenchpoolError
from benchpool.store import Store
from benchpool.store.facts import altered


def wrong_registers(store: Store) -> str | None:
    """Say what is wrong in the registers of a store whose facts are as they were committed."""
    return altered(store) or _wrong_wallet(store) or _wrong_name(store) or _wrong_order(store)


def _wrong_wallet(store: Store) -> str | None:
    names = store.names()
    for wallet in store.wallets():
        if names.get(wallet.name) != wallet.address:
            return f"the name {wallet.name!r} does not stand for the wallet that has it"
        if not wallet.secret:
            continue  # the home was imported without keys
        try:
            found = Wallet.of(wallet.name, wallet.kind, wallet.secret).address
        except (BenchpoolError, ValueError, TypeError, KeyError) as error:
            return f"the secret of wallet {wallet.name!r} cannot be read: {error}"
        if found != wallet.address:
            return f"the secret of wallet {wallet.name!r} is that of {found}, not {wallet.address}"
    return None


def _wrong_name(store: Store) -> str | None:
    known = {wallet.address for wallet in store.wallets()}
    known |= {info.id for info in store.processes()}
    for name, identity in sorted(store.names().items()):
        if identity not in known:
            return f"the name {name!r} stands for {identity}, which is neither process nor wallet"
    return None


def _wrong_order(store: Store) -> str | None:
    for number, info in enumerate(store.processes()):
        if info.order != number:
            return f"process {info.id} has number {info.order} and is the {number + 1}. one"
    clock_ms, last = int(store.fact("clock") or 0), store.newest()
    if last is not None and last.timestamp > clock_ms:
        return f"the clock stands at {clock_ms}, and the last message came at {last.timestamp}"
    return None
