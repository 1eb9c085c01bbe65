"""One entry of a pool, question by question; and two of them beside each other."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from benchpool.client.pool_answers import entry_names
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.samples import Sample
from benchpool.client.standing import Field
from benchpool.client.words import verdict
from benchpool.errors import PoolError
from benchpool.network import Network, ask
from benchpool.server.dashboard.page import Asked, Page, nothing
from benchpool.server.dashboard.pages.board import Party
from benchpool.server.dashboard.pages.finding import find_pool
from benchpool.server.dashboard.pages.shelf import (
    Confusion,
    Picked,
    Shelf,
    Wanted,
    confusion,
    pick,
    shelf_of_entry,
)


class PoolName(msgspec.Struct):
    """Which pool a page is about."""

    id: str
    title: str
    protocol: str
    dataset: Party


class EntryView(msgspec.Struct):
    """An entry with a page of its samples."""

    pool: PoolName | None
    """None for a file of samples."""
    model: str
    name: str
    participant: Party | None
    correct: int
    n: int
    """The questions that count up to now."""
    total: int
    accuracy: float | None
    interval: list[float] | None
    chance: float | None
    rank_set: list[int]
    provisional: bool
    warnings: list[str]
    facts: list[tuple[str, str]]
    """What else is known of its answers: precision, runtime, margins, tokens."""
    others: list[Party]
    """The other entries, which it can be compared with."""
    beside: Party | None
    """The one that it is compared with."""
    picked: Picked
    confusion: Confusion | None
    """On the first page alone."""


def view(network: Network, asked: Asked) -> EntryView:
    """Show an entry. Raises: PoolError if there is none such."""
    client, pool = find_pool(network, asked.parts["pool"])
    rows = pool.facts["models"]
    field = Field(client, pool, rows)
    model = field.find(asked.parts["entry"])
    row = next(each for each in field.standings() if each["model"] == model)
    shelf = shelf_of_entry(client, pool, model)
    names = entry_names(rows)
    others = [Party(each, name) for each, name in names.items() if each != model]
    beside = asked.text("beside")
    other = next((each for each in others if each.id == beside), None)
    if beside and other is None:
        raise PoolError(f"no entry {beside[:60]!r} in the pool")
    more = differing(shelf_of_entry(client, pool, other.id), other.name) if other else {}
    return EntryView(
        pool=_name(network, pool),
        model=model,
        name=names[model],
        participant=Party(row["participant"], network.name_of(row["participant"])),
        correct=row["correct"],
        n=row["n"],
        total=row["total"],
        accuracy=row["accuracy"],
        interval=row["interval"],
        chance=row["chance"],
        rank_set=row["rank_set"] if row["total"] else [],
        provisional=row["provisional"],
        warnings=row["warnings"],
        facts=[("Weights", row["weights"]), *_facts(network, pool, model)],
        others=others,
        beside=other,
        picked=pick(shelf, asked, more),
        confusion=None if asked.query else confusion(shelf),
    )


def _name(network: Network, pool: PoolFacts) -> PoolName:
    dataset = Party(pool.dataset, network.name_of(pool.dataset))
    return PoolName(pool.id, pool.title, pool.text("protocol"), dataset)


def differing(other: Shelf, name: str) -> dict[str, tuple[str, Wanted]]:
    """Return the filter of what another model answered otherwise."""
    taken = {each.question: each.taken for each in other.outcomes if each.status == "done"}

    def differs(each: Any) -> bool:
        answered = each.status == "done" and each.question in taken
        return bool(answered and taken[each.question] != each.taken)

    return {"differ": (f"Differs from {name}", differs)}


def _facts(network: Network, pool: PoolFacts, model: str) -> list[tuple[str, str]]:
    """Say what the data set reports of an entry's answers; nothing if it does not."""
    if pool.is_sealed:
        return []
    try:
        named = {"Model": model, "Protocol": pool.text("protocol")}
        found = json.loads(ask(network, pool.dataset, "Get-Report", named).data)
    except PoolError:
        return []
    margins, tokens = found["margins"], found["tokens"]
    said = [("Tokens", f"{tokens['prompt']:,} read and {tokens['answered']:,} scored or written")]
    if margins["answers"]:
        near = ", ".join(f"{count} within {nats}" for nats, count in margins["near_ties"].items())
        said.insert(0, ("Margin", f"median {margins['median_nats']:.3f} nats; {near}"))
    said += [
        ("Computed in", f"{each['precision']}, {each['answers']:,} answers: {each['runtime']}")
        for each in found["runtimes"]
    ]
    said += [("Not answered", f"{e['rows']:,}: {e['reason']}") for e in found["not_answered"]]
    return said


class Pair(msgspec.Struct):
    """One question, and what two models made of it."""

    first: Sample
    second: Sample | None


class CompareView(msgspec.Struct):
    """Two entries, question by question, on those that both have met."""

    pool: PoolName
    first: Party
    second: Party
    n: int
    correct: list[int]
    both_right: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    """Of the accuracies."""
    interval: list[float]
    """95 %, Newcombe."""
    bootstrap: list[float]
    p: float
    """Exact McNemar."""
    verdict: str
    provisional: bool
    picked: Picked
    pairs: list[Pair]


def compare(network: Network, asked: Asked) -> CompareView:
    """Compare two entries. Raises: PoolError if that cannot be done."""
    client, pool = find_pool(network, asked.parts["pool"])
    field = Field(client, pool, pool.facts["models"])
    a, b = (field.find(asked.text(side)) for side in "ab")
    found, names = field.compare(a, b), entry_names(pool.facts["models"])
    for side, model in (("first", a), ("second", b)):
        found[side]["name"] = names[model]
    first, second = (shelf_of_entry(client, pool, each) for each in (a, b))
    picked = pick(first, asked, _sides(found, second))
    beside = {s.question: s for s in second.load([s.question for s in picked.samples])}
    return CompareView(
        pool=_name(network, pool),
        first=Party(a, names[a]),
        second=Party(b, names[b]),
        n=found["n"],
        correct=[found[side]["correct"] for side in ("first", "second")],
        both_right=found["both_right"],
        only_first=found["only_first"],
        only_second=found["only_second"],
        neither=found["neither"],
        difference=found["difference"],
        interval=found["interval"],
        bootstrap=found["bootstrap"],
        p=found["p"],
        verdict=verdict(found),
        provisional=found["provisional"],
        picked=picked,
        pairs=[Pair(each, beside.get(each.question)) for each in picked.samples],
    )


def _sides(found: dict[str, Any], second: Shelf) -> dict[str, tuple[str, Wanted]]:
    right = {each.question for each in second.outcomes if each.correct}
    names = found["first"]["name"], found["second"]["name"]
    return {
        "apart": ("Only one is right", lambda e: bool(e.correct) != (e.question in right)),
        "first": (f"Only {names[0]}", lambda e: bool(e.correct) and e.question not in right),
        "second": (f"Only {names[1]}", lambda e: not e.correct and e.question in right),
        "neither": ("Neither", lambda e: not e.correct and e.question not in right),
    }


PAGES: Final = (
    Page("/pools/{pool}/entries/{entry}", "entry.html", view, nothing, follows_asked=True),
    Page("/pools/{pool}/compare", "compare.html", compare, nothing, follows_asked=True),
)
