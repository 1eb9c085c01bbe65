"""Hashes of the states of processes, and what a home keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from benchpool.store import Checkpoint, Store
from benchpool.store.home import Home
from benchpool.units.folding import Instance


class StateHash(NamedTuple):
    """The hashes of a process's state at one position of its log."""

    position: int
    state: str
    """SHA-256 of what `Process.dump` writes."""
    tables: dict[str, str]
    """SHA-256 of each table of its private database."""

    @property
    def digest(self) -> str:
        """One hash of it all."""
        parts = [self.state, *(f"{name} {value}" for name, value in sorted(self.tables.items()))]
        return self.state if not self.tables else sha256("\n".join(parts).encode()).hexdigest()


KeptHashes = Callable[[str], StateHash | None]
"""From a process's id to what is kept of its state; None if nothing is."""


def state_hash_of(instance: Instance) -> StateHash:
    """Hash a process as it stands."""
    state = sha256(instance.process.dump()).hexdigest()
    tables = instance.database.digests() if instance.database is not None else {}
    return StateHash(instance.position, state, tables)


def kept_in(home: Home, store: Store) -> KeptHashes:
    """Return what a home keeps of the states of its processes: checkpoints, private databases."""

    def kept(process: str) -> StateHash | None:
        from benchpool.extensions.database import Database  # noqa: PLC0415 - slow to import

        path = home.databases / f"{process}.sqlite"
        if not path.exists():
            return _state_hash(store.checkpoint(process), {})
        database = Database(path, read_only=True)
        try:
            checkpoint, _ = database.saved()
            return _state_hash(checkpoint, database.digests())
        finally:
            database.close()

    return kept


def _state_hash(checkpoint: Checkpoint | None, tables: dict[str, str]) -> StateHash | None:
    if checkpoint is None:
        return None
    return StateHash(checkpoint.position, sha256(checkpoint.memory).hexdigest(), tables)
