"""Taking up: a process as it stood at the end of its log, made of what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchpool.errors import StoreError
from benchpool.store import Checkpoint, Store
from benchpool.store.base import link_at
from benchpool.store.facts import REBUILD
from benchpool.units.folding import Instance, fold

if TYPE_CHECKING:
    from benchpool.extensions.database import Database


def take_up(store: Store, instance: Instance, begin: Callable[[], int]) -> None:
    """Bring a fresh process to the end of its log, from its last checkpoint if there is one.

    Args:
        store: the logs.
        instance: the process.
        begin: gives it what it begins with, where there is no checkpoint; says how many messages
            of others that took.

    Raises: StoreError if it had a private database, which is gone; and as `check_home` would have.
    """
    process, database = instance.process.id, instance.database
    if database is not None:
        checkpoint, results = database.saved()
    else:
        checkpoint, results = store.checkpoint(process), {}
    if checkpoint is not None:
        try:
            instance.process.load(checkpoint.memory)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"the state of process {process} at position {checkpoint.position} cannot be read:"
                f" {(str(error) or type(error).__name__).splitlines()[0]}; {REBUILD}"
            ) from error
        instance.position = instance.saved_position = checkpoint.position
        instance.memory_bytes = len(checkpoint.memory)
    else:
        if database is not None and database.path is not None:
            _refuse_lost(store, process)
        instance.saved_position -= begin()  # what it begins with would have to be made again too
    instance.adopted = {
        position: result
        for position, result in results.items()
        if any(
            entry.result is None for entry in store.entries(process, after=position - 1, limit=1)
        )
    }
    fold_log(store, instance)
    behind = instance.position > instance.saved_position
    if database is not None and database.path is not None and behind and not store.uncommitted:
        save_database(store, instance, database)  # it was an older one, and need not be so again


def _lacks_result(store: Store, process: str, position: int) -> bool:
    entries = store.entries(process, after=position - 1, limit=1)
    return any(entry.result is None for entry in entries)


def fold_log(store: Store, instance: Instance, most: int | None = None) -> None:
    """Evaluate again what the log holds behind an instance, up to what has no result yet."""
    for entry in store.entries(instance.process.id, after=instance.position, limit=most):
        if entry.result is None:
            break
        if not entry.result.error:  # a message that failed left no mark
            if instance.database is not None:
                instance.database.go_on_in_memory()
            fold(instance, entry.message, recorded=entry.result.recorded)
        instance.position = entry.message.position


def save_database(store: Store, instance: Instance, database: Database) -> None:
    """Make what a process wrote durable, with its memory and the results that the log may lose."""
    position = instance.position
    link = "" if database.path is None else link_at(store, instance.process.id, position)
    database.save(Checkpoint(position, instance.process.dump(), link or ""), instance.fresh)
    instance.fresh.clear()
    instance.saved_position = position


def _refuse_lost(store: Store, process: str) -> None:
    """Accept a process without a database whose log has no result. Raises: StoreError."""
    for entry in store.entries(process, limit=1):
        if entry.result is not None:
            raise StoreError(
                f"the private database of process {process} is gone, and its log ends at position"
                f" {store.last_position(process)}; {REBUILD}"
            )
