from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchpool.evaluation.pairs import (
    bootstrap_difference,
    difference_interval,
    rank_sets,
    told_apart,
)
from benchpool.evaluation.statistics import mcnemar

rights = st.dictionaries(
    st.sampled_from("abcde"), st.frozensets(st.integers(0, 30)), min_size=1, max_size=5
)


def test_newcombe_gives_the_published_bounds():
    # Complete response before and after consolidation (Cavo 2012): 65 against 75 of 161; the
    # bounds that Fagerland, Lydersen and Laake give for Newcombe's interval, chapter 8.
    interval = difference_interval(59, 6, 16, 161)
    assert [round(bound, 4) for bound in interval] == [-0.1186, -0.0046]


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_an_interval_of_a_difference_holds_it_and_turns_with_the_models(counts):
    both, b, c, _ = counts
    n = sum(counts)
    interval = difference_interval(both, b, c, n)
    turned = difference_interval(both, c, b, n)
    assert (interval.low, interval.high) == pytest.approx((-turned.high, -turned.low))
    if n:
        assert -1 - 1e-12 <= interval.low <= (b - c) / n <= interval.high <= 1 + 1e-12


def test_an_interval_covers_what_it_promises():
    # Exact coverage at n = 40 by summing over all tables of three probabilities.
    n, truth = 40, (0.3, 0.2, 0.1, 0.4)
    covered = 0.0
    for both, b, c in np.ndindex(n + 1, n + 1, n + 1):
        if both + b + c <= n:
            low, high = difference_interval(both, b, c, n)
            if low <= truth[1] - truth[2] <= high:
                table = (both, b, c, n - both - b - c)
                covered += stats.multinomial.pmf(table, n, truth)
    assert 0.93 < covered < 0.98


def test_an_interval_of_impossible_counts_is_refused():
    with pytest.raises(ValueError, match="cannot be"):
        difference_interval(5, 5, 5, 14)
    assert difference_interval(0, 0, 0, 0) == (-1.0, 1.0)


def test_the_bootstrap_is_a_function_of_its_seed():
    first = [place % 7 / 7 for place in range(90)]
    second = [place % 5 / 9 for place in range(90)]
    interval = bootstrap_difference(first, second, seed=7)
    assert bootstrap_difference(first, second, seed=7) == interval
    assert bootstrap_difference(first, second, seed=8) != interval
    # Fixed for good: whoever reads a report can compute it again.
    assert [round(bound, 6) for bound in interval] == [0.140564, 0.267372]


def test_the_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.random(200) < 0.5, rng.random(200) < 0.4
    expected = stats.bootstrap(
        (first.astype(float), second.astype(float)),
        lambda x, y, axis: (x - y).mean(axis=axis),
        paired=True, vectorized=True, method="percentile", rng=2,
    ).confidence_interval  # fmt: skip
    interval = bootstrap_difference(list(first * 1.0), list(second * 1.0), seed=1)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=0.012)


def test_the_bootstrap_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match="no questions"):
        bootstrap_difference([], [], seed=1)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        bootstrap_difference([1], [1, 2], seed=1)
    with pytest.raises(ValueError, match="0 resamples"):
        bootstrap_difference([1], [1], seed=1, resamples=0)


def test_rank_sets_by_hand():
    # a beats c 20 : 0, b stands between: 8 : 0 from each, whose p of 0.0078 three tests allow.
    right = {"a": set(range(16)), "b": set(range(8)), "c": set()}
    assert rank_sets(right) == {"a": (1, 1), "b": (2, 2), "c": (3, 3)}
    # 6 : 0 is p = 0.031: significant alone, but not beside two other tests.
    assert rank_sets({"a": set(range(6)), "b": set()}) == {"a": (1, 1), "b": (2, 2)}
    right = {"a": set(range(12)), "b": set(range(6)), "c": set()}
    assert rank_sets(right) == {"a": (1, 2), "b": (1, 3), "c": (2, 3)}
    assert rank_sets({}) == {}


def test_only_questions_count_that_both_have_met():
    right = {"a": set(range(8)), "b": set()}
    assert rank_sets(right) == {"a": (1, 1), "b": (2, 2)}
    # Of the eight that a got right, b has met four yet: 4 : 0 shows nothing.
    assert told_apart(right, met={"a": set(range(8)), "b": set(range(4))}) == frozenset()
    assert rank_sets(right, met={"a": set(range(8)), "b": set()}) == {"a": (1, 2), "b": (1, 2)}
    everything = set(range(8))
    assert rank_sets(right, met={"a": everything, "b": everything}) == rank_sets(right)


@given(rights)
def test_rank_sets_hold_the_rank_and_count_the_pairs(right):
    ranks = rank_sets(right)
    for model, (best, worst) in ranks.items():
        better = sum(len(other) > len(right[model]) for other in right.values())
        worse = sum(len(other) < len(right[model]) for other in right.values())
        assert 1 <= best <= better + 1 <= len(right) - worse <= worst <= len(right)
    apart = told_apart(right)
    assert sum(best - 1 for best, _ in ranks.values()) == len(apart)


@given(rights)
def test_no_pair_is_told_apart_that_its_own_test_does_not_tell(right):
    apart = told_apart(right)
    for a, b in combinations(right, 2):
        p = mcnemar(len(right[a] - right[b]), len(right[b] - right[a]))
        pairs = len(right) * (len(right) - 1) // 2
        found = (a, b) in apart or (b, a) in apart
        assert found or p > 0.05 / pairs  # Bonferroni's test finds no more than Holm's
        assert not found or p <= 0.05
