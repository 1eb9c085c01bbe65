"""Scripted engine: stands in for a model where a scenario says so, and says so itself.

What takes the place of the GGUF file is a small JSON file with the choice that the model makes at
each question. The same file gives the same answers on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from string import ascii_uppercase

from benchpool.errors import ModelDied, ModelFileError
from benchpool.evaluation import prompts
from benchpool.evaluation.sample import Sample
from benchpool.inference.engine import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    Engine,
    GenerateRequest,
    Generation,
    LogLikelihood,
    ModelCard,
    Outcome,
    Precision,
    Progress,
    Request,
    Runtime,
    Unanswered,
)
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.engines import EngineFactory

MARK = b'{"benchpool":"scripted model"'
_LIKELY_NATS = -1.0
_UNLIKELY_NATS = -10.0
_CONTEXT_TOKENS = 2048


def write_script(name: str, samples: Sequence[Sample], choices: Sequence[int]) -> bytes:
    """Write the file of a scripted model.

    Args:
        name: of the model.
        samples: the questions it knows.
        choices: what it answers to each, counted from 1.
    """
    answers = {}
    for sample, choice in zip(samples, choices, strict=True):
        answers[_key(prompts.cloze(sample).prompt)] = choice
        answers[_key(prompts.letters(sample).user)] = choice
    return _script(name, answers)


def write_replies(name: str, replies: Mapping[str, int | str]) -> bytes:
    """Write the file of a scripted model that answers prompts with choices or with texts.

    Args:
        name: of the model.
        replies: by prompt the choice, counted from 1, or the text; 0 is none of the choices.
    """
    return _script(name, {_key(prompt): reply for prompt, reply in replies.items()})


def choose(samples: Sequence[Sample], correct: int, *, seed: str) -> list[int]:
    """Make up answers of which exactly so many are right; which ones follows from the seed."""
    order = list(range(len(samples)))
    Random(seed).shuffle(order)  # noqa: S311 - a made-up model, not a secret
    right = set(order[:correct])
    return [
        sample.gold if place in right else sample.gold % len(sample.choices) + 1
        for place, sample in enumerate(samples)
    ]


class ScriptedEngines:
    """Opens scripted models, and GGUF files by the usual engine; knows how to kill them."""

    def __init__(self, fallback: EngineFactory | None = None) -> None:
        self._fallback = fallback or EnginePool().open
        self._dead: set[str] = set()

    def __call__(self, path: Path, precision: Precision = "stored") -> Engine:
        """Open a model. Raises: InferenceError if it is none."""
        with path.open("rb") as file:
            if file.read(len(MARK)) != MARK:
                return self._fallback(path, precision)
        return ScriptedEngine(path.read_bytes(), self.is_dead, precision)

    def kill(self, name: str) -> None:
        """From now on the engines of this model fail."""
        self._dead.add(name)

    def revive(self, name: str) -> None:
        """From now on the engines of this model answer again."""
        self._dead.discard(name)

    def is_dead(self, name: str) -> bool:
        """Tell whether the engines of this model fail."""
        return name in self._dead


class ScriptedEngine(Engine):
    """Answers from a table."""

    def __init__(
        self,
        script: bytes,
        is_dead: Callable[[str], bool] = lambda _: False,
        precision: Precision = "stored",
    ) -> None:
        try:
            content = json.loads(script)
            self._answers: Mapping[str, int | str] = content["answers"]
            self._name: str = content["name"]
            file = hashlib.sha256(script).digest()
            self._like = bytes.fromhex(content["like"]) if "like" in content else file
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFileError(f"not a scripted model: {error}") from None
        self._is_dead = is_dead
        self.runtime = Runtime("scripted", "any", precision, "canonical-1")
        self.card = ModelCard(
            name=self._name,
            architecture="scripted",
            parameters=0,
            quantization="none",
            context_tokens=_CONTEXT_TOKENS,
            layers=0,
            vocabulary=0,
            tokenizer="none",
            size_bytes=len(script),
            sha256=file.hex(),
        )

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Answer every request from the table. Raises: ModelDied if it was killed."""
        answers = []
        for count, request in enumerate(requests, start=1):
            if self._is_dead(self._name):
                raise ModelDied(f"the scripted model {self._name} was killed by the scenario")
            answers.append(self._answer(request))
            if progress is not None:
                progress(count, len(requests))
        return answers

    def _answer(self, request: Request) -> Answer:
        text = request.user if isinstance(request, GenerateRequest) else request.prompt
        if isinstance(request, ChoicesRequest):
            text += "".join(request.leads)
        choice = self._answers.get(_key(text))
        if choice is None:
            return Unanswered("the script has no answer to this question")
        tokens = len(text.split())
        if isinstance(request, ChoicesRequest):
            return ChoicesAnswer(
                tuple(
                    LogLikelihood(
                        self._nats(text, place, chosen=place == choice),
                        len(continuation.split()),
                        place == choice if request.greedy else None,
                    )
                    for place, continuation in enumerate(request.choices, start=1)
                ),
                tokens,
            )
        if isinstance(request, CompleteRequest):
            said = str(choice)
            for stop in request.stop:
                said = said.split(stop, 1)[0]
            return Generation(said, tokens, min(len(said), request.max_tokens), "stop")
        return Generation(ascii_uppercase[int(choice) - 1], tokens, 1, "stop")

    def _nats(self, text: str, place: int, *, chosen: bool) -> float:
        """Give every file log-likelihoods of its own: models with equal ones count as copies.

        A file that says to be like another one has the other's.
        """
        digest = hashlib.sha256(b"%b:%d:%b" % (self._like, place, text.encode())).digest()
        return (_LIKELY_NATS if chosen else _UNLIKELY_NATS) - digest[0] / 256

    def close(self) -> None:
        """Nothing is held."""


def _script(name: str, answers: Mapping[str, int | str]) -> bytes:
    return json.dumps(
        {"benchpool": "scripted model", "name": name, "answers": answers}, separators=(",", ":")
    ).encode()


def _key(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:24]
