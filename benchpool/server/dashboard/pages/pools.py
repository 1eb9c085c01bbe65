"""All pools, a card each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import msgspec

from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.network import Network
from benchpool.server.dashboard.page import Asked, Page
from benchpool.server.dashboard.pages.finding import clients


class Card(msgspec.Struct):
    """A pool in short."""

    id: str
    title: str
    status: str
    benchmark: str
    dataset: str
    dataset_name: str
    protocol: str
    allocation: str
    funds: str
    """In winston."""
    entries: int
    progress: float
    """The share of the questions to all entries that is answered or given up."""
    leader: str
    """The name of the entry that ranks first; empty if none is counted yet."""
    start_time: int
    end_time: int
    left_ms: int
    """Until its end; 0 if that is over."""


class PoolsView(msgspec.Struct):
    """The pools of a home, those that run first, then the newest first."""

    now: int
    ready: bool
    """Whether there is a Benchmark, which pools are funded at."""
    pools: list[Card]


def view(network: Network, _asked: Asked) -> PoolsView:
    """List the pools."""
    now_ms = network.clock.now()
    known = list(clients(network))
    cards = [_card(network, client, pool, now_ms) for client in known for pool in client.pools()]
    cards.sort(key=lambda card: (card.left_ms == 0, -card.start_time))
    return PoolsView(now_ms, bool(known), cards)


def _card(network: Network, client: PoolClient, pool: PoolFacts, now_ms: int) -> Card:
    rows = client.leaderboard(pool.id)
    asked = sum(row["total"] for row in rows)
    met = sum(row["evaluated"] + row["unscored"] for row in rows)
    return Card(
        id=pool.id,
        title=pool.title,
        status=pool.text("status"),
        benchmark=client.benchmark,
        dataset=pool.dataset,
        dataset_name=network.name_of(pool.dataset),
        protocol=pool.text("protocol"),
        allocation=pool.text("allocation"),
        funds=pool.text("funds"),
        entries=pool.entries,
        progress=met / asked if asked else 0.0,
        leader=next((row["name"] for row in rows if row["evaluated"]), ""),
        start_time=pool.facts["start_time"],
        end_time=pool.facts["end_time"],
        left_ms=max(0, pool.facts["end_time"] - now_ms),
    )


def follows(network: Network, _asked: Asked) -> Hashable:
    """Follow how many processes there are: a Benchmark may be new, which nobody has asked yet."""
    return len(network.processes())


PAGES: Final = (Page("/pools", "pools.html", view, follows, follows_asked=True),)
