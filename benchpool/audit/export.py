"""A whole run as one file: registers, data, every message with its result, hashes of the states.

The lines of the file are those of `benchpool.audit.hashed_lines`; what they hold is told in
docs/audit.md. An import believes nothing: it checks every byte, follows every hash chain, and folds
the logs again to make the states.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchpool.ao.ids import encode_id, is_id
from benchpool.ao.tags import Tags
from benchpool.audit.entries import entry_fields
from benchpool.audit.hashed_lines import HashedLine, LineWriter, read_lines
from benchpool.audit.home_maker import (
    CHUNK,
    FACTS,
    FORMAT,
    SECRET_FACTS,
    SEED_DIGEST,
    HomeMaker,
)
from benchpool.audit.rebuild import keep_states
from benchpool.audit.replay import REPORT_EVERY, Replayer
from benchpool.audit.replay_host import ReplayHost
from benchpool.audit.replay_report import Replay
from benchpool.audit.state_hashes import kept_in
from benchpool.errors import ConfigError, StoreError
from benchpool.extensions.outside import OLD_LOG_FACT, old_positions
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.home import Home, OpenHome, open_run
from benchpool.store.opening import open_store
from benchpool.store.schema import SCHEMA_VERSION
from benchpool.store.shelf import modules_of, packages_of
from benchpool.units.limits import DEFAULT_LIMITS, LIMITS_FILE, find_limits
from benchpool.units.modules import ModuleShelf, is_module
from benchpool.version import VERSION

DATA_LIMIT: Final = 16 * 2**20
"""Bytes of a data transaction that is included unless all are asked for."""


class Exported(NamedTuple):
    """What a file holds."""

    lines: int
    entries: int
    size: int
    left_out: list[tuple[str, int]]
    """Data transactions that are only named: id and size."""
    hash: str
    """SHA-256 of the entries, line by line: equal logs have equal ones, whatever else is held."""


# -- writing ---------------------------------------------------------------------------------


def check_new(file: Path, *, overwrite: bool) -> None:
    """Accept a file to write. Raises: ConfigError if it is there and may not be replaced."""
    if file.exists() and not overwrite:
        raise ConfigError(
            f"{file} is there already; name another file, or overwrite it with --force"
        )


def export_home(
    folder: Path,
    file: Path,
    *,
    with_keys: bool = False,
    with_data: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Exported:
    """Write a home to a file, whole or not at all.

    Args:
        folder: the home; it is only looked at.
        file: what to write.
        with_keys: include the seed and the secrets of the wallets; only the user can read the
            file then.
        with_data: include data transactions above `DATA_LIMIT` too.
        overwrite: whether a file that is there may be replaced.
        on_progress: called with the number of log entries written.

    Raises:
        ConfigError: the file is there already.
        StoreError: the home is damaged, or the file cannot be written.
    """
    check_new(file, overwrite=overwrite)
    with open_run(folder) as run:
        writer = None
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.unlink(missing_ok=True)  # of an export that was killed
            mode = 0o600 if with_keys else 0o666
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as out:
                writer = LineWriter(out)
                left_out = _write_registers(writer, run, with_keys=with_keys, with_data=with_data)
                entries, log = 0, sha256()
                signed = run.store if run.store.has_items() else None
                for line in run.store.lines():
                    log.update(writer.write("entry", **entry_fields(line, signed)))
                    entries += 1
                    if entries % REPORT_EVERY == 0:
                        on_progress(entries)
                _write_memories(writer, run.home, run.store)
                writer.close()
            partial.replace(file)
        except OSError as error:
            raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
        finally:
            partial.unlink(missing_ok=True)
    return Exported(writer.lines, entries, file.stat().st_size, left_out, encode_id(log.digest()))


def _write_registers(
    writer: LineWriter, run: OpenHome, *, with_keys: bool, with_data: bool
) -> list[tuple[str, int]]:
    home, store, data = run
    lost = ModuleShelf(store, data, DEFAULT_LIMITS).damage()
    if lost is not None:
        raise StoreError(lost)
    seed = store.fact("seed") or ""
    seed_digest = store.fact(SEED_DIGEST) or sha256(seed.encode()).hexdigest()
    writer.write(
        "header",
        format=FORMAT,
        benchpool=VERSION,
        schema=SCHEMA_VERSION,
        # The seed's own digest makes the keys, so only a digest of that is told.
        seed_digest=seed_digest,
        with_keys=with_keys,
    )
    for name in (*FACTS, *(SECRET_FACTS if with_keys else ())):
        value = store.fact(name)
        if value is not None:
            writer.write("fact", name=name, value=value)
    untyped = msgspec.json.encode(old_positions(store)).decode()
    writer.write("fact", name=OLD_LOG_FACT, value=untyped)
    limits = home.folder / LIMITS_FILE
    if limits.exists():
        writer.write("limits", text=limits.read_text(encoding="utf-8"))
    for wallet in store.wallets():
        secret = {"secret": wallet.secret.hex()} if with_keys else {}
        named = {"name": wallet.name, "address": wallet.address, "type": wallet.kind}
        writer.write("wallet", **named, **secret)
    for info in store.processes():
        fields = msgspec.structs.asdict(info)
        del fields["edition"]  # it follows from the positions of the old log
        writer.write("process", **{**fields, "tags": info.tags.pairs})
    for name, identity in store.names().items():
        writer.write("name", name=name, identity=identity)
    return _write_data(writer, data, None if with_data else _needed(store, data))


def _needed(store: Store, data: DataStore) -> set[str]:
    """Return the data without which no log can be folded."""
    added = {each.id for each in modules_of(store)} | {each.id for each in packages_of(store)}
    uploads = data.uploads.all()
    return added | {each.record.data for each in uploads if is_module(Tags(each.item.tags))}


def _write_data(
    writer: LineWriter, data: DataStore, needed: set[str] | None
) -> list[tuple[str, int]]:
    """Write data that is small or needed; all of it where it is not said what is needed."""
    left_out = []
    for path in sorted(data.folder.iterdir()):
        if not is_id(path.name):
            continue
        size = path.stat().st_size
        included = needed is None or size <= DATA_LIMIT or path.name in needed
        writer.write("data", id=path.name, size=size, included=included)
        if not included:
            left_out.append((path.name, size))
            continue
        with data.path(path.name).open("rb") as stream:
            while chunk := stream.read(CHUNK):
                writer.write("chunk", base64=b64encode(chunk).decode())
    for upload in data.uploads.all():
        fields = msgspec.to_builtins(upload.record)
        writer.write("upload", **fields)
    return left_out


def _write_memories(writer: LineWriter, home: Home, store: Store) -> None:
    kept = kept_in(home, store)
    for info in store.processes():
        memory = kept(info.id)
        if memory is not None:
            position, state, tables = memory
            writer.write("state", process=info.id, position=position, state=state, tables=tables)


# -- reading ---------------------------------------------------------------------------------


def import_file(
    file: Path,
    folder: Path,
    *,
    registry: Registry | None = None,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Replay:
    """Make a home of a file, verified to the last byte and folded again; or make nothing.

    Raises:
        StoreError: the home is not empty, or the file cannot be read, is truncated or damaged;
            names the line.
        ReplayDivergence: the file is whole, and its log does not give the results that it records.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty; name a new home with --home")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-import-"))
    try:
        with file.open("rb") as stream:
            replay = _make(read_lines(stream, file), Home(made), registry, on_progress)
        if replay.difference is None:
            made.replace(folder)
    except OSError as error:
        raise StoreError(f"{file} cannot be imported: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    replay.check()
    return replay


def _make(
    lines: Iterator[HashedLine],
    home: Home,
    registry: Registry | None,
    on_progress: Callable[[int], None],
) -> Replay:
    home.folder.chmod(0o700)
    store, data = open_store(home.database), DataStore(home.data)
    maker = HomeMaker(store, data, home)
    try:
        for line in lines:
            maker.take(line)
        maker.finish()
        replay = _fold(maker, registry, on_progress)
        store.commit(maker.clock_ms)
    finally:
        maker.close()
        store.close()
        data.close()
    return replay


def _fold(
    maker: HomeMaker, registry: Registry | None, on_progress: Callable[[int], None]
) -> Replay:
    """Verify all logs, and keep the states that they give."""
    store = maker.store
    replayer = Replayer(
        store,
        maker.data,
        registry=registry,
        kept=maker.states.get,
        host=ReplayHost(maker.data, maker.home.databases),
        limits=find_limits(maker.home.folder),
    )
    try:
        replay = replayer.run(on_progress=on_progress)
        if replay.difference is not None:
            return replay
        keep_states(store, replay)
    finally:
        replayer.close()
    return replay
