"""Replay of a network that is still open."""

from benchpool import Network
from benchpool.audit.replay import Replayer
from benchpool.audit.replay_report import Replay
from benchpool.audit.state_hashes import state_hash_of
from benchpool.units.limits import Limits


def replay_network(network: Network, *, limits: Limits | None = None) -> Replay:
    """Fold the logs of an open network and compare with its processes as they stand."""
    replayer = Replayer(
        network.store,
        network.data,
        registry=network.registry,
        kept=lambda process: state_hash_of(network.compute.instance(process)),
        limits=limits or network.limits,
    )
    try:
        return replayer.run()
    finally:
        replayer.close()
