"""Bounds: what one server holds of its clients at a time, and how long they may take."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FILES_OF_STORES: Final = 512
"""Open files that the network may need beside connections: three a private database."""
_LEAST_CONNECTIONS: Final = 32
_MOST_FILES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a server, over all its ports."""

    connections: int = 1_000
    """At a time; fewer where the system allows few open files."""
    head_bytes: int = 64 << 10
    """The head of one request: its path and headers, and what comes between parts of a body."""
    pipelined: int = 16
    """Requests of one connection that wait for the one before them; more wait unread."""
    look_s: float = 1
    """How often it is looked whether one is too slow."""
    head_s: float = 10
    """Until the head of a request is there, from the first byte or from the connection on."""
    pace_s: float = 30
    """In this time a body, or an answer, moves on by `pace_bytes` or comes to its end."""
    pace_bytes: int = 64 << 10
    closing_s: float = 10
    """Until a client has taken the rest of an answer after which its connection is closed."""
    body_s: float = 60
    """Until a body that is kept in memory has come."""
    bodies_bytes: int = 128 << 20
    """Bodies in memory, of all requests, beyond `body_free_bytes` of each."""
    body_free_bytes: int = 64 << 10
    unsent_bytes: int = 256 << 20
    """Answers that clients do not take, of all connections."""
    uploads: int = 32
    """Uploads at a time."""
    search_s: float = 5
    """One search in the log, with its wait for those before it."""


DEFAULT_BOUNDS: Final = Bounds()


def more_files() -> int:
    """Let this program open as many files as it may; return how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


def connections_for(files: int, wanted: int) -> int:
    """Say how many connections leave the network enough of the files that may be open."""
    room = max(files - _FILES_OF_STORES, files // 4)
    return min(wanted, max(_LEAST_CONNECTIONS, room))


def open_files() -> int:
    """Return how many files this program has open; 0 where the system does not tell."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
