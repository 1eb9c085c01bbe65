"""Why a message did not do what it was sent for, in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchpool.ao.colours import colourless
from benchpool.process.process import untaken_note

if TYPE_CHECKING:
    from benchpool.ao.message import Message, Outgoing, Result
    from benchpool.network import Network

_NAMED = 12
"""Actions that are named to somebody who met none of them."""


def failure(
    network: Network,
    party: str,
    said: tuple[str, str],
    result: Result | None,
    answers: Iterable[Message | Outgoing],
) -> str | None:
    """Say why a message failed; None if it did not.

    Args:
        network: where it went.
        party: the process or wallet it went to, as the user calls it.
        said: its From and its action.
        result: of its evaluation; None for mail.
        answers: what came back to who sent it.
    """
    if result is None:
        return None
    if result.error:
        return f"{party} refused the message: {colourless(result.error)}"
    if said[1] and untaken_note(*said) in result.output.splitlines():
        return (
            f"no handler of {party} takes the action {said[1]!r}; {_known(network, party, said[1])}"
        )
    for answer in answers:
        action = answer.tags.get("Action")
        if action.endswith("-Error"):
            return f"{party} answered {action}: {answer.tags.get('Error') or 'it does not say why'}"
    return None


def _known(network: Network, party: str, action: str) -> str:
    """Name the actions that may have been meant, else those that a process takes, in order."""
    actions = [row["action"] for row in network.process(party).inspect()["handlers"]]
    known = list(dict.fromkeys(filter(None, actions)))
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(action.lower(), by_lower, n=3)
    if near:
        return f"did you mean {' or '.join(by_lower[each] for each in near)}?"
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"it takes {', '.join(known[:_NAMED]) or 'none'}{more}"
