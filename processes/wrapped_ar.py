"""WrappedAR: the token in which pools are funded and paid.

The standard token of AO. Amounts are whole winston of any size, balances never fall below zero,
and the supply is always the sum of the balances.

Source: aos blueprints/token.lua.
Answers to Info, Balance and Balances have no Action, so that two tokens that ask each other stop.
Deviates: the owner may mint too, and for somebody else; there is Burn; Balances come in parts too.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from pydantic import Field

from benchpool.ao.tags import Pair, normalise_name
from benchpool.errors import HandlerError
from benchpool.process import Message, Process, State, handler
from benchpool.winston import MAX_DIGITS, WAR_DECIMALS, Winston, parse_quantity
from processes.tag_values import check_address, whole_number

MAX_SUPPLY: Final = 10**MAX_DIGITS - 1
"""The largest amount that a state can be read back with; no balance exceeds the supply."""
MOST_LISTED: Final = 100_000
"""Accounts in one part of Balances."""
_MOST_BYTES: Final = 10 << 20
"""Of all balances in one answer; networks take no more Data than this, unless they say so."""

_REPLY_TAGS: Final = frozenset({"X-Reference", "X-Origin"})


class Ledger(State):
    """Who holds what."""

    name: str = "Wrapped AR"
    ticker: str = "wAR"
    denomination: str = str(WAR_DECIMALS)
    logo: str = ""
    supply: Winston = 0
    balances: dict[str, Winston] = Field(default_factory=dict)
    """An account that was emptied stays, with 0: to take a key out costs more than to keep it."""


class WrappedAR(Process):
    """Wrapped AR, an AO token."""

    state: Ledger

    def on_spawn(self, message: Message) -> None:
        """Take the token's name from the tags. Raises: HandlerError for a bad Denomination."""
        state, tags = self.state, message.tags
        decimals = whole_number(tags, "Denomination", default=WAR_DECIMALS, most=255)
        state.name = tags.get("Name") or state.name
        state.ticker = tags.get("Ticker") or state.ticker
        state.logo = tags.get("Logo")
        state.denomination = str(decimals)

    @handler("Info")
    def show_info(self, message: Message) -> None:
        """Say what token this is."""
        state = self.state
        tags = {
            "Name": state.name,
            "Ticker": state.ticker,
            "Logo": state.logo,
            "Denomination": state.denomination,
            "Total-Supply": state.supply,
        }
        self.reply(message, tags=tags)

    @handler("Balance")
    def balance(self, message: Message) -> None:
        """Say what an account holds: the one named, else the sender's."""
        tags = message.tags
        account = tags.get("Recipient") or tags.get("Target") or message.sender
        held = str(self.state.balances.get(account, 0))
        self.reply(
            message,
            tags={"Balance": held, "Ticker": self.state.ticker, "Account": account},
            data=held,
        )

    @handler("Balances")
    def balances(self, message: Message) -> None:
        """List the accounts that hold something, oldest first: all, or a part of so many.

        Raises: HandlerError if all are too many for one answer.
        """
        tags, accounts = message.tags, self.state.balances
        if self.edition > 1 and (tags.get("Limit") or tags.get("Cursor")):
            limit = whole_number(tags, "Limit", default=MOST_LISTED, least=1, most=MOST_LISTED)
            # An account keeps its place, so what comes meanwhile moves nothing to another part.
            first = whole_number(tags, "Cursor", default=0)
            numbered = enumerate(islice(accounts.items(), first, None), first)
            holders = ((place, account, amount) for place, (account, amount) in numbered if amount)
            part = {account: str(amount) for _, account, amount in islice(holders, limit)}
            behind = next(holders, None)
            self.reply(message, tags={"Next-Cursor": behind[0]} if behind else {}, data=part)
            return
        held = {account: str(amount) for account, amount in accounts.items() if amount}
        size = sum(map(len, held)) + sum(map(len, held.values())) + len(held) * len('"":"",')
        if self.edition > 1 and size > _MOST_BYTES:
            raise HandlerError(
                f"{len(held):,} accounts hold something, too many for one answer; ask with Limit"
                f" (at most {MOST_LISTED:,}), and go on with Next-Cursor of the answer as Cursor"
            )
        self.reply(message, data=held)

    @handler("Transfer")
    def transfer(self, message: Message) -> None:
        """Move an amount from the sender to Recipient, and tell both unless there is a `Cast`."""
        tags = message.tags
        recipient = check_address(message.get("Recipient"), "Recipient")
        quantity = parse_quantity(message.get("Quantity"))
        balances = self.state.balances
        sender = message.sender
        left = balances.get(sender, 0) - quantity
        if left < 0:
            self._refuse(message, "Transfer-Error", "Insufficient Balance!")
            return
        balances[sender] = left
        # Read after the write above, so that a transfer to oneself comes out even.
        balances[recipient] = balances.get(recipient, 0) + quantity
        if "Cast" in tags:
            return
        amount = str(quantity)
        carried = tags.extras()
        self.reply(
            message,
            "Debit-Notice",
            [("Recipient", recipient), ("Quantity", amount), *_without_reply_tags(carried)],
            f"You transferred {amount} to {recipient}",
        )
        self.send(
            recipient,
            "Credit-Notice",
            [("Sender", sender), ("Quantity", amount), *carried],
            f"You received {amount} from {sender}",
        )

    @handler("Mint")
    def mint(self, message: Message) -> None:
        """Make new tokens for Recipient, by default the sender; kept for the owner and itself."""
        quantity = parse_quantity(message.get("Quantity"))
        recipient = check_address(message.get("Recipient") or message.sender, "Recipient")
        state = self.state
        if message.sender not in (self.id, self.owner):
            # AO's words, which clients may compare; the owner is let in beside the process here.
            refused = f"Only the Process Id can mint new {state.ticker} tokens!"
            self._refuse(message, "Mint-Error", refused)
            return
        if state.supply + quantity > MAX_SUPPLY:
            self._refuse(message, "Mint-Error", "The supply would become too large!")
            return
        state.supply += quantity
        state.balances[recipient] = state.balances.get(recipient, 0) + quantity
        self.reply(
            message,
            "Mint-Confirmation",
            {"Quantity": quantity, "Recipient": recipient},
            f"Successfully minted {quantity}",
        )

    @handler("Burn")
    def burn(self, message: Message) -> None:
        """Destroy tokens of the sender."""
        quantity = parse_quantity(message.get("Quantity"))
        state = self.state
        left = state.balances.get(message.sender, 0) - quantity
        if left < 0:
            self._refuse(message, "Burn-Error", "Insufficient Balance!")
            return
        state.supply -= quantity
        state.balances[message.sender] = left
        self.reply(message, "Burn-Confirmation", {"Quantity": quantity})

    @handler("Total-Supply")
    def total_supply(self, message: Message) -> None:
        """Say how much there is of the token: to others, as on AO."""
        if message.sender == self.id:
            raise HandlerError("Cannot call Total-Supply from the same process!")
        supply = str(self.state.supply)
        self.reply(
            message,
            "Total-Supply",
            {"Total-Supply": supply, "Ticker": self.state.ticker},
            supply,
        )

    def _refuse(self, message: Message, action: str, error: str) -> None:
        tags = [
            ("Message-Id", message.id),
            ("Error", error),
            *_without_reply_tags(message.tags.extras()),
        ]
        self.reply(message, action, tags)


def _without_reply_tags(carried: list[Pair]) -> list[Pair]:
    # `reply` sets these itself; each must be there once.
    return [pair for pair in carried if normalise_name(pair[0]) not in _REPLY_TAGS]
