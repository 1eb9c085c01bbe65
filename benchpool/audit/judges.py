"""How a data set's questions are read, asked and judged, for those who count again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from math import isfinite
from typing import Any, Final, Protocol

from benchpool.ao.message import ProcessInfo
from benchpool.errors import InferenceError, PoolError
from benchpool.evaluation import prompts
from benchpool.evaluation.compiled import (
    LETTERS,
    METHODS,
    ChoicesQuestion,
    GenerateQuestion,
    Header,
    LikelihoodQuestion,
    Question,
    read_compiled,
)
from benchpool.evaluation.compiled_scores import CompiledSample, sample_of
from benchpool.evaluation.sample import Sample, parse_samples, samples_hash, seal
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.evaluation.text_scorers import exact_match, filtered
from benchpool.process.registry import Registry

SIQA: Final = "SiqaDataset"
COMPILED: Final = "CompiledDataset"


class Judge(Protocol):
    """How questions of a data set are read, asked and judged."""

    def load(self, data: bytes, name: str) -> list[Sample]:
        """Read questions."""

    def default(self) -> str:
        """Return the protocol that is used if none is named."""

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """Return the prompt of a question, and its choices after their leads: see `asked`."""

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """Judge an answer. Raises: BenchpoolError if it cannot be read."""

    def chance(self, samples: Sequence[Sample]) -> Fraction | None:
        """Return the score of a blind guess; None if the data set's word has to do."""

    def hash(self, data: bytes, samples: list[Sample]) -> str:
        """Return the SHA-256 that names the questions, after the last of them came in `data`."""

    def seal(self, salt: str, data: bytes, samples: list[Sample]) -> str:
        """Return the SHA-256 that commits to the questions."""


class _BySamples:
    """Questions that are named by what they say, whatever file they came in."""

    def chance(self, samples: Sequence[Sample]) -> Fraction | None:  # noqa: ARG002
        """See `Judge`."""
        return None

    def hash(self, data: bytes, samples: list[Sample]) -> str:  # noqa: ARG002
        """See `Judge`."""
        return samples_hash(samples)

    def seal(self, salt: str, data: bytes, samples: list[Sample]) -> str:  # noqa: ARG002
        """See `Judge`."""
        return seal(salt, samples)


class SiqaJudge(_BySamples):
    """Social IQa by `benchpool.evaluation` alone: not a line of the process is used."""

    def load(self, data: bytes, name: str) -> list[Sample]:
        """See `Judge`."""
        return parse_samples(data, name=name)

    def default(self) -> str:
        """See `Judge`."""
        return "cloze"

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """See `Judge`."""
        if protocol == "cloze":
            cloze = prompts.cloze(sample)
            return cloze.prompt, tuple(cloze.continuations)
        return prompts.letters(sample, system=prompts.DEFAULT_SYSTEM_PROMPT).user, ()

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """See `Judge`."""
        try:
            if protocol == "cloze":
                nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
                return score_cloze(nats, sample.choices).prediction == sample.gold
            return retrieve_letter(_said(answer)) == sample.gold
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InferenceError(f"the answer cannot be read: {error}") from None


class CompiledJudge:
    """A compiled data set, by its file alone: not a line of the process is used."""

    def __init__(self) -> None:
        self._header: Header | None = None

    def load(self, data: bytes, name: str) -> list[Sample]:
        """See `Judge`."""
        self._header, questions = read_compiled(data, name)
        return [sample_of(each) for each in questions]

    def default(self) -> str:
        """See `Judge`."""
        return METHODS[self._rules().kind]

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """See `Judge`."""
        asked = _question(sample)
        if isinstance(asked, ChoicesQuestion):
            if protocol == LETTERS:
                return prompts.compiled_letters(asked).user, ()
            return asked.prompt, (*asked.leads, *asked.choices)
        return asked.prompt, () if isinstance(asked, GenerateQuestion) else asked.choices

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """See `Judge`."""
        asked = _question(sample)
        metric = self._rules().scorers[0]
        try:
            if isinstance(asked, ChoicesQuestion) and protocol == LETTERS:
                return retrieve_letter(_said(answer), len(asked.choices)) in asked.gold
            if isinstance(asked, ChoicesQuestion):
                return _takes_gold(answer, asked, by_length=metric.name == "acc_norm")
            if isinstance(asked, LikelihoodQuestion):
                greedy = answer["log_likelihoods"][0]["greedy"]
                if not isinstance(greedy, bool) or len(answer["log_likelihoods"]) != 1:
                    raise InferenceError("nothing is said of the greedy continuation")
                return greedy
            filters = self._rules().filters
            text = filtered(_said(answer), filters[0] if filters else None)
            return exact_match(text, asked.targets, metric)
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            OverflowError,
            AttributeError,
        ) as error:
            raise InferenceError(f"the answer cannot be read: {error}") from None

    def chance(self, samples: Sequence[Sample]) -> Fraction | None:
        """See `Judge`."""
        asked = [_question(each) for each in samples]
        of_choices = [each for each in asked if isinstance(each, ChoicesQuestion)]
        shares = Counter((len(each.gold), len(each.choices)) for each in of_choices)
        total = sum((Fraction(n * right, of) for (right, of), n in shares.items()), Fraction())
        return total / len(asked) if asked else None

    def hash(self, data: bytes, samples: list[Sample]) -> str:  # noqa: ARG002
        """See `Judge`."""
        return sha256(data).hexdigest()

    def seal(self, salt: str, data: bytes, samples: list[Sample]) -> str:  # noqa: ARG002
        """See `Judge`."""
        return sha256(salt.encode() + b"\n" + data).hexdigest()

    def _rules(self) -> Header:
        if self._header is None:
            raise InferenceError("no compiled file was loaded")
        return self._header


class ModuleJudge(_BySamples):
    """A data set of another module: by the parts that this module defines."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def load(self, data: bytes, name: str) -> list[Sample]:
        """See `Judge`."""
        samples: list[Sample] = self._parts.load_samples(data, name)
        return samples

    def default(self) -> str:
        """See `Judge`."""
        return str(self._parts.card.protocols[0])

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """See `Judge`."""
        return asked(self._parts.build_request(sample, protocol))

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """See `Judge`."""
        seen = self._parts.retrieve(answer, sample, protocol)
        return bool(self._parts.is_correct(sample, seen.choice))


def judge_of(info: ProcessInfo, registry: Registry) -> Judge:
    """Return how a data set process judges. Raises: UnknownModule."""
    if registry.name(info.module) == SIQA:
        return SiqaJudge()
    if registry.name(info.module) == COMPILED:
        return CompiledJudge()
    if registry.is_data(info.module):
        raise PoolError(
            f"data set {info.id} is of module {info.module}, which is data: nobody but itself can"
            " say which of its answers are right"
        )
    return ModuleJudge(registry.find(info.module)(info))


def _question(sample: Sample) -> Question:
    assert isinstance(sample, CompiledSample)
    return sample.asked


def _said(answer: dict[str, Any]) -> str:
    text = answer["text"]
    if not isinstance(text, str):
        raise InferenceError("the text is none")
    return text


def _takes_gold(answer: dict[str, Any], asked: ChoicesQuestion, *, by_length: bool) -> bool:
    nats = [float(each["nats"]) for each in answer["log_likelihoods"]]
    if len(nats) != len(asked.choices) or not all(map(isfinite, nats)):
        raise InferenceError("there is not one finite log-likelihood for each choice")
    if by_length:
        nats = [each / len(text) for each, text in zip(nats, asked.texts, strict=True)]
    return nats.index(max(nats)) + 1 in asked.gold


def asked(request: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return by what a request is known: its prompt, and its choices after their leads."""
    choices = (*request.get("leads", ()), *request.get("choices", ()))
    return str(request["prompt"]), choices
