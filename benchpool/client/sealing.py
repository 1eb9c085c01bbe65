"""Whether questions that were sealed can be revealed now, without refunding a pool."""

from __future__ import annotations

from benchpool.ao.clock import format_duration
from benchpool.ao.wallet import Wallet
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.errors import PoolError


def check_reveal(
    client: PoolClient,
    pool: PoolFacts,
    owner: Wallet,
    *,
    made: str,
    now_ms: int,
) -> None:
    """Check that somebody can reveal the questions of a pool now, and that no pool is refunded.

    Args:
        client: knows the other pools of the data set, for which it reveals them too.
        pool: as `PoolClient.get` tells of it.
        owner: who reveals them.
        made: the seal of the salt and the questions that are to be revealed.
        now_ms: what time it is.

    Raises: PoolError that says which pool would be, and why.
    """
    if "sealed" not in pool.binding:
        raise PoolError(f"pool {pool.id} is not sealed")
    if not _waits(pool):
        raise PoolError(f"pool {pool.id} waits for no questions: it is {pool.text('status')}")
    if owner.address != pool.binding["dataset_owner"]:
        raise PoolError(
            f"only {pool.binding['dataset_owner']}, who owns the data set, can reveal its"
            f" questions, not {owner.address}"
        )
    others = (client.get(each.id) for each in client.pools() if each.dataset == pool.dataset)
    for each in (pool, *filter(_waits, others)):
        left_ms = int(each.binding["join_until"]) - now_ms
        if made != each.binding["sealed"]:
            raise PoolError(
                f"pool {each.id} has sealed {each.binding['sealed']}, but salt and file give"
                f" {made}: it would be refunded"
            )
        if left_ms > 0:
            raise PoolError(
                f"models can join pool {each.id} for {format_duration(left_ms)} more: if the"
                " questions were revealed before, it would be refunded"
            )


def _waits(pool: PoolFacts) -> bool:
    return pool.is_sealed and pool.text("status") == "open"
