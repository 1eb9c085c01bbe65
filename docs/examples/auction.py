"""Auction: who has paid most when it closes has won; everybody else gets the money back."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from benchpool import Message, Process, State, handler
from benchpool.ao.clock import parse_duration
from benchpool.errors import HandlerError
from benchpool.winston import Winston, parse_quantity


class Sale(State):
    """What an auction remembers."""

    item: str = ""
    token: str = ""
    house: str = ""
    """A process that keeps the winning bids; empty for none."""
    closes_at: int = 0
    bid: Winston = 0
    bidder: str = ""
    notice: str = ""
    """The id of the message that brought the highest bid."""
    closed: bool = False
    next: str = ""
    """The auction that followed."""


class Auction(Process):
    """Sells one item for a token."""

    state: Sale

    def on_spawn(self, message: Message) -> None:
        """Read the spawn tags. Raises: HandlerError, and then there is no process."""
        state, tags = self.state, message.tags
        state.item, state.token = tags.get("Item"), tags.get("Token")
        if not (state.item and state.token):
            raise HandlerError("Item and Token are required!")
        state.house = tags.get("House")
        state.closes_at = message.timestamp + parse_duration(tags.get("Lasts") or "1d")

    @handler("Info")
    def show(self, message: Message) -> None:
        """Say what is sold, and for how much."""
        state = self.state
        tags = {"Item": state.item, "Bid": state.bid, "Closes-At": state.closes_at}
        self.reply(message, "Info", tags)

    @handler({"Action": "Credit-Notice", "Sender": "_", "Quantity": "_"}, name="Bid")
    def bid(self, message: Message) -> None:
        """Take a bid, and pay the one back that it beats; pay one back that is too low."""
        state, bidder = self.state, message.tags["Sender"]
        if message.sender != state.token:
            self.log(f"Ignored a Credit-Notice of {message.sender}, which is not the token")
            return
        quantity = parse_quantity(message.tags["Quantity"])
        if state.closed or quantity <= state.bid:
            self.pay(bidder, quantity, "the auction is closed" if state.closed else "too low")
            return
        if state.bidder:
            self.pay(state.bidder, state.bid, "outbid")
        state.bid, state.bidder, state.notice = quantity, bidder, message.id
        self.send(bidder, "Leading", {"Item": state.item, "Bid": quantity})

    @handler("Tick", owner_only=True)
    def tick(self, message: Message) -> None:
        """Close when the time has come. Cron sends it as the owner."""
        state = self.state
        if state.closed or message.timestamp < state.closes_at:
            return
        state.closed = True
        if not state.bidder:
            return
        self.pay(self.owner, state.bid, "sold")
        self.send(state.bidder, "Won", {"Item": state.item, "Bid": state.bid})
        if state.house:
            self.assign(state.notice, [state.house])

    @handler("Sell-Next", owner_only=True, requires=("Item",))
    def sell_next(self, message: Message) -> None:
        """Open another auction, which belongs to this one."""
        tags = {"Item": message.tags["Item"], "Token": self.state.token}
        reference = self.spawn("Auction", tags)
        self.receive({"Action": "Spawned", "Reference": str(reference)}, self.opened)

    def opened(self, message: Message) -> None:
        """Note the auction that was asked for. Once; then the wait is over."""
        self.state.next = message.tags["Process"]

    @handler("Debit-Notice")
    def take_note(self, message: Message) -> None:
        """The token has paid somebody; a message that no handler takes would stay in the inbox."""

    def pay(self, recipient: str, quantity: int, reason: str) -> None:
        """Have the token transfer some of what came in."""
        tags = {"Recipient": recipient, "Quantity": quantity, "X-Reason": reason}
        self.send(self.state.token, "Transfer", tags)


class Sales(State):
    """What an auction house remembers."""

    prices: list[Winston] = Field(default_factory=list)


class House(Process):
    """Keeps the winning bids: messages to others, which auctions assign to it."""

    state: Sales
    assignable: ClassVar[tuple[dict[str, Any], ...]] = ({"Action": "Credit-Notice"},)

    @handler("Credit-Notice")
    def keep(self, message: Message) -> None:
        """Keep the price."""
        self.state.prices.append(parse_quantity(message.tags["Quantity"]))
