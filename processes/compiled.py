"""CompiledDataset: the questions of one compiled file, asked and scored as its header says."""

from __future__ import annotations

import operator
from collections import Counter
from fractions import Fraction
from hashlib import sha256
from typing import Any

import msgspec
from pydantic import Field

from benchpool.errors import HandlerError
from benchpool.evaluation.compiled import Header, LikelihoodQuestion, chance, most_choices
from benchpool.evaluation.compiled_scores import (
    CompiledSample,
    build_request,
    is_right,
    judge,
    read_for_pools,
    read_rules,
    sample_of,
    write_rules,
)
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.sample import Sample
from processes.dataset import DatasetProcess
from processes.dataset.base import DatasetState
from processes.dataset.compiled_tables import compiled_statements
from processes.dataset.parts import DatasetCard, Prediction
from processes.dataset.statements import Statements

MOST_REASONS = 20
_PRECISE = 10**6
_LONGEST = 10**9
"""Numerator and denominator of a chance have at most nine digits where pools read them."""


class CompiledState(DatasetState):
    """What a compiled data set keeps beside."""

    header: str = Field(default="", exclude_if=operator.not_)
    """The header of its file, without what was left out; empty until a file is loaded."""
    chance: str = "0"
    """The score of a blind guess, as a fraction."""
    most_choices: int = 0
    left_out: dict[str, int] = Field(default_factory=dict, exclude_if=operator.not_)
    """How many questions of the data could not be compiled, by reason; the most frequent ones."""
    left_out_total: int = 0


class CompiledDataset(DatasetProcess):
    """Asked by `cloze` or for `letters`, `generate` or `likelihood`, as its questions are."""

    state: CompiledState

    @property
    def card(self) -> DatasetCard:  # type: ignore[override]
        """What its header says."""
        state = self.state
        if not state.header:
            return DatasetCard("nothing compiled yet", 0, ("cloze",), "0")
        header = self._rules()
        name = header.title or header.name
        methods = header.methods(state.most_choices)
        return DatasetCard(name, state.most_choices, methods, state.chance)

    def load_samples(self, data: bytes, name: str) -> list[Sample]:
        """Read a compiled file; one, for it is what pools bind to."""
        state = self.state
        if state.header:
            raise HandlerError(
                "a compiled data set holds one file, and it is loaded: spawn another for more"
            )
        header, questions = read_for_pools(data, name)
        guess = chance(questions)
        if guess == 1:
            raise HandlerError(f"{name}: every choice is right, so nothing can be told by it")
        state.header = write_rules(header)
        state.chance = _written(guess)
        state.most_choices = most_choices(questions)
        reasons = Counter(each.reason for each in header.unscored)
        state.left_out = dict(reasons.most_common(MOST_REASONS))
        state.left_out_total = len(header.unscored)
        return [sample_of(each) for each in questions]

    def check_samples(self, samples: list[Sample], name: str) -> None:
        """The file was checked when it was read; its questions may differ."""

    def build_request(self, sample: Sample, protocol: str) -> dict[str, Any]:
        """Ask what the file says, or for the letter of a choice."""
        asked = _asked(sample).asked
        return build_request(self._rules(), asked, protocol, system=self.system_prompt)

    def kept_prompt(self, sample: Sample, protocol: str) -> str:  # noqa: ARG002
        """Keep none: the question holds it, byte for byte."""
        return ""

    def shown_question(self, sample: Sample, *, hide: bool) -> dict[str, Any]:
        """Return a question's texts; of one to be hidden nothing that tells what is right."""
        asked = _asked(sample).asked
        shown = msgspec.structs.asdict(asked)
        secret: list[str] = [name for name in ("gold", "targets") if hide and name in shown]
        if hide and isinstance(asked, LikelihoodQuestion):
            secret.append("choices")
        return {"name": shown.pop("id"), **shown, **dict.fromkeys(secret)}

    def shown_request(
        self, sample: Sample, request: dict[str, Any], *, hide: bool
    ) -> dict[str, Any]:
        """Return what a model was asked; of a single continuation, to be hidden, not that."""
        alone = isinstance(_asked(sample).asked, LikelihoodQuestion)
        return {**request, "choices": None} if hide and alone else request

    def retrieve(self, answer: dict[str, Any], sample: Sample, protocol: str) -> Prediction:
        """Take the choice, or the target that a text is, by the first metric and filter."""
        return Prediction(*judge(self._rules(), _asked(sample).asked, answer, protocol))

    def is_correct(self, sample: Sample, choice: int) -> bool:
        """Judge a choice, of which several may be right, or a text."""
        return is_right(_asked(sample).asked, choice)

    def _questions_hash(self, data: bytes) -> str:
        return sha256(data).hexdigest()

    def _questions_seal(self, salt: str, data: bytes) -> str:
        return sha256(salt.encode() + b"\n" + data).hexdigest()

    def _rules(self) -> Header:
        if not self.state.header:
            raise HandlerError("no compiled file is loaded; name one with DataTxID")
        return read_rules(self.state.header)

    def _statements(self) -> Statements:
        return compiled_statements()

    def _protocol_of(self, named: str) -> Protocol:
        protocol = super()._protocol_of(named)
        if protocol.control:
            raise HandlerError(
                "a compiled data set is asked as it was compiled, so there is no control"
                f" {protocol.control!r}"
            )
        return protocol

    def _is_known(self) -> bool:
        # Before a file is loaded nobody knows by what protocol or against what chance to pay.
        return bool(self.state.header)

    def _limits(self) -> dict[str, Any]:
        return {"Controls": "none"}

    def _left_out(self) -> dict[str, int]:
        return self.state.left_out

    def _facts(self) -> dict[str, Any]:
        if not self.state.header:
            return {}
        header = self._rules()
        return {
            "Kind": header.kind,
            "Metric": header.scorers[0].name,
            "Filter": header.filters[0].name if header.filters else "",
            "Version": header.version,
            "Source": header.source,
            "License": header.license,
            "Left-Out": self.state.left_out_total,
        }


def _asked(sample: Sample) -> CompiledSample:
    assert isinstance(sample, CompiledSample)
    return sample


def _written(guess: Fraction) -> str:
    """Write a chance as pools read it; one of longer numbers is rounded up to millionths.

    A guesser is then never taken for better than he is.
    """
    if guess.denominator >= _LONGEST:
        guess = Fraction(-(-guess.numerator * _PRECISE // guess.denominator), _PRECISE)
    return f"{guess.numerator}/{guess.denominator}" if guess else "0"
