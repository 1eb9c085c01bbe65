"""What a pool must have paid, to whom, worked out from what was counted again."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from benchpool.audit.pool_facts import RecountedEntry, RecountedPool, SentPayment
from benchpool.audit.scores import Count
from benchpool.audit.settlement import Claim, Due, recount_settlement, share_back

BOND: Final = "bond"
Answers = Mapping[int, tuple[bool, tuple[float, ...]]]
"""By question: whether it was right, and the log-likelihood of each choice."""
Payments = dict[tuple[str, str, str], tuple[int, int]]
"""By recipient, model (none of a refund) and what it is beside a reward: winston and place."""


def key_of(payment: SentPayment) -> tuple[str, str, str]:
    """Return under what a payment stands among those expected."""
    return payment.recipient, payment.model, BOND if payment.bond else ""


def expected_payments(
    pool: RecountedPool, counts: Mapping[str, Count], answers: Mapping[str, Answers]
) -> Payments:
    """Work out what a pool must pay; of one that runs still, what its present numbers would give.

    Args:
        pool: with all its entries.
        counts: by model, counted again.
        answers: by model, where the log tells them.
    """
    gifts = pool.contributions()
    due = _settle(pool, counts, answers)
    payments: Payments = {}
    refunds = gifts
    lost: list[RecountedEntry] = []
    if due is not None:
        for model, winston in due.payouts.items():
            owner = pool.entries[model].participant
            payments[owner, model, ""] = winston, due.places[model]
        gone = due.copies | due.guessers
        lost = [
            entry
            for entry in pool.entries.values()
            if entry.model in gone
            or (not counts[entry.model].evaluated and counts[entry.model].unscored)
        ]
        back = share_back(sum(entry.bond for entry in lost), gifts)
        refunds = {each: due.refunds.get(each, 0) + back.get(each, 0) for each in gifts}
    if pool.settled >= 0:
        payments |= {(giver, "", ""): (sum_, 0) for giver, sum_ in refunds.items() if sum_}
        for entry in pool.entries.values():
            if entry.bond and entry not in lost:
                payments[entry.participant, entry.model, BOND] = entry.bond, 0
    return payments


def _settle(
    pool: RecountedPool, counts: Mapping[str, Count], answers: Mapping[str, Answers]
) -> Due | None:
    """Settle the pool once more; None if everything goes back."""
    tags = pool.tags or {"X-Allocation": pool.allocation, "X-Eligible": "all"}
    distinct = not pool.first
    if pool.settled < 0:  # by the present numbers, without what only the answers tell
        tags, distinct = {**tags, "X-Ties": "exact"}, False
    claims = [
        Claim(
            entry.model,
            counts[entry.model].correct,
            counts[entry.model].evaluated,
            counts[entry.model].total,
            entry.joined_ms,
            entry.order,
            entry.held,
            answers.get(entry.model, {}),
            entry.weights,
        )
        for entry in pool.entries.values()
    ]
    untold = any(claim.correct and not claim.answers for claim in claims)
    if pool.given_back or (tags.get("X-Ties") == "tiers" and untold):
        return None
    chance = Fraction(pool.chance)
    return recount_settlement(claims, pool.contributions(), tags, chance, distinct=distinct)
