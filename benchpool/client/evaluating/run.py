"""Ask models the questions of a data set, and score what they answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchpool.client.evaluating.questions import Asked, Questions, Verdict
from benchpool.errors import ConfigError, DatasetError, InferenceError, PrerequisiteError
from benchpool.fetching.hashing import hash_file
from benchpool.inference.engine import (
    ChoicesAnswer,
    Generation,
    ModelCard,
    Outcome,
    Request,
    Runtime,
    Unanswered,
)
from benchpool.inference.engines import Engines
from benchpool.inference.files.catalogue import Catalogue

ATTEMPTS: Final = 3
"""How often a question is asked whose model failed at it, as in a pool."""

Report = Callable[[int, int, str], None]
"""Called with (questions done, questions in all, the model's name)."""


class Model(NamedTuple):
    """A model to evaluate."""

    name: str
    path: Path


class Record(msgspec.Struct, frozen=True):
    """What became of one question asked of one model: a line of a file of samples."""

    model: str
    weights: str
    """SHA-256 of the model's file."""
    runtime: str
    """The id of what else decides the bits of its answers."""
    data: str
    data_sha256: str
    protocol: str
    question: int
    """Its place in the data, counted from 1."""
    id: str
    prompt: str
    choices: tuple[str, ...]
    gold: tuple[int, ...]
    targets: tuple[str, ...]
    log_likelihoods: tuple[float, ...]
    """Nats, one a choice."""
    text: str | None
    """What was generated."""
    prediction: int | str | None
    prediction_per_character: int | None
    correct: bool
    """False too if there is no answer, as in a pool."""
    correct_per_character: bool | None
    margin_nats: float | None
    scores: dict[str, float]
    unscored: str
    """Why the question has no score; empty if it has one."""


class Evaluation(NamedTuple):
    """A model's answers to the questions of a data set, in their order."""

    model: str
    records: Sequence[Record]


def find_model(name: str, stored: Callable[[str], Path | None] = lambda _: None) -> Model:
    """Find a model: a GGUF file, a model of this machine, or the data of a home.

    Args:
        name: As somebody typed it.
        stored: Looks a data id up.

    Raises:
        PrerequisiteError, ConfigError: There is no such model.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return Model(path.stem, path)
    if "/" in name or name.endswith(".gguf"):
        raise ConfigError(f"{name} is no file")
    try:
        return Model(name, Catalogue().find(name))
    except PrerequisiteError:
        kept = stored(name)
        if kept is None:
            raise
        return Model(name, kept)


def evaluate(
    model: Model,
    questions: Questions,
    engines: Engines,
    *,
    limit: int | None = None,
    report: Report = lambda _done, _asked, _name: None,
) -> Evaluation:
    """Ask a model, and score its answers.

    What the engines' cache holds is not asked again; each new answer is kept there as it comes.

    Args:
        model: The model.
        questions: What it is asked.
        engines: Open it.
        limit: Only the first so many questions.
        report: Told of the progress.

    Raises:
        DatasetError: There is nothing to ask.
        InferenceError: The model cannot be asked at all.
    """
    count = len(questions) if limit is None else min(limit, len(questions))
    if not count:
        raise DatasetError("holds no questions", path=questions.name)
    asked = [questions.ask(place) for place in range(count)]
    with engines.open(model.path, questions.protocol.precision) as engine:
        requests = [each.request for each in asked]
        outcomes = list(
            engine.answer(requests, lambda done, total: report(done, total, model.name))
        )
        for _ in range(1, ATTEMPTS):
            failed = [at for at, each in enumerate(outcomes) if isinstance(each, InferenceError)]
            again: Sequence[Request] = [requests[at] for at in failed]
            for at, outcome in zip(failed, engine.answer(again) if again else (), strict=True):
                outcomes[at] = outcome
        card, runtime = engine.card, engine.runtime
    facts = _Facts(model, card, runtime, questions)
    records = [
        facts.record(place, each, outcome)
        for place, (each, outcome) in enumerate(zip(asked, outcomes, strict=True))
    ]
    return Evaluation(model.name, records)


def evaluate_all(
    models: Sequence[Model],
    questions: Questions,
    engines: Engines,
    *,
    limit: int | None = None,
    report: Report = lambda _done, _asked, _name: None,
) -> Iterator[Evaluation]:
    """Ask models one after the other; each has all cores. See `evaluate`.

    Raises:
        ConfigError: Two models of one name.
    """
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two models are called {name}; name each model once")
    for model in models:
        yield evaluate(model, questions, engines, limit=limit, report=report)


class _Facts:
    """What all records of a model share."""

    def __init__(
        self, model: Model, card: ModelCard, runtime: Runtime, questions: Questions
    ) -> None:
        self._model = model.name
        self._weights = card.sha256 or hash_file(model.path)
        self._runtime = runtime.id
        self._questions = questions

    def record(self, place: int, asked: Asked, outcome: Outcome) -> Record:
        verdict, unscored = self._judge(place, outcome)
        questions = self._questions
        return Record(
            model=self._model,
            weights=self._weights,
            runtime=self._runtime,
            data=questions.name,
            data_sha256=questions.sha256,
            protocol=str(questions.protocol),
            question=place + 1,
            id=asked.id,
            prompt=asked.prompt,
            choices=asked.choices,
            gold=asked.gold,
            targets=asked.targets,
            log_likelihoods=tuple(each.nats for each in outcome.log_likelihoods)
            if isinstance(outcome, ChoicesAnswer) and verdict
            else (),
            text=outcome.text if isinstance(outcome, Generation) else None,
            prediction=None if verdict is None else verdict.prediction,
            prediction_per_character=None if verdict is None else verdict.prediction_per_character,
            correct=verdict is not None and verdict.correct,
            correct_per_character=None if verdict is None else verdict.correct_per_character,
            margin_nats=None if verdict is None else verdict.margin_nats,
            scores={} if verdict is None else verdict.scores,
            unscored=unscored,
        )

    def _judge(self, place: int, outcome: Outcome) -> tuple[Verdict | None, str]:
        if isinstance(outcome, Unanswered):
            return None, outcome.reason or "unanswered"
        if isinstance(outcome, InferenceError):
            return None, str(outcome) or "the model failed"
        try:
            return self._questions.judge(place, outcome), ""
        except (InferenceError, DatasetError, ValueError) as error:
            return None, str(error) or "the answer cannot be scored"
