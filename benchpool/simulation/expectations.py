"""What a scenario expects, compared with what the network shows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchpool.ao.message import Message
from benchpool.errors import BenchpoolError, InvalidQuantity
from benchpool.network import Network, Sent, ask
from benchpool.simulation.scenario import (
    BoardPart,
    ExpectPart,
    InboxPart,
    MessagePart,
    PoolPart,
    read_amount,
)
from benchpool.winston import format_war

_AMOUNTS = {"funds", "reward"}


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that does not hold, with its line in the scenario file."""

    line: int
    text: str


Problem = tuple[tuple[int | str, ...], str]
"""Where below `expect`, and what is wrong."""


class Expectations:
    """Compares; leaves no trace in the network, since it only looks and makes dry runs."""

    def __init__(self, network: Network, resolve: Callable[[Any], Any]) -> None:
        self._network = network
        self._resolve = resolve

    def problems(self, expect: ExpectPart, sent: Sent | None) -> Iterator[Problem]:
        """Yield everything that does not hold."""
        if sent is not None:
            yield from self._sent(expect, sent)
        for place, inbox in enumerate(expect.inboxes):
            single = isinstance(expect.inbox, InboxPart)
            for text in self._inbox(inbox):
                yield (("inbox",) if single else ("inbox", place)), text
        for name, wanted in expect.balances.items():
            yield from self._balance(expect.token, name, wanted)
        if expect.supply is not None:
            found = int(ask(self._network, expect.token, "Total-Supply").data)
            if found != expect.supply:
                yield (
                    ("supply",),
                    f"the supply is {_both(found)}, expected {_both(expect.supply)}",
                )
        if expect.pool is not None:
            yield from self._pool(expect.pool)
        if expect.leaderboard is not None:
            yield from self._leaderboard(expect.leaderboard)

    def _sent(self, expect: ExpectPart, sent: Sent) -> Iterator[Problem]:
        error = sent.error
        if expect.error is None and error:
            yield (), f"the message was refused: {error}"
        elif expect.error is not None and expect.error not in error:
            yield ("error",), f"expected the error {expect.error!r}, got {error or 'none'!r}"
        if expect.reply is not None and not any(
            self._matches(expect.reply, message) for message in sent.replies
        ):
            yield ("reply",), f"no such reply; there came {_listed(sent.replies)}"

    def _inbox(self, wanted: InboxPart) -> Iterator[str]:
        messages = self._network.inbox(wanted.of)
        count = sum(self._matches(wanted, message) for message in messages)
        if wanted.count is None and count == 0:
            yield f"{wanted.of} has no such message; it has {_listed(messages)}"
        elif wanted.count is not None and count != wanted.count:
            yield f"{wanted.of} has {count} such messages, expected {wanted.count}"

    def _matches(self, wanted: MessagePart, message: Message) -> bool:
        if wanted.action is not None and message.action != wanted.action:
            return False
        if wanted.sender is not None and message.sender != self._network.resolve(wanted.sender):
            return False
        if any(message.tags.get(k) != self._resolve(v) for k, v in wanted.tags.items()):
            return False
        if wanted.data is None:
            return True
        data = self._resolve(wanted.data)
        try:
            return bool(message.text == data if isinstance(data, str) else message.json() == data)
        except BenchpoolError:
            return False

    def _balance(self, token: str, name: str, wanted: int) -> Iterator[Problem]:
        account = {"Recipient": self._network.resolve(name)}
        found = int(ask(self._network, token, "Balance", account).data)
        if found != wanted:
            yield (
                ("balances", name),
                f"{name} has {_both(found)}, expected {_both(wanted)}",
            )

    def _pool(self, wanted: PoolPart) -> Iterator[Problem]:
        pool = self._resolve(wanted.pool)
        facts = json.loads(ask(self._network, wanted.benchmark, "Get-Pool", {"Pool": pool}).data)
        for name, value in wanted.facts.items():
            if not self._same(name, value, facts.get(name)):
                yield (
                    ("pool", "facts", name),
                    f"{name} is {facts.get(name)!r}, expected {value!r}",
                )

    def _leaderboard(self, wanted: BoardPart) -> Iterator[Problem]:
        pool = self._resolve(wanted.pool)
        rows = json.loads(ask(self._network, wanted.benchmark, "Leaderboard", {"Pool": pool}).data)
        if len(rows) != len(wanted.rows):
            yield (
                ("leaderboard", "rows"),
                f"the leaderboard has {len(rows)} rows, expected {len(wanted.rows)}",
            )
        for place, (row, expected) in enumerate(zip(rows, wanted.rows, strict=False)):
            for name, value in expected.items():
                if not self._same(name, value, row.get(name)):
                    yield (
                        ("leaderboard", "rows", place, name),
                        f"row {place + 1}: {name} is {row.get(name)!r}, expected {value!r}",
                    )

    def _same(self, name: str, wanted: Any, found: Any) -> bool:
        wanted = self._resolve(wanted)
        if wanted is None or found is None:
            return wanted is found
        if name in _AMOUNTS:
            try:
                return read_amount(str(wanted)) == int(str(found))
            except (InvalidQuantity, ValueError):
                return False
        try:
            return math.isclose(float(wanted), float(found), abs_tol=5e-7)
        except (TypeError, ValueError):
            return str(wanted) == str(found)


def _both(winston: int) -> str:
    return f"{winston} ({format_war(winston)})"


def _listed(messages: list[Message]) -> str:
    shown = [
        " ".join([message.action, *(f"{k}={v}" for k, v in message.tags if k != "Action")])
        for message in messages[-5:]
    ]
    return "; ".join(shown) or "none"
