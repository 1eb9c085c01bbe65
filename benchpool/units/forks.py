"""Forks: processes that go on from what another had become.

A process with the tags Fork-Of and Fork-At is a fork: its state is a fold over the log of the
process that Fork-Of names, up to and with the position Fork-At, and then over its own. So the logs
alone say what it is, and nothing of its origin's memory is kept or sent for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from msgspec import MsgspecError

from benchpool.ao.message import ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import ConfigError, LimitExceeded, ReplayDivergence, StoreError
from benchpool.process.forked import ForkedProcess
from benchpool.store import Store
from benchpool.units.folding import Instance
from benchpool.units.taking_up import fold_log

FORK_OF: Final = "Fork-Of"
FORK_AT: Final = "Fork-At"
MOST_FORKS: Final = 16
"""How many forks may follow one from another."""
_MOST_DIGITS: Final = 15

ComeUp = Callable[[Instance, int], None]
"""Bring a process nearer to a position of its log in a quicker way, if there is any."""


class Origin(NamedTuple):
    """Where a fork begins."""

    process: str
    position: int
    """Of the last message that it has in common with that process."""


def origin_of(tags: Tags) -> Origin | None:
    """Read where a process begins. Returns: None if it is no fork. Raises: ConfigError."""
    process, at = tags.get(FORK_OF), tags.get(FORK_AT)
    if not process:
        return None
    if not (at.isascii() and at.isdigit() and len(at) <= _MOST_DIGITS):
        raise ConfigError(f"a process with the tag {FORK_OF} needs {FORK_AT}, a position of a log")
    return Origin(process, int(at))


def check_fork(store: Store, tags: Tags, module: str, behind: Callable[[Origin], int]) -> None:
    """Accept the tags of a process that shall be spawned.

    Args:
        store: the logs.
        tags: the process's.
        module: what it will be a process of.
        behind: says how many messages must be folded for the first state of a fork.

    Raises: ConfigError for a fork of what is not there; LimitExceeded.
    """
    origin = origin_of(tags)
    if origin is None:
        return
    info = store.process(origin.process)
    if info is None:
        raise ConfigError(f"{FORK_OF} names {origin.process[:80]!r}, which is no process here")
    if info.module != module:
        raise ConfigError(f"a fork of {info.id} is a process of its module, {info.module}")
    entry = next(store.entries(info.id, after=origin.position - 1, limit=1), None)
    if entry is None or entry.result is None:
        raise ConfigError(f"process {info.id} has not evaluated position {origin.position} yet")
    if len(lineage(store, info)) > MOST_FORKS:
        raise LimitExceeded(f"{info.id} is a fork of forks, {MOST_FORKS} deep; that is the most")
    if behind(origin) > MOST_FOLDED:
        raise LimitExceeded(
            f"{behind(origin):,} messages of process {info.id} would have to be evaluated again for"
            f" a fork of it at that time, more than {MOST_FOLDED:,}"
        )


MOST_FOLDED: Final = 20_000
"""Messages that are folded again, at most, to show a process as it was, or to fork it."""


def lineage(store: Store, info: ProcessInfo) -> list[ProcessInfo]:
    """Return what a process goes on from: its first origin, forks of it, itself at the end."""
    found = [info]
    while (origin := _origin(found[-1])) is not None:
        before = store.process(origin.process)
        if before is None:
            raise StoreError(
                f"process {found[-1].id} is a fork of {origin.process}, which is not here"
            )
        found.append(before)
    return found[::-1]


def _origin(info: ProcessInfo) -> Origin | None:
    try:
        return origin_of(info.tags)
    except ConfigError:
        return None  # spawned before there were forks


def inherit(store: Store, instance: Instance, come_up: ComeUp) -> int:
    """Give a fresh fork the state that it begins with; another process has none to be given.

    Returns: how many messages of its origins that took.

    Raises: ReplayDivergence if the log of its origin is damaged or lost.
    """
    fork = instance.process
    if not isinstance(fork, ForkedProcess):
        return 0
    info = store.process(fork.id)
    origin = None if info is None else _origin(info)
    assert origin is not None, "only a fork is made as one"
    inner = replace(instance, process=fork.inner, adopted={}, fresh=[])
    folded = 0
    come_up(inner, origin.position)
    if inner.position < 0:
        folded = inherit(store, inner, come_up)
    folded += origin.position - inner.position
    try:
        if inner.position < origin.position:
            fold_log(store, inner, origin.position - inner.position)
    except (ValueError, MsgspecError) as error:
        raise ReplayDivergence(f"{_place(fork.id, origin)} cannot be read: {error}") from error
    if inner.position != origin.position:
        raise ReplayDivergence(f"{_place(fork.id, origin)} ends at {inner.position}")
    return folded


def _place(fork: str, origin: Origin) -> str:
    return f"process {fork} is a fork of {origin.process} at position {origin.position}, whose log"
