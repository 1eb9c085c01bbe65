"""What can be expected of a pool before it is funded: what its data can tell, costs and pays."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from benchpool.errors import PoolError
from benchpool.evaluation.planning import fewest_above_chance, smallest_difference
from benchpool.evaluation.statistics import LEVEL, above_chance
from benchpool.pools.copies import Contender
from benchpool.pools.ranking import Standing
from benchpool.pools.settlement import settle
from benchpool.pools.terms import PayoutTerms

INFERENCES_A_TICK: Final = 1_000
"""How many a data set asks for at most in one hourly Evaluate, of all models together."""
USUAL_RATE: Final = 6.8
"""Questions a second of SmolLM2 135M as stored, on two cores: BENCHMARKS.md."""
EXPECTED: Final = 5
"""Entries that are spoken of where nobody says how many there will be."""
FINE: Final = 0.01
"""A smallest difference up to which nobody is warned."""
HONEST: Final = (Fraction(40, 100), Fraction(43, 100), Fraction(46, 100))
"""What small models score at Social IQa, where a blind guess scores 1/3."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A pool that somebody thinks of.

    Attributes:
        questions: How many its data set has.
        entries: How many models are expected.
        terms: By which rules it would be settled.
        funds: In winston.
        rate: Questions that are answered in a second, of all models together.
    """

    questions: int
    entries: int
    terms: PayoutTerms
    funds: int
    rate: float = USUAL_RATE

    @property
    def difference(self) -> float:
        """The smallest difference of two accuracies that the questions usually show."""
        return smallest_difference(self.questions)

    @property
    def inferences(self) -> int:
        """How many answers are needed."""
        return self.questions * self.entries

    @property
    def ticks(self) -> int:
        """How many hourly ticks it takes to ask for them."""
        return -(-self.inferences // INFERENCES_A_TICK)

    def rewards(self) -> list[int]:
        """Return what each rank would get if no two entries were level.

        Nothing if that depends on the scores themselves and not on their order.
        """
        if self.terms.rule == "Proportional":
            return []
        n = self.entries
        made_up = [Contender(Standing(f"{i:06}", n - i, n, n, 0, i)) for i in range(n)]
        everybody = PayoutTerms(
            self.terms.rule, self.terms.mean_chance, eligible="all", places=self.terms.places
        )
        return [
            each.winston for each in settle(made_up, {"funder": self.funds}, everybody).decisions
        ]

    def too_fine(self) -> str:
        """Say how the payouts are finer than the data can tell; empty if they are not."""
        rewards = self.rewards()
        if self.difference <= FINE or self.terms.ties == "tiers" or len(set(rewards)) < 2:
            return ""
        if self.difference >= 1:
            able = f"{self.questions:,} questions can hardly tell any two models apart"
        else:
            able = (
                f"{self.questions:,} questions tell models apart from"
                f" {100 * self.difference:.1f} points on"
            )
        step = max(higher - lower for higher, lower in pairwise(rewards))
        share = 100 * step / self.funds
        return (
            f"the payouts are finer than the data can tell: {able}, but by {self.terms.rule}"
            f" one rank more or less is worth up to {share:.0f} % of the funds"
        )

    def eligibility(self) -> dict[str, Any] | None:
        """Say what the test against guessing would do; None if the pool has none."""
        if self.terms.eligible == "all":
            return None
        n, chance = self.questions, self.terms.mean_chance
        first = fewest_above_chance(n, chance, LEVEL / self.entries)
        return {
            "alone": fewest_above_chance(n, chance, LEVEL),
            "strictest": first,
            "passing": {
                f"{float(accuracy):.2f}": float(above_chance(first, n, accuracy))
                if first <= n
                else 0.0
                for accuracy in HONEST
            },
        }

    def view(self) -> dict[str, Any]:
        """Show it as JSON: amounts as decimal strings of winston."""
        return {
            "questions": self.questions,
            "entries": self.entries,
            "allocation": self.terms.rule,
            "chance": float(self.terms.mean_chance),
            "smallest_difference": self.difference,
            "eligible": self.eligibility(),
            "inferences": self.inferences,
            "ticks": self.ticks,
            "computing_seconds": self.inferences / self.rate,
            "funds": str(self.funds),
            "rewards": [str(each) for each in self.rewards()],
            "warning": self.too_fine() or None,
        }


def read_chance(text: str) -> Fraction:
    """Read the score of a blind guess, such as 1/3. Raises: PoolError."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise PoolError(
            f"the score of a blind guess is a fraction such as 1/3, not {text!r}"
        ) from None
