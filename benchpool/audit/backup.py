"""Backup and restore: a home in one file, taken while it is in use, and a home made of that file.

Private databases are copied first and the log last, each as it was at one moment. So no state is
ahead of the log, and one that is behind is brought to its end when its process is next loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Final, NamedTuple

from benchpool.ao.ids import decode_id, is_id
from benchpool.audit.archive import (
    FORMAT,
    Manifest,
    Member,
    Report,
    read_archive,
    silent,
    write_archive,
)
from benchpool.audit.export import check_new
from benchpool.audit.replay import replay_home
from benchpool.errors import StoreError
from benchpool.extensions.kept_states import open_checked
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.connections import check_integrity, copy_database, open_sqlite
from benchpool.store.home import OWN_FILES, Home
from benchpool.units.limits import LIMITS_FILE, forget_cluster
from benchpool.version import VERSION

_TRIES: Final = 3
_ITEM: Final = ".item"


class BackedUp(NamedTuple):
    """What a backup holds."""

    size: int
    """Of the file, in bytes."""
    manifest: Manifest


def backup_home(
    folder: Path,
    file: Path,
    *,
    overwrite: bool = False,
    report: Report = silent,
) -> BackedUp:
    """Write all of a home but its cache of answers to a file, whole or not at all.

    A server or another command may be writing to the home.

    Args:
        folder: the home; it is only looked at.
        file: what to write, for this user's eyes only, since it holds keys.
        overwrite: whether a file that is there may be replaced.
        report: see `Report`.

    Raises:
        ConfigError: the file is there already.
        StoreError: the home is damaged, or the file cannot be written.
    """
    check_new(file, overwrite=overwrite)
    home = Home(folder)
    home.require()
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as name:
            copy = Home(Path(name))
            manifest = _copy(home, copy)
            sources = [
                (home if member.name.startswith("data/") else copy).folder / member.name
                for member in manifest.members
            ]
            partial = copy.folder / "archive"
            with os.fdopen(
                os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as out:
                write_archive(out, manifest, sources, report)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(file)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}") from error
    return BackedUp(file.stat().st_size, manifest)


def _copy(home: Home, copy: Home) -> Manifest:
    """Copy the databases of a home, and say what there is. Raises: StoreError."""
    for left in reversed(range(_TRIES)):
        shutil.rmtree(copy.databases, ignore_errors=True)
        copy.databases.mkdir()
        for process, path in home.private().items():
            copy_database(path, copy.databases / f"{process}.sqlite")
        copy_database(home.database, copy.database)
        try:
            with _named(copy, home):
                return _manifest(home, copy)
        except StoreError:
            # A process may have been spawned after the private databases were copied.
            if not left or not home.locked():
                raise
    raise AssertionError("the last try returns or raises")


@contextmanager
def _named(copy: Home, home: Home) -> Iterator[None]:
    """Have errors name the home in place of its copy."""
    try:
        yield
    except StoreError as error:
        said = str(error).replace(str(copy.folder), str(home.folder))
        raise type(error)(said) from error


def _manifest(home: Home, copy: Home) -> Manifest:
    for path in (copy.database, *copy.private().values()):
        check_integrity(path)
    with _opened(copy, read_only=True) as store:
        members = [_member(copy.folder, copy.database)]
        members += [_member(copy.folder, path) for path in copy.private().values()]
        for name in OWN_FILES:
            if (home.folder / name).exists():
                shutil.copyfile(home.folder / name, copy.folder / name)
                members.append(_member(copy.folder, copy.folder / name))
        # What a message of the log names was there before it.
        if home.data.is_dir():
            members += [_data(path) for path in sorted(home.data.iterdir()) if _is_data(path)]
        return Manifest(
            format=FORMAT,
            benchpool=VERSION,
            messages=store.count(),
            processes=len(store.processes()),
            wallets=len(store.wallets()),
            clock=int(store.fact("clock") or 0),
            members=members,
        )


@contextmanager
def _opened(home: Home, *, read_only: bool) -> Iterator[Store]:
    store = open_checked(home, read_only=read_only)
    try:
        yield store
    finally:
        store.close()
        home.unlock()


def _member(folder: Path, path: Path) -> Member:
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    return Member(path.relative_to(folder).as_posix(), path.stat().st_size, digest)


def _is_data(path: Path) -> bool:
    return is_id(path.name.removesuffix(_ITEM)) and path.is_file() and not path.is_symlink()


def _data(path: Path) -> Member:
    if path.name.endswith(_ITEM):
        return _member(path.parent.parent, path)
    # Its name is its hash, which is compared when it is written.
    return Member(f"data/{path.name}", path.stat().st_size, decode_id(path.name).hex())


# -- restoring -------------------------------------------------------------------------------


def restore_home(
    file: Path,
    folder: Path,
    *,
    verify: bool = False,
    registry: Registry | None = None,
    report: Report = silent,
) -> Manifest:
    """Make a home of a backup, checked to the last byte; or make nothing.

    Args:
        file: what `backup_home` wrote.
        folder: the new home; there is none, or it is empty.
        verify: fold its log again, too, and compare.
        registry: the modules to verify with.
        report: see `Report`.

    Raises:
        StoreError: the home is not empty; or the file cannot be read, is no backup, truncated,
            changed, or of files that do not belong together.
        ReplayDivergence: its log does not give what it records.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} is not empty; name a new home with --home")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-restore-"))
    try:
        with file.open("rb") as stream:
            manifest = read_archive(stream, file, made, report)
        with _told(file, made):
            _check(Home(made), manifest)
            if verify:
                replay_home(
                    made,
                    registry=registry,
                    on_progress=lambda count: report(count, manifest.messages, "verify"),
                ).check()
        forget_cluster(made / LIMITS_FILE)
        made.replace(folder)
    except OSError as error:
        raise StoreError(f"{file} cannot be restored: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return manifest


@contextmanager
def _told(file: Path, made: Path) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        said = str(error).replace(f"{made}/", "").replace(str(made), "its home")
        raise StoreError(f"{file} holds no home that can be used: {said}") from error


def _check(home: Home, manifest: Manifest) -> None:
    """Accept a home that was laid out. Raises: StoreError."""
    if not home.database.exists():
        raise StoreError("there is no benchpool.sqlite in it")
    for path in (home.database, *home.private().values()):
        check_integrity(path)
    _refuse_programs(home.database)
    with _opened(home, read_only=False) as store:
        held = (store.count(), len(store.processes()), len(store.wallets()))
        if held != (manifest.messages, manifest.processes, manifest.wallets):
            raise StoreError("its manifest counts what it does not hold")
        store.commit(int(store.fact("clock") or 0))
    data = DataStore(home.data)
    for path in data.files().values():
        path.chmod(0o444)
        data.path(path.name)
    for upload in data.uploads.all():
        data.path(upload.id)
    (home.folder / "lock").unlink(missing_ok=True)


def _refuse_programs(database: Path) -> None:
    """Accept a database that does nothing by itself. Raises: StoreError."""
    with closing(open_sqlite(database)) as connection:
        query = "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        for kind, name in connection.execute(query):
            raise StoreError(f"its database holds a {kind}, {name[:80]!r}, which no network has")
