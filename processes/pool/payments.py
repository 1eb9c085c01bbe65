"""Payments: what Benchmark owes, and what the token has confirmed of it.

A payment is recorded by the handler that sends it, so both happen or neither. It is sent again
only after the token refused that very transfer.
"""

from __future__ import annotations

import operator
from typing import Literal

from pydantic import Field

from benchpool.ao.tags import Pair, Tags
from benchpool.process import State
from benchpool.winston import Winston

PaymentStatus = Literal["sent", "due", "paid", "resent"]


class Payment(State):
    """One Transfer: a payout to a participant, or a refund."""

    recipient: str
    quantity: Winston
    pool: str = ""
    """Empty for a refund of what never came into a pool."""
    model: str = ""
    """Empty for a refund."""
    rank: int = 0
    reason: str = ""
    """Why a refund is one."""
    echo: str = ""
    """The X-Reference of the notice that is refunded."""
    bond: bool = Field(default=False, exclude_if=operator.not_)
    """Whether it gives the bond of a model back."""
    status: PaymentStatus = "sent"
    """`due` after the token refused it; `resent` when another payment took its place."""

    def tags(self, reference: int) -> list[Pair]:
        """Return the tags of its Transfer."""
        pairs = [
            ("Recipient", self.recipient),
            ("Quantity", str(self.quantity)),
            # X-Reference may be the payee's own, so ours has another name.
            ("X-Payment", str(reference)),
        ]
        if self.pool:
            pairs.append(("X-Pool", self.pool))
        if self.bond:
            pairs += [("X-Model", self.model), ("X-Bond", "returned")]
        elif self.model:
            pairs += [("X-Model", self.model), ("X-Rank", str(self.rank))]
        if self.reason:
            pairs.append(("X-Error", self.reason))
        if self.echo:
            pairs.append(("X-Reference", self.echo))
        return pairs

    def confirmed_by(self, tags: Tags) -> bool:
        """Tell whether a Debit-Notice is about this payment: anybody can copy a reference."""
        return (tags.get("Recipient"), tags.get("Quantity")) == (
            self.recipient,
            str(self.quantity),
        )


def reference_of(tags: Tags) -> str:
    """Return the reference that a notice of the token bears for a payment."""
    return tags.get("X-Payment") or tags.get("X-Reference")
