"""Generated text is scored as the reference harness scores it, and no pattern takes for ever."""

from __future__ import annotations

from fractions import Fraction

import pytest

from benchpool.errors import DatasetError
from benchpool.evaluation.patterns import MAX_PATTERN, Pattern
from benchpool.evaluation.text_scorers import (
    Filter,
    Metric,
    Step,
    check_filter,
    check_metric,
    exact_match,
    f1,
    filtered,
)

GSM8K = Metric(
    name="exact_match",
    ignore_case=True,
    regexes_to_ignore=(",", r"\$", "(?s).*#### ", r"\.$"),
)
FLEXIBLE = Step(function="regex", regex_pattern="(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1)


def through(text: str, *steps: Step) -> str:
    return filtered(text, Filter(name="none", filter=steps))


@pytest.mark.parametrize(
    ("text", "targets", "options", "expected"),
    [
        ("42", ["42"], Metric(name="exact_match"), True),
        (" 42", ["42"], Metric(name="exact_match"), False),
        ("yes", ["No", "Yes"], Metric(name="exact_match", ignore_case=True), True),
        ("u.s.a.", ["usa"], Metric(name="exact_match", ignore_punctuation=True), True),
        ("a1b2", ["ab"], Metric(name="exact_match", ignore_numbers=True), True),
        ("$1,234.", ["He has 1,000 + 234\n#### 1234"], GSM8K, True),
        ("1235", ["#### 1234"], GSM8K, False),
        # Regexes come before case: this one sees the capital that would be gone after it.
        ("Xab", ["AB"], Metric(name="exact_match", ignore_case=True, regexes_to_ignore=("X",)), 1),
        ("anything", [], Metric(name="exact_match"), False),
    ],
)
def test_exact_match_normalises_both_sides(text, targets, options, expected):
    assert exact_match(text, targets, options) == bool(expected)


@pytest.mark.parametrize(
    ("text", "step", "expected"),
    [
        ("so 3\n#### 1,234", Step(function="regex"), "1,234"),
        ("no number", Step(function="regex"), "[invalid]"),
        ("no number", Step(function="regex", fallback="?"), "?"),
        ("has $12 and 7", FLEXIBLE, "7"),
        ("has 7 and $12.50 ", FLEXIBLE, "$12.50"),
        # The harness ends with an IndexError here; a reply that does not hold as many is no match.
        ("1", Step(function="regex", regex_pattern="[0-9]", group_select=1), "[invalid]"),
        ("b", Step(function="regex", regex_pattern="(a?)b(c?)"), "[invalid]"),
        ("٣", Step(function="regex", regex_pattern=r"(\d)"), "٣"),
        ("x\n", Step(function="regex", regex_pattern="(x)$"), "x"),
        ("A ", Step(function="remove_whitespace"), "A"),
        ("Ab", Step(function="lowercase"), "ab"),
        ("Ab", Step(function="uppercase"), "AB"),
        (" A", Step(function="take_first"), " A"),
        ("A", Step(function="take_first_k", k=1), "A"),
        ("A", Step(function="majority_vote"), "A"),
        ("A", Step(function="map", mapping_dict={"A": "yes"}, default_value="no"), "yes"),
        ("a", Step(function="map", mapping_dict={"A": "yes"}, default_value="no"), "no"),
        ("a", Step(function="map", mapping_dict={"A": "yes"}, default_value=""), ""),
    ],
)
def test_filters_make_of_a_reply_what_the_harness_does(text, step, expected):
    assert through(text, step) == expected


def test_steps_follow_each_other_and_none_changes_nothing():
    steps = (Step(function="lowercase"), Step(function="regex", regex_pattern="answer is (.)"))
    assert through("The ANSWER is B", *steps, Step(function="take_first")) == "b"
    assert filtered(" as it is ", None) == " as it is "


@pytest.mark.parametrize(
    ("text", "targets", "expected"),
    [
        ("the cat", ["A cat!"], Fraction(1)),
        ("black cat", ["white cat", "cat"], Fraction(2, 3)),
        ("", ["the"], Fraction(1)),
        ("", ["cat"], Fraction(0)),
        ("dog", ["cat"], Fraction(0)),
        ("cat cat", ["cat"], Fraction(2, 3)),
    ],
)
def test_f1_of_words(text, targets, expected):
    assert f1(text, targets) == expected


HARNESS = (
    r"#### (\-?[0-9\.\,]+)",
    "(-?[$0-9.,]{2,})|(-?[0-9]+)",
    r"(\([A-Z]\))",
    "((?<=The answer is )(.*)(?=.)|(?<=the answer is )(.*)(?=.)|(?<=The answer: )(.*)(?=.))",
    r"The answer is (\-?[0-9\.\,]*[0-9]+)",
    r"\b(Yes|No|yes|no)\b",
    "([A-E]).*",
    r"answer is \(?([ABCDEFGHIJ])\)?",
    r"(?<= )([\" \[\(<{}>\)\]]+)|([\" \[\(<{}>\)\]]+)",
    "(?s).*#### ",
    r"^\s+",
    r"\s+$",
    r"\b(?:The |the |An |A |The |a |an )",
)


@pytest.mark.parametrize("pattern", HARNESS)
def test_patterns_of_the_harness_are_read_and_run_on_long_replies(pattern):
    text = "She has 3 apples, so the answer is 1,234. " * 100
    Pattern.read(pattern).find_all(text)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*",
        "(a|a)*b",
        "(?:a?){99}",
        "(ab|a|b)+c",
        "(?:(?=a*)b)+",
        r"(a)(?:\1b?)*",
        "((a{1,9}){1,9}){1,9}",
        r"(?:\b){999999}",
        "(?:){999999999}",
        "(?>(a+)+)b",
        "(?:a+)++b",
        "(",
        "a{99999999999}",
        "(?:aa|a)" * 30 + "b",
        "a?" * 40 + "a" * 40,
        "a" * (MAX_PATTERN + 1),
    ],
)
def test_patterns_that_could_take_for_ever_are_refused(pattern):
    with pytest.raises(DatasetError) as refused:
        Pattern.read(pattern)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    "pattern",
    ["a*a*a*a*b", "a?" * 20 + "a" * 20, "(?:aa|a)" * 15 + "b", "(?=a*a*a*)b", "(?:ab)*(?:ab)*c"],
)
def test_texts_that_would_take_too_many_steps_are_refused(pattern):
    read = Pattern.read(pattern)
    read.find_all("short")
    with pytest.raises(DatasetError, match="too long for the pattern"):
        read.find_all("ab" * 9000 if "ab" in pattern else "a" * 9000)


def test_options_of_another_metric_or_filter_are_refused():
    with pytest.raises(DatasetError, match="f1 has no options"):
        check_metric(Metric(name="f1", ignore_case=True))
    with pytest.raises(DatasetError, match="no regular expression"):
        check_metric(Metric(name="exact_match", regexes_to_ignore=("(",)))
    with pytest.raises(DatasetError, match="take_first has no option group_select"):
        check_filter(Filter(name="x", filter=(Step(function="take_first", group_select=1),)))
    with pytest.raises(DatasetError, match="take for ever"):
        check_filter(Filter(name="x", filter=(Step(function="regex", regex_pattern="(a+)+"),)))
    with pytest.raises(DatasetError, match="map needs default_value"):
        check_filter(Filter(name="x", filter=(Step(function="map", mapping_dict={"A": "b"}),)))
    with pytest.raises(DatasetError, match="regex has no option mapping_dict"):
        check_filter(Filter(name="x", filter=(Step(function="regex", mapping_dict={"A": "b"}),)))
