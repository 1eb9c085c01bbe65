"""Comparing models that answered the same questions.

In the end a question that a model did not answer is one that it did not get right, as in its
score; so all that is needed of a model is the set of the questions that it answered right. While
models are still being asked, only the questions count that both have met.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from itertools import combinations
from random import Random
from typing import Any, NamedTuple

from benchpool.evaluation.statistics import LEVEL, Interval, holm, mcnemar, wilson


class RankSet(NamedTuple):
    """The best and the worst rank that the answers allow a model, counted from 1."""

    best: int
    worst: int


class Better(NamedTuple):
    """Two models that can be told apart."""

    better: str
    worse: str


def told_apart(
    right: Mapping[str, AbstractSet[int]],
    level: Fraction = LEVEL,
    *,
    met: Mapping[str, AbstractSet[int]] | None = None,
) -> frozenset[Better]:
    """Find the pairs of models of which the data say that one is better.

    Exact McNemar tests of all pairs, as one family under Holm's correction.

    Args:
        right: For each model the questions that it answered right.
        level: How likely any one of the pairs found may be so by chance alone.
        met: For each model the questions that it has met so far; None: all have met all.
    """

    def only(one: str, other: str) -> int:
        ahead = right[one] - right[other]
        return len(ahead if met is None else ahead & met[other])

    pairs = list(combinations(sorted(right), 2))
    counts = [(only(a, b), only(b, a)) for a, b in pairs]
    adjusted = holm([mcnemar(*each) for each in counts])
    return frozenset(
        Better(a, b) if only_a > only_b else Better(b, a)
        for (a, b), (only_a, only_b), p in zip(pairs, counts, adjusted, strict=True)
        if p <= level
    )


def rank_sets(
    right: Mapping[str, AbstractSet[int]],
    level: Fraction = LEVEL,
    *,
    met: Mapping[str, AbstractSet[int]] | None = None,
) -> dict[str, RankSet]:
    """Give each model the ranks that it may have: below all that are surely better, and so on.

    The arguments are those of ``told_apart``.
    """
    apart = told_apart(right, level, met=met)
    better = dict.fromkeys(right, 0)
    worse = dict.fromkeys(right, 0)
    for pair in apart:
        better[pair.worse] += 1
        worse[pair.better] += 1
    return {model: RankSet(1 + better[model], len(right) - worse[model]) for model in right}


def difference_interval(both: int, b: int, c: int, n: int, *, level: float = 0.95) -> Interval:
    """Bound the accuracy of a first model less that of a second on the same questions.

    Args:
        both: Questions that both answered right.
        b: Those that only the first did.
        c: Those that only the second did.
        n: All questions.
        level: How often such an interval holds the true difference.

    Raises:
        ValueError: Counts that are negative or more than n, or a level outside (0, 1).

    Source: Newcombe 1998, Statistics in Medicine 17, 2635-2650, method 10: Wilson's intervals of
    the two accuracies, joined with regard to how far the answers go together.
    """
    neither = n - both - b - c
    if min(both, b, c, neither) < 0:
        raise ValueError(f"{both} + {b} + {c} of {n} questions cannot be")
    if n == 0:
        return Interval(-1.0, 1.0)
    first, second = both + b, both + c
    margins = first * (n - first) * second * (n - second)
    doubled = 2 * (both * neither - b * c)
    if doubled > 0:
        doubled = max(0, doubled - n)  # the correction for continuity
    phi = doubled / (2 * math.sqrt(margins)) if margins else 0.0
    (low_1, high_1), (low_2, high_2) = (wilson(each, n, level=level) for each in (first, second))
    p, q = first / n, second / n
    return Interval(
        low=p - q - _joined(p - low_1, high_2 - q, phi),
        high=p - q + _joined(high_1 - p, q - low_2, phi),
    )


def bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    *,
    seed: int,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Interval:
    """Bound the mean of a first score less that of a second by drawing questions again.

    Args:
        first: One score a question.
        second: The other model's, question by question.
        seed: The same seed gives the same interval, on every machine.
        resamples: How often all questions are drawn anew, with replacement.
        level: The share of the resamples between the bounds.

    Raises:
        ValueError: Unequal lengths, no questions, no resamples, or a level outside (0, 1).

    Source: Efron 1979; the percentile interval, of pairs because both models met each question.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"no interval of level {level} from {resamples} resamples")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n == 0:
        raise ValueError("no questions to draw from")
    # random() alone is promised to stay the same between versions of Python.
    draw = Random(seed).random  # noqa: S311
    means = sorted(
        math.fsum([differences[int(draw() * n)] for _ in range(n)]) / n for _ in range(resamples)
    )
    cut = int((1 - level) / 2 * resamples)
    return Interval(means[cut], means[resamples - 1 - cut])


def compare_right(
    first: AbstractSet[int], second: AbstractSet[int], met: Sequence[int], *, seed: int = 0
) -> dict[str, Any]:
    """Compare two models on the questions that both have met.

    Args:
        first: The questions that one answered right.
        second: Those of the other.
        met: The questions that count, in order; one at least.
        seed: Of the bootstrap.

    Returns:
        `n`, `both_right`, `only_first`, `only_second`, `neither`; `p` of the exact McNemar test;
        `difference` of the accuracies with `interval` (Newcombe) and `bootstrap`, 95 % each.
    """
    first, second, n = first & set(met), second & set(met), len(met)
    both, only_first, only_second = len(first & second), len(first - second), len(second - first)
    scores = [[float(number in each) for number in met] for each in (first, second)]
    return {
        "n": n,
        "both_right": both,
        "only_first": only_first,
        "only_second": only_second,
        "neither": n - both - only_first - only_second,
        "p": float(mcnemar(only_first, only_second)),
        "difference": (only_first - only_second) / n,
        "interval": list(difference_interval(both, only_first, only_second, n)),
        "bootstrap": list(bootstrap_difference(*scores, seed=seed)),
    }


def _joined(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))
