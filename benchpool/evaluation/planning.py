"""How much a number of questions can tell, before any of them is asked."""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from statistics import NormalDist
from typing import Final

from benchpool.evaluation.statistics import above_chance, two_sided_z

USUAL_DISAGREEMENT: Final = 0.26
"""On how many questions only one of two models is right. Two small models had 91 and 84 of 180
questions of Social IQa right with a McNemar p of 0.38: they disagreed on some 47 of them."""


def smallest_difference(
    n: int,
    *,
    disagreement: float = USUAL_DISAGREEMENT,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """Return the smallest difference of two accuracies that n questions usually show.

    If two models differ by that much, McNemar's test finds it with the given power: of 180
    questions 0.106, of 1,954 questions 0.032.

    Args:
        n: Questions that both models answer.
        disagreement: The share of questions that only one of the two gets right.
        power: How often the difference is found.
        level: One less the level of the two-sided test.

    Returns:
        A fraction; 1.0 if it would have to be more than the models disagree at all.

    Raises:
        ValueError: No questions, or a share, power or level outside (0, 1); power below a half.

    Source: Connor 1987, Biometrics 43, 207-211: n d^2 = (u s + v sqrt(s - d^2))^2, s being the
    disagreement, u and v the normal quantiles of level and power; solved for d.
    """
    if n < 1 or not 0 < disagreement < 1 or not 0.5 <= power < 1:
        raise ValueError(f"no plan for {n} questions, {disagreement} disagreement, {power} power")
    u, v = two_sided_z(level), NormalDist().inv_cdf(power)
    # A quadratic in d: (n + v^2) d^2 - 2 u sqrt(n s) d + (u^2 - v^2) s = 0.
    half = u * math.sqrt(n * disagreement)
    inside = half * half - (n + v * v) * (u * u - v * v) * disagreement
    if inside < 0:  # three questions or fewer
        return 1.0
    difference = (half + math.sqrt(inside)) / (n + v * v)
    return difference if difference <= disagreement else 1.0


def fewest_above_chance(n: int, chance: Fraction, level: Fraction) -> int:
    """Return how many of n questions must be right for a guesser to be ruled out at a level.

    Returns:
        One more than n if even all of them do not rule a guesser out.

    Raises:
        ValueError: Negative n, or a chance outside [0, 1].
    """
    return bisect_left(range(n + 1), True, key=lambda k: above_chance(k, n, chance) <= level)


def draws_to_find(share: Fraction, confidence: Fraction = Fraction(99, 100)) -> int:
    """Return how many answers to check so that a lie among them hardly stays hidden.

    Args:
        share: The share of answers that are lies: of one in twenty, 90 draws find one with 99 %.
        confidence: How likely at least one of the lies is drawn. Drawing without putting back,
            from few answers, finds it more likely still.

    Raises:
        ValueError: Unless 0 < share <= 1 and 0 <= confidence < 1.
    """
    if not (0 < share <= 1 and 0 <= confidence < 1):
        raise ValueError(f"no number of draws finds a share of {share} with {confidence}")
    if share == 1:
        return int(confidence > 0)
    # Logarithms come near; integers decide.
    draws = max(0, math.ceil(math.log(1 - confidence) / math.log(1 - share)) - 1)
    while (1 - share) ** draws > 1 - confidence:
        draws += 1
    return draws
