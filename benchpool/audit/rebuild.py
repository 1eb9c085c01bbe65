"""Rebuild: the states of a home made anew from its log, in place of those that it kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from benchpool.ao.message import decode_message
from benchpool.audit.archive import Report, silent
from benchpool.audit.replay import Replayer
from benchpool.audit.replay_host import ReplayHost
from benchpool.audit.replay_report import Replay
from benchpool.errors import StoreError
from benchpool.extensions.kept_states import note_databases
from benchpool.process.registry import Registry
from benchpool.store import Checkpoint, DataStore, Store
from benchpool.store.connections import check_integrity
from benchpool.store.facts import MENDABLE, RESTORE, SEALS, altered_facts, check_forms, is_form
from benchpool.store.home import Home
from benchpool.store.opening import open_store
from benchpool.units.limits import find_limits
from benchpool.units.taking_up import save_database

_DEFAULTS: Final = {"naming": "[]", "pushed": "[{}, {}]", "databases": "[]"}
_ANCHOR_LENGTH: Final = 32


def rebuild_home(
    folder: Path,
    *,
    registry: Registry | None = None,
    report: Report = silent,
) -> Replay:
    """Take the log of a home as it is, verify it, and make all states from it.

    What the log has lost is lost. Of the facts, those are made anew that follow from the log: the
    time, how much was sent, the end of the log.

    Args:
        folder: the home.
        registry: modules beside the installed ones.
        report: see `Report`.

    Returns: what came of it; nothing was changed if it has a difference.

    Raises:
        HomeLocked: somebody writes to the home.
        StoreError: there is none, or its main database is damaged.
    """
    home = Home(folder)
    home.require()
    home.lock()
    made = folder / "databases.new"
    try:
        check_integrity(home.database)
        shutil.rmtree(made, ignore_errors=True)
        store = open_store(home.database)
        try:
            check_forms(folder, store, but=MENDABLE)
            _refuse_altered(folder, store)
            replay = _rebuild(home, store, made, registry, report)
            if replay.difference is None:
                store.commit(_mend_facts(store))
                _swap(home, made)
        finally:
            store.close()
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
        home.unlock()
    return replay


def _refuse_altered(folder: Path, store: Store) -> None:
    """Accept a home whose altered facts follow from its log. Raises: StoreError."""
    sealed = is_form(SEALS, store.fact(SEALS) or "{}")
    for name in altered_facts(store) if sealed else ():
        if name not in MENDABLE:
            raise StoreError(
                f"{folder}: fact {name!r} of its database is not what was committed, and no log"
                f" tells what it was; {RESTORE}"
            )


def _mend_facts(store: Store) -> int:
    """Set the facts that follow from the log; return the time."""
    kept = store.facts()
    clock_ms = sent = 0
    for line in store.lines():
        message = decode_message(line.message)
        clock_ms = max(clock_ms, message.timestamp)
        if len(message.anchor) == _ANCHOR_LENGTH and message.anchor.isdigit():
            sent = max(sent, int(message.anchor))
    for name, least in (("clock", clock_ms), ("sent", sent)):
        value = kept.get(name, "")
        known = int(value) if is_form(name, value) else 0
        store.set_fact(name, str(max(known, least)))
    for name, value in _DEFAULTS.items():
        if not is_form(name, kept.get(name, value)):
            store.set_fact(name, value)
    known_ids = {info.id for info in store.processes()}
    for name, identity in store.names().items():
        if identity not in known_ids:
            store.remove_name(name)
    for wallet in store.wallets():
        store.set_name(wallet.name, wallet.address)
    return int(store.fact("clock") or 0)


def _rebuild(
    home: Home,
    store: Store,
    made: Path,
    registry: Registry | None,
    report: Report,
) -> Replay:
    data, total = DataStore(home.data), store.count()
    replayer = Replayer(
        store,
        data,
        registry=registry,
        host=ReplayHost(data, made),
        limits=find_limits(home.folder),
    )
    try:
        replay = replayer.run(on_progress=lambda count: report(count, total, "rebuild"))
        if replay.difference is None:
            keep_states(store, replay)
    finally:
        replayer.close()
        data.close()
    return replay


def keep_states(store: Store, replay: Replay) -> None:
    """Keep the states that a replay came to, from the next commit on."""
    databases = set()
    for folded in replay.processes:
        instance = folded.instance
        if instance.database is not None:
            if instance.position >= 0:
                save_database(store, instance, instance.database)
                databases.add(folded.info.id)
        elif folded.messages:
            checkpoint = Checkpoint(instance.position, instance.process.dump())
            store.add_checkpoint(folded.info.id, checkpoint)
    note_databases(store, databases)


def _swap(home: Home, made: Path) -> None:
    """Put the new private databases in place of the old ones."""
    before = home.folder / "databases.old"
    shutil.rmtree(before, ignore_errors=True)
    if home.databases.exists():
        home.databases.rename(before)
    if made.exists():
        made.rename(home.databases)
    shutil.rmtree(before, ignore_errors=True)
