"""Metrics over the samples of one evaluation, as the reference harness computes them."""

from __future__ import annotations

import math


def accuracy(correct: int, n: int) -> float | None:
    """The fraction of answers that are right; None when there are none.

    None and not 0.0: an entry that has answered nothing is not an entry that got all wrong.

    Raises:
        ValueError: Unless 0 <= correct <= n.
    """
    check_counts(correct, n)
    return correct / n if n else None


def standard_error(correct: int, n: int) -> float | None:
    """The standard error of an accuracy, as a fraction; None for fewer than two answers.

    One answer says nothing about spread (the sample deviation divides by n - 1), and 0.0 would
    claim that it says everything.

    Raises:
        ValueError: Unless 0 <= correct <= n.

    Source: lm-evaluation-harness, ``lm_eval/api/metrics.py``, ``mean_stderr``: the sample
    deviation over the root of n. Of zeros and ones that is sqrt(p (1 - p) / (n - 1)).
    """
    check_counts(correct, n)
    if n < 2:
        return None
    # The product of integers first: exact, so that the same counts give the same last digit.
    return math.sqrt(correct * (n - correct) / (n * n * (n - 1)))


def check_counts(correct: int, n: int) -> None:
    """Refuse counts that no evaluation can give.

    Raises:
        ValueError: Unless 0 <= correct <= n.
    """
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} of {n} answers cannot be correct")
