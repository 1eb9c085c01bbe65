import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.errors import InferenceError
from benchpool.evaluation.scorers import retrieve_letter, score_cloze


def test_the_sum_and_the_sum_per_character_may_choose_differently():
    # -6/2 = -3, -7/14 = -0.5, -9/3 = -3 nats a character
    assert score_cloze([-6.0, -7.0, -9.0], ["ab", "abcdefghijklmn", "abc"]) == (1, 2, 1.0)


def test_characters_are_code_points_not_bytes():
    # -2.25 and -2 nats a character; by bytes it would be -1.125 and -2.
    assert score_cloze([-4.5, -4.0], ["éé", "ab"]).prediction_per_character == 2


def test_the_first_of_equals_wins():
    assert score_cloze([-2.0, -1.0, -1.0], ["a", "b", "c"]) == (2, 2, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_log_likelihood_that_is_no_number_is_an_inference_error(bad):
    with pytest.raises(InferenceError, match="not finite"):
        score_cloze([-1.0, bad, -2.0], ["a", "b", "c"])


@pytest.mark.parametrize(
    ("values", "texts"), [([-1.0], ["a"]), ([], []), ([-1.0, -2.0], ["a", "b", "c"])]
)
def test_every_choice_needs_its_log_likelihood(values, texts):
    with pytest.raises(ValueError, match="log-likelihoods for"):
        score_cloze(values, texts)


def test_an_empty_choice_is_refused():
    with pytest.raises(ValueError, match="empty choice"):
        score_cloze([-1.0, -2.0], ["a", ""])


choices = st.lists(
    st.tuples(st.floats(-500, 0), st.text(min_size=1, max_size=40)), min_size=2, max_size=6
)


@given(choices)
def test_choices_are_those_of_numpy_argmax(pairs):
    values, texts = zip(*pairs, strict=True)
    score = score_cloze(values, texts)
    lengths = np.array([float(len(text)) for text in texts])
    assert score.prediction == np.argmax(values) + 1
    assert score.prediction_per_character == np.argmax(np.array(values) / lengths) + 1
    assert score.margin_nats >= 0


@pytest.mark.parametrize(
    ("text", "choice"),
    [("A", 1), ("B", 2), ("C", 3), (" B\n", 2), ("A.", 1), ("(B)", 2), ("C:", 3), (" (A). ", 1)],
)
def test_a_letter_that_stands_alone_is_a_choice(text, choice):
    assert retrieve_letter(text) == choice


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "D",
        "a",
        "b.",
        "1",
        "AB",
        "A car",
        "B) foo",
        "A or B",
        "A, B",
        "Answer: A",
        "А",
        "A!",
    ],
)
def test_anything_else_is_no_choice(text):
    assert retrieve_letter(text) == 0


def test_there_are_as_many_letters_as_choices():
    said = ["A", " (D)", "E.", "", " ", "AB", "Z"]
    assert [retrieve_letter(each, 4) for each in said] == [1, 4, 0, 0, 0, 0, 0]
    assert retrieve_letter("Z", 26) == 26
