"""How a data set's questions are read, asked and judged, for those who count again."""

from __future__ import annotations

from typing import Any, Final, Protocol

from benchpool.ao.message import ProcessInfo
from benchpool.errors import InferenceError
from benchpool.evaluation import prompts
from benchpool.evaluation.sample import Sample, parse_samples
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.process.registry import Registry

SIQA: Final = "SiqaDataset"


class Judge(Protocol):
    """How questions of a data set are read, asked and judged."""

    def load(self, data: bytes, name: str) -> list[Sample]:
        """Read questions."""

    def default(self) -> str:
        """Return the protocol that is used if none is named."""

    def ask(self, sample: Sample, protocol: str) -> tuple[str, tuple[str, ...]]:
        """Return the prompt and the choices of a question, by which a request is known."""

    def correct(self, answer: dict[str, Any], sample: Sample, protocol: str) -> bool:
        """Judge an answer. Raises: BenchpoolError if it cannot be read."""


class SiqaJudge:
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
            text = answer["text"]
            if not isinstance(text, str):
                raise InferenceError("the text is none")
            return retrieve_letter(text) == sample.gold
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InferenceError(f"the answer cannot be read: {error}") from None


class ModuleJudge:
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
    return ModuleJudge(registry.find(info.module)(info))


def asked(request: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return by what a request is known: its prompt and its choices."""
    return str(request["prompt"]), tuple(request.get("choices", ()))
