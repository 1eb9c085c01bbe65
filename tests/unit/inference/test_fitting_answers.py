"""Which answers can be those to a question, whoever sent them."""

import pytest

from benchpool.inference import ChoicesAnswer, ChoicesRequest, CompleteRequest, Generation
from benchpool.inference.engine import MAX_TOKENS, LogLikelihood, fits

CHOICES = ChoicesRequest("a", (" b", " c"))
TEXT = CompleteRequest("a", ("\n",), 4)


def scored(prompt_tokens=3, tokens=1, greedy=None):
    return ChoicesAnswer((LogLikelihood(-1.0, tokens, greedy),) * 2, prompt_tokens)


@pytest.mark.parametrize(
    ("request_", "answer", "right"),
    [
        (CHOICES, scored(), True),
        (CHOICES, scored(prompt_tokens=-1), False),
        (CHOICES, scored(prompt_tokens=MAX_TOKENS + 1), False),
        (CHOICES, scored(tokens=-1), False),
        (CHOICES, scored(tokens=1 << 62), False),
        (CHOICES, scored(greedy=True), False),
        (CHOICES, Generation("b", 3, 1, "stop"), False),
        (TEXT, Generation("b", 3, 1, "stop"), True),
        (TEXT, Generation("b", 1 << 62, 1, "stop"), False),
        (TEXT, Generation("b", -3, 1, "stop"), False),
        (TEXT, Generation("b", 3, 5, "stop"), False),
        (TEXT, Generation("b\n", 3, 1, "stop"), False),
        (TEXT, Generation("b" * 513, 3, 1, "stop"), False),
        (TEXT, scored(), False),
    ],
)
def test_counts_and_kinds_are_checked(request_, answer, right):
    assert fits(request_, answer) is right
