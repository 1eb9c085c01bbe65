"""How a data set asks: free of charge from a router, for wrapped AR from a herder.

A request that could not be paid for, or was paid back, puts its row among the pending ones again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from benchpool.errors import HandlerError, NotAuthorized
from benchpool.evaluation.protocol import Protocol
from benchpool.process import Message, handler
from benchpool.winston import parse_quantity
from processes.dataset.base import DatasetBase
from processes.dataset.evaluations import Task
from processes.dataset.shares import Claim, share_out

PER_TICK: Final = 1000
"""Inferences that one Evaluate asks for at most, across all models."""


class Asking(DatasetBase):
    """Asks for the inferences that are missing."""

    @handler("Evaluate", owner_only=True)
    def evaluate(self, message: Message) -> None:
        """Ask for the next inferences: at most `PER_TICK`, shared among pools by their funds.

        Within a pool they are asked question by question, so that its entries have answered the
        same ones whenever it ends.
        """
        if not self.state.router:
            raise HandlerError("there is no LlamaRouter to ask; name one with Init")
        rows = self._records()
        expired = rows.expire(message.timestamp - self.state.lease_ms)
        if expired:
            self.log(f"{expired} inferences were not answered in time and are pending again")
        if self.state.herder and self.state.base_fee is None:
            self._ask_fees()
            self.log("The herder has not told its fees yet; nothing was asked")
            return
        if self.edition == 1:
            self._start(rows.take_pending(PER_TICK), message)
            return
        # The richest first: they take what a division leaves over, and what others do not need.
        shares = sorted(self.state.shares.values(), key=lambda share: -share.funds)
        within = [(list(share.models), share.samples) for share in shares]
        claims = [
            Claim(share.funds, rows.pending_count(*each))
            for share, each in zip(shares, within, strict=True)
        ]
        for each, part in zip(within, share_out(PER_TICK, claims), strict=True):
            # A row that another pool has just started is not taken a second time.
            self._start(rows.take_share(*each, part), message)

    @handler("Transfer-Error", name="LlamaHerder.Transfer-Error")
    def transfer_error(self, message: Message) -> None:
        """Put a row back that could not be paid for."""
        if message.sender != self.state.token:
            self.log(f"Ignored: Transfer-Error from {message.sender}, which is not the token")
            return
        task = self._records().find_started(message.tags.get("X-Reference"))
        if task is not None:
            self._records().put_back(task, message.tags.get("Error", "the transfer failed")[:500])

    @handler("Credit-Notice")
    def credit_notice(self, message: Message) -> None:
        """Take a refund of the herder: its row is pending again, at the price the herder names."""
        tags = message.tags
        if message.sender != self.state.token:
            self.log(f"Ignored: Credit-Notice from {message.sender}, which is not the token")
            return
        if "X-Error" not in tags or tags.get("Sender") != self.state.router:
            return
        task = self._records().find_started(tags.get("X-Reference"))
        if task is None:
            return
        needed = parse_quantity(tags["X-Needed"]) if "X-Needed" in tags else 0
        if needed > (task.price or 0):
            self._records().put_back(task, tags["X-Error"][:500], price=needed)
        else:
            # It was paid enough, so it came back because it could not be answered.
            self._records().fail(task, tags["X-Error"][:500])

    @handler("Pool-Funds", requires=("Pool", "Funds"))
    def pool_funds(self, message: Message) -> None:
        """Take note of what a pool has now, or that it is settled and has nothing to ask."""
        if message.sender != self.state.benchmark:
            raise NotAuthorized(f"Pool-Funds is for the Benchmark process, not {message.sender}")
        share = self.state.shares.get(message.tags["Pool"])
        funds = message.tags["Funds"]
        if share is not None and funds != "0":
            share.funds = parse_quantity(funds)
        elif share is not None:
            del self.state.shares[message.tags["Pool"]]

    @handler("Debit-Notice", "Register-Dataset-Response")
    def take_note(self, message: Message) -> None:
        """Take what needs no answer; else it would fill the inbox."""

    def _start(self, tasks: list[Task], message: Message) -> None:
        ask = self._buy if self.state.herder else self._ask
        self._records().start([ask(task) for task in tasks], message.timestamp)

    def _ask(self, task: Task) -> tuple[Task, int, int | None]:
        request = self._asked_of(task.sample, Protocol.parse(task.protocol))
        tags = {"Model": task.model, "X-Reference": self.next_reference}
        return task, self.send(self.state.router, "Inference", tags, request), None

    def _buy(self, task: Task) -> tuple[Task, int, int | None]:
        request = self._asked_of(task.sample, Protocol.parse(task.protocol))
        price = max(task.price or 0, self._price(request))
        reference = self.send(
            self.state.token,
            "Transfer",
            {
                "Recipient": self.state.router,
                "Quantity": price,
                "X-Model": task.model,
                "X-Request": msgspec.json.encode(request).decode(),
                "X-Reference": self.next_reference,
            },
        )
        return task, reference, price

    def _price(self, request: dict[str, Any]) -> int:
        """Compute what the herder asks; if this is too little, its refund names the price."""
        choices = request.get("choices", [])
        texts = [request["prompt"], *choices, *request.get("leads", [])]
        words = sum(len(text.split()) for text in texts)
        tokens = 0 if choices else request.get("max_tokens", 0)
        return (self.state.base_fee or 0) + self.state.token_fee * (words + tokens)
