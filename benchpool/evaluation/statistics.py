"""What a score is worth: an interval for it, exact tests against chance and between two models.

The tests give exact fractions, made of integers alone. Money may follow from comparing them with
a level: the comparison comes out the same on every machine, which that of floats, made of each
machine's own exp and log, need not. The intervals are for readers, and are floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

from benchpool.evaluation.metrics import check_counts

LEVEL: Final = Fraction(1, 20)
"""The level of all tests: how often a family of them may find something where nothing is."""

MOST_EXACT: Final = 1_000
"""Questions of unequal chances up to which the exact tail is taken: it costs their square."""


class Interval(NamedTuple):
    """Bounds of an accuracy, fractions in [0, 1], or of a difference of two, in [-1, 1]."""

    low: float
    high: float


def wilson(correct: int, n: int, *, level: float = 0.95) -> Interval:
    """Bound an accuracy; no answers give (0, 1).

    Raises:
        ValueError: Unless 0 <= correct <= n and 0 < level < 1.

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001 over the textbook interval,
    which is empty at 0 % and 100 %.
    """
    check_counts(correct, n)
    z = two_sided_z(level)
    if n == 0:
        return Interval(0.0, 1.0)
    p = correct / n
    centre = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula gives exactly 0 and 1; floats miss them by a rounding error.
    return Interval(
        low=0.0 if correct == 0 else (centre - reach) / scale,
        high=1.0 if correct == n else (centre + reach) / scale,
    )


def above_chance(correct: int, n: int, chance: Fraction | Sequence[Fraction]) -> Fraction:
    """How likely a blind guesser gets so many questions right, or more.

    Args:
        correct: Questions answered right.
        n: Questions asked.
        chance: The score of a blind guess, the same for all questions or one a question.

    Returns:
        The exact one-sided p-value. Of more than ``MOST_EXACT`` questions of unequal chances an
        upper bound of it: the tail at their mean chance, rounded up to thousandths.

    Raises:
        ValueError: Unless 0 <= correct <= n, and each chance lies in [0, 1]; or there are
            chances, but not one a question.

    Source: the binomial test; for unequal chances the Poisson binomial distribution, and
    Hoeffding 1956, theorem 4: from one above the mean on, equal chances have the heavier tail.
    """
    check_counts(correct, n)
    chances = [chance] if isinstance(chance, Fraction) else list(chance)
    if not all(0 <= each <= 1 for each in chances):
        raise ValueError("the score of a blind guess lies in [0, 1]")
    if isinstance(chance, Fraction):
        return _binomial_tail(correct, n, chance)
    if len(chances) != n:
        raise ValueError(f"{len(chances)} chances for {n} questions")
    if len(set(chances)) <= 1:
        return _binomial_tail(correct, n, chances[0] if chances else Fraction(0))
    if n <= MOST_EXACT:
        return _poisson_binomial_tail(correct, chances)
    mean = Fraction(math.ceil(1000 * sum(chances) / n), 1000)
    return _binomial_tail(correct, n, mean) if correct >= n * mean + 1 else Fraction(1)


def mcnemar(b: int, c: int) -> Fraction:
    """How likely a difference at least this large is between two equally good models.

    Args:
        b: Samples that only the first model answered correctly.
        c: Samples that only the second model answered correctly. Samples on which both agree
            say nothing about which is better, and do not enter.

    Returns:
        The exact two-sided p-value; 1 when the models never disagree.

    Raises:
        ValueError: A negative count.

    Source: McNemar 1947; exact form: a sign test, binomial(b + c, 1/2), the tail doubled.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    return min(Fraction(1), 2 * _binomial_tail(max(b, c), b + c, Fraction(1, 2)))


def holm(p_values: Sequence[Fraction]) -> list[Fraction]:
    """Adjust the p-values of a family of tests, in the order given.

    Those that stay at or below a level are significant at it: that any of them is so by chance
    alone is then no more likely than the level, however the tests depend on each other.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, the sequentially rejective test.
    """
    adjusted = list(p_values)
    floor = Fraction(0)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, index in enumerate(order):
        floor = max(floor, min(Fraction(1), (len(order) - place) * p_values[index]))
        adjusted[index] = floor
    return adjusted


def two_sided_z(level: float) -> float:
    """How many standard deviations hold a share of the normal distribution around its middle.

    Raises:
        ValueError: Unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


@lru_cache(maxsize=4096)
def _binomial_tail(k: int, n: int, chance: Fraction) -> Fraction:
    right, wrong = chance.numerator, chance.denominator - chance.numerator
    if k == 0 or right == 0:
        return Fraction(int(k == 0))
    # From the top down: the terms of the far end, most of them, are the short ones.
    term = tail = right**n
    for i in range(n, k, -1):
        term = term * (i * wrong) // ((n - i + 1) * right)
        tail += term
    return Fraction(tail, chance.denominator**n)


def _poisson_binomial_tail(k: int, chances: Sequence[Fraction]) -> Fraction:
    scale = math.lcm(*(each.denominator for each in chances))
    ways = [1]  # ways[i] over scale**(questions so far): how likely i of them are right
    for each in chances:
        right = each.numerator * (scale // each.denominator)
        wrong = scale - right
        ways = [
            stays * wrong + rises * right
            for stays, rises in zip([*ways, 0], [0, *ways], strict=True)
        ]
    return Fraction(sum(ways[k:]), scale ** len(chances))
