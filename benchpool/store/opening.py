"""Opens a store by where it is."""

from __future__ import annotations

from pathlib import Path

from benchpool.errors import ConfigError
from benchpool.store.base import Durability, Store
from benchpool.store.memory import MemoryStore


def open_store(
    where: Path | str | None, *, read_only: bool = False, durability: Durability = "power"
) -> Store:
    """Open a store in a SQLite file, by its path or `sqlite:///PATH`; None is a new one in memory.

    Args:
        where: the file.
        read_only: look only.
        durability: what a commit survives.

    Raises:
        ConfigError: no store is of the kind that the address names.
        StoreError: it cannot be opened.
        SchemaMismatch: another version of benchpool wrote it.
    """
    if where is None:
        return MemoryStore()
    kind, separator, path = str(where).partition("://")
    if separator and kind != "sqlite":
        raise ConfigError(f"there is no store for {kind}: addresses; there is: sqlite:///PATH")
    from benchpool.store.sqlite import SqliteStore  # noqa: PLC0415 - slow to import

    file = Path(path.removeprefix("/") if separator else where)
    return SqliteStore(file, read_only=read_only, durability=durability)
