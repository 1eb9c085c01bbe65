"""What evaluations amount to: a score with its interval, and which models can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any

from benchpool.client.evaluating.run import Evaluation, Record
from benchpool.errors import DatasetError
from benchpool.evaluation.metrics import accuracy, standard_error
from benchpool.evaluation.pairs import compare_right, told_apart
from benchpool.evaluation.statistics import above_chance, mcnemar, wilson


def summarise(evaluation: Evaluation) -> dict[str, Any]:
    """Return a model's figures over all its questions; one without an answer is not right.

    Returns:
        Fractions `accuracy`, `standard_error`, `interval` (95 %, Wilson), the same
        `_per_character` where there are likelihoods, `chance` and `p_chance` (exact binomial)
        where there are choices, the means of further `metrics`, and counts.
    """
    records = evaluation.records
    first, n = records[0], len(records)
    correct = sum(each.correct for each in records)
    scored = [each for each in records if not each.unscored]
    per_character = [each.correct_per_character for each in scored]
    names = sorted({name for each in scored for name in each.scores})
    figures: dict[str, Any] = {
        "model": evaluation.model,
        "weights": first.weights,
        "runtime": first.runtime,
        "questions": n,
        "correct": correct,
        "unscored": n - len(scored),
        "reasons": _reasons(records),
        "accuracy": accuracy(correct, n),
        "standard_error": standard_error(correct, n),
        "interval": list(wilson(correct, n)),
        "chance": None,
        "p_chance": None,
        "correct_per_character": None,
        "accuracy_per_character": None,
        "interval_per_character": None,
        "metrics": {name: sum(each.scores.get(name, 0.0) for each in scored) / n for name in names},
    }
    if all(len(each.choices) > 1 for each in records):
        chances = [Fraction(len(each.gold), len(each.choices)) for each in records]
        figures["chance"] = float(sum(chances) / n)
        figures["p_chance"] = float(above_chance(correct, n, chances))
    if scored and None not in per_character:
        right = sum(map(bool, per_character))
        figures["correct_per_character"] = right
        figures["accuracy_per_character"] = accuracy(right, n)
        figures["interval_per_character"] = list(wilson(right, n))
    return figures


def compare_all(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """Test every pair of models: exact McNemar, Holm's correction over all pairs, 5 %."""
    right = {each.model: right_of(each.records) for each in evaluations}
    apart = {frozenset(pair) for pair in told_apart(right)}
    found = []
    for a, b in combinations(evaluations, 2):
        only = len(right[a.model] - right[b.model]), len(right[b.model] - right[a.model])
        found.append(
            {
                "models": [a.model, b.model],
                "correct": [len(right[a.model]), len(right[b.model])],
                "n": len(a.records),
                "only": list(only),
                "p": float(mcnemar(*only)),
                "told_apart": frozenset((a.model, b.model)) in apart,
            }
        )
    return found


def compare(a: Evaluation, b: Evaluation, *, seed: int = 0) -> dict[str, Any]:
    """Compare two evaluations question by question, on the questions that both have met.

    Args:
        a: Of one model.
        b: Of another one, or of the same under another protocol.
        seed: Of the bootstrap.

    Raises:
        DatasetError: They are not about the same data, or have no question in common.
    """
    if a.records[0].data_sha256 != b.records[0].data_sha256:
        raise DatasetError(
            f"{a.model} was asked {_data(a)}, and {b.model} was asked {_data(b)}:"
            " only answers to the same questions can be compared"
        )
    first, second = ({each.question: each for each in side.records} for side in (a, b))
    met = sorted(first.keys() & second.keys())
    if not met:
        raise DatasetError(f"{a.model} and {b.model} have no question in common")
    right_a, right_b = right_of(first.values()), right_of(second.values())
    facts = compare_right(right_a, right_b, met, seed=seed)
    return {
        "first": _side(a, first, met),
        "second": _side(b, second, met),
        **facts,
        "told_apart": facts["p"] <= 0.05,
        "provisional": False,
        "questions": [
            _question(first[number], second[number])
            for number in met
            if first[number].correct is not second[number].correct
        ],
    }


def right_of(records: Any) -> frozenset[int]:
    """Return the numbers of the questions that were answered right."""
    return frozenset(each.question for each in records if each.correct)


def _side(side: Evaluation, records: Mapping[int, Record], met: Sequence[int]) -> dict[str, Any]:
    one = side.records[0]
    return {
        "model": side.model,
        "name": side.model,
        "protocol": one.protocol,
        "weights": one.weights,
        "correct": sum(records[number].correct for number in met),
        "unanswered": sum(bool(records[number].unscored) for number in met),
    }


def _question(a: Record, b: Record) -> dict[str, Any]:
    return {
        "id": a.question,
        "name": a.id,
        "context": "",
        "question": a.prompt,
        "choices": list(a.choices),
        "gold": list(a.gold) or list(a.targets),
        "first": a.prediction,
        "second": b.prediction,
    }


def _reasons(records: Sequence[Record]) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for each in records:
        if each.unscored:
            reasons[each.unscored] = reasons.get(each.unscored, 0) + 1
    return reasons


def _data(side: Evaluation) -> str:
    one = side.records[0]
    return f"{one.data} (SHA-256 {one.data_sha256[:12]})"
