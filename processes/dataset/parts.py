"""The six parts in which data sets differ: what a data set of your own overrides.

`card` and `load_samples` are always yours. The others ask by likelihood, take the most likely
choice, compare it with the right one and report the accuracy, until you override them.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import msgspec

from benchpool.errors import HandlerError, InferenceError
from benchpool.evaluation.sample import Sample
from benchpool.evaluation.scorers import score_cloze
from processes.counts import Counts, Figures, accuracy_figures


class DatasetCard(NamedTuple):
    """What a data set says of itself."""

    name: str
    choices: int
    """How many choices each of its questions has; or the most that one has."""
    protocols: tuple[str, ...] = ("cloze",)
    """How its questions can be asked; the first one is the default."""
    guess: str = ""
    """The score of a blind guess, as a fraction; if it is not one choice of so many."""

    @property
    def chance(self) -> str:
        """The score of a blind guess, as a fraction."""
        return self.guess or f"1/{self.choices}"


class Prediction(NamedTuple):
    """What a model's answer means. Choices are counted from 1; 0 is none of them."""

    choice: int
    per_character: int | None = None
    """The choice by the log-likelihood per character, where there is one."""
    margin_nats: float | None = None
    """How far the choice is ahead of the next."""


class DatasetParts:
    """Info, loader, prompt template, result retriever, evaluator, score calculator."""

    system_prompt: str = ""
    """What the process was told with `SystemPrompt`; empty if nothing."""

    card: ClassVar[DatasetCard]

    def load_samples(self, data: bytes, name: str) -> list[Sample]:
        """Read questions from bytes. Raises: DatasetError naming the line of the fault."""
        raise NotImplementedError

    def check_samples(self, samples: list[Sample], name: str) -> None:
        """Check that questions have as many choices as the card says. Raises: HandlerError."""
        for number, sample in enumerate(samples, start=1):
            if len(sample.choices) != self.card.choices:
                raise HandlerError(
                    f"{name}, item {number}: has {len(sample.choices)} choices, not"
                    f" {self.card.choices}"
                )

    def build_request(self, sample: Sample, protocol: str) -> dict[str, Any]:  # noqa: ARG002
        """Return what a model is asked.

        Either `prompt` and `choices`, each with its leading space, or `prompt`, `system` and
        `max_tokens`.
        """
        asked = f"{sample.context} {sample.question}".strip()
        choices = [f" {choice}" for choice in sample.choices]
        return {"prompt": f"Q: {asked}\nA:" if asked else "A:", "choices": choices}

    def shown_question(self, sample: Sample, *, hide: bool) -> dict[str, Any]:
        """Return what Get-Questions tells of a question, or all but what is right."""
        return msgspec.structs.asdict(sample) | ({"gold": None} if hide else {})

    def shown_request(
        self,
        sample: Sample,  # noqa: ARG002
        request: dict[str, Any],
        *,
        hide: bool,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return what Get-Samples tells of a request, or all but what tells what is right."""
        return request

    def kept_prompt(self, sample: Sample, protocol: str) -> str:
        """Return the prompt as it is kept beside each evaluation."""
        return str(self.build_request(sample, protocol)["prompt"])

    def retrieve(
        self,
        answer: dict[str, Any],
        sample: Sample,
        protocol: str,  # noqa: ARG002
    ) -> Prediction:
        """Say which choice an answer means. Raises: InferenceError if it cannot be read."""
        return most_likely(answer, sample)

    def is_correct(self, sample: Sample, choice: int) -> bool:
        """Judge a choice."""
        return choice == sample.gold

    def calculate_score(self, counts: Counts) -> Figures:
        """Compute a model's score from its counts."""
        return accuracy_figures(counts)


def most_likely(answer: dict[str, Any], sample: Sample) -> Prediction:
    """Read log-likelihoods and take the largest. Raises: InferenceError if there are none."""
    try:
        nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
        return Prediction(*score_cloze(nats, sample.choices))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InferenceError(
            f"no log-likelihoods of {len(sample.choices)} choices: {error}"
        ) from None


def log_likelihoods(answer: dict[str, Any]) -> list[float]:
    """Return the log-likelihood of each choice, in nats; none of an answer that holds a text."""
    return [float(each["nats"]) for each in answer.get("log_likelihoods", ())]


def generated_text(answer: dict[str, Any]) -> str:
    """Return the text of an answer. Raises: InferenceError if it has none."""
    text = answer.get("text")
    if not isinstance(text, str):
        raise InferenceError("the answer holds no text")
    return text
