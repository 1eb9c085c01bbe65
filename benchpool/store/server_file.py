"""ServerFile: how other commands find the server that runs on a home."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from benchpool.errors import HomeLocked
from benchpool.store.home import Home

SERVER_FILE: Final = "server.json"


class ServerFile(msgspec.Struct):
    """What `server.json` says, for this user's eyes only."""

    url: str
    token: str
    pid: int = msgspec.field(default_factory=os.getpid)


def write_server(folder: Path, said: ServerFile) -> None:
    """Tell of a server."""
    path = folder / SERVER_FILE
    partial = path.with_suffix(".partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(msgspec.json.encode(said))
    partial.replace(path)


def forget_server(folder: Path) -> None:
    """Tell of it no more."""
    (folder / SERVER_FILE).unlink(missing_ok=True)


def find_server(folder: Path) -> ServerFile | None:
    """Return the server that runs on a home; None if there is none, or its program is gone."""
    try:
        said = msgspec.json.decode((folder / SERVER_FILE).read_bytes(), type=ServerFile)
        os.kill(said.pid, 0)
    except (OSError, msgspec.DecodeError, OverflowError):
        return None
    # Another program may have got the process number of a server that was killed.
    return said if Home(folder).locked() else None


def refuse_served(folder: Path, otherwise: str = "name another home with --home") -> None:
    """Accept a home on which no server runs.

    Args:
        folder: the home.
        otherwise: what the user can do if the server is to go on.

    Raises: HomeLocked.
    """
    server = find_server(folder)
    if server is not None:
        raise HomeLocked(
            f"a server runs on {folder} (process {server.pid}, {server.url}); stop it first, or"
            f" {otherwise}"
        )
