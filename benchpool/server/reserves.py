"""Reserves: disk and open files that strangers cannot use up.

What a network must write to go on, results and checkpoints, is written out of the reserve; what
somebody outside wants to have kept is refused before it is touched, uploads first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from benchpool.errors import Unavailable
from benchpool.server.answers import RefusedRequest
from benchpool.server.bounds import open_files
from benchpool.store import DataStore
from benchpool.units.limits import Limits

FULL: Final = 507
"""Insufficient Storage."""
_FRESH_S: Final = 0.25
_SHARE: Final = 20
_MOST_RESERVE: Final = 512 << 20
_LEAST_RESERVE: Final = 16 << 20
"""More than a write-ahead log needs until it is written into its database."""
_FILES: Final = 64
"""Open files that are left for what the network itself opens."""


class Reserves:
    """What is left, looked at from the event loop.

    Args:
        folder: the home.
        data: its data store, for the quota of uploads.
        limits: `disk_reserve_bytes` and `uploads_bytes`.
        files: how many files this program may open.
        most_uploads: how many there may be at a time.
    """

    def __init__(
        self, folder: Path, data: DataStore, limits: Limits, *, files: int, most_uploads: int
    ) -> None:
        self._folder = folder
        self._data = data
        self._limits = limits
        self._files = files
        self._looked_s = float("-inf")
        self._disk = shutil.disk_usage(folder)
        share = max(_LEAST_RESERVE, min(_MOST_RESERVE, self._disk.total // _SHARE))
        self.reserve_bytes = limits.disk_reserve_bytes or share
        """What messages leave free on the disk; uploads leave twice as much."""
        self._open = 0
        self._most_uploads = most_uploads
        self.uploads = 0
        """How many are under way."""
        self._coming = 0
        """Bytes of uploads that are under way."""

    @property
    def free_bytes(self) -> int:
        """What is free on the disk now: a moment is enough to fill much of it."""
        self._disk = shutil.disk_usage(self._folder)
        return self._disk.free

    def check_message(self) -> None:
        """Accept that something is written. Raises: RefusedRequest (507), Unavailable."""
        if self.free_bytes < self.reserve_bytes:
            raise RefusedRequest(
                "the server's disk is nearly full: no messages are taken until there is room", FULL
            )
        if self._open_files() > self._files - _FILES:
            raise Unavailable("the server has too many files open; ask again later")

    @contextmanager
    def upload(self, size: int) -> Iterator[Callable[[int], None]]:
        """Keep room for an upload while it comes.

        Args:
            size: what its sender says; 0 if that is not known before.

        Returns: what is told how many bytes are about to be written.

        Raises: RefusedRequest (507), also by what is returned; Unavailable.
        """
        held = 0

        def take(more: int) -> None:
            nonlocal held
            self._check_upload(more)
            self._coming += more
            held += more

        written = 0

        def write(more: int) -> None:
            nonlocal written
            written += more
            if written > held:
                take(written - held)
            else:
                self._check_upload(0)  # others may have filled the disk meanwhile

        if self.uploads >= self._most_uploads:
            raise Unavailable(f"{self.uploads} uploads are under way; ask again later")
        self.uploads += 1
        try:
            take(size)
            yield write
        finally:
            self.uploads -= 1
            self._coming -= held

    def _check_upload(self, size: int) -> None:
        if self.free_bytes - size < 2 * self.reserve_bytes:
            raise RefusedRequest(
                "the server's disk is nearly full: no uploads are taken until there is room", FULL
            )
        quota = self._limits.uploads_bytes or self._disk.total // 2
        if size and self._data.uploads.total_bytes() + self._coming + size > quota:
            raise RefusedRequest(
                f"all uploads together may have {quota:,} bytes (uploads_bytes)", FULL
            )

    def _open_files(self) -> int:
        now_s = monotonic()
        if now_s - self._looked_s > _FRESH_S:
            self._looked_s = now_s
            self._open = open_files()
        return self._open
