"""A compiled data set is read whole or refused by file and line."""

from __future__ import annotations

import json
from fractions import Fraction

import msgspec
import pytest
from compiled_files import CHOICES, GENERATE, HEADER, KINDS, lines

from benchpool.errors import DatasetError
from benchpool.evaluation.compiled import (
    ChoicesQuestion,
    GenerateQuestion,
    Header,
    LikelihoodQuestion,
    Question,
    chance,
    is_compiled,
    read_compiled,
    write_compiled,
)


@pytest.mark.parametrize("data", KINDS)
def test_what_is_read_is_written_byte_for_byte(data):
    header, questions = read_compiled(data, "tiny.jsonl")
    assert len(questions) == header.count
    assert write_compiled(header, questions) == data
    assert is_compiled(data)


def test_the_last_line_may_lack_its_end_and_a_text_may_hold_any_line_separator():
    odd = CHOICES[0] | {"prompt": "a\u2028b\u0085c\nd"}
    header, questions = read_compiled(lines(HEADER, odd)[:-1], "tiny.jsonl")
    assert header.count == 1
    assert questions[0].prompt == "a\u2028b\u0085c\nd"


def test_chance_is_the_mean_of_right_choices_over_choices():
    questions: list[Question] = [
        ChoicesQuestion(prompt="", choices=("a",) * n, texts=("a",) * n, gold=gold)
        for n, gold in ((3, (1,)), (4, (2,)), (5, (1, 5)))
    ]
    assert chance(questions) == (Fraction(1, 3) + Fraction(1, 4) + Fraction(2, 5)) / 3
    assert chance([GenerateQuestion(prompt="", stop=(), max_tokens=1, targets=("a",))]) == 0
    assert chance([LikelihoodQuestion(prompt="", choices=("a",), targets=("a",))]) == 0


@pytest.mark.parametrize(
    ("line", "broken", "words"),
    [
        (1, HEADER | {"format": "benchpool-dataset/2"}, "format"),
        (1, HEADER | {"kind": "essay"}, "kind"),
        (1, HEADER | {"surprise": 1}, "surprise"),
        (1, HEADER | {"metrics": []}, "metrics"),
        (1, HEADER | {"metrics": ["f1"]}, "no metric of choices: 'f1'"),
        (1, HEADER | {"metrics": ["acc", "acc"]}, "twice"),
        (1, HEADER | {"filters": [{"name": "x", "filter": []}]}, "`filters`"),
        (1, HEADER | {"system": "x"}, "`system` goes with `chat`"),
        (1, HEADER | {"count": 0}, "count"),
        (1, HEADER | {"compiled": {"task": "12", "data": []}}, "compiled.task"),
        (2, CHOICES[0] | {"gold": [3]}, "must be 1 to 2, not 3"),
        (2, CHOICES[0] | {"gold": [0]}, "must be 1 to 2, not 0"),
        (2, CHOICES[0] | {"gold": []}, "gold"),
        (2, CHOICES[0] | {"gold": [1, 1]}, "named twice"),
        (2, CHOICES[0] | {"gold": [True]}, "gold"),
        (2, CHOICES[0] | {"choices": [" a"]}, "choices"),
        (2, CHOICES[0] | {"choices": ["x"] * 257}, "choices"),
        (2, CHOICES[0] | {"choices": ["", "b"]}, "choices"),
        (2, CHOICES[0] | {"texts": ["a"]}, "1 texts stand for 2 choices"),
        (2, CHOICES[0] | {"texts": ["", "b"]}, "acc_norm"),
        (2, CHOICES[0] | {"extra": 1}, "extra"),
        (2, {"prompt": "x"}, "choices"),
        (2, GENERATE, "stop"),
    ],
)
def test_a_wrong_line_is_named(line, broken, words):
    header, *questions = [HEADER, *CHOICES]
    if line == 1:
        header = broken
    else:
        questions[line - 2] = broken
    data = b"".join(json.dumps(row).encode() + b"\n" for row in (header, *questions))
    with pytest.raises(DatasetError, match=f"tiny.jsonl, line {line}: ") as refused:
        read_compiled(data, "tiny.jsonl")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (GENERATE | {"max_tokens": 0}, "max_tokens"),
        (GENERATE | {"max_tokens": 40_000}, "max_tokens"),
        (GENERATE | {"stop": [""]}, "stop"),
        (GENERATE | {"stop": ["x"] * 33}, "stop"),
        (GENERATE | {"targets": []}, "targets"),
    ],
)
def test_a_wrong_question_of_text_is_named(broken, words):
    data = lines(HEADER | {"kind": "generate", "metrics": ["exact_match"]}, broken)
    with pytest.raises(DatasetError, match=f"line 2: .*{words}"):
        read_compiled(data, "tiny.jsonl")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\n", "line 1: is an empty line"),
        (lines(HEADER), "line 1"),
        (KINDS[0] + b"\n", "line 4: is an empty line"),
        (lines(HEADER, *CHOICES).replace(b'"count":2', b'"count":3'), "tells of 3"),
        (KINDS[0].replace(b" b", b" \xff"), "line 2"),
        (b"[" * 100_000, "line 1"),
        (KINDS[0][:-20], "line 3"),
    ],
)
def test_a_broken_file_is_refused(data, words):
    with pytest.raises(DatasetError, match=words) as refused:
        read_compiled(data, "tiny.jsonl")
    assert len(str(refused.value)) < 300


def test_what_cannot_be_read_is_not_written():
    header = msgspec.convert(HEADER | {"count": 1}, Header)
    wrong = ChoicesQuestion(prompt="", choices=("a", "b"), texts=("a", "b"), gold=(3,))
    with pytest.raises(DatasetError, match="line 2"):
        write_compiled(header, [wrong])
