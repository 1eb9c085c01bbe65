"""The questions of a data set as a model is asked them, and what its answers mean.

A pool's data set does the same in its handlers; both stand on the prompts and the scorers of
`benchpool.evaluation`, so that the same file gives the same numbers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchpool.errors import DatasetError, InferenceError
from benchpool.evaluation import compiled_scores, prompts
from benchpool.evaluation.compiled import (
    LETTERS,
    ChoicesQuestion,
    GenerateQuestion,
    Header,
    LikelihoodQuestion,
    Question,
    is_compiled,
    led_choices,
    most_choices,
    read_compiled,
)
from benchpool.evaluation.controls import ANSWERS_ONLY, controlled
from benchpool.evaluation.files import read_file
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.sample import Sample, load_samples, parse_samples, samples_hash
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.evaluation.text_scorers import filtered
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
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


class CompiledQuestions(Questions):
    """A compiled data set, by the method that it was compiled for, or its choices for letters.

    Raises:
        DatasetError: Not a compiled data set, or it is not asked so.
    """

    def __init__(self, name: str, data: bytes, protocol: str | None) -> None:
        self._header, self._questions = read_compiled(data, name)
        self.protocol = Protocol.parse(protocol or self._header.method)
        check_method(name, self.protocol, self._header.methods(most_choices(self._questions)))
        if self.protocol.control:
            raise DatasetError(
                f"is not asked {self.protocol.control}: its requests are finished", path=name
            )
        self.name, self.sha256 = self._header.name, sha256(data).hexdigest()

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, place: int) -> Asked:
        """See `Questions`."""
        question = self._questions[place]
        request = finished_request(self._header, question, self.protocol.method)
        if isinstance(question, ChoicesQuestion):
            prompt, choices = question.prompt, led_choices(question)
            if isinstance(request, GenerateRequest):
                prompt, choices = request.user, question.texts
            return Asked(request, prompt, choices, question.gold, (), question.id)
        choices = question.choices if isinstance(question, LikelihoodQuestion) else ()
        return Asked(request, question.prompt, choices, (), question.targets, question.id)

    def judge(self, place: int, answer: Answer) -> Verdict:
        """See `Questions`."""
        question, header = self._questions[place], self._header
        said = msgspec.to_builtins(answer)
        seen = compiled_scores.judge(header, question, said, self.protocol.method)
        correct = compiled_scores.is_right(question, seen.prediction)
        if isinstance(question, ChoicesQuestion):
            by_length = seen.per_character
            return Verdict(
                seen.prediction,
                correct,
                by_length,
                None if by_length is None else by_length in question.gold,
                seen.margin_nats,
            )
        scores = compiled_scores.score(header, question, said)
        shares = {name: float(share) for name, share in scores.items()}
        if isinstance(question, LikelihoodQuestion):
            return Verdict(seen.prediction, correct)
        reply = filtered(text_of(answer), header.filters[0] if header.filters else None)
        return Verdict(reply, correct, scores=shares)


def finished_request(header: Header, question: Question, method: str) -> Request:
    """Return what a model is asked for a compiled question: as a pool's worker asks it."""
    if isinstance(question, ChoicesQuestion) and method == LETTERS:
        letters = prompts.compiled_letters(question)
        return GenerateRequest(letters.user, letters.system, prompts.LETTERS_TOKENS)
    if isinstance(question, GenerateQuestion):
        return CompleteRequest(
            prompt=question.prompt,
            stop=question.stop,
            max_tokens=question.max_tokens,
            chat=header.chat,
            system=header.system,
        )
    if isinstance(question, ChoicesQuestion):
        return ChoicesRequest(question.prompt, question.choices, leads=question.leads)
    return ChoicesRequest(question.prompt, question.choices, greedy=True)


def load_questions(path: Path, protocol: str | None = None) -> Questions:
    """Read a data set, and prepare to ask it.

    Args:
        path: A compiled data set, or Social IQa in any form that `load_samples` reads.
        protocol: Such as `cloze/bf16`; None for the data set's first.

    Raises:
        DatasetError: Not a data set, by file and line, or one that is not asked so.
    """
    name = str(path)
    if path.is_dir():
        return SiqaQuestions(name, load_samples(path), Protocol.parse(protocol or "cloze"))
    data = read_file(path)
    if is_compiled(data):
        return CompiledQuestions(name, data, protocol)
    return SiqaQuestions(name, parse_samples(data, name=name), Protocol.parse(protocol or "cloze"))


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
