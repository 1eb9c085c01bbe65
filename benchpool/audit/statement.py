"""Statement: what an audit tells the funder of a pool."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchpool.audit.pool_facts import RecountedPool
from benchpool.audit.recomputation import Recomputation
from benchpool.evaluation.pairs import RankSet
from benchpool.evaluation.statistics import Interval

MAX_PROBLEMS = 3
"""How many faults of one check are told."""


class Check(NamedTuple):
    """One thing that must hold."""

    name: str
    passed: bool | None
    """None while it is not due yet."""
    detail: str


class StatementRow(NamedTuple):
    """One entry of the statement, best first."""

    rank: int
    model: str
    name: str
    participant: str
    joined_ms: int
    correct: int
    evaluated: int
    unscored: int
    total: int
    standard_error: float | None
    """Of the accuracy over what was evaluated; None for fewer than two answers."""
    n: int
    """The questions that count: of a settled pool all, before that those asked to the end."""
    accuracy: float | None
    interval: Interval | None
    """Of the accuracy, 95 %."""
    rank_set: RankSet
    """The best and the worst rank that the answers allow."""
    reward: int
    """What the rule gives it, in winston; of an open pool by its present numbers."""


class Paid(NamedTuple):
    """A Transfer that took place for the pool."""

    time_ms: int
    recipient: str
    quantity: int
    model: str
    """Empty for a refund."""
    transfer: str
    """The id of the Transfer in the token's log."""


@dataclass(slots=True)
class Statement:
    """What a funder gets to read."""

    pool: RecountedPool
    token: str
    benchmark: str
    names: dict[str, str]
    status: str = "open"
    rows: list[StatementRow] = field(default_factory=list)
    paid: list[Paid] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    supply: int | None = 0
    recomputed: Recomputation | None = None
    """What came of asking the models again, if they were."""

    @property
    def settled(self) -> bool:
        """Whether all money has gone out."""
        return self.status in ("paid", "refunded")

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    def name_of(self, identity: str) -> str:
        """Return the name of an id, or the id."""
        return self.names.get(identity, identity)

    def view(self) -> dict[str, Any]:
        """Show it as JSON: amounts as decimal strings of winston, times in milliseconds."""
        pool = self.pool
        deposits = [
            {**each._asdict(), "quantity": str(each.quantity), "name": self.names.get(each.sender)}
            for each in pool.deposits
        ]
        return {
            "schema": "audit/1",
            "passed": self.passed,
            "pool": {
                "id": pool.id,
                "title": pool.title,
                "status": self.status,
                "funder": pool.funder,
                "funds": str(pool.funds),
                "dataset": pool.dataset,
                "dataset_name": pool.dataset_name,
                "benchmark": self.benchmark,
                "token": self.token,
                "allocation": pool.allocation,
                "protocol": pool.protocol,
                "chance": pool.chance,
                "start_time": pool.start_ms,
                "end_time": pool.end_ms,
            },
            "deposits": deposits,
            "entries": [{**row._asdict(), "reward": str(row.reward)} for row in self.rows],
            "payments": [{**paid._asdict(), "quantity": str(paid.quantity)} for paid in self.paid],
            "token_supply": None if self.supply is None else str(self.supply),
            "checks": [check._asdict() for check in self.checks],
            **({} if self.recomputed is None else {"recomputed": self.recomputed.view()}),
        }


def check(name: str, problems: list[str], detail: str) -> Check:
    """Make a check of the problems that were found."""
    if not problems:
        return Check(name, passed=True, detail=detail)
    told = "; ".join(problems[:MAX_PROBLEMS])
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return Check(name, passed=False, detail=told + more)


def due(settled: bool, found: Check) -> Check:
    """Return a check, or that it is not due yet."""
    return found if settled else Check(found.name, None, "not due before the pool is settled")
