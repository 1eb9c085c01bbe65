"""One pool: its board, how sure it is, its money, how to join it, and its settlement."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any, Final

import msgspec

from benchpool.client.explain import Explanation, explain
from benchpool.client.pool_answers import entry_names
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.client.standing import SETTLED, Field
from benchpool.client.words import conditions, indistinct, rule_text, why_refunded
from benchpool.errors import PoolError
from benchpool.evaluation.statistics import wilson
from benchpool.network import Network
from benchpool.server.dashboard.audits import Audit, Audits
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.finding import find_pool

MOST_POINTS: Final = 80
"""Of a line."""


class Party(msgspec.Struct):
    """A wallet or process, with its name in this home; the id again if it has none."""

    id: str
    name: str


class Entry(msgspec.Struct):
    """A model in the pool."""

    model: str
    name: str
    """With the model's id, if another entry has the same."""
    participant: Party
    rank: int | None
    """None before anything of it was counted."""
    rank_set: list[int]
    """The best and the worst rank that the answers allow."""
    accuracy: float | None
    interval: list[float] | None
    """95 %, Wilson."""
    correct: int
    n: int
    """The questions that count up to now."""
    evaluated: int
    unscored: int
    total: int
    reward: str
    """In winston; provisional until the pool is settled."""
    paid: bool
    fate: str
    """Why it has no place; empty if it has one, or nothing is decided."""
    warnings: list[str]
    course: list[list[float]]
    """How its accuracy came about: [answers, accuracy, low, high]."""


class Gift(msgspec.Struct):
    """What somebody gave, and what goes back, in winston."""

    giver: Party
    gave: str
    back: str


class Line(msgspec.Struct):
    """What one entry gets, and why."""

    model: str
    name: str
    participant: Party
    reward: str
    bond: str
    bond_back: str
    why: list[str]


class Join(msgspec.Struct):
    """How to enter a model."""

    until: int
    bond: str
    target: Party
    action: str
    tags: dict[str, str]
    data: str
    command: str


class BoardView(msgspec.Struct):
    """A pool. Amounts are decimal strings of winston, times milliseconds."""

    now: int
    id: str
    title: str
    status: str
    settled: bool
    reason: str
    """Why everything was given back; empty if it was not."""
    benchmark: Party
    dataset: Party
    funder: Party
    funds: str
    protocol: str
    allocation: str
    rule: str
    conditions: list[tuple[str, str]]
    bound: list[tuple[str, str]]
    start_time: int
    end_time: int
    left_ms: int
    next_ranking: int | None
    chance: float | None
    sealed: bool
    progress: float
    entries: list[Entry]
    indistinct: list[str]
    gifts: list[Gift]
    rewards: str
    refunds: str
    lost_bonds: str
    settlement: list[Line]
    notes: list[str]
    join: Join | None
    """None once nobody can join."""
    audit: Audit


def view(network: Network, asked: Asked, audit: Audit) -> BoardView:
    """Show a pool. Raises: PoolError if there is none such."""
    client, pool = find_pool(network, asked.parts["pool"])
    field = Field(client, pool, pool.facts["models"])
    rows = sorted(field.standings(), key=lambda row: (not row["total"], row["rank"]))
    found, trouble = _explained(client, pool)
    now_ms = network.clock.now()
    token = network.info(client.benchmark).tags.get("WrappedAR")

    def party(identity: str) -> Party:
        return Party(identity, network.name_of(identity))

    names = entry_names(pool.facts["models"])
    entries = [_entry(row, names, party(row["participant"]), field) for row in rows]
    asked_for = sum(each.total for each in entries)
    settled = pool.text("status") in SETTLED
    return BoardView(
        now=now_ms,
        id=pool.id,
        title=pool.title,
        status=pool.text("status"),
        settled=settled,
        reason=why_refunded(pool.facts, rows),
        benchmark=party(client.benchmark),
        dataset=party(pool.dataset),
        funder=party(pool.text("funder")),
        funds=pool.text("funds"),
        protocol=pool.text("protocol"),
        allocation=pool.text("allocation"),
        rule=rule_text(pool.text("allocation")),
        conditions=conditions(pool.payout),
        bound=_bound(pool),
        start_time=pool.facts["start_time"],
        end_time=pool.facts["end_time"],
        left_ms=max(0, pool.facts["end_time"] - now_ms),
        next_ranking=client.next_ranking() if pool.text("status") == "open" else None,
        chance=rows[0]["chance"] if rows else None,
        sealed=pool.is_sealed,
        progress=sum(e.evaluated + e.unscored for e in entries) / asked_for if asked_for else 0.0,
        entries=entries,
        indistinct=_indistinct(field, entries),
        gifts=_gifts(pool, found, party),
        rewards=str(sum(each.reward for each in found.entries)) if found else "0",
        refunds=str(sum(found.refunds.values())) if found else "0",
        lost_bonds=str(found.lost) if found else "0",
        settlement=[_line(each, names, party) for each in found.entries] if found else [],
        notes=[*(found.notes if found else ()), *trouble],
        audit=audit,
        join=_join(pool, party(token), party(client.benchmark), now_ms),
    )


def _explained(client: PoolClient, pool: PoolFacts) -> tuple[Explanation | None, list[str]]:
    try:
        return explain(client, pool), []
    except PoolError as error:
        return None, [str(error)]


def _entry(
    row: dict[str, Any], names: Mapping[str, str], participant: Party, field: Field
) -> Entry:
    counted = bool(row["total"])
    fate = row.get("fate") or ""
    return Entry(
        model=row["model"],
        name=names[row["model"]],
        participant=participant,
        rank=row["rank"] if counted else None,
        rank_set=row["rank_set"],
        accuracy=row["accuracy"],
        interval=row["interval"],
        correct=row["correct"],
        n=row["n"],
        evaluated=row["evaluated"],
        unscored=row["unscored"],
        total=row["total"],
        reward=str(row["reward"]),
        paid=bool(row["paid"]),
        fate="" if fate == "placed" else fate,
        warnings=row["warnings"],
        course=_course(field.course(row["model"])),
    )


def _course(right: list[bool]) -> list[list[float]]:
    """Draw how an accuracy came about with few points; the last is the present."""
    step = max(1, -(-len(right) // MOST_POINTS))
    points, correct = [], 0
    for n, each in enumerate(right, start=1):
        correct += each
        if n % step == 0 or n == len(right):
            points.append([n, correct / n, *wilson(correct, n)])
    return points


def _indistinct(field: Field, entries: list[Entry]) -> list[str]:
    by_model = {each.model: each for each in entries}
    said = []
    for pair in field.indistinct():
        a, b = (by_model[model] for model in pair["models"])
        if a.rank is None or b.rank is None:
            continue
        facts = {"models": [a.name, b.name], "correct": [a.correct, b.correct]}
        said.append(indistinct({**pair, **facts, "n": max(a.n, b.n), "told_apart": False}))
    return said


def _gifts(pool: PoolFacts, found: Explanation | None, party: Any) -> list[Gift]:
    back = found.refunds if found else {}
    given = pool.facts["contributions"].items()
    return [Gift(party(giver), str(gave), str(back.get(giver, 0))) for giver, gave in given]


def _line(each: Any, names: Mapping[str, str], party: Any) -> Line:
    return Line(
        model=each.model,
        name=names[each.model],
        participant=party(each.participant),
        reward=str(each.reward),
        bond=str(each.bond),
        bond_back=str(each.bond_back),
        why=list(each.why),
    )


def _bound(pool: PoolFacts) -> list[tuple[str, str]]:
    """Say what the pool is bound to, beside what stands above."""
    binding = pool.binding
    if not binding:
        return []
    asked = (
        f"{binding['samples']}, SHA-256 {binding['samples_sha_256']}"
        if "samples" in binding
        else "a secret still"
    )
    said = [("Questions", asked), ("Sealed as", binding.get("sealed", ""))]
    said.append(("Controls", binding.get("controls", "")))
    return [(name, value) for name, value in said if value]


def _join(pool: PoolFacts, token: Party, benchmark: Party, now_ms: int) -> Join | None:
    until = int(pool.binding.get("join_until") or pool.facts["end_time"])
    if pool.text("status") != "open" or now_ms >= until:
        return None
    command = f"benchpool pool join {pool.id} --model MODEL --from WALLET"
    if not pool.bond:
        wish = json.dumps({"dataset": pool.id, "model": "MODEL-PROCESS"})
        return Join(until, "0", benchmark, "Join-Pool", {}, wish, command)
    tags = {"Recipient": benchmark.id, "Quantity": str(pool.bond)}
    tags |= {"X-Join-Pool": pool.id, "X-Model": "MODEL-PROCESS"}
    return Join(until, str(pool.bond), token, "Transfer", tags, "", command)


def pages(audits: Audits) -> tuple[Page, ...]:
    """Make the page."""

    def follows(_network: Network, asked: Asked) -> Hashable:
        return audits.of(asked.parts["pool"]).state

    def show(network: Network, asked: Asked) -> BoardView:
        return view(network, asked, audits.of(asked.parts["pool"]))

    return (Page("/pools/{pool}", "board.html", show, follows, follows_asked=True),)
