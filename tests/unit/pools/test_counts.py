import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError
from benchpool.evaluation.metrics import standard_error
from processes.counts import (
    Counts,
    accuracy_figures,
    decimal,
    decimal_error,
    read_counts,
    write_counts,
)


@st.composite
def counts(draw):
    total = draw(st.integers(0, 3000))
    evaluated = draw(st.integers(0, total))
    return Counts(
        draw(st.integers(0, evaluated)),
        evaluated,
        draw(st.integers(0, total - evaluated)),
        total,
        draw(st.integers(0, evaluated)),
    )


@given(counts())
def test_what_is_written_is_read_back(given_counts):
    tags = Tags(write_counts(given_counts, accuracy_figures(given_counts)))
    assert read_counts(tags) == given_counts


@given(counts())
def test_the_decimals_are_those_of_the_metrics(given_counts):
    figures = accuracy_figures(given_counts)
    if given_counts.evaluated < 2:
        assert figures.standard_error == ""
    else:
        expected = standard_error(given_counts.correct, given_counts.total)
        assert abs(float(figures.standard_error) - expected) <= 0.51e-6
    if given_counts.total:
        exact = given_counts.correct / given_counts.total
        assert abs(float(figures.score) - exact) <= 0.51e-6


def test_known_decimals():
    assert decimal(1, 3) == "0.333333"
    assert decimal(2, 3) == "0.666667"
    assert decimal(1, 1) == "1.000000"
    assert decimal(0, 0) == "0.000000"
    assert decimal_error(2, 5) == "0.244949"
    assert decimal_error(5, 5) == "0.000000"
    assert decimal_error(1, 1) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Correct", ""),
        ("Correct", "-1"),
        ("Evaluated", "1.5"),
        ("Total", "9" * 13),
        ("Total", "٣"),
        ("Correct", "4"),
        ("Unscored", "8"),
    ],
)
def test_counts_that_cannot_be_are_refused(name, value):
    good = {"Correct": "2", "Evaluated": "3", "Total": "10"}
    assert read_counts(Tags(good)) == Counts(2, 3, 0, 10)
    with pytest.raises(HandlerError):
        read_counts(Tags({**good, name: value}))
