"""Deeds: what the forms do, as commands of the terminal do it: through the control routes."""

from __future__ import annotations

from collections.abc import Mapping

from benchpool.client.pools import PoolClient
from benchpool.client.served import ServedWriter
from benchpool.errors import ConfigError
from benchpool.network import Network
from benchpool.server.dashboard.acting.forms import terms_of
from benchpool.server.dashboard.pages.finding import find_pool
from benchpool.winston import parse_war

Given = Mapping[str, str]


def fund(network: Network, writer: ServedWriter, given: Given) -> str:
    """Fund a pool; return the path of its page. Raises: BenchpoolError."""
    client = PoolClient(network, _need(given, "benchmark"), writer=writer)
    dataset = network.resolve(_need(given, "dataset"))
    terms = {"X-Dataset": dataset, **terms_of(given)}
    protocol = client.first_protocol(dataset)
    if protocol:
        terms["X-Protocol"] = protocol
    created = client.create(
        token=network.info(client.benchmark).tags.get("WrappedAR"),
        quantity=_amount(_need(given, "funds")),
        terms=terms,
        funder=network.wallet(_need(given, "wallet")),
    )
    return f"/ui/pools/{created.tags['Pool']}"


def join(network: Network, writer: ServedWriter, given: Given) -> str:
    """Enter a model; return the path of the pool's page. Raises: BenchpoolError."""
    found, pool = find_pool(network, _need(given, "pool"))
    client = PoolClient(network, found.benchmark, writer=writer)
    owner = network.wallet(_need(given, "wallet"))
    worker = client.worker(_need(given, "model"), pool, router=None, owner=owner)
    token = network.info(client.benchmark).tags.get("WrappedAR") if pool.bond else ""
    client.join(pool.id, worker, owner=owner, bond=pool.bond, token=token)
    return f"/ui/pools/{pool.id}"


def send(network: Network, writer: ServedWriter, given: Given) -> str:
    """Send a message; return the path of its page. Raises: BenchpoolError."""
    tags = read_tags(given.get("tags", ""))
    tags += [
        (name.removeprefix("tag-"), value)
        for name, value in given.items()
        if name.startswith("tag-") and value
    ]
    sent = writer.post(
        _need(given, "target"),
        given.get("other", "").strip() or given.get("action", "").strip(),
        tags,
        data=given.get("data", "").replace("\r\n", "\n"),
        sender=network.wallet(_need(given, "wallet")),
    )
    return f"/ui/messages/{sent.id}?process={sent.process}"


def read_tags(text: str) -> list[tuple[str, str]]:
    """Read tags, `Name=Value` on a line each. Raises: ConfigError."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not (equals and name.strip()):
            raise ConfigError(f"a tag is written Name=Value, not {line.strip()[:80]!r}")
        found.append((name.strip(), value.strip()))
    return found


def _need(given: Given, name: str) -> str:
    value = given.get(name, "").strip()
    if not value:
        raise ConfigError(f"{name}: choose or write something")
    return value


def _amount(text: str) -> int:
    amount = parse_war(text)
    if amount <= 0:
        raise ConfigError("a pool is funded with more than nothing")
    return amount
