from fractions import Fraction
from math import comb

import pytest
from scipy import stats

from benchpool.evaluation.planning import (
    draws_to_find,
    fewest_above_chance,
    smallest_difference,
)
from benchpool.evaluation.statistics import mcnemar


def test_the_differences_that_social_iqa_can_show():
    assert round(100 * smallest_difference(180), 1) == 10.6
    assert round(100 * smallest_difference(1_954), 1) == 3.2


@pytest.mark.parametrize("n", [60, 180, 500])
def test_a_smallest_difference_is_found_about_as_often_as_promised(n):
    d, s = smallest_difference(n), 0.26
    power = 0.0
    for disagree in range(n + 1):
        weight = stats.binom.pmf(disagree, n, s)
        wins = (b for b in range(disagree + 1) if mcnemar(b, disagree - b) <= Fraction(1, 20))
        power += weight * stats.binom.pmf(list(wins), disagree, (s + d) / (2 * s)).sum()
    assert 0.70 < power < 0.82  # the exact test gives a little away to the formula's normal one


def test_fewer_questions_or_more_power_need_a_larger_difference():
    found = [smallest_difference(n) for n in (1, 20, 60, 180, 2_000, 35_000)]
    assert found == sorted(found, reverse=True)
    assert found[:2] == [1.0, 1.0]  # of 20 questions they disagree on five, and 5 : 0 shows nothing
    assert smallest_difference(180, power=0.9) > smallest_difference(180)
    assert smallest_difference(180, level=0.99) > smallest_difference(180)
    assert smallest_difference(180, disagreement=0.1) < smallest_difference(180)


@pytest.mark.parametrize("wrong", [{"n": 0}, {"disagreement": 0}, {"power": 0.4}, {"level": 1}])
def test_no_plan_for_what_cannot_be(wrong):
    with pytest.raises(ValueError, match=r"plan|level"):
        smallest_difference(**{"n": 100, **wrong})


def test_ninety_draws_find_one_lie_in_twenty():
    assert draws_to_find(Fraction(1, 20)) == 90
    assert 1 - 0.95**89 < 0.99 < 1 - 0.95**90
    # Without putting back, from 180 answers with 9 lies, 90 draws find one more surely still.
    assert 1 - Fraction(comb(171, 90), comb(180, 90)) > Fraction(998, 1000)


def test_draws_are_the_fewest():
    # Exactly on the edge: two draws find a half with three quarters.
    assert draws_to_find(Fraction(1, 2), Fraction(3, 4)) == 2
    assert draws_to_find(Fraction(1), Fraction(99, 100)) == 1
    assert draws_to_find(Fraction(1, 2), Fraction(0)) == 0
    for share in (Fraction(1, 3), Fraction(1, 1000)):
        k = draws_to_find(share)
        assert (1 - share) ** k <= Fraction(1, 100) < (1 - share) ** (k - 1)
    for share, confidence in ((0, 0.5), (Fraction(3, 2), 0.5), (0.5, 1)):
        with pytest.raises(ValueError, match="no number of draws"):
            draws_to_find(Fraction(share), Fraction(confidence))


@pytest.mark.parametrize(
    ("n", "level"), [(0, 0.05), (2, 0.05), (9, 0.05), (180, 0.05), (180, 0.01)]
)
def test_the_fewest_right_answers_that_no_guesser_has(n, level):
    k = fewest_above_chance(n, Fraction(1, 3), Fraction(level))
    right = stats.binom.sf(range(-1, n), n, 1 / 3)  # of 0, 1, ... n right or more
    assert k == next((k for k, p in enumerate(right) if p <= level), n + 1)
