"""How pools are shown to people, and how what is asked and sent for them is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from benchpool.cli import output, view

if TYPE_CHECKING:
    from benchpool.client.pools import Pool
    from benchpool.network import Network, Sent

_TIMES = {"start_time", "end_time", "joined_at"}
_AMOUNTS = {"funds", "reward"}


class Verbose:
    """Tells on stderr what a pool client asks and sends."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def say(self, text: str) -> None:
        """Tell what is asked or spawned."""
        output.note(text)

    def sent(self, sent: Sent) -> None:
        """Show what came of a message."""
        with redirect_stdout(sys.stderr):
            view.print_tree(sent.trace, view.names(self._network))


def shown(pool: Pool, name: str, name_of: Callable[[str], str] = str) -> str:
    """Write a fact of a pool as people read it: times, amounts and names."""
    value = pool.facts.get(name)
    if name in _TIMES and isinstance(value, int):
        return view.moment(value)
    if name in _AMOUNTS and value is not None:
        return amount(value)
    return "" if value is None else name_of(str(value))


def amount(value: object) -> str:
    """Write winston as wAR; what is no amount as it is."""
    from benchpool.winston import format_war

    try:
        return format_war(int(str(value)))
    except ValueError:
        return str(value)


def leaderboard_row(row: dict[str, Any], name_of: Callable[[str], str]) -> list[str]:
    """Write a row of a leaderboard for people."""

    def number(name: str) -> str:
        value = row.get(name)
        try:
            return "" if value is None or value == "" else f"{float(value):.4f}"
        except (TypeError, ValueError):
            return str(value)

    def text(name: str) -> str:
        value = row.get(name)
        return "" if value is None else str(value)

    reward = row.get("reward")
    return [
        text("rank"),
        text("name") or name_of(text("model")),
        name_of(text("participant")),
        number("score"),
        number("standard_error"),
        f"{text('evaluated')}/{text('total')}",
        "" if reward in (None, "") else amount(reward),
    ]
