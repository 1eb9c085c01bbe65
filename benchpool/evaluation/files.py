"""Files of questions, read whole, as far as their size allows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchpool.errors import DatasetError
from benchpool.evaluation.compiled import MAX_BYTES, is_compiled

MAX_PLAIN_BYTES: Final = 1 << 27
"""The most that a file may have that is not compiled; Social IQa has 10 MB."""
_HEAD_BYTES: Final = 64


def read_file(path: Path) -> bytes:
    """Read a file of questions.

    Raises:
        DatasetError: It is none, cannot be read, or is larger than what is read of its kind.
    """
    if path.exists() and path.is_dir():
        raise DatasetError("is no file", path=path)
    try:
        with path.open("rb") as file:
            compiled = is_compiled(file.peek(_HEAD_BYTES))
            most = MAX_BYTES if compiled else MAX_PLAIN_BYTES
            large = path.stat().st_size > most
            data = b"" if large else file.read(most + 1)  # what is no plain file tells no size
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=path) from error
    if large or len(data) > most:
        kind = "" if compiled else "of a file that is not compiled "
        raise DatasetError(f"is too large: {kind}at most {most:,} bytes are read", path=path)
    return data
