"""The terms of a pool as its funder asked for them, read a second time."""

from __future__ import annotations

import re
from typing import Final

from benchpool.ao.clock import parse_duration
from benchpool.ao.message import Message
from benchpool.ao.tags import Tags
from benchpool.audit.pool_facts import Deposit, KnownDataset, RecountedPool
from benchpool.errors import BenchpoolError
from benchpool.evaluation.protocol import Protocol
from benchpool.pools.allocation import find_rule
from benchpool.winston import parse_quantity

DEFAULT_DURATION: Final = "30d"
DEFAULT_PROTOCOL: Final = "cloze"
_RUNTIME: Final = re.compile(r"[0-9a-f]{16}")
_ASKED: Final = ("Pool", "Funds", "Allocation", "Dataset", "Start-Time", "End-Time")
_BOUND: Final = (
    "Dataset-Module",
    "Dataset-Owner",
    "Router",
    "Protocol",
    "Samples",
    "Samples-SHA-256",
    "Sealed",
    "Join-Until",
    "Bond",
    "Controls",
    "Remote",
    "Runtime",
    "Eligible",
    "Near-Copies",
    "Ties",
    "Places",
)


def read_pool(
    message: Message, registration: KnownDataset | None, deposit: Deposit, *, first: bool
) -> RecountedPool | None:
    """Read the terms; None if they make no pool."""
    tags = message.tags
    try:
        rule = find_rule(tags.get("X-Allocation")).name
        duration_ms = parse_duration(tags.get("X-Duration") or DEFAULT_DURATION, bare_ms=True)
        start_ms = int(tags.get("X-Start") or message.timestamp)
        if registration is None or start_ms < message.timestamp:
            return None
        pool = RecountedPool(
            id=message.id,
            title=tags.get("X-Title"),
            funder=deposit.sender,
            dataset=tags["X-Dataset"],
            dataset_name=registration.name,
            allocation=rule,
            protocol=str(Protocol.parse(tags.get("X-Protocol") or DEFAULT_PROTOCOL)),
            chance=registration.chance,
            start_ms=start_ms,
            end_ms=start_ms + duration_ms,
            deposits=[deposit],
        )
        return pool if first else _bind(pool, registration, tags)
    except (BenchpoolError, ValueError):
        return None


def _bind(pool: RecountedPool, registration: KnownDataset, tags: Tags) -> RecountedPool | None:
    pool.sealed, pinned = tags.get("X-Sealed").lower(), tags.get("X-Data").lower()
    has_questions = registration.samples != "0"
    if not registration.router or bool(pool.sealed) is has_questions:
        return None
    if tags.get("X-Remote") not in ("", "allow"):
        return None
    if tags.get("X-Runtime") and not _RUNTIME.fullmatch(tags["X-Runtime"]):
        return None
    if pinned and (pool.sealed or pinned != registration.samples_hash):
        return None
    pool.router = registration.router
    pool.samples_hash = "" if pool.sealed else registration.samples_hash
    pool.bond = parse_quantity(tags["X-Bond"]) if tags.get("X-Bond") else 0
    until = tags.get("X-Join-Until")
    pool.join_until_ms = (
        (int(until) if until.isdecimal() else pool.start_ms + parse_duration(until))
        if until
        else pool.end_ms
    )
    if not pool.start_ms < pool.join_until_ms <= pool.end_ms:
        return None
    names = ("X-Allocation", "X-Eligible", "X-Near-Copies", "X-Ties", "X-Places")
    pool.tags = {name: tags[name] for name in names if tags.get(name)}
    pool.binding = {
        "Dataset-Module": registration.module,
        "Dataset-Owner": registration.owner,
        "Router": registration.router,
        "Protocol": pool.protocol,
        "Samples": "" if pool.sealed else registration.samples,
        "Samples-SHA-256": pool.samples_hash,
        "Sealed": pool.sealed,
        "Join-Until": str(pool.join_until_ms),
        "Bond": str(pool.bond or ""),
        "Remote": tags.get("X-Remote"),
        "Runtime": tags.get("X-Runtime"),
        "Controls": ",".join(filter(None, map(str.strip, tags.get("X-Controls").split(",")))),
        **{name[2:]: value for name, value in pool.tags.items() if name != "X-Allocation"},
    }
    return pool


def told_terms(tags: Tags) -> tuple[str, ...]:
    """Return what a Pool-Created says, in one order."""
    return tuple(tags.get(name) for name in (*_ASKED, *_BOUND))


def terms_of(pool: RecountedPool) -> tuple[str, ...]:
    """Return what a Pool-Created must say, in the same order."""
    times = (str(pool.start_ms), str(pool.end_ms))
    asked = (pool.id, str(pool.funds), pool.allocation, pool.dataset, *times)
    return asked + tuple(pool.binding.get(name, "") for name in _BOUND)
