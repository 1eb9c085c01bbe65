"""Which tokens of an echoed text make up a choice, as servers of several kinds list them."""

import json

import pytest

from benchpool.inference.engine import LogLikelihood, Unanswered
from benchpool.inference.remote_answers import read_echo, score, tokens_used

PROMPT, CHOICE = "The sky is", " light blue"
NATS = LogLikelihood(-3.0, 2)
BEFORE = [-9, -9, -9]


def echo(tokens, nats, written, tops=None):
    said = {"tokens": tokens, "token_logprobs": nats}
    if tops is not None:
        said["top_logprobs"] = tops
    reply = {"choices": [{"text": "", "logprobs": said}]}
    if written is not None:
        reply["usage"] = {"prompt_tokens": 5, "completion_tokens": written}
    return read_echo(json.dumps(reply).encode())


@pytest.mark.parametrize(
    ("tokens", "nats", "written", "first"),
    [
        (["The", " sky", " is", " light", " blue", "."], [None, -9, -9, -1, -2, -5], 1, 3),
        # the start token is listed, and has no number or one
        (
            ["<s>", "The", " sky", " is", " light", " blue", "."],
            [None, *BEFORE, -1, -2, -5],
            1,
            4,
        ),
        (["<s>", " The", " sky", " is", " light", " blue", "!"], [-1, *BEFORE, -1, -2, -5], 1, 4),
        # nothing was written, or an end token that has no text, or that is not counted
        (["The", " sky", " is", " light", " blue"], [None, -9, -9, -1, -2], 0, 3),
        (["The", " sky", " is", " light", " blue", ""], [None, -9, -9, -1, -2, -5], 1, 3),
        (["The", " sky", " is", " light", " blue", "</s>"], [None, -9, -9, -1, -2, -5], 0, 3),
        # how many were written is not said
        (["The", " sky", " is", " light", " blue", "."], [None, -9, -9, -1, -2, -5], None, 3),
        # what was written repeats the choice
        (["The", " sky", " is", " light", " blue", " blue"], [None, -9, -9, -1, -2, -5], 1, 3),
    ],
)
def test_the_tokens_of_the_choice_are_found(tokens, nats, written, first):
    found = echo(tokens, nats, written)
    assert score(found, PROMPT, CHOICE, greedy=False) == (NATS, first)


def test_what_repeats_the_end_of_the_text_is_not_taken_for_it():
    found = echo(["a", " a", " a", " a"], [None, -1, -2, -4], 1)
    assert score(found, "a a", " a", greedy=False) == (LogLikelihood(-2, 1), 2)


@pytest.mark.parametrize(
    "tokens",
    [
        ["The", " sky", " is light", " blue", "."],  # one token for both sides
        ["The", " sea", " is", " light", " blue", "."],  # another prompt
        ["x" * 40 + "The", " sky", " is", " light", " blue", "."],
        ["The", " sky", " is", " light", "."],  # cut
    ],
)
def test_tokens_of_another_text_or_without_a_border_are_no_score(tokens):
    found = echo(tokens, [None, *[-1.0] * (len(tokens) - 1)], 1)
    assert isinstance(score(found, PROMPT, CHOICE, greedy=False), Unanswered)


def test_parts_of_characters_before_the_choice_do_no_harm():
    found = echo(["C", "�", "�", " ok", " yes", "."], [None, -9, -9, -9, -1, -5], 1)
    assert score(found, "C☕ ok", " yes", greedy=False) == (LogLikelihood(-1, 1), 4)
    assert isinstance(score(found, "C☕ no", " yes", greedy=False), Unanswered)


def test_a_choice_without_a_number_is_no_score():
    found = echo([" blue", "."], [None, -1], 1)
    assert isinstance(score(found, "", " blue", greedy=False), Unanswered)


def test_the_likeliest_is_known_only_where_it_is_said():
    tokens, nats = ["is", " blue", "."], [None, -1, -2]
    tops = [None, {" blue": -1.0}, {".": -2.0}]
    found = score(echo(tokens, nats, 1, tops), "is", " blue", greedy=True)
    assert found == (LogLikelihood(-1, 1, True), 1)
    tops[1] = {" red": -0.5, " blue": -1.0}
    found = score(echo(tokens, nats, 1, tops), "is", " blue", greedy=True)
    assert found == (LogLikelihood(-1, 1, False), 1)
    for missing in (None, [None] * 3, [None]):
        found = score(echo(tokens, nats, 1, missing), "is", " blue", greedy=True)
        assert isinstance(found, Unanswered)


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"choices":[{}]}', b"\xff"])
def test_an_answer_that_says_nothing_of_its_tokens_says_none(raw):
    assert tokens_used(raw) is None
