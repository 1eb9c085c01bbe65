import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.evaluation.metrics import accuracy, standard_error


def test_accuracy_is_a_fraction():
    assert accuracy(1, 4) == 0.25
    assert accuracy(0, 4) == 0.0


def test_no_answers_have_no_accuracy_and_one_has_no_standard_error():
    assert accuracy(0, 0) is None
    assert standard_error(0, 0) is None
    assert standard_error(1, 1) is None


def test_standard_error_of_two_answers():
    assert standard_error(1, 2) == 0.5


def test_a_published_standard_error():
    # Llama 2 7B on social_iqa dev, as lm-evaluation-harness printed it: 0.414 +- 0.011, n = 1954.
    assert round(standard_error(809, 1954), 3) == 0.011


@given(st.integers(2, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_standard_error_is_the_sample_deviation_over_the_root_of_n(counts):
    correct, n = counts
    answers = [1.0] * correct + [0.0] * (n - correct)
    expected = statistics.stdev(answers) / math.sqrt(n)
    assert standard_error(correct, n) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("counts", [(-1, 2), (3, 2), (0, -1)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="cannot be correct"):
        accuracy(*counts)
    with pytest.raises(ValueError, match="cannot be correct"):
        standard_error(*counts)
