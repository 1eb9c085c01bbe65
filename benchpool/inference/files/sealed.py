"""Files that this program made and uses again: only if nobody else can have changed them.

Beside such a file stands its seal, `NAME.seal`: the hash of its bytes, and what they were made of.
The seal is written first and the file appears by one rename, so what has both names is whole.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from benchpool.inference.files.hashing import hash_file

SUFFIX: Final = ".seal"
_MOST_SEAL_BYTES: Final = 4096

Identity = tuple[str, int, int, int, int]
"""Path, inode, size, and times of change in nanoseconds: a file that was checked is the same."""


class _Seal(msgspec.Struct, frozen=True):
    made_of: str
    sha256: str


def own_folder(folder: Path) -> bool:
    """Check that a folder, which is made if it is missing, can be written by this user alone.

    One that is this user's and open to others is closed to them; what is in it is not trusted for
    that: see `is_sealed`.

    Raises: OSError if it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or not _is_own(status):
        return False
    if status.st_mode & 0o022:
        folder.chmod(stat.S_IMODE(status.st_mode) & ~0o022)
    return True


def identity(path: Path) -> Identity:
    """Return what tells that a file is still the same. Raises: OSError."""
    status = path.lstat()
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_sealed(path: Path, made_of: str, checked: Identity | None = None) -> bool:
    """Check that a file is the one that this user made of something.

    Args:
        path: The file. A link is none, nor what belongs to others or can be written by them.
        made_of: What it must have been made of.
        checked: A file whose bytes were checked before, and need not be read again.
    """
    try:
        beside = path.with_name(path.name + SUFFIX)
        if not (_is_closed(path) and _is_closed(beside)):
            return False
        with beside.open("rb") as file:
            seal = msgspec.json.decode(file.read(_MOST_SEAL_BYTES), type=_Seal)
        if seal.made_of != made_of:
            return False
        return identity(path) == checked or seal.sha256 == hash_file(path)
    except (OSError, msgspec.MsgspecError):
        return False


def publish(made: Path, path: Path, made_of: str) -> None:
    """Seal a file that was made in a folder of this user's, and give it its name there.

    Raises: OSError.
    """
    made.chmod(0o400)
    seal = msgspec.json.encode(_Seal(made_of, hash_file(made)))
    descriptor, name = tempfile.mkstemp(prefix=".sealing-", dir=path.parent)
    sealing = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(seal)
        sealing.replace(path.with_name(path.name + SUFFIX))
        made.replace(path)
    finally:
        sealing.unlink(missing_ok=True)


def _is_closed(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and _is_own(status) and not status.st_mode & 0o022


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
