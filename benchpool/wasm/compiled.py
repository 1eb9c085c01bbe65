"""Compiled: modules compiled once, for the program and for the next one.

Compiled code is trusted blindly by the runtime, so it is kept in the user's own cache folder and
taken from there only if this user alone can write it and it is whole. It is never part of a home.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Final

from platformdirs import user_cache_dir

from benchpool.wasm.runtime import IDENTITY, Code

FOLDER_VARIABLE: Final = "BENCHPOOL_WASM_CACHE"
_DIGEST_BYTES: Final = 32
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_MOST_KEPT: Final = 64
"""Modules kept compiled, in memory and in the cache: whoever reaches a server may upload more."""

_codes: dict[str, Code] = {}
"""Those used last come last."""
_making: dict[str, Lock] = {}
_lock = Lock()


def compiled(code: bytes, digest: str) -> Code:
    """Return a module compiled, from memory, from the cache, or anew.

    Args:
        code: the module.
        digest: SHA-256 of it, in hexadecimal.

    Raises: HandlerError if it is no WebAssembly.
    """
    found = _known(digest)
    if found is not None:
        return found
    with _lock:
        own = _making.setdefault(digest, Lock())
    try:
        with own:  # who wants another module does not wait for this one, which may take long
            found = _known(digest) or _from_cache(digest) or _anew(code, digest)
            with _lock:
                _codes[digest] = found
                while len(_codes) > _MOST_KEPT:
                    del _codes[next(iter(_codes))]
    finally:
        with _lock:
            _making.pop(digest, None)
    return found


def _known(digest: str) -> Code | None:
    with _lock:
        found = _codes.pop(digest, None)
        if found is not None:
            _codes[digest] = found
    return found


def cache_folder() -> Path:
    """Return where compiled code is kept: `$BENCHPOOL_WASM_CACHE`, else in the user's cache."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("benchpool")) / "wasm"


def _key(digest: str) -> str:
    return sha256(f"{digest} {IDENTITY}".encode()).hexdigest()


def _from_cache(digest: str) -> Code | None:
    """Return compiled code of the cache; None if there is none that can be trusted."""
    key = _key(digest)
    try:
        kept = _read_own(cache_folder() / key)
    except OSError:
        return None
    check, code = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    if check != sha256(key.encode() + code).digest():
        return None
    return Code.deserialize(code)


def _read_own(path: Path) -> bytes:
    """Read a file that only this user can write. Raises: OSError."""
    no_links = getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, os.O_RDONLY | no_links), "rb") as file:  # noqa: PTH123 - opened above
        about = os.fstat(file.fileno())
        mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        if not (mine and stat.S_ISREG(about.st_mode)) or about.st_mode & _OTHERS:
            raise PermissionError(path)
        return file.read()


def _anew(code: bytes, digest: str) -> Code:
    made = Code.compile(code)
    folder, key = cache_folder(), _key(digest)
    with suppress(OSError):  # a cache that cannot be written costs time only
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        serialized = made.serialize()
        check = sha256(key.encode() + serialized).digest()
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:  # made with mode 0600
            file.write(check + serialized)
        Path(file.name).replace(folder / key)
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_MOST_KEPT:]:
            path.unlink(missing_ok=True)
    return made
