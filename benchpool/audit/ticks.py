"""What the ticks of a Benchmark come to: which pools they look at, and what of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

from benchpool.ao.message import Message, ProcessInfo
from benchpool.audit.pool_facts import RecountedPool

LARGEST_SIZE: Final = 10_000


def looked_at(benchmark: ProcessInfo, pools: Sequence[RecountedPool]) -> list[RecountedPool]:
    """Return those of some pools that one tick looks at: so many, the richest first."""
    if benchmark.edition == 1:
        return list(pools)
    richest = sorted(pools, key=lambda pool: pool.funds, reverse=True)
    sizes = accumulate(pool.size for pool in richest)
    kept = [
        pool.id
        for place, (pool, size) in enumerate(zip(richest, sizes, strict=True))
        if not place or size <= LARGEST_SIZE
    ]
    return [pool for pool in pools if pool.id in kept]


def tick(benchmark: ProcessInfo, due: Sequence[RecountedPool], now_ms: int) -> list[RecountedPool]:
    """Note a tick of settlement in the pools that were due; return those that it looks at."""
    looked = looked_at(benchmark, due)
    kept = {pool.id for pool in looked}
    for pool in due:
        pool.ticked_ms, pool.failed = now_ms, ""
        pool.passed_over = pool.id not in kept
    return looked


def note_failure(
    benchmark: ProcessInfo,
    message: Message,
    what: str,
    due: Iterable[RecountedPool],
    asked_for: str,
) -> None:
    """Note in the pools that are due that what should have settled them failed.

    Args:
        benchmark: whose log it is.
        message: what failed; who may not settle a pool makes none look stuck.
        what: the failure in words.
        due: the pools that were due.
        asked_for: the pool for which the final score was asked that the message answers, if any.
    """
    action, sender = message.action.lower(), message.sender
    if action == "allocate-rewards" and sender in (benchmark.owner, benchmark.id):
        failed = list(due)
    elif action in ("score-response", "score-error"):
        failed = [pool for pool in due if (pool.id, pool.dataset) == (asked_for, sender)]
    else:
        failed = []
    for pool in failed:
        pool.failed = what
