"""Forking: what is said to spawn a process that goes on from what another has become."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchpool.ao.tags import Pair, normalise_name
from benchpool.errors import ConfigError, UnknownProcess
from benchpool.units.forks import FORK_AT, FORK_OF

if TYPE_CHECKING:
    from benchpool.network.directory import Party
    from benchpool.network.network import Network


class Spawning(NamedTuple):
    """What a fork is spawned of."""

    module: str
    tags: list[Pair]
    owner: str
    """A wallet: its origin's owner, if that is here."""


def fork_of(network: Network, process: Party, at: str | None = None) -> Spawning:
    """Say what a fork of a process is spawned of: its tags, and where it begins.

    Args:
        network: to look at.
        process: by name or id.
        at: the id of the last message that the two have in common; None is the last that the
            process has evaluated.

    Raises: UnknownProcess; ConfigError for a message that it has not evaluated.
    """
    info = network.info(process)
    if at is None:
        position = network.compute.evaluated(info.id)
    else:
        message_id = network.logs.message(at).id
        entry = network.store.find(message_id, info.id)
        if entry is None:
            raise UnknownProcess(f"message {message_id} is not in the log of {info.id}")
        position = entry.message.position
    if position < 0:
        raise ConfigError(f"process {info.id} has evaluated nothing yet: there is nothing to fork")
    own = {"Module", "Name", FORK_OF, FORK_AT}
    kept = [
        (name, value)
        for name, value in info.tags.pairs
        if normalise_name(name) not in own
        and (name, value) != ("Authority", network.messenger.address)
    ]
    wallets = {wallet.address for wallet in network.wallets()}
    return Spawning(
        info.module,
        [*kept, (FORK_OF, info.id), (FORK_AT, str(position))],
        info.owner if info.owner in wallets else "",
    )
