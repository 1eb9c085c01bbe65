"""Finding: the Benchmarks of a network, and the pools in them."""

from __future__ import annotations

from collections.abc import Iterator

from benchpool.ao.message import Outgoing
from benchpool.ao.tags import Tags, TagsInput
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.errors import PoolError
from benchpool.network import Network


def processes_of(network: Network, module: str) -> list[str]:
    """Return the ids of the processes of a module, in the order in which they were spawned."""
    name = network.registry.name
    return [info.id for info in network.processes() if name(info.module) == module]


class Moment(PoolClient):
    """Asks everything once only: what it looks at stands still for as long as one view takes."""

    def __init__(self, network: Network, benchmark: str) -> None:
        super().__init__(network, benchmark)
        self._told: dict[tuple[str, str, Tags], Outgoing] = {}

    def _ask(self, target: str, action: str, tags: TagsInput = ()) -> Outgoing:
        key = (target, action, Tags(tags))
        if key not in self._told:
            self._told[key] = super()._ask(target, action, tags)
        return self._told[key]


def clients(network: Network) -> Iterator[PoolClient]:
    """Go through the Benchmarks of a network."""
    for process in processes_of(network, "Benchmark"):
        yield Moment(network, process)


def find_pool(network: Network, pool: str) -> tuple[PoolClient, PoolFacts]:
    """Return a pool by its id, with who asks its Benchmark. Raises: PoolError."""
    for client in clients(network):
        try:
            return client, client.get(pool)
        except PoolError:
            continue
    raise PoolError(f"there is no pool {pool[:60]!r} in this home")
