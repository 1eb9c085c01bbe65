"""What a model's answer to a compiled question is worth, by every metric and filter of its header.

Pools, audits and evaluations without a pool score by these functions: equal answers, equal scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from benchpool.errors import DatasetError, InferenceError
from benchpool.evaluation import prompts
from benchpool.evaluation.compiled import (
    LETTERS,
    ChoicesQuestion,
    CompiledDataset,
    GenerateQuestion,
    Header,
    LikelihoodQuestion,
    Question,
    read_compiled,
)
from benchpool.evaluation.sample import Sample
from benchpool.evaluation.scorers import retrieve_letter
from benchpool.evaluation.text_scorers import Filter, Metric, exact_match, f1, filtered

NOTHING: Final = 0
"""The prediction of an answer that is none of the choices or targets."""


_SHOWN: Final = 200


class CompiledSample(Sample, frozen=True):
    """A compiled question as a data set process keeps it.

    ``choices`` are the texts of ``asked``, none where there are no choices; ``gold`` is its first
    right choice, or 1: a text that is right. Where the data set says no question apart from the
    prompt, ``question`` is how the prompt ends.
    """

    asked: Question


class Verdict(NamedTuple):
    """What an answer says by the metric that pools rank by."""

    prediction: int
    """The choice taken, counted from 1; of a text the target that it is, or ``NOTHING``."""
    per_character: int | None = None
    """The choice by the log-likelihood per character."""
    margin_nats: float | None = None
    """How far the likeliest choice is ahead of the next."""


def sample_of(question: Question) -> CompiledSample:
    """Return a question as a data set process keeps it."""
    if isinstance(question, ChoicesQuestion):
        choices, gold = question.texts, question.gold[0]
    else:
        choices, gold = (), 1
    shown = question.question or (not question.context and question.prompt[-_SHOWN:]) or ""
    return CompiledSample(question.context, shown, choices, gold, question)


@lru_cache(maxsize=64)
def read_rules(text: str) -> Header:
    """Read the header that ``write_rules`` wrote."""
    return msgspec.json.decode(text, type=Header)


def write_rules(header: Header) -> str:
    """Write a header without its list of questions that were left out."""
    return msgspec.json.encode(replace(header, unscored=())).decode()


def read_for_pools(data: bytes, name: str) -> CompiledDataset:
    """Read a compiled data set whose answers are right or wrong, as pools need them.

    Raises:
        DatasetError: As ``read_compiled``; or its first metric gives shares of a point.
    """
    dataset = read_compiled(data, name)
    first = dataset.header.scorers[0].name
    if first == "f1":
        raise DatasetError(
            "a pool ranks by right or wrong answers, and the first metric, f1, gives shares of a"
            " point; put another metric first",
            path=name,
            line=1,
        )
    return dataset


def build_request(
    header: Header, question: Question, method: str = "", *, system: str = ""
) -> dict[str, Any]:
    """Return what a model is asked, in the form of an ``Inference`` message.

    Args:
        header: Of the data set.
        question: One of its questions.
        method: One of ``header.methods``; empty for the first.
        system: What is said before letters are asked for; empty for the usual.
    """
    if isinstance(question, ChoicesQuestion):
        if method == LETTERS:
            asked = prompts.compiled_letters(
                question, system=system or prompts.COMPILED_SYSTEM_PROMPT
            )
            tokens = prompts.LETTERS_TOKENS
            return {"prompt": asked.user, "system": asked.system, "max_tokens": tokens}
        leads = {"leads": list(question.leads)} if question.leads else {}
        return {"prompt": question.prompt, "choices": list(question.choices), **leads}
    if isinstance(question, LikelihoodQuestion):
        return {"prompt": question.prompt, "choices": list(question.choices), "greedy": True}
    stop = list(question.stop)
    if header.chat:
        return {
            "prompt": question.prompt,
            "system": header.system,
            "max_tokens": question.max_tokens,
            "stop": stop,
        }
    return {
        "prompt": question.prompt,
        "raw": True,
        "max_tokens": question.max_tokens,
        "stop": stop,
    }


def judge(header: Header, question: Question, answer: dict[str, Any], method: str = "") -> Verdict:
    """Judge an answer by the first metric and the first filter; a letter by the choice it names.

    Raises:
        InferenceError: The answer is of another kind than the question, or no number.
        DatasetError: A text is too long for a pattern.
    """
    metric = header.scorers[0]
    if isinstance(question, ChoicesQuestion):
        if method == LETTERS:
            return Verdict(retrieve_letter(_text(answer), len(question.choices)))
        return _judge_choices(question, _nats(answer, len(question.choices)), metric)
    if isinstance(question, LikelihoodQuestion):
        return Verdict(int(_is_greedy(answer)))
    text = filtered(_text(answer), header.filters[0] if header.filters else None)
    return Verdict(_matched(text, question.targets, metric))


def is_right(question: Question, prediction: int) -> bool:
    """Whether a prediction, a choice or a target, is right."""
    if isinstance(question, ChoicesQuestion):
        return prediction in question.gold
    return prediction != NOTHING


def score(header: Header, question: Question, answer: dict[str, Any]) -> dict[str, Fraction]:
    """Score an answer by every metric, and texts through every filter.

    Returns:
        By ``metric``, or by ``metric,filter`` where there are filters, the share of a point.

    Raises:
        InferenceError: The answer is of another kind than the question, or no number.
        DatasetError: A text is too long for a pattern.
    """
    if not isinstance(question, GenerateQuestion):
        return {
            metric.name: Fraction(
                is_right(question, judge(_only(header, metric), question, answer).prediction)
            )
            for metric in header.scorers
        }
    filters: Sequence[Filter | None] = header.filters or (None,)
    scores = {}
    for each in filters:
        text = filtered(_text(answer), each)
        for metric in header.scorers:
            name = metric.name if each is None else f"{metric.name},{each.name}"
            if metric.name == "f1":
                scores[name] = f1(text, question.targets)
            else:
                scores[name] = Fraction(exact_match(text, question.targets, metric))
    return scores


def _only(header: Header, metric: Metric) -> Header:
    return replace(header, metrics=(metric,))


def _judge_choices(question: ChoicesQuestion, nats: list[float], metric: Metric) -> Verdict:
    per_character = None
    if all(question.texts):
        # The harness divides by the length of the choice without what joins it to the prompt.
        per_character = _first_of_most(
            [value / len(text) for value, text in zip(nats, question.texts, strict=True)]
        )
    best, second = sorted(nats, reverse=True)[:2]
    taken = _first_of_most(nats)
    if metric.name == "acc_norm" and per_character is not None:
        taken = per_character
    return Verdict(taken, per_character, best - second)


def _matched(text: str, targets: Sequence[str], metric: Metric) -> int:
    for number, target in enumerate(targets, start=1):
        if exact_match(text, (target,), metric):
            return number
    return NOTHING


def _first_of_most(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__) + 1  # max() keeps the first of equals


def _nats(answer: dict[str, Any], choices: int) -> list[float]:
    try:
        nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InferenceError(f"no log-likelihoods of {choices} choices: {error}") from None
    if len(nats) != choices or not all(map(math.isfinite, nats)):
        raise InferenceError(f"{len(nats)} log-likelihoods, not {choices} finite ones")
    return nats


def _is_greedy(answer: dict[str, Any]) -> bool:
    likelihoods = answer.get("log_likelihoods")
    try:
        [one] = likelihoods  # type: ignore[misc]
        greedy = one["greedy"]
    except (TypeError, ValueError, KeyError):
        greedy = None
    if not isinstance(greedy, bool):
        raise InferenceError("the answer does not say whether the continuation is the greedy one")
    return greedy


def _text(answer: dict[str, Any]) -> str:
    text = answer.get("text")
    if not isinstance(text, str):
        raise InferenceError("the answer holds no text")
    return text
