import math
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchpool.evaluation.statistics import MOST_EXACT, above_chance, holm, mcnemar, wilson

THIRD = Fraction(1, 3)
chances = st.sampled_from([Fraction(1, 5), Fraction(1, 4), THIRD, Fraction(1, 2)])


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
    assert mcnemar(5_000, 0) == Fraction(2, 2**5_000)
    # Normal approximation with continuity correction: z = (|b - c| - 1) / sqrt(b + c).
    z = (5_200 - 5_000 - 1) / math.sqrt(10_200)
    assert float(mcnemar(5_200, 5_000)) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_sign_test_of_scipy(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert float(mcnemar(b, c)) == pytest.approx(expected, rel=1e-9)


def test_above_chance_gives_the_published_values():
    # Fisher 1935, the lady and the tea, as guesses with even odds: 8 of 8 by luck, 1 in 256.
    assert above_chance(8, 8, Fraction(1, 2)) == Fraction(1, 256)
    # Of 15 parts 3 fail where 1 in 10 is promised: the example of SciPy's binomtest.
    assert float(above_chance(3, 15, Fraction(1, 10))) == pytest.approx(0.18406106910639114)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), chances)
def test_above_chance_is_the_binomial_tail_of_scipy(counts, chance):
    correct, n = counts
    expected = stats.binom.sf(correct - 1, n, float(chance))
    assert float(above_chance(correct, n, chance)) == pytest.approx(expected, rel=1e-9)
    assert above_chance(correct, n, [chance] * n) == above_chance(correct, n, chance)


def test_above_chance_is_exact_for_a_whole_training_split():
    n = 33_410
    assert float(above_chance(11_400, n, THIRD)) == pytest.approx(
        stats.binom.sf(11_399, n, 1 / 3), rel=1e-9
    )


@given(st.lists(chances, max_size=7), st.data())
def test_chances_that_differ_give_the_sum_over_all_outcomes(each, data):
    correct = data.draw(st.integers(0, len(each)))
    expected = sum(
        math.prod(p if hit else 1 - p for p, hit in zip(each, hits, strict=True))
        for hits in product([True, False], repeat=len(each))
        if sum(hits) >= correct
    )
    assert above_chance(correct, len(each), each) == expected


@given(st.lists(chances, min_size=50, max_size=80), st.data())
def test_of_many_questions_with_chances_that_differ_it_is_a_bound(each, data):
    correct = data.draw(st.integers(0, len(each)))
    exact = above_chance(correct, len(each), each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchpool.evaluation.statistics.MOST_EXACT", 10)
        bound = above_chance(correct, len(each), each)
    assert exact <= bound
    if 2 * correct > 3 * sum(each):
        assert bound < 1


def test_the_bound_is_close():
    half_half = [Fraction(1, 4), Fraction(1, 2)] * (MOST_EXACT // 2 + 1)
    bound = above_chance(430, len(half_half), half_half)
    poisson_binomial = stats.norm.sf((429.5 - 375.75) / math.sqrt(501 * (3 / 16 + 1 / 4)))
    assert poisson_binomial <= bound <= 3 * poisson_binomial


def test_above_chance_at_the_ends():
    assert above_chance(0, 0, THIRD) == above_chance(0, 9, THIRD) == above_chance(0, 0, []) == 1
    assert above_chance(1, 9, Fraction(0)) == 0
    assert above_chance(9, 9, Fraction(1)) == 1


def test_above_chance_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="cannot be correct"):
        above_chance(3, 2, THIRD)
    with pytest.raises(ValueError, match="1 chances for 2 questions"):
        above_chance(1, 2, [THIRD])
    with pytest.raises(ValueError, match="blind guess"):
        above_chance(1, 2, Fraction(4, 3))


def test_holm_gives_the_published_values():
    # The worked example of many a text: 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02.
    p_values = [Fraction(each, 1000) for each in (10, 40, 30, 5)]
    assert holm(p_values) == [Fraction(each, 1000) for each in (30, 60, 60, 20)]
    assert holm([]) == []
    assert holm([Fraction(1, 2)] * 3) == [1, 1, 1]


@given(st.lists(st.fractions(0, 1), max_size=8), st.randoms(use_true_random=False))
def test_holm_steps_down_and_knows_no_order(p_values, random):
    level, rejected, left = Fraction(1, 20), set(), sorted(p_values)
    while left and left[0] * len(left) <= level:
        rejected.add(left.pop(0))
    adjusted = holm(p_values)
    assert [p <= level for p in adjusted] == [p in rejected for p in p_values]
    shuffled = list(enumerate(p_values))
    random.shuffle(shuffled)
    again = holm([p for _, p in shuffled])
    assert [again[[i for i, _ in shuffled].index(i)] for i in range(len(p_values))] == adjusted
