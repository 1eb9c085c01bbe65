"""Download a file by HTTP so that a cut costs only what was not yet here.

What has come stands in a partial file. It is gone on with, by a range, as long as the server says
that it is the same file; else it begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPMessage as Message
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple

import msgspec

from benchpool.errors import FetchError

FetchProgress = Callable[[int, int, str], None]
"""Called with (bytes done, bytes in total, what is being done)."""

BLOCK_BYTES: Final = 1 << 20
PARTIAL: Final = ".partial-"
ATTEMPTS: Final = 5
"""How often in a row a download may be cut without a byte more."""
PAUSE_S: Final = 1.0
TIMEOUT_S: Final = 60.0
_FOR_NOW: Final = (408, 429)
"""Answers below 500 after which it may be tried again."""
_LINKED: Final = "X-Linked-ETag"
"""What a hub says of a large file before it sends elsewhere for it: its SHA-256."""
_MOST_TAG: Final = 200


class Told(msgspec.Struct, frozen=True):
    """What a server said of the file that a partial file belongs to."""

    url: str
    tag: str = ""
    """A strong ETag: the same one means the same bytes."""
    size: int | None = None


class Downloaded(NamedTuple):
    """A file that is whole."""

    path: Path
    sha256: str
    """Of its bytes, if the server said so; empty if not. Not yet checked."""


def download(
    name: str,
    url: str,
    folder: Path,
    *,
    pinned: str | None,
    most_bytes: int,
    exactly: bool = False,
    progress: FetchProgress | None = None,
) -> Downloaded:
    """Bring a file into a partial file of a folder, going on with what is there.

    Args:
        name: What errors call it.
        url: Of http or https; redirects are followed, never from https to http.
        folder: Keeps the partial file also when this fails.
        pinned: The SHA-256 that the file must have: then what is here is gone on with in any case.
        most_bytes: More are refused.
        exactly: So many are expected.
        progress: Told of what is done.

    Raises:
        FetchError: It cannot be had; says what is kept.
    """
    key = hashlib.sha256((pinned or url).encode()).hexdigest()[:32]
    path = folder / f"{PARTIAL}{key}"
    with _alone(name, path) as file:
        told = _read_told(path)
        if told is None or (pinned is None and (told.url != url or not told.tag)):
            file.truncate(0)
            told = Told(url)
        # Another address of a pinned file has other tags.
        told = told if told.url == url else Told(url, size=told.size)
        transfer = _Transfer(file, told, name=name, most_bytes=most_bytes, progress=progress)
        try:
            transfer.run(path)
        finally:
            size = file.seek(0, os.SEEK_END)
            if not size:
                drop_partial(path)
        if exactly and size != most_bytes:
            drop_partial(path)
            raise FetchError(f"{name}: got {size} bytes, expected {most_bytes}; nothing was kept")
        os.fsync(file.fileno())
    return Downloaded(path, transfer.linked)


def drop_partial(path: Path) -> None:
    """Remove a partial file and what is told of it."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


class _Transfer:
    """One file on its way; `told` is what was said of what is here."""

    def __init__(
        self,
        file: IO[bytes],
        told: Told,
        *,
        name: str,
        most_bytes: int,
        progress: FetchProgress | None,
    ) -> None:
        self._file, self._told, self._url = file, told, told.url
        self._name, self._most, self._progress = name, most_bytes, progress
        self.linked = ""
        self._opened = False

    def run(self, path: Path) -> None:
        """Fetch the file, also if the connection ends now and then. Raises: FetchError."""
        failures, most = 0, self._file.seek(0, os.SEEK_END)
        while True:
            try:
                self._go_on(path)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                    if error.code < 500 and error.code not in _FOR_NOW:
                        raise FetchError(
                            f"{self._name}: {self._url} answered {error.code}"
                        ) from None
                kept = self._file.seek(0, os.SEEK_END)
                failures, most = (0, kept) if kept > most else (failures + 1, most)
                if not self._opened or failures >= ATTEMPTS:
                    said = str(error) or type(error).__name__
                    more = f"; {kept:,} bytes are kept, run it again to go on" if kept else ""
                    raise FetchError(
                        f"{self._name}: {self._url} could not be fetched: {said}{more}"
                    ) from error
                time.sleep(PAUSE_S * failures)
            else:
                return

    def _go_on(self, path: Path) -> None:
        """Fetch what is missing. Raises: FetchError for good; OSError, HTTPException for now."""
        start = self._file.seek(0, os.SEEK_END)
        if start and start == self._told.size:
            return
        headers = {"User-Agent": "benchpool", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if self._told.tag:
                headers["If-Range"] = self._told.tag
        redirects = _Redirects()
        opener = urllib.request.build_opener(redirects)
        try:
            request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - checked
            response = opener.open(request, timeout=TIMEOUT_S)
        except (ValueError, http.client.InvalidURL) as error:
            raise FetchError(f"{self._name}: {self._url} could not be fetched: {error}") from error
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not start:
                raise
            with error:
                self._file.truncate(0)
            raise ConnectionError("what was here is no beginning of it") from None
        self._opened = True
        with response:
            self.linked = redirects.linked or self.linked
            start = self._place(response, start)
            left = _length(response.headers)
            size = None if left is None else start + left
            self._refuse_too_large(size, start)
            tag = response.headers.get("ETag", "")
            strong = tag if tag.startswith('"') and len(tag) <= _MOST_TAG else ""
            self._told = Told(self._url, strong, size)
            _beside(path).write_bytes(msgspec.json.encode(self._told))
            self._copy(response, start, size)

    def _place(self, response: Any, start: int) -> int:
        """Return where the body goes on: where it was asked to, or at the beginning."""
        if response.status == http.HTTPStatus.PARTIAL_CONTENT:
            found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != start:
                self._file.truncate(0)
                raise ConnectionError("the server sent another range than was asked for")
            return start
        if response.status != http.HTTPStatus.OK:
            raise FetchError(f"{self._name}: {self._url} answered {response.status}")
        self._file.truncate(0)
        self._file.seek(0)
        return 0

    def _refuse_too_large(self, size: int | None, start: int) -> None:
        if size is None:
            return
        if size > self._most:
            raise FetchError(
                f"{self._name}: the source gives {size:,} bytes, more than {self._most} bytes"
            )
        free = shutil.disk_usage(os.path.dirname(self._file.name)).free  # noqa: PTH120
        if size - start > free:
            raise FetchError(f"{self._name}: {size - start:,} bytes are missing, {free:,} are free")

    def _copy(self, body: BinaryIO, done: int, size: int | None) -> None:
        while block := body.read(BLOCK_BYTES):
            done += len(block)
            if done > self._most:
                self._file.truncate(0)
                raise FetchError(f"{self._name}: the source gives more than {self._most} bytes")
            self._file.write(block)
            self._file.flush()
            if self._progress is not None:
                self._progress(done, size or max(done, self._most), "downloading")
        if size is not None and done < size:
            raise ConnectionError(f"the connection ended after {done:,} of {size:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that are no less safe, and reads what a hub says in one."""

    max_redirections = 5

    def __init__(self) -> None:
        self.linked = ""

    def redirect_request(  # noqa: PLR0917 - the form of urllib
        self, req: Any, fp: Any, code: int, msg: str, headers: Message, newurl: str
    ) -> Any:
        """See `urllib.request.HTTPRedirectHandler`."""
        before, after = req.type, newurl.partition(":")[0].lower()
        if after not in ("http", "https") or (before, after) == ("https", "http"):
            raise FetchError(f"{req.full_url} sends to {newurl[:200]!r}, which is not followed")
        linked = headers.get(_LINKED, "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", linked):
            self.linked = linked
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def _alone(name: str, path: Path) -> Iterator[IO[bytes]]:
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(f"{name}: another benchpool is fetching it; wait for it") from None
        yield file


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_told(path: Path) -> Told | None:
    try:
        return msgspec.json.decode(_beside(path).read_bytes(), type=Told)
    except (OSError, msgspec.MsgspecError):
        return None


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None
