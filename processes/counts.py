"""What a data set reports of a model: counts, and the decimals that follow from them.

A Score-Response is written by one process and read by another, so both sides stand here. The
decimals are computed from integers: the same counts give the same text on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Any, Final, Literal, NamedTuple

import msgspec

from benchpool.ao.tags import Pair, Tags
from benchpool.errors import HandlerError
from benchpool.pools.copies import Answer

_SCALE: Final = 10**6
_MAX_DIGITS: Final = 12


class Counts(NamedTuple):
    """How far a model has come with a data set."""

    correct: int
    evaluated: int
    """Questions with an answer that could be read; those given up are not among them."""
    unscored: int
    """Questions given up after too many failures."""
    total: int
    correct_per_character: int = 0
    """Correct by the log-likelihood per character; it enters no rank."""


class Figures(NamedTuple):
    """The decimals of a Score-Response: six digits each."""

    score: str
    progress: str
    standard_error: str
    """Empty for fewer than two answers: one answer says nothing about spread."""


def decimal(numerator: int, denominator: int) -> str:
    """Write a fraction in [0, 1] with six digits, halves rounded up; of nothing it is zero."""
    if denominator == 0:
        return "0.000000"
    return _decimal((2 * _SCALE * numerator + denominator) // (2 * denominator))


def decimal_error(correct: int, n: int) -> str:
    """Write the standard error of an accuracy with six digits; empty for fewer than two answers.

    Source: lm-evaluation-harness, `mean_stderr`: sqrt(p (1 - p) / (n - 1)); see
    `benchpool.evaluation.metrics.standard_error`, whose value this is without a float.
    """
    if n < 2:
        return ""
    # Twice the root, so that the last bit says where to round.
    doubled = isqrt(4 * _SCALE**2 * correct * (n - correct) // (n * n * (n - 1)))
    return _decimal((doubled + 1) // 2)


def accuracy_figures(counts: Counts) -> Figures:
    """Compute the accuracy over all questions, with its error, and the progress.

    A question without an answer is not correct: else a model that answers only what it knows
    would be as sure as one that knows everything.
    """
    few = counts.evaluated < 2
    return Figures(
        score=decimal(counts.correct, counts.total),
        progress=decimal(counts.evaluated, counts.total),
        standard_error="" if few else decimal_error(counts.correct, counts.total),
    )


def write_counts(counts: Counts, figures: Figures) -> list[Pair]:
    """Return the tags of a Score-Response that bear numbers."""
    pairs = [
        ("Correct", str(counts.correct)),
        ("Evaluated", str(counts.evaluated)),
        ("Unevaluated", str(counts.total - counts.evaluated)),
        ("Unscored", str(counts.unscored)),
        ("Total", str(counts.total)),
        ("Score", figures.score),
        ("Progress", figures.progress),
        ("Correct-Per-Character", str(counts.correct_per_character)),
    ]
    if figures.standard_error:
        pairs.append(("Standard-Error", figures.standard_error))
    return pairs


def read_counts(tags: Tags) -> Counts:
    """Read the counts of a Score-Response.

    Raises: HandlerError if one is missing, no number, or they contradict each other.
    """
    counts = Counts(
        correct=_count(tags, "Correct"),
        evaluated=_count(tags, "Evaluated"),
        unscored=_count(tags, "Unscored", "0"),
        total=_count(tags, "Total"),
        correct_per_character=_count(tags, "Correct-Per-Character", "0"),
    )
    # Money follows these numbers.
    if not counts.correct <= counts.evaluated <= counts.total - counts.unscored:
        raise HandlerError(f"impossible counts: {counts}")
    return counts


def write_answers(answers: Iterable[tuple[int, bool, Sequence[float]]]) -> list[list[Any]]:
    """Write answers as the Data of a final Score-Response: a list of [n, right, log-likelihoods].

    Args:
        answers: the number of the question, whether it was right, nats of each choice.
    """
    return [[number, int(right), list(nats)] for number, right, nats in answers]


def read_answers(data: str) -> dict[int, Answer]:
    """Read the Data of a final Score-Response; no text, no answers.

    Raises: HandlerError if it is of another form.
    """
    if not data:
        return {}
    try:
        rows = msgspec.json.decode(data, type=list[tuple[int, Literal[0, 1], list[float]]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise HandlerError(f"not a list of answers: {error}") from None
    return {number: Answer(bool(right), tuple(nats)) for number, right, nats in rows}


def _count(tags: Tags, name: str, default: str = "") -> int:
    text = tags.get(name, default)
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise HandlerError(f"{name} must be a whole number, not {text[:40]!r}")
    return int(text)


def _decimal(millionths: int) -> str:
    whole, part = divmod(millionths, _SCALE)
    return f"{whole}.{part:06d}"
