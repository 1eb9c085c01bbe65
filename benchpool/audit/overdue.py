"""Whether a pool was settled when it was due, or waits for what it may wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchpool.ao.clock import MINUTE_MS, format_moment
from benchpool.ao.message import ProcessInfo
from benchpool.audit.pool_facts import PATIENCE_MS, RecountedPool
from benchpool.audit.statement import Check
from benchpool.errors import ConfigError
from benchpool.units.cron import parse_cron

NAME: Final = "the pool is settled when it is due"
_LATE_MS: Final = 10 * MINUTE_MS
"""How late a tick may come on a busy network."""


def settled_in_time(pool: RecountedPool, benchmark: ProcessInfo, now_ms: int) -> Check:
    """Check that a pool is not overdue.

    Args:
        pool: of any edition but the first.
        benchmark: the process that has it, with its crons.
        now_ms: the time of the logs.
    """
    if pool.settled >= 0:
        return Check(NAME, True, f"by position {pool.settled} of the Benchmark")
    if now_ms < pool.due_ms:
        return Check(NAME, None, f"due from {format_moment(pool.due_ms)}")
    why = pool.failed or _overdue(pool, _interval_ms(benchmark) + _LATE_MS, now_ms)
    return Check(NAME, False, why) if why else Check(NAME, None, f"waiting: {_waits_for(pool)}")


def _overdue(pool: RecountedPool, patience_ms: int, now_ms: int) -> str:
    """Say what should have come to a pool that is due, and has not; empty if it may still come."""
    now, ticked_ms = format_moment(now_ms), max(pool.due_ms, pool.ticked_ms)
    if now_ms > ticked_ms + patience_ms:
        since = format_moment(ticked_ms)
        return f"no Allocate-Rewards has been evaluated since {since}; it is {now}"
    until_ms = pool.end_ms + PATIENCE_MS
    if pool.status != "open" and now_ms > until_ms + patience_ms:
        until = format_moment(until_ms)
        return f"{_unevaluated(pool)}, and it waits for them beyond {until}; it is {now}"
    return ""


def _waits_for(pool: RecountedPool) -> str:
    if pool.passed_over:
        return "richer pools came first at the last tick"
    if pool.status == "open":
        return "the next tick of Allocate-Rewards is to settle it"
    until = format_moment(pool.end_ms + PATIENCE_MS)
    return f"{_unevaluated(pool)}; it is settled without them after {until}"


def _unevaluated(pool: RecountedPool) -> str:
    return f"{pool.awaited} of {len(pool.entries)} entries are not evaluated yet"


def _interval_ms(benchmark: ProcessInfo) -> int:
    """Return how often it settles; where its owner does it by hand, as long as its patience."""
    return min(_settling_intervals(benchmark), default=PATIENCE_MS)


def _settling_intervals(benchmark: ProcessInfo) -> Iterator[int]:
    try:
        entries = parse_cron(benchmark.tags)
    except ConfigError:  # of a log that was forged
        return
    for entry in entries:
        if entry.tags.get("Action").lower() == "allocate-rewards":
            yield entry.interval_ms
