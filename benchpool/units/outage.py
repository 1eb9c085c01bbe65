"""Outage: a failure of the machine, which must never be taken for a failure of the message.

A message that fails is recorded as failed for ever. If the disk was full while its handler wrote,
that would make history of a bad day: another machine, and a replay, would come to something else.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Collection
from typing import Final

_DATABASE: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
_SYSTEM: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}
)


_DATABASE_SHORT: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})
_SYSTEM_SHORT: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})


def is_outage(error: BaseException) -> bool:
    """Tell whether the disk or the system failed, rather than the handler that met the failure."""
    return _came_of(error, _DATABASE, _SYSTEM)


def is_shortage(error: BaseException) -> bool:
    """Tell whether something ran out that may come back: room on a disk, or open files."""
    return _came_of(error, _DATABASE_SHORT, _SYSTEM_SHORT)


def _came_of(error: BaseException, database: Collection[int], system: Collection[int]) -> bool:
    """Tell whether an error, or what it came of, bears one of these codes."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "orig", seen)  # SQLAlchemy's errors bear the driver's
        code = getattr(cause, "sqlite_errorcode", None)
        if isinstance(code, int) and code & 0xFF in database:
            return True
        if isinstance(cause, OSError) and cause.errno in system:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
