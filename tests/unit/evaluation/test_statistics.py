import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.evaluation.statistics import mcnemar, wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_bounds(correct, n, low, high):
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3.
    interval = wilson(correct, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0.0, 1.0)
    # Closed form: with nothing correct the upper bound is z^2 / (n + z^2), z = 1.959964.
    assert wilson(0, 10).low == 0.0
    assert wilson(0, 10).high == pytest.approx(3.8414588 / 13.8414588, rel=1e-7)
    assert wilson(10, 10).high == 1.0
    assert wilson(10, 10).low == pytest.approx(1 - wilson(0, 10).high)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_accuracy_and_widens_with_the_level(counts):
    correct, n = counts
    narrow, wide = wilson(correct, n, level=0.9), wilson(correct, n, level=0.99)
    assert 0 <= wide.low <= narrow.low <= correct / n <= narrow.high <= wide.high <= 1


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, math.nan])
def test_a_level_lies_between_0_and_1(level):
    with pytest.raises(ValueError, match="confidence level"):
        wilson(1, 2, level=level)


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="cannot be correct"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (0, 0, 1.0),
        (4, 4, 1.0),
        (5, 4, 1.0),
        (6, 0, 2 / 2**6),
        (1, 9, 2 * (1 + 10) / 2**10),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
    ],
)
def test_mcnemar_is_a_doubled_binomial_tail(b, c, p):
    assert mcnemar(b, c) == p
    assert mcnemar(c, b) == p


def test_mcnemar_is_exact_for_large_counts():
    assert mcnemar(5_000, 0) == 0.0
    # Normal approximation with continuity correction: z = (|b - c| - 1) / sqrt(b + c).
    z = (5_200 - 5_000 - 1) / math.sqrt(10_200)
    assert mcnemar(5_200, 5_000) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)
