"""Parties: who a wallet, a process or a message's place is, by the names of a home."""

from __future__ import annotations

import msgspec

from benchpool.network import Network
from benchpool.store import LogEntry


class Known(msgspec.Struct):
    """A process or wallet, with its name in this home."""

    id: str
    name: str
    """Empty if it has none."""
    kind: str
    """The module of a process, `wallet`, `unit`, or empty for somebody from elsewhere."""


class Names:
    """Knows who is who, for as long as one view takes."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._names = {identity: name for name, identity in network.names().items()}
        self._wallets = {each.address for each in network.wallets()}
        self._known: dict[str, Known] = {}

    def of(self, identity: str) -> Known:
        """Say who somebody is."""
        if identity not in self._known:
            name = self._names.get(identity, "")
            self._known[identity] = Known(identity, name, self._kind(identity))
        return self._known[identity]

    def _kind(self, identity: str) -> str:
        if identity == self._network.messenger.address:
            return "unit"
        info = self._network.store.process(identity)
        if info is not None:
            return self._network.registry.name(info.module)
        return "wallet" if identity in self._wallets else ""


def outcome(entry: LogEntry, kind: str) -> tuple[str, str]:
    """Say what came of a message: `mail`, `pending`, `error` or `done`; and the error.

    Args:
        entry: the message in its log.
        kind: of the party whose log that is.
    """
    if kind in ("wallet", "unit", ""):
        return "mail", ""
    if entry.result is None:
        return "pending", ""
    return ("error", entry.result.error) if entry.result.error else ("done", "")
