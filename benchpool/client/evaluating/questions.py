"""The questions of a data set as a model is asked them, and what its answers mean.

A pool's data set does the same in its handlers; both stand on the prompts and the scorers of
`benchpool.evaluation`, so that the same file gives the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchpool.errors import DatasetError, InferenceError
from benchpool.evaluation import prompts
from benchpool.evaluation.controls import ANSWERS_ONLY, controlled
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.sample import Sample, load_samples, samples_hash
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    Request,
)


class Asked(NamedTuple):
    """One question as it is asked."""

    request: Request
    prompt: str
    choices: tuple[str, ...] = ()
    """As the model is asked for them, or shown them."""
    gold: tuple[int, ...] = ()
    """The right choices, counted from 1."""
    targets: tuple[str, ...] = ()
    """The right texts, of a question without choices."""
    id: str = ""
    """What the data set calls it."""


class Verdict(NamedTuple):
    """What an answer means."""

    prediction: int | str
    """A choice, counted from 1, 0 for none of them; or a text."""
    correct: bool
    prediction_per_character: int | None = None
    correct_per_character: bool | None = None
    margin_nats: float | None = None
    scores: dict[str, float] = {}  # noqa: RUF012 - never changed
    """By the names of metrics beside the accuracies."""


class Questions(ABC):
    """All questions of a data set, under one protocol.

    Attributes:
        name: Of the data set.
        sha256: Of its questions; the same hash and the same protocol mean the same requests.
        protocol: How they are asked.
    """

    name: str
    sha256: str
    protocol: Protocol

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def ask(self, place: int) -> Asked:
        """Return a question, counted from 0."""

    @abstractmethod
    def judge(self, place: int, answer: Answer) -> Verdict:
        """Say what an answer to it means. Raises: InferenceError if it cannot be scored."""


class SiqaQuestions(Questions):
    """Social IQa, by likelihood or for letters.

    Raises:
        DatasetError: It cannot be asked so.
    """

    METHODS: Final = ("cloze", "letters")

    def __init__(self, name: str, samples: Sequence[Sample], protocol: Protocol) -> None:
        check_method(name, protocol, self.METHODS)
        if protocol.control and protocol.control != ANSWERS_ONLY and protocol.method == "cloze":
            raise DatasetError(f"is not asked by {protocol}: only letters have an order", path=name)
        self.name, self.protocol = name, protocol
        self.sha256 = samples_hash(samples)
        self._samples = [controlled(each, protocol.control) for each in samples]

    def __len__(self) -> int:
        return len(self._samples)

    def ask(self, place: int) -> Asked:
        """See `Questions`."""
        sample = self._samples[place]
        request: Request
        if self.protocol.method == "cloze":
            cloze = prompts.cloze(sample)
            request = ChoicesRequest(cloze.prompt, cloze.continuations)
            return Asked(request, cloze.prompt, cloze.continuations, (sample.gold,))
        letters = prompts.letters(sample)
        request = GenerateRequest(letters.user, letters.system, prompts.LETTERS_TOKENS)
        return Asked(request, letters.user, sample.choices, (sample.gold,))

    def judge(self, place: int, answer: Answer) -> Verdict:
        """See `Questions`."""
        sample = self._samples[place]
        if self.protocol.method == "cloze":
            return judge_choices(answer, sample.choices, (sample.gold,))
        choice = retrieve_letter(text_of(answer))
        return Verdict(choice, choice == sample.gold)


def load_questions(path: Path, protocol: str | None = None) -> Questions:
    """Read a data set, and prepare to ask it.

    Args:
        path: Of Social IQa in any form that `load_samples` reads.
        protocol: Such as `cloze/bf16`; None for the data set's first.

    Raises:
        DatasetError: Not a data set, by file and line, or one that is not asked so.
    """
    return SiqaQuestions(str(path), load_samples(path), Protocol.parse(protocol or "cloze"))


def check_method(name: str, protocol: Protocol, methods: Sequence[str]) -> None:
    """Raise a DatasetError unless a data set can be asked by a method."""
    if protocol.method not in methods:
        raise DatasetError(
            f"is not asked by {protocol.method[:40]!r}, but by {' or '.join(methods)}", path=name
        )


def judge_choices(answer: Answer, texts: Sequence[str], gold: Sequence[int]) -> Verdict:
    """Take the most likely choice. Raises: InferenceError if there are no likelihoods of them."""
    if not isinstance(answer, ChoicesAnswer) or len(answer.log_likelihoods) != len(texts):
        raise InferenceError(f"no log-likelihoods of {len(texts)} choices")
    score = score_cloze([each.nats for each in answer.log_likelihoods], texts)
    return Verdict(
        score.prediction,
        score.prediction in gold,
        score.prediction_per_character,
        score.prediction_per_character in gold,
        score.margin_nats if math.isfinite(score.margin_nats) else None,
    )


def text_of(answer: Answer) -> str:
    """Return what was generated. Raises: InferenceError if the answer is no text."""
    if not isinstance(answer, Generation):
        raise InferenceError("the answer holds no text")
    return answer.text
