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
            head = file.read(_HEAD_BYTES)
            most = MAX_BYTES if is_compiled(head) else MAX_PLAIN_BYTES
            data = head + file.read(most)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=path) from error
    if len(data) > most:
        kind = "" if is_compiled(head) else "of a file that is not compiled "
        raise DatasetError(f"is too large: {kind}at most {most:,} bytes are read", path=path)
    return data
