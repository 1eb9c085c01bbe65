"""Asking a process what it knows, without leaving a trace."""

from __future__ import annotations

from benchpool.ao.message import Outgoing
from benchpool.ao.tags import TagsInput
from benchpool.errors import PoolError
from benchpool.network.directory import Party
from benchpool.network.network import Network


def ask(network: Network, target: Party, action: str, tags: TagsInput = ()) -> Outgoing:
    """Ask a process by a dry run, which leaves no trace; return its answer.

    Raises: UnknownProcess; PoolError with the reason if it refuses or is silent.
    """
    result = network.dry_run(target, action, tags)
    name = network.name_of(network.resolve(target))
    if result.error or not result.messages:
        raise PoolError(f"{name} did not answer {action}: {result.error or 'no answer came'}")
    answer = result.messages[0]
    if answer.tags.get("Action").endswith("-Error"):
        raise PoolError(f"{action}: {answer.tags.get('Error') or 'refused'}")
    return answer
