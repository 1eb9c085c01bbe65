"""Samples: what a model was asked at each question and what it answered, to be looked at.

Of a pool's entry, as its data set tells of it, or of a file that an evaluation wrote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from benchpool.client.evaluating.run import Record
from benchpool.client.pool_facts import PoolFacts
from benchpool.client.pools import PoolClient
from benchpool.client.words import letter

PART: Final = 500
"""Questions that are asked about at a time."""


class Choice(msgspec.Struct):
    """One of the answers to choose from."""

    letter: str
    text: str
    nats: float | None = None
    """Its log-likelihood."""
    share: float | None = None
    """Its probability among the choices."""
    tokens: int | None = None
    taken: bool = False
    right: bool | None = None
    """None while it may not be told."""


class Sample(msgspec.Struct):
    """One question, and what became of it."""

    question: int
    """Its number in the data, from 1."""
    id: str
    """What the data calls it; empty if nothing."""
    context: str
    text: str
    """The question itself."""
    system: str
    prompt: str
    """As it was sent."""
    choices: list[Choice]
    targets: list[str]
    """The texts that are right, where a text is asked for."""
    status: str
    """`pending`, `started`, `done`, or `unscored`."""
    answer: str
    """The text that was generated; empty if there is none."""
    taken: str
    """The letter of the choice, or the text, that the answer is taken for; empty if none."""
    correct: bool | None
    margin_nats: float | None
    """How far the choice is ahead of the next."""
    prompt_tokens: int | None
    answered_tokens: int | None
    started_at: int | None
    answered_at: int | None
    attempts: int
    why: str
    """Why it has no answer, or had none before."""


def samples_of_entry(
    client: PoolClient, pool: PoolFacts, model: str, answers: Sequence[dict[str, Any]]
) -> list[Sample]:
    """Return samples of an entry.

    Args:
        client: asks the data set.
        pool: the pool.
        model: the entry.
        answers: of which questions, as `PoolClient.answers` tells of them.

    Raises: PoolError if the data set does not tell its questions.
    """
    found: list[Sample] = []
    for start in range(0, len(answers), PART):
        part = answers[start : start + PART]
        numbers = [each["question"] for each in part]
        questions = {each["id"]: each for each in client.questions(pool, numbers)}
        told = {each["question"]: each for each in client.samples(pool, model, numbers)}
        found += [
            _of_entry(questions[n], each, told.get(n, {}))
            for n, each in zip(numbers, part, strict=True)
            if n in questions
        ]
    return found


def _of_entry(question: dict[str, Any], row: dict[str, Any], told: dict[str, Any]) -> Sample:
    request, answer = told.get("request") or {}, told.get("answer") or {}
    likelihoods = answer.get("log_likelihoods") or []
    nats = [float(each["nats"]) for each in likelihoods]
    tokens = [each.get("tokens") for each in likelihoods]
    texts = [str(each).strip() for each in question.get("choices") or request.get("choices") or ()]
    prediction = row["prediction"] if row["status"] == "done" else None
    gold = question.get("gold")
    golds = None if gold is None else gold if isinstance(gold, list) else [gold]
    targets = [str(each) for each in question.get("targets") or ()]
    return Sample(
        question=row["question"],
        id=str(question.get("name") or ""),
        context=str(question.get("context") or ""),
        text=str(question.get("question") or ""),
        system=str(request.get("system") or ""),
        prompt=str(request.get("prompt") or question.get("prompt") or ""),
        choices=_choices(texts, nats, tokens, prediction, golds),
        targets=targets,
        status=row["status"],
        answer=str(answer.get("text") or ""),
        taken=_taken(prediction, targets, choices=bool(texts)),
        correct=row["correct"] if row["status"] == "done" else None,
        margin_nats=row["margin_nats"] if row["status"] == "done" else None,
        prompt_tokens=answer.get("prompt_tokens"),
        answered_tokens=sum(filter(None, tokens)) if tokens else answer.get("tokens"),
        started_at=told.get("started_at"),
        answered_at=row["answered_at"],
        attempts=told.get("attempts") or 0,
        why=str(told.get("error") or ""),
    )


def _taken(prediction: int | str | None, targets: Sequence[str], *, choices: bool) -> str:
    if not prediction:
        return ""
    if isinstance(prediction, str):
        return prediction
    if choices:
        return letter(prediction)
    return targets[prediction - 1] if prediction <= len(targets) else str(prediction)


def _choices(
    texts: Sequence[str],
    nats: Sequence[float],
    tokens: Sequence[int | None],
    prediction: int | str | None,
    golds: Sequence[int] | None,
) -> list[Choice]:
    shares = _shares(nats)
    return [
        Choice(
            letter=letter(place),
            text=text,
            nats=nats[place - 1] if place <= len(nats) else None,
            share=shares[place - 1] if place <= len(shares) else None,
            tokens=tokens[place - 1] if place <= len(tokens) else None,
            taken=prediction == place,
            right=None if golds is None else place in golds,
        )
        for place, text in enumerate(texts, start=1)
    ]


def _shares(nats: Sequence[float]) -> list[float]:
    """Return the probability of each choice, if one of them it is."""
    if len(nats) < 2 or not all(map(math.isfinite, nats)):
        return []
    best = max(nats)
    weights = [math.exp(each - best) for each in nats]
    return [each / sum(weights) for each in weights]


def sample_of_record(record: Record) -> Sample:
    """Return a line of a file of samples as a sample."""
    choices = [each.strip() for each in record.choices]
    done = not record.unscored
    return Sample(
        question=record.question,
        id=record.id,
        context="",
        text="",
        system="",
        prompt=record.prompt,
        choices=_choices(choices, record.log_likelihoods, (), record.prediction, record.gold),
        targets=list(record.targets),
        status="done" if done else "unscored",
        answer=record.text or "",
        taken=_taken(record.prediction, record.targets, choices=bool(choices)),
        correct=record.correct if done else None,
        margin_nats=record.margin_nats,
        prompt_tokens=None,
        answered_tokens=None,
        started_at=None,
        answered_at=None,
        attempts=0,
        why=record.unscored,
    )
