"""Forms: what can be chosen when somebody acts, and what is to be expected of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from typing import Any, Final

import msgspec

from benchpool.client.plan import EXPECTED, Plan
from benchpool.client.pools import PoolClient, balance
from benchpool.errors import BenchpoolError
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network
from benchpool.pools import sentences
from benchpool.pools.terms import PayoutTerms
from benchpool.server.dashboard.page import Asked
from benchpool.server.dashboard.pages.finding import clients, processes_of
from benchpool.server.dashboard.pages.parties import Known, Names
from benchpool.server.dashboard.pages.process import HandlerRow, handlers
from benchpool.winston import parse_war

MOST_OFFERED: Final = 500
"""Processes that a form offers; others are named by id."""


MOST_REMEMBERED: Final = 500
"""Messages among which it is looked how an action is asked for."""
MOST_TAGS: Final = 12
_OWN_TAGS: Final = frozenset({"Action", "Data-Protocol", "Variant", "Type", "Reference", "SDK"})


class Purse(msgspec.Struct):
    """A wallet of this home."""

    name: str
    balance: str
    """In winston, of the token that pools are funded with; empty if there is none."""


class Choice(msgspec.Struct):
    """Something that can be chosen."""

    value: str
    text: str


class PlanView(msgspec.Struct):
    """What is to be expected of a pool."""

    questions: int
    entries: int
    difference: float
    """The smallest difference of two accuracies that is usually told apart."""
    strictest: int | None
    """Right answers that take the first place against guessers; None if guessers are paid."""
    inferences: int
    ticks: int
    computing_seconds: float
    rewards: list[str]
    """In winston, by rank; empty if they depend on the scores."""
    warning: str


class FundView(msgspec.Struct):
    """The form to fund a pool."""

    wallets: list[Purse]
    benchmark: str
    datasets: list[Choice]
    rules: list[Choice]
    conditions: dict[str, list[Choice]]
    given: dict[str, str]
    plan: PlanView | None
    trouble: str


def fund(network: Network, asked: Asked) -> FundView:
    """Show the form to fund a pool, with the plan of what is filled in."""
    client = next(clients(network), None)
    names = Names(network)
    datasets = [
        Choice(info.id, names.of(info.id).name or f"{info.module} {info.id[:8]}…")
        for info in network.processes()
        if "dataset" in _roles(network, info.module)
    ][:MOST_OFFERED]
    first = {"dataset": datasets[0].value if datasets else "", "funds": "1", "duration": "30d"}
    first |= {"allocation": "ArithmeticDecrease", "entries": str(EXPECTED)}
    given = first | {name: value[:300] for name, value in asked.query.items()}
    made, trouble = None, ""
    if client is not None and given["dataset"]:
        try:
            made = _plan(client, network.resolve(given["dataset"]), given)
        except (BenchpoolError, ValueError) as error:
            trouble = str(error)
    return FundView(
        wallets=purses(network, client),
        benchmark=client.benchmark if client else "",
        datasets=datasets,
        rules=[Choice(name, text) for name, text in sentences.RULES.items()],
        conditions={
            tag: [Choice(value, text) for value, text in sentences.CONDITIONS[tag].items()]
            for tag in ("X-Eligible", "X-Ties")
        },
        given=given,
        plan=made,
        trouble=trouble,
    )


def terms_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a filled in form asks for."""
    tags = {
        "X-Allocation": given.get("allocation", ""),
        "X-Duration": given.get("duration", ""),
        "X-Title": given.get("title", ""),
        "X-Eligible": given.get("eligible", ""),
        "X-Ties": given.get("ties", ""),
        "X-Places": given.get("places", ""),
    }
    return {name: value.strip() for name, value in tags.items() if value.strip()}


def _plan(client: PoolClient, dataset: str, given: Mapping[str, str]) -> PlanView:
    told = client.info(dataset)
    chance = Fraction(told.get("Chance") or "1/3")
    entries = max(1, min(1_000, int(given["entries"])))
    rules = PayoutTerms.read(terms_of(given), chance)
    plan = Plan(int(told.get("Samples") or 0), entries, rules, parse_war(given["funds"]))
    view: dict[str, Any] = plan.view()
    return PlanView(
        questions=plan.questions,
        entries=entries,
        difference=plan.difference,
        strictest=view["eligible"]["strictest"] if view["eligible"] else None,
        inferences=plan.inferences,
        ticks=plan.ticks,
        computing_seconds=view["computing_seconds"],
        rewards=view["rewards"][:20],
        warning=view["warning"] or "",
    )


def _roles(network: Network, module: str) -> tuple[str, ...]:
    try:
        return tuple(getattr(network.registry.find(module), "roles", ()))
    except Exception:  # a module that cannot be imported has none
        return ()


def purses(network: Network, client: PoolClient | None) -> list[Purse]:
    """Return the wallets of a home, with what they have."""
    token = network.info(client.benchmark).tags.get("WrappedAR") if client else ""
    found = []
    for wallet in network.wallets():
        has = ""
        if token:
            try:
                has = str(balance(network, token, wallet.address))
            except BenchpoolError:
                has = ""
        found.append(Purse(wallet.name, has))
    return found


class JoinView(msgspec.Struct):
    """The form to enter a model."""

    wallets: list[Purse]
    pools: list[Choice]
    models: list[Choice]
    """Processes that have loaded a model, and models of this machine."""
    given: dict[str, str]
    bond: str
    """What the chosen pool asks for, in winston."""


def join(network: Network, asked: Asked) -> JoinView:
    """Show the form to enter a model."""
    names = Names(network)
    first = next(clients(network), None)
    open_pools = [
        (pool.id, pool.title or f"{pool.id[:8]}…", pool.bond)
        for client in clients(network)
        for pool in client.pools()
        if pool.text("status") == "open"
    ]
    models = [
        Choice(each, f"{names.of(each).name or each[:8] + '…'} (process)")
        for each in processes_of(network, "LlamaWorker")[:MOST_OFFERED]
    ]
    with suppress(BenchpoolError, OSError):  # the page of models says what cannot be read
        models += [Choice(each.name, f"{each.name} (this machine)") for each in Catalogue().list()]
    given = {name: value[:300] for name, value in asked.query.items()}
    bond = next((bond for pool, _, bond in open_pools if pool == given.get("pool")), 0)
    pools = [Choice(pool, title) for pool, title, _ in open_pools]
    return JoinView(purses(network, first), pools, models, given, str(bond))


class SendView(msgspec.Struct):
    """The form to send a message."""

    wallets: list[Purse]
    target: Known | None
    targets: list[Choice]
    handlers: list[HandlerRow]
    """Of the target, those that answer to an action."""
    asks: list[str]
    """Tags that the chosen action needs."""
    usual: list[str]
    """Further tags that the last message of this action had."""
    given: dict[str, str]
    trouble: str


def send(network: Network, asked: Asked) -> SendView:
    """Show the form to send a message, with what its target answers to."""
    names = Names(network)
    given = {name: value[:10_000] for name, value in asked.query.items()}
    target, rows, trouble = None, list[HandlerRow](), ""
    if asked.text("target"):
        try:
            target = names.of(network.resolve(asked.text("target")))
            if network.store.process(target.id) is not None:
                rows = [r for r in handlers(network.process(target.id).inspect()) if r.action]
        except BenchpoolError as error:
            trouble = str(error)
    targets = [Choice(identity, name) for name, identity in network.names().items()]
    asks = next((row.requires for row in rows if row.action == asked.text("action")), [])
    usual = _usual(network, target.id, asked.text("action")) if target else []
    usual = [each for each in usual if each not in asks]
    return SendView(
        purses(network, None), target, targets[:MOST_OFFERED], rows, asks, usual, given, trouble
    )


def _usual(network: Network, target: str, action: str) -> list[str]:
    """Return the names of the tags of the last message of an action that a process took."""
    recent = network.store.part(target, limit=MOST_REMEMBERED, descending=True) if action else []
    alike = (each.message for each in recent if each.message.action == action)
    last = next((each for each in alike if not each.cron), None)
    if last is None:
        return []
    names = dict.fromkeys(name for name, _ in last.tags if name not in _OWN_TAGS)
    return list(names)[:MOST_TAGS]


class TimeView(msgspec.Struct):
    """The form to move virtual time on."""

    now: int
    virtual: bool
    due: int | None
    """When the next cron tick is due; None without cron."""
    given: dict[str, str]


def time(network: Network, asked: Asked, *, virtual: bool) -> TimeView:
    """Show the form to move time on."""
    now_ms = network.clock.now()
    ends = [each for info in network.processes() for _, each in network.timeline.entries(info.id)]
    return TimeView(now_ms, virtual, min(ends, default=None), dict(asked.query))


class HubView(msgspec.Struct):
    """What one can do."""

    wallets: list[Purse]
    virtual: bool


def hub(network: Network, *, virtual: bool) -> HubView:
    """Show what one can do, and with which wallets."""
    return HubView(purses(network, next(clients(network), None)), virtual)
