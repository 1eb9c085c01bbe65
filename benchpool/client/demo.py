"""The demo: a funded pool from mint to payout, on real models, that can be interrupted.

Every step first looks whether it was done, so that a demo which was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchpool.ao.clock import DAY_MS
from benchpool.client.deployment import deploy, upload_model
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient, balance, supply
from benchpool.client.standing import SETTLED, Field
from benchpool.errors import HandlerError
from benchpool.evaluation.sample import Sample, to_json
from benchpool.network import Network
from benchpool.winston import format_war

FUNDER = "funder"
WAR = 10**12
GRANTS = {FUNDER: 100 * WAR, "ana": 10 * WAR, "ben": 10 * WAR}
"""Who gets how much at the start, in winston."""
FUNDS = 25 * WAR
ALLOCATION = "ArithmeticDecrease"
TITLE = "Social IQa demo"
POOL_DAYS = 3
SETTLE_DAYS = 3
"""Days after the end within which the daily tick must have paid the pool."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model file that takes part, and the wallet that brings it."""

    wallet: str
    model: str
    path: Path


class Listener(Protocol):
    """Who watches a demo."""

    def step(self, text: str) -> None:
        """Tell what has happened."""

    def board(self, day: int, rows: Sequence[dict[str, Any]]) -> None:
        """Show the leaderboard at the end of a day of the pool."""


def run_demo(
    network: Network,
    entrants: Sequence[Entrant],
    samples: Sequence[Sample],
    listener: Listener,
) -> dict[str, Any]:
    """Run a pool's whole life and return what came of it.

    Args:
        network: a network made for this demo, new or left by an interrupted run of it.
        entrants: who joins.
        samples: the questions; every model answers each.
        listener: is told of every step.

    Returns: `pool`, `leaderboard`, `indistinct` (the pairs of entries that the data cannot tell
        apart, with how many questions only the one and only the other got right),
        `balances_before`, `balances_after`, `supply_before`, `supply_after`; amounts are decimal
        strings of winston, times milliseconds.

    Raises: HandlerError if a step is refused.
    """
    supply_before = _grant(network, samples, listener)
    pool_id = _fund(network, listener)
    for entrant in entrants:
        _join(network, pool_id, entrant, listener)
    pool = _live(network, pool_id, listener)
    return _report(network, pool, supply_before)


def _grant(network: Network, samples: Sequence[Sample], listener: Listener) -> int:
    for name in GRANTS:
        if name not in network.names():
            network.new_wallet(name)
    known = set(network.names())
    deployment = deploy(network, samples=to_json(samples).encode())
    fresh = [name for name in deployment.names() if name not in known]
    if fresh:
        listener.step(f"spawned {', '.join(fresh)}; questions loaded: {len(samples)}")
    for name, amount in GRANTS.items():
        address = network.resolve(name)
        if balance(network, "WrappedAR", name) == 0:
            _must(network, "WrappedAR", "Mint", {"Quantity": str(amount), "Recipient": address})
            listener.step(f"minted {format_war(amount)} for {name}")
    return supply(network, "WrappedAR")


def is_demo(network: Network) -> bool:
    """Tell whether a network was made for a demo, finished or not."""
    return FUNDER in network.names()


def finished(network: Network) -> bool:
    """Tell whether a network's demo has come to its end."""
    pool = _pool(network) if is_demo(network) and "Benchmark" in network.names() else None
    return pool is not None and pool.text("status") in SETTLED


def _pool(network: Network) -> PoolFacts | None:
    return next((pool for pool in PoolClient(network).pools() if pool.title == TITLE), None)


def _fund(network: Network, listener: Listener) -> str:
    pool = _pool(network)
    if pool is not None:
        return pool.id
    terms = {
        "X-Dataset": network.resolve("SiqaDataset"),
        "X-Allocation": ALLOCATION,
        "X-Duration": f"{POOL_DAYS}d",
        "X-Title": TITLE,
    }
    created = PoolClient(network).create(
        token=network.resolve("WrappedAR"),
        quantity=FUNDS,
        terms=terms,
        funder=network.wallet(FUNDER),
    )
    pool_id = created.tags["Pool"]
    listener.step(
        f"{FUNDER} funded pool {pool_id[:8]} with {format_war(FUNDS)} for {POOL_DAYS} days,"
        f" {ALLOCATION}"
    )
    return pool_id


def _join(network: Network, pool_id: str, entrant: Entrant, listener: Listener) -> None:
    name = entrant.model
    model = network.names().get(name)
    if model is None:
        model = upload_model(network, entrant.path, name, sender=entrant.wallet)
        listener.step(f"{entrant.wallet} uploaded {name}")
    client = PoolClient(network)
    if all(entry["model"] != model for entry in client.get(pool_id).facts["models"]):
        client.join(pool_id, model, owner=network.wallet(entrant.wallet))
        listener.step(f"{entrant.wallet} joined the pool with {name}")


def _live(network: Network, pool_id: str, listener: Listener) -> dict[str, Any]:
    client = PoolClient(network)
    for _ in range(POOL_DAYS + SETTLE_DAYS):
        pool = client.get(pool_id).facts
        if pool["status"] in SETTLED:
            return pool
        start_ms = int(pool["start_time"])
        day = (network.clock.now() - start_ms) // DAY_MS + 1
        network.advance(start_ms + day * DAY_MS - network.clock.now())
        listener.board(day, _named(network, _field(network, pool_id).standings()))
    pool = client.get(pool_id).facts
    if pool["status"] not in SETTLED:
        raise HandlerError(f"pool {pool_id} ended and is not settled: it is {pool['status']}")
    return pool


def _field(network: Network, pool_id: str) -> Field:
    client = PoolClient(network)
    return Field(client, client.get(pool_id), client.leaderboard(pool_id))


def _named(network: Network, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "participant_name": network.name_of(row["participant"])} for row in rows]


def _report(network: Network, pool: dict[str, Any], supply_before: int) -> dict[str, Any]:
    field = _field(network, pool["id"])
    keys = (
        *("rank", "rank_set", "model", "name", "participant", "participant_name", "score"),
        *("accuracy", "interval", "chance", "correct", "n", "evaluated", "unscored", "total"),
        *("provisional", "warnings"),
    )
    return {
        "pool": {
            "id": pool["id"],
            "status": pool["status"],
            "funds": str(pool["funds"]),
            "allocation": pool["allocation"],
            "protocol": pool["protocol"],
            "start_time": pool["start_time"],
            "end_time": pool["end_time"],
        },
        "leaderboard": [
            {key: row[key] for key in keys}
            | {"stderr": row["standard_error"], "reward": str(row["reward"])}
            for row in _named(network, field.standings())
        ],
        "indistinct": field.indistinct(),
        "balances_before": {name: str(amount) for name, amount in GRANTS.items()},
        "balances_after": {name: str(balance(network, "WrappedAR", name)) for name in GRANTS},
        "supply_before": str(supply_before),
        "supply_after": str(supply(network, "WrappedAR")),
    }


def _must(network: Network, target: str, action: str, tags: dict[str, str]) -> None:
    error = network.send(target, action, tags).error
    if error:
        raise HandlerError(f"{target} refused {action}: {error}")
