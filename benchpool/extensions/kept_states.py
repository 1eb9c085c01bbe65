"""Kept states: what a home keeps of its processes beside the log must fit the log.

The log is the truth. A state that is kept may stand behind its end, and is then brought there. One
that stands ahead of it, or was made of another log, comes of files that do not belong together: a
write-ahead log that was deleted, or an older copy of one file beside a newer one of another.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchpool.ao.message import Result, decode_result
from benchpool.errors import StoreError
from benchpool.store import Store
from benchpool.store.base import Durability, link_at
from benchpool.store.connections import damaged, open_sqlite
from benchpool.store.facts import (
    DATABASES,
    MENDABLE,
    REBUILD,
    RESTORE,
    altered,
    altered_facts,
)
from benchpool.store.home import Home, open_home

_LOOKS: Final = 5
"""How often a home is looked at that somebody writes to, until its files are of one moment."""
_PAUSE_S: Final = 0.2


class KeptState(NamedTuple):
    """How far a state goes that is kept."""

    position: int
    """Of the last message evaluated."""
    link: str = ""
    """What binds it to its log, see `link_at`; empty if nothing does."""
    results: Mapping[int, bytes] = {}
    """Results of the last messages, of which the log may lack some."""


def read_database(path: Path) -> KeptState | None:
    """Read how far a private database goes; None if nothing was saved in it yet.

    Raises: StoreError if it is damaged.
    """
    try:
        with closing(open_sqlite(path, read_only=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.executescript("PRAGMA busy_timeout=10000; PRAGMA query_only=ON; BEGIN")
            names = connection.execute("SELECT name FROM pragma_table_info('benchpool_checkpoint')")
            columns = [row["name"] for row in names if row["name"] != "memory"]
            if not columns:
                return None
            row = connection.execute(
                f"SELECT {', '.join(columns)} FROM benchpool_checkpoint"  # noqa: S608 - of the form
            ).fetchone()
            if row is None:
                return None
            rows = connection.execute("SELECT position, result FROM benchpool_results").fetchall()
    except sqlite3.Error as error:
        raise StoreError(damaged(path, error).replace(RESTORE, REBUILD)) from error
    link = row["link"] if "link" in columns else ""
    results = {each["position"]: each["result"] for each in rows}
    if not (
        isinstance(row["position"], int)
        and isinstance(link, str)
        and all(isinstance(result, bytes) for result in results.values())
    ):
        raise StoreError(f"{path} is damaged: its checkpoint cannot be read; {REBUILD}")
    return KeptState(row["position"], link, results)


def check_home(home: Home, store: Store, *, read_only: bool = False) -> None:
    """Accept a home whose kept states fit its log.

    Args:
        home: the home.
        store: its log.
        read_only: somebody else may be writing to it.

    Raises: StoreError naming home, process, positions and remedy.
    """
    for look in range(1, _LOOKS + 1):
        databases = read_databases(home)
        if read_only:
            store.refresh()  # what is in a database is in the log before
        what = altered(store) or misfit_of(store, databases)
        if what is None:
            return
        if not read_only or look == _LOOKS or not home.locked():
            unmended = set(altered_facts(store)) - MENDABLE
            raise StoreError(f"{home.folder}: {what}; {RESTORE if unmended else REBUILD}")
        time.sleep(_PAUSE_S)


def read_databases(home: Home) -> dict[str, KeptState | None]:
    """Read how far all private databases go. Raises: StoreError if one is damaged."""
    return {process: read_database(path) for process, path in home.private().items()}


def misfit_of(store: Store, databases: Mapping[str, KeptState | None]) -> str | None:
    """Say which state that is kept does not fit its log, and why."""
    return next(_misfits(store, databases), None)


def _misfits(store: Store, databases: Mapping[str, KeptState | None]) -> Iterator[str]:
    """Go through what does not fit, in words."""
    names = {identity: name for name, identity in store.names().items()}

    def of(process: str) -> str:
        return f"process {process}" + (f" ({names[process]})" if process in names else "")

    waiting = _waiting(store)
    for process, positions in waiting.items():
        if len(positions) != store.last_position(process) - min(positions) + 1:
            yield (
                f"{of(process)} has results of messages behind position {min(positions)}, whose"
                " result is gone"
            )
    for process, position in store.checkpointed().items():
        kept = KeptState(position)
        what = misfit(store, process, kept, waiting.get(process, set()))
        if what is not None:
            yield f"the checkpoint of {of(process)} {what}"
    for process, found in databases.items():
        if found is None:
            continue
        if store.process(process) is None:
            yield (
                f"there is a private database of process {process} at position {found.position},"
                " and no log of it"
            )
            continue
        what = misfit(store, process, found, waiting.get(process, set()))
        if what is not None:
            yield f"the private database of {of(process)} {what}"
    for process in kept_databases(store):
        if databases.get(process) is None:
            yield (
                f"the private database of {of(process)} is gone, and its log ends at position"
                f" {store.last_position(process)}"
            )


def _waiting(store: Store) -> dict[str, set[int]]:
    """Return where the messages stand that have no result, by process."""
    found: dict[str, set[int]] = {}
    for message in store.pending():
        found.setdefault(message.process, set()).add(message.position)
    return found


def misfit(store: Store, process: str, kept: KeptState, waiting: set[int]) -> str | None:
    """Say why a state that is kept does not belong to a log; None if it does.

    Args:
        store: the log.
        process: whose.
        kept: the state.
        waiting: the positions of its messages that have no result.
    """
    position, last = kept.position, store.last_position(process)
    if position > last:
        return f"stands at position {position}, and its log ends at {last}"
    if kept.link and kept.link != link_at(store, process, position):
        return f"stands at position {position} of another log than this one, which ends at {last}"
    lacking = {each for each in waiting if each <= position and each not in kept.results}
    if lacking:
        return (
            f"stands at position {position}, and the log has results up to {min(lacking) - 1} alone"
        )
    for place in sorted(kept.results.keys() - waiting):
        for entry in store.entries(process, after=place - 1, limit=1):
            if entry.result is not None and not _says(kept.results[place], entry.result):
                return (
                    f"stands at position {position} with another result of position {place} than"
                    f" its log, which ends at {last}"
                )
    return None


def _says(kept: bytes, result: Result) -> bool:
    try:
        return decode_result(kept) == result
    except (ValueError, TypeError):
        return False


def kept_databases(store: Store) -> list[str]:
    """Return the processes that have a private database."""
    return msgspec.json.decode(store.fact(DATABASES) or "[]", type=list[str])


def note_databases(store: Store, processes: set[str]) -> None:
    """Note that processes have a private database from the next commit on."""
    known = kept_databases(store)
    fresh = sorted(processes.difference(known))
    if fresh:
        store.set_fact(DATABASES, msgspec.json.encode([*known, *fresh]).decode())


def open_checked(home: Home | None, *, read_only: bool, durability: Durability = "power") -> Store:
    """Open the store of a home whose files belong together, see `open_home`.

    Raises: HomeLocked, StoreError, SchemaMismatch.
    """
    store = open_home(home, read_only=read_only, durability=durability)
    if home is None:
        return store
    try:
        check_home(home, store, read_only=read_only)
    except BaseException:
        store.close()
        home.unlock()
        raise
    return store
