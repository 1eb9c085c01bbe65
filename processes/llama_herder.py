"""LlamaHerder: sells inferences for wrapped AR, the highest bid first.

Source: permaweb/llama-herder, src/herder.lua.
Deviates: a refund goes to the payer and not to the token; no worker is passed over while work is
handed out; a worker that stays silent is let go after a lease; amounts are integers throughout.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import ClassVar, Final

import msgspec
from pydantic import Field

from benchpool.ao.clock import HOUR_MS
from benchpool.ao.tags import Pair, normalise_name
from benchpool.errors import HandlerError
from benchpool.process import Message, State, handler
from benchpool.winston import Winston, parse_quantity
from processes.tag_values import check_address, whole_number
from processes.workers.inference_request import (
    DEFAULT_MAX_TOKENS,
    Asked,
    read_request,
    write_request,
)
from processes.workers.roster import Roster, Work, Worker
from processes.workers.workforce import Workforce

BASE_FEE: Final = 1000
TOKEN_FEE: Final = 10

_MULTIPLIER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_NOT_CARRIED: Final = frozenset({"X-Request", "X-Error", "X-Needed", "X-Refund"})


class Refund(State):
    """Money on its way back, until the token confirms it."""

    recipient: str
    quantity: Winston
    tags: list[tuple[str, str]]
    failed: bool = False
    """The token refused it: try again."""


class Books(Roster):
    """The workers, and the money that is owed."""

    token: str = ""
    base_fee: Winston = BASE_FEE
    token_fee: Winston = TOKEN_FEE
    last_multiplier: str = "1"
    """What was paid for the request that a worker took last."""
    refunds: dict[str, Refund] = Field(default_factory=dict)
    """By the id of the Credit-Notice whose money goes back."""


class LlamaHerder(Workforce):
    """Answers inferences that were paid for, or pays back."""

    state: Books

    default_capacity: ClassVar[int] = 1
    default_lease_ms: ClassVar[int] = HOUR_MS

    def on_spawn(self, message: Message) -> None:
        """Take the token and the fees. Raises: HandlerError without a token."""
        super().on_spawn(message)
        state, tags = self.state, message.tags
        state.token = check_address(tags.get("WrappedAR"), "WrappedAR")
        state.base_fee = whole_number(tags, "Base-Fee", default=BASE_FEE)
        state.token_fee = whole_number(tags, "Token-Fee", default=TOKEN_FEE)

    @handler("Credit-Notice")
    def buy(self, message: Message) -> None:
        """Take an order that was paid for; what cannot be served is paid back."""
        tags = message.tags
        if not self._is_token(message):
            return
        if "X-Error" in tags:
            # Else two processes that refund what they cannot use would pay each other for ever.
            self.log(f"Kept {tags.get('Quantity')} from {tags.get('Sender')}: it is a refund")
            return
        work = Work(
            id=message.id,
            requester=check_address(tags.get("Sender"), "Sender"),
            tags=_carried(tags.extras()),
            model=tags.get("X-Model"),
            request="",
            arrived=message.nonce,
            paid=parse_quantity(tags.get("Quantity")),
        )
        try:
            self._check(work, tags.get("X-Request"), tags.get("X-Fee-Multiplier") or "1")
        except HandlerError as refusal:
            work.error = str(refusal)
            self.give_up(work)
            return
        self.take(work, message)

    @handler("Debit-Notice")
    def refunded(self, message: Message) -> None:
        """A refund arrived: forget it."""
        if self._is_token(message):
            self.state.refunds.pop(message.tags.get("X-Refund"), None)

    @handler("Transfer-Error")
    def not_refunded(self, message: Message) -> None:
        """The token refused a refund: it is tried again at the next message."""
        if not self._is_token(message):
            return
        refund = self.state.refunds.get(message.tags.get("X-Refund"))
        if refund is not None:
            refund.failed = True
            self.log(
                f"Refund of {refund.quantity} to {refund.recipient} failed, to be tried again:"
                f" {message.tags.get('Error')}"
            )

    @handler("Check-Leases")
    def check_leases(self, message: Message) -> None:
        """For cron: nothing but a message that tells the time."""

    @handler("Info")
    def show_info(self, message: Message) -> None:
        """Say what inference costs here and how long the queue is."""
        state = self.state
        tags = {
            "Base-Fee": state.base_fee,
            "Token-Fee": state.token_fee,
            "Last-Multiplier": state.last_multiplier,
            "Queue-Length": self.queue_length(),
            "WrappedAR": state.token,
        }
        self.reply(message, "Info", tags)

    def deliver(self, work: Work, worker: Worker, answer: Message) -> None:
        """Send the answer to the payer, with the X- tags of the payment."""
        tags = [
            ("Model", work.model),
            ("Weights", worker.weights),
            ("Worker", worker.id),
            *work.tags,
        ]
        self.send(work.requester, "Inference-Response", tags, answer.data)

    def give_up(self, work: Work) -> None:
        """Pay everything back."""
        tags = [("X-Error", work.error)]
        if work.price:
            tags.append(("X-Needed", str(work.price)))
        # Ours, since X-Reference is the payer's and two payers may use the same.
        tags.append(("X-Refund", work.id))
        refund = Refund(recipient=work.requester, quantity=work.paid, tags=[*tags, *work.tags])
        self.state.refunds[work.id] = refund
        self._pay(refund)

    def started(self, work: Work) -> None:
        """Keep the multiplier, by which others judge what to bid."""
        self.state.last_multiplier = work.multiplier

    def watch(self, message: Message) -> None:
        """End leases, and try the refunds again that failed."""
        super().watch(message)
        if message.sender == self.state.token and message.action != "Credit-Notice":
            return  # two refunds that fail would each set the other off, without end
        for refund in self.state.refunds.values():
            if refund.failed:
                refund.failed = False
                self._pay(refund)

    # -- money -------------------------------------------------------------------------------

    def _check(self, work: Work, request: str, multiplier: str) -> None:
        asked = read_request(request, json_only=True)
        if asked.choices is None and asked.max_tokens is None:
            # A worker must generate what was paid for, whatever its own setting.
            asked = msgspec.structs.replace(asked, max_tokens=DEFAULT_MAX_TOKENS)
        if not _MULTIPLIER.fullmatch(multiplier) or Fraction(multiplier) < 1:
            raise HandlerError(
                f"X-Fee-Multiplier must be a decimal number of at least 1, not {multiplier[:40]!a}"
            )
        work.request = write_request(asked)
        work.multiplier = multiplier
        work.price = self._price(asked, Fraction(multiplier))
        model = self.state.models.get(work.model)
        if model is None or not model.workers:
            raise HandlerError(f"no worker serves the model {work.model or '(none)'}")
        if work.paid < work.price:
            raise HandlerError(f"the price is {work.price}, but {work.paid} was paid")

    def _price(self, asked: Asked, multiplier: Fraction) -> int:
        words = asked.words() + (asked.max_tokens or 0)
        price = self.state.base_fee + self.state.token_fee * words
        return -(-price * multiplier.numerator // multiplier.denominator)

    def _pay(self, refund: Refund) -> None:
        self.send(
            self.state.token,
            "Transfer",
            [("Recipient", refund.recipient), ("Quantity", str(refund.quantity)), *refund.tags],
        )

    def _is_token(self, message: Message) -> bool:
        if message.sender == self.state.token:
            return True
        self.log(f"Ignored {message.action} from {message.sender}, which is not the token")
        return False


def _carried(extras: list[Pair]) -> list[Pair]:
    return [pair for pair in extras if normalise_name(pair[0]) not in _NOT_CARRIED]
