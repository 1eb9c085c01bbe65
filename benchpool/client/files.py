"""Files that people ask for: written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from benchpool.errors import ConfigError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, and put it there when it is whole.

    Args:
        path: the file.
        write: writes to the path that it gets.

    Raises: ConfigError if it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)
