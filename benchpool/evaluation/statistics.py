"""What a difference of scores is worth: an interval for one, an exact test for two."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from benchpool.evaluation.metrics import check_counts


class Interval(NamedTuple):
    """Bounds of an accuracy, fractions in [0, 1]."""

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
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not at {level}")
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = correct / n
    centre = p + z * z / (2 * n)
    reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends the formula gives exactly 0 and 1; floats miss them by a rounding error.
    return Interval(
        low=0.0 if correct == 0 else (centre - reach) / scale,
        high=1.0 if correct == n else (centre + reach) / scale,
    )


def mcnemar(b: int, c: int) -> float:
    """How likely a difference at least this large is between two equally good models.

    Args:
        b: Samples that only the first model answered correctly.
        c: Samples that only the second model answered correctly. Samples on which both agree
            say nothing about which is better, and do not enter.

    Returns:
        The exact two-sided p-value; 1.0 when the models never disagree.

    Raises:
        ValueError: A negative count.

    Source: McNemar 1947; exact form: a sign test, binomial(b + c, 1/2), the tail doubled.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    n = b + c
    term = tail = 1  # integers of any size: a power of two this large is no float
    for k in range(1, min(b, c) + 1):
        term = term * (n - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / (1 << n))
