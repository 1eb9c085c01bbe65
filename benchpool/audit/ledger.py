"""A token's ledger, counted again from its log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.errors import BenchpoolError
from benchpool.units.pushing import root_of
from benchpool.winston import parse_quantity


class Transfer(NamedTuple):
    """A Transfer in the token's log."""

    id: str
    time_ms: int
    sender: str
    recipient: str
    quantity: int
    reference: str
    pool: str
    moved: bool
    """Whether the sender had enough and was not refused, so that it took place."""
    debit: str
    """The reference of the Debit-Notice that told so; empty if there is none."""


class Credit(NamedTuple):
    """A Credit-Notice that the token sent."""

    recipient: str
    sender: str
    quantity: int
    root: str


@dataclass
class LedgerRecount:
    """Applies Mint, Burn and Transfer to balances of its own, and compares the notices."""

    own: ClassVar[bool] = False
    """Whether balances and supply are the token's own, and not counted again."""

    info: ProcessInfo
    balances: dict[str, int] = field(default_factory=dict)
    supply: int = 0
    transfers: dict[str, list[Transfer]] = field(default_factory=dict)
    """Those that name a pool, by the pool."""
    credits: dict[str, Credit] = field(default_factory=dict)
    """By the reference of the notice."""
    problems: list[str] = field(default_factory=list)

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        if result is None or result.error or not trusted(self.info, message, guarded=False):
            return
        action = message.action.lower()
        if action == "transfer":
            self._transfer(message, result)
        elif action == "mint":
            if any(_is(each, "Mint-Confirmation") for each in result.messages):
                self._mint(message)
        elif action == "burn" and any(_is(each, "Burn-Confirmation") for each in result.messages):
            quantity = parse_quantity(message.get("Quantity"))
            self._move(message.sender, -quantity, message)
            self.supply -= quantity

    def _mint(self, message: Message) -> None:
        if message.sender not in (self.info.id, self.info.owner):
            self._report(message, f"{message.sender} minted, who may not")
        quantity = parse_quantity(message.get("Quantity"))
        self.supply += quantity
        self._move(message.get("Recipient") or message.sender, quantity, message)

    def _transfer(self, message: Message, result: Result) -> None:
        try:
            quantity = parse_quantity(message.get("Quantity"))
        except BenchpoolError as error:
            self._report(message, f"a Transfer that cannot be read was not refused: {error}")
            return
        recipient = message.get("Recipient")
        refused = any(_is(each, "Transfer-Error") for each in result.messages)
        moved = self.balances.get(message.sender, 0) >= quantity and not refused
        if moved:
            self._move(message.sender, -quantity, message)
            self._move(recipient, quantity, message)
        debit = next((each for each in result.messages if _is(each, "Debit-Notice")), None)
        transfer = Transfer(
            message.id,
            message.timestamp,
            message.sender,
            recipient,
            quantity,
            message.reference,
            message.tags.get("X-Pool"),
            moved,
            "" if debit is None else str(debit.reference),
        )
        if transfer.pool:
            self.transfers.setdefault(transfer.pool, []).append(transfer)
        self._compare(message, result, transfer)

    def _compare(self, message: Message, result: Result, transfer: Transfer) -> None:
        """The notices must tell what happened: one Debit-Notice, one Credit-Notice, or an error."""
        told = [each for each in result.messages if _is(each, "Credit-Notice")]
        debits = [each for each in result.messages if _is(each, "Debit-Notice")]
        expected = 1 if transfer.moved and "Cast" not in message.tags else 0
        if (len(told), len(debits)) != (expected, expected):
            self._report(
                message,
                f"{len(debits)} Debit-Notices and {len(told)} Credit-Notices for a Transfer that"
                f" {'took' if transfer.moved else 'could not take'} place",
            )
        for notice in (*told, *debits):
            if notice.tags.get("Quantity") != str(transfer.quantity):
                self._report(message, f"a notice tells {notice.tags.get('Quantity')} winston")
        for notice in told:
            if notice.target != transfer.recipient:
                self._report(message, f"the Credit-Notice went to {notice.target}")
            self.credits[str(notice.reference)] = Credit(
                notice.target, notice.tags.get("Sender"), transfer.quantity, root_of(message)
            )

    def _move(self, account: str, quantity: int, message: Message) -> None:
        self.balances[account] = self.balances.get(account, 0) + quantity
        if self.balances[account] < 0:
            self._report(message, f"the account {account} fell below zero")

    def _report(self, message: Message, text: str) -> None:
        self.problems.append(f"position {message.position} of the token: {text}")


class NoticedLedger(LedgerRecount):
    """A token whose code is data of the network, and whose ledger nobody knows beside it.

    What it did is what its notices tell: that they follow from its code is for a replay to say.
    """

    own = True

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        if result is None or result.error:
            return
        debits = [each for each in result.messages if _is(each, "Debit-Notice")]
        for notice in result.messages:
            if _is(notice, "Credit-Notice"):
                self._credit(notice, message)
        if message.action.lower() == "transfer" and debits:
            self._moved(message, result, debits)

    def _credit(self, notice: Outgoing, message: Message) -> None:
        try:
            quantity = parse_quantity(notice.tags.get("Quantity"))
        except BenchpoolError as error:
            self._report(message, f"a Credit-Notice cannot be read: {error}")
            return
        said = (notice.target, notice.tags.get("Sender"), quantity, root_of(message))
        self.credits[str(notice.reference)] = Credit(*said)

    def _moved(self, message: Message, result: Result, debits: list[Outgoing]) -> None:
        try:
            quantity = parse_quantity(message.get("Quantity"))
        except BenchpoolError as error:
            self._report(message, f"a Transfer that cannot be read was not refused: {error}")
            return
        transfer = Transfer(
            message.id,
            message.timestamp,
            message.sender,
            message.get("Recipient"),
            quantity,
            message.reference,
            message.tags.get("X-Pool"),
            True,
            str(debits[0].reference),
        )
        if transfer.pool:
            self.transfers.setdefault(transfer.pool, []).append(transfer)
        self._compare(message, result, transfer)


def trusted(info: ProcessInfo, message: Message, *, guarded: bool = True) -> bool:
    """Tell whether a process may handle a message: who says it sent it did, and sent it here.

    A token goes by its authorities alone; Benchmarks and data sets are guarded, and believe that
    another process speaks only if the message was pushed out of it.
    """
    pushed = bool(message.from_module) or info.edition == 1 or not guarded
    return message.target == info.id and (
        message.sender == message.owner or (pushed and info.trusts(message))
    )


def _is(outgoing: Outgoing, action: str) -> bool:
    return outgoing.tags.get("Action") == action
