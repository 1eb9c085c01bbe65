"""Who gets what of a pool and why, line by line; of a pool that is not settled, as it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from benchpool.ao.ids import find_titled
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.client.standing import SETTLED, Field, Row
from benchpool.errors import PoolError
from benchpool.pools.decision import Decision, forfeits
from benchpool.pools.settlement import give_back, settle

NOW = "this pool is not settled: so it would be by the numbers of its last board"
BY_WEIGHTS = (
    "copies are looked for by their weights alone: log-likelihoods are told at the settlement"
)
NO_TIERS = "tiers are left out: not every answer is told yet"
SEALED = "its questions are sealed still"


class ExplainedEntry(NamedTuple):
    """What an entry gets and why."""

    model: str
    name: str
    participant: str
    fate: str
    """Empty if nobody decided: everything was given back."""
    places: list[int] | None
    """The first and the last place that it shares."""
    reward: int
    bond: int
    """What it gave for joining."""
    bond_back: int
    why: list[str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How the funds of a pool are divided.

    Attributes:
        pool: As `PoolClient.get` tells of it.
        entries: Those with a place first, best first.
        refunds: By contributor, what goes back to it, of lost bonds too.
        notes: What is to be known beside.
    """

    pool: PoolFacts
    entries: Sequence[ExplainedEntry]
    refunds: Mapping[str, int]
    notes: Sequence[str]

    @property
    def contributions(self) -> dict[str, int]:
        """Who gave how much."""
        return {giver: int(sum_) for giver, sum_ in self.pool.facts["contributions"].items()}

    @property
    def lost(self) -> int:
        """The bonds that do not go back."""
        return sum(each.bond - each.bond_back for each in self.entries)

    def only(self, text: str) -> ExplainedEntry:
        """Return an entry, by its name or id. Raises: PoolError, AmbiguousId."""
        by_model = {each.model: each for each in self.entries}
        found = find_titled(text, {each.model: each.name for each in self.entries}, "entries")
        if found is None:
            there = ", ".join(each.name for each in self.entries) or "none"
            raise PoolError(f"no entry {text[:60]!r} in the pool; there are {there}")
        return by_model[found]

    def view(self, entries: Sequence[ExplainedEntry]) -> dict[str, Any]:
        """Show it as JSON, with these entries: amounts as decimal strings of winston."""
        money = ("reward", "bond", "bond_back")
        return {
            "pool": self.pool.id,
            "status": self.pool.text("status"),
            "terms": self.pool.payout,
            "funds": self.pool.text("funds"),
            "entries": [
                {**each._asdict(), **{name: str(getattr(each, name)) for name in money}}
                for each in entries
            ],
            "contributors": [
                {"contributor": giver, "gave": str(gave), "back": str(self.refunds.get(giver, 0))}
                for giver, gave in self.contributions.items()
            ],
            "rewards": str(sum(each.reward for each in self.entries)),
            "refunds": str(sum(self.refunds.values())),
            "lost_bonds": str(self.lost),
            "notes": list(self.notes),
        }


def explain(client: PoolClient, pool: PoolFacts) -> Explanation:
    """Say what a pool's entries get, or got, and why.

    Args:
        client: asks the data set, if the pool is not settled.
        pool: as `PoolClient.get` tells of it.

    Raises: PoolError if the numbers of the pool cannot be settled.
    """
    rows: list[Row] = pool.facts["models"]
    notes: list[str] = []
    decisions: Sequence[Decision] = ()  # of a pool that was given back
    if any(row.get("fate") for row in rows):
        decisions = [_told(row) for row in rows]
    elif not pool.binding or pool.text("status") not in SETTLED:
        decisions = _decide(client, pool, notes)
    by_model = {each.entry: each for each in decisions}
    entries = [_entry(row, by_model.get(row["model"]), pool) for row in rows]
    entries.sort(key=lambda each: (each.places or [len(rows) + 1])[0])
    given = {giver: int(amount) for giver, amount in pool.facts["contributions"].items()}
    left = int(pool.text("funds")) - sum(each.reward for each in entries)
    lost = sum(each.bond - each.bond_back for each in entries)
    parts = give_back(left, given), give_back(lost, given)
    refunds = {giver: sum(part.get(giver, 0) for part in parts) for giver in given}
    return Explanation(pool, entries, refunds, notes)


def _told(row: Row) -> Decision:
    """Return what the Benchmark decided."""
    rank, last = row["places"] or (0, 0)
    reward = int(row["reward"])
    return Decision(row["model"], row["fate"], rank, last, winston=reward, why=tuple(row["why"]))


def _decide(client: PoolClient, pool: PoolFacts, notes: list[str]) -> Sequence[Decision]:
    """Settle a pool by what is told of it, as the Benchmark would."""
    field = Field(client, pool, pool.facts["models"])
    contenders, terms = field.contenders(), pool.terms(client.chance(pool))
    if pool.text("status") not in SETTLED:
        notes.append(NOW)
        if terms.distinct:
            notes.append(BY_WEIGHTS)
        if pool.is_sealed:
            notes.append(SEALED)
    if any(each.standing.correct and not each.answers for each in contenders):
        notes += [NO_TIERS] if terms.ties == "tiers" else []
        terms = replace(terms, ties="exact")
    given = {giver: int(amount) for giver, amount in pool.facts["contributions"].items()}
    return settle(contenders, given, terms).decisions


def _entry(row: Row, decision: Decision | None, pool: PoolFacts) -> ExplainedEntry:
    bond, places = int(row.get("bond", 0)), None
    fate, reward = "", 0
    why = [f"everything was given back: {pool.text('reason')}"]
    if decision is not None:
        fate, reward, why = decision.fate, decision.winston, list(decision.why)
        places = [decision.rank, decision.last_place] if decision.rank else None
    lost = forfeits(fate, row["unscored"])
    return ExplainedEntry(
        row["model"],
        row["name"],
        row["participant"],
        fate,
        places,
        reward,
        bond,
        0 if lost else bond,
        why,
    )
