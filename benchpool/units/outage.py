"""Outage: a failure of the machine, which must never be taken for a failure of the message.

A message that fails is recorded as failed for ever. If the disk was full while its handler wrote,
that would make history of a bad day: another machine, and a replay, would come to something else.
"""

from __future__ import annotations

import errno
import sqlite3
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


def is_outage(error: BaseException) -> bool:
    """Tell whether the disk or the system failed, rather than the handler that met the failure."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "orig", seen)  # SQLAlchemy's errors bear the driver's
        code = getattr(cause, "sqlite_errorcode", None)
        if isinstance(code, int) and code & 0xFF in _DATABASE:
            return True
        if isinstance(cause, OSError) and cause.errno in _SYSTEM:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
