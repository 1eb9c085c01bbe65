"""Folders of verified files: what is there by its name is whole."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchpool.fetching.download import PARTIAL

_STAGING: Final = ".incoming-"
_STALE_S: Final = 24 * 3600
_PARTIAL_STALE_S: Final = 30 * _STALE_S


@contextmanager
def staging(cache: Path) -> Iterator[Path]:
    """Give a folder inside a cache, so that a last step is a rename; it is gone afterwards."""
    cache.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for stale in cache.glob(f"{_STAGING}*"):
        if now - stale.stat().st_mtime > _STALE_S:  # its process was killed
            shutil.rmtree(stale, ignore_errors=True)
    for stale in cache.glob(f"{PARTIAL}*"):
        if now - stale.stat().st_mtime > _PARTIAL_STALE_S:
            stale.unlink(missing_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
