"""From what a model answered to one question to the choice it made, counted from 1."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Final, NamedTuple

from benchpool.errors import InferenceError

NO_LETTER: Final = 0
"""The prediction of a reply that names no letter. No gold is 0, so it is never correct."""

_AROUND_A_LETTER: Final = string.whitespace + "().:"


class ClozeScore(NamedTuple):
    """What the log-likelihoods of one sample's choices say; choices are counted from 1."""

    prediction: int
    """The most likely choice: what the harness calls ``acc``."""
    prediction_per_character: int
    """The most likely choice for its length in characters: ``acc_norm``."""
    margin_nats: float
    """How far the most likely choice is ahead of the next, never negative. A margin near zero
    may flip on another build of the runtime."""


def score_cloze(log_likelihoods: Sequence[float], choice_texts: Sequence[str]) -> ClozeScore:
    """Choose by likelihood.

    Args:
        log_likelihoods: One a choice, nats, summed over the tokens of its continuation.
        choice_texts: The choices as a ``Sample`` has them, without the space that joins them to
            the prompt; the harness does not count that space either.

    Raises:
        InferenceError: A log-likelihood is not a finite number.
        ValueError: Fewer than two choices, unequal lengths, or an empty choice.

    Source: lm-evaluation-harness, ``lm_eval/api/task.py``, ``process_results`` of
    ``multiple_choice``: argmax of the sums, and of the sums divided by ``len(choice)``; among
    equals the first wins, as with ``numpy.argmax``.
    """
    if len(log_likelihoods) != len(choice_texts) or len(choice_texts) < 2:
        raise ValueError(
            f"{len(log_likelihoods)} log-likelihoods for {len(choice_texts)} choices; two or more "
            "of each are needed"
        )
    if not all(choice_texts):
        raise ValueError("an empty choice has no likelihood per character")
    if not all(math.isfinite(value) for value in log_likelihoods):
        raise InferenceError(
            f"the model gave log-likelihoods that are not finite: {list(log_likelihoods)}; "
            "the file may be damaged or its runtime may not support it"
        )
    per_character = [
        value / len(text) for value, text in zip(log_likelihoods, choice_texts, strict=True)
    ]
    best, second = sorted(log_likelihoods, reverse=True)[:2]
    return ClozeScore(
        prediction=_argmax(log_likelihoods) + 1,
        prediction_per_character=_argmax(per_character) + 1,
        margin_nats=best - second,
    )


def retrieve_letter(text: str, choices: int = 3) -> int:
    """Read the letter that a model replied with: A, B, C are 1, 2, 3, anything else is 0.

    Args:
        text: The reply.
        choices: How many letters there are.

    The letter must stand alone, upper case, with nothing around it but white space and the
    characters ``( ) . :``. So ``A``, ``" B."`` and ``(C):`` are letters; ``a``, ``A car``,
    ``B) foo`` and ``A or B`` are not. A guess at what a longer reply meant would credit a model
    for an article at the start of a sentence.
    """
    letter = text.strip(_AROUND_A_LETTER)
    # An empty text is found at the start of any other.
    found = string.ascii_uppercase[:choices].find(letter) if len(letter) == 1 else -1
    return NO_LETTER if found < 0 else found + 1


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)  # max() keeps the first of equals
