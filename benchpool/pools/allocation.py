"""Dividing a pool's funds among its entries, to the last winston.

A rule gives every place a weight. Tied entries pool the weights of the places they take and
share them equally. Every payout is rounded down, and the winstons left over go one each by rank,
then by joining time. Source: the pool's rules in the project's design.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import lcm
from types import MappingProxyType
from typing import Final, NamedTuple

from benchpool.errors import PoolError
from benchpool.pools import sentences
from benchpool.pools.ranking import Ranked, Standing, rank
from benchpool.winston import split


class Payout(NamedTuple):
    """What an entry receives: a positive number of winston."""

    entry: str
    rank: int
    winston: int


@dataclass(frozen=True, slots=True)
class Rule:
    """An allocation rule.

    Attributes:
        name: What a funder writes in ``X-Allocation``.
        summary: One sentence for the funder.
        weights: From the paid standings, best first, and the score of a blind guess, to one
            weight a place: not negative, never rising from one place to the next.
    """

    name: str
    summary: str
    weights: Callable[[Sequence[Standing], Fraction], list[int]]


def allocate(
    rule_name: str, funds: int, ranked: Sequence[Ranked], *, chance: Fraction
) -> list[Payout]:
    """Divide a pool's funds by a rule.

    Entries without progress take no place and get nothing. Ranks are taken anew from the
    standings, so a list that lost some entries (disqualified, say) or is out of order pays the
    same as a fresh ranking of those entries.

    Args:
        rule_name: A key of ``RULES``.
        funds: Winston.
        ranked: The entries, as ``rank`` gives them.
        chance: The score of a blind guess, such as 1/3 for three choices. Only Proportional
            looks at it.

    Returns:
        Payouts in the order of rank, then joining time; entries that get nothing are left out.
        They add up to ``funds``, or the list is empty: nobody has progress, nobody is above
        chance under Proportional, or there are no funds. Then the funder is refunded.

    Raises:
        PoolError: No such rule, negative funds, an entry that stands twice, or a chance that is
            not in [0, 1).
    """
    rule = find_rule(rule_name)
    if funds < 0:
        raise PoolError(f"a pool cannot allocate {funds} winston")
    if not 0 <= chance < 1:
        raise PoolError(f"the score of a blind guess lies in [0, 1), not at {chance}")
    paid = [place for place in rank([place.standing for place in ranked]) if place.has_progress]
    tied = [len(list(group)) for _, group in groupby(paid, key=lambda place: place.rank)]
    weights = share_groups(rule.weights([place.standing for place in paid], chance), tied)
    if not any(weights):
        return []
    # Places are in rank order, and so is the way split() hands out the winstons left over.
    shares = split(funds, weights)
    return [
        Payout(place.entry, place.rank, share)
        for place, share in zip(paid, shares, strict=True)
        if share
    ]


def find_rule(name: str) -> Rule:
    """Look a rule up by its exact name.

    Raises:
        PoolError: No such rule; the message lists those there are.
    """
    rule = RULES.get(name)
    if rule is None:
        raise PoolError(f"no allocation rule {name[:40]!r}; there are {', '.join(RULES)}")
    return rule


def share_groups(weights: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Give every entry of a group, tied entries for one, an equal part of the group's weights.

    The parts are fractions; all weights are scaled by one common denominator to stay integers.
    It stays small: groups of k different sizes need k(k+1)/2 entries, so 5,000 entries have at
    most 99 sizes.

    Args:
        weights: One a place, best first.
        sizes: How many places each group takes, best first.
    """
    scale = lcm(*sizes)
    shared: list[int] = []
    for size in sizes:
        pooled = sum(weights[len(shared) : len(shared) + size])
        shared += [pooled * (scale // size)] * size
    return shared


def _arithmetic(paid: Sequence[Standing], _chance: Fraction) -> list[int]:
    return list(range(len(paid), 0, -1))


def _geometric(paid: Sequence[Standing], _chance: Fraction) -> list[int]:
    return [1 << place for place in reversed(range(len(paid)))]


def _winner_takes_all(paid: Sequence[Standing], _chance: Fraction) -> list[int]:
    return [int(place == 0) for place in range(len(paid))]


def _equal(paid: Sequence[Standing], _chance: Fraction) -> list[int]:
    return [1] * len(paid)


def _proportional(paid: Sequence[Standing], chance: Fraction) -> list[int]:
    above = [max(Fraction(0), standing.score - chance) for standing in paid]
    scale = lcm(*(part.denominator for part in above))
    return [part.numerator * (scale // part.denominator) for part in above]


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        name: Rule(name, sentences.RULES[name], weights)
        for name, weights in (
            ("ArithmeticDecrease", _arithmetic),
            ("GeometricDecrease", _geometric),
            ("WinnerTakesAll", _winner_takes_all),
            ("Equal", _equal),
            ("Proportional", _proportional),
        )
    }
)
"""The allocation rules by name, in the order in which a funder is shown them."""
