"""Tag matches: wildcards and words."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.server.tag_match import LONGEST, MOST, matcher

TEXT = st.text("ab\n", max_size=12)


@given(st.text("ab*?", max_size=8), TEXT)
def test_wildcards_are_those_of_the_shell(pattern: str, value: str) -> None:
    assert matcher("WILDCARD", [pattern])(value) == fnmatch.fnmatchcase(value, pattern)


def test_other_signs_of_regular_expressions_are_letters() -> None:
    takes = matcher("WILDCARD", ["a.[b]*+"])
    assert takes("a.[b]xx+")
    assert not takes("axbxx+")


def test_very_many_stars_take_no_time() -> None:
    assert not matcher("WILDCARD", ["a*" * 127 + "b"])("a" * 60_000)


@pytest.mark.parametrize(
    ("kind", "wanted", "value", "fits"),
    [
        ("FUZZY_AND", "hello world", "World, hello!", True),
        ("FUZZY_AND", "hello world", "hello", False),
        ("FUZZY_OR", "hello world", "Hello there", True),
        ("FUZZY_OR", "hello world", "helloworld", False),
        ("FUZZY_OR", "", "anything", False),
        ("FUZZY_AND", "größe", "GRÖSSE Größe", True),
    ],
)
def test_fuzzy_matches_compare_words(kind: str, wanted: str, value: str, fits: bool) -> None:
    assert matcher(kind, [wanted])(value) is fits


def test_any_of_several_values_will_do() -> None:
    assert matcher("WILDCARD", ["x*", "*b"])("aab")


def test_long_values_and_many_are_refused() -> None:
    for values in (["x" * (LONGEST + 1)], ["x"] * (MOST + 1)):
        with pytest.raises(ValueError, match="otherwise than EXACT"):
            matcher("WILDCARD", values)
