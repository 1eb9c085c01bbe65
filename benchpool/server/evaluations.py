"""Pages of a process's log: evaluations for the compute unit, messages for the scheduler unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from benchpool.ao.message import Message, Result
from benchpool.ao.shapes import result_json
from benchpool.network import Network
from benchpool.server.cursors import Cursor, place, write_cursor

PAGE_BYTES = 8 << 20
"""Data of one page; one that comes to so much ends."""
_PAGE = 200


class Page(NamedTuple):
    """Which part of a list is wanted."""

    start: Cursor | None
    """Exclusive."""
    end: Cursor | None
    """Inclusive."""
    limit: int
    sort: str = "ASC"
    crons_only: bool = False


def page(network: Network, process: str, wanted: Page) -> dict[str, Any]:
    """List evaluations, fewer than wanted if they are large. Raises: UnknownProcess."""
    info = network.info(process)
    found: list[tuple[Message, Result]] = []
    size, more = 0, False
    for message, result in _evaluations(network, info.id, wanted):
        if len(found) >= wanted.limit or size > PAGE_BYTES:
            more = True
            break
        found.append((message, result))
        size += len(result.output) + sum(len(each.data) for each in result.messages)
        size += sum(len(each.data) for each in result.spawns)
    return {
        "pageInfo": {"hasNextPage": more},
        "edges": [
            {
                "cursor": write_cursor(message, wanted.sort),
                "node": result_json(result, info),
            }
            for message, result in found
        ],
    }


def _evaluations(network: Network, process: str, wanted: Page) -> Iterator[tuple[Message, Result]]:
    ascending = wanted.sort == "ASC"
    low, high = (wanted.start, wanted.end) if ascending else (wanted.end, wanted.start)
    walk = forwards(network, process, low) if ascending else backwards(network, process)
    for message, result in walk:
        if low is not None and _before(message, low, inclusive=not ascending):
            if ascending:
                continue
            return
        if high is not None and _after(message, high, inclusive=ascending):
            if ascending:
                return
            continue
        if result is None or result.error or (wanted.crons_only and not message.cron):
            continue
        yield message, result


def _before(message: Message, bound: Cursor, *, inclusive: bool) -> bool:
    """Tell whether a message lies before the lower bound of a list."""
    mine: tuple[int, ...] = (message.timestamp,)
    edge: tuple[int, ...] = (bound.timestamp,)
    if bound.nonce is not None:
        mine, edge = place(message), bound.key()
    return mine < edge or (mine == edge and not inclusive)


def _after(message: Message, bound: Cursor, *, inclusive: bool) -> bool:
    mine: tuple[int, ...] = (message.timestamp,)
    edge: tuple[int, ...] = (bound.timestamp,)
    if bound.nonce is not None:
        mine, edge = place(message), bound.key()
    return mine > edge or (mine == edge and not inclusive)


def forwards(
    network: Network, process: str, start: Cursor | None = None
) -> Iterator[tuple[Message, Result | None]]:
    """Go through a log from its beginning, or from somewhat before `start`."""
    after = -1
    if start is not None and start.nonce is not None:
        after = max(-1, start.nonce - 1)  # ticks only push positions further behind nonces
    elif start is not None:
        after = position_at(network, process, start.timestamp)
    while found := network.log(process, after=after, limit=_PAGE):
        yield from found
        after = found[-1][0].position


def backwards(network: Network, process: str) -> Iterator[tuple[Message, Result | None]]:
    """Go through a log from its end."""
    before = network.logs.last_position(process) + 1
    while before > 0:
        after = max(-1, before - _PAGE - 1)
        yield from reversed(network.log(process, after=after, limit=before - after - 1))
        before = after + 1


def position_at(network: Network, process: str, timestamp: int) -> int:
    """Find the last position at or before a moment, or -1: timestamps grow along a log."""
    low, high = -1, network.logs.last_position(process)
    while low < high:
        middle = (low + high + 1) // 2
        if network.logs.entry_at(process, middle).timestamp <= timestamp:
            low = middle
        else:
            high = middle - 1
    return low
