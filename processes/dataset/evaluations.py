"""What a data set process does with its tables: a few statements a message, however many rows.

Every row of evaluation goes pending -> started -> done; back to pending after an error, a refund
or a lease that ran out; and to unscored after `MAX_FAILURES` errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Row,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.orm import Session

from benchpool.evaluation.sample import Sample
from processes.counts import Counts
from processes.dataset.reports import ReportRow
from processes.dataset.statements import Statements
from processes.dataset.tables import DONE, PENDING, STARTED, UNSCORED
from processes.tag_values import LARGEST

MAX_FAILURES: Final = 3
"""Errors after which a row is given up."""
TEMPLATE_MARKS: Final = ("{{", "}}", "{%")


class ModelRow(NamedTuple):
    """A model that is evaluated, under one protocol."""

    id: int
    name: str
    inference_process: str
    data_tx: str
    protocol: str


class AnswerFacts(NamedTuple):
    """What became of one question asked of one model."""

    question: int
    status: str
    prediction: int | None
    correct: bool | None
    margin_nats: float | None
    answered_at: int | None
    template_mark: bool
    """Whether its prompt or a choice looks like a template that nobody filled in."""


class SampleFacts(NamedTuple):
    """One question asked of one model, and its answer as it came, both as far as they are told."""

    question: int
    status: str
    """`pending` while what became of it is not told."""
    answer: dict[str, Any] | None
    started_at: int | None
    answered_at: int | None
    attempts: int
    error: str | None
    """Why it has no answer, or had none before."""


class Task(NamedTuple):
    """A row of evaluation with all that is needed to ask it or to judge its answer."""

    id: int
    sample: Sample
    model: str
    """The model process."""
    weights: str
    protocol: str
    failures: int
    price: int | None


class Evaluations:
    """The tables of one process, within one message."""

    def __init__(self, statements: Statements, session: Session) -> None:
        self._statements = statements
        self._tables = statements.tables
        self._session = session

    # -- questions and models ----------------------------------------------------------------

    def add_samples(self, samples: Sequence[Sample]) -> list[tuple[int, Sample]]:
        """Append questions; return each with its id."""
        first = self.sample_count() + 1
        numbered = list(enumerate(samples, start=first))
        self._session.execute(
            insert(self._tables.datasets),
            [{"id": key, **self._tables.question_values(sample)} for key, sample in numbered],
        )
        return numbered

    def samples(self, *, after: int = 0, most: int = LARGEST) -> list[tuple[int, Sample]]:
        """Return every question with its id, in the order of the ids; or those of a range."""
        datasets = self._tables.datasets
        within = datasets.c.id.between(after + 1, most)
        rows = self._session.execute(select(datasets).where(within).order_by(datasets.c.id))
        return [(row.id, self._tables.sample(row)) for row in rows]

    def sample_count(self) -> int:
        """Count the questions."""
        return self._session.scalar(select(func.count()).select_from(self._tables.datasets)) or 0

    def add_model(self, name: str, process: str, weights: str, protocol: str) -> ModelRow:
        """Append a model."""
        values = {
            "name": name,
            "inference_process": process,
            "data_tx": weights,
            "protocol": protocol,
        }
        result = self._session.execute(
            insert(self._tables.models).returning(self._tables.models.c.id), values
        )
        return ModelRow(result.scalar_one(), **values)

    def models(self) -> list[ModelRow]:
        """Return every model, in the order in which they came."""
        models = self._tables.models
        return [
            ModelRow(*row) for row in self._session.execute(select(models).order_by(models.c.id))
        ]

    def find_model(self, process: str, protocol: str) -> ModelRow | None:
        """Return a model, or None."""
        models = self._tables.models
        row = self._session.execute(
            select(models).where(
                models.c.inference_process == process, models.c.protocol == protocol
            )
        ).first()
        return None if row is None else ModelRow(*row)

    # -- rows of evaluation ------------------------------------------------------------------

    def add_rows(
        self, model: ModelRow, questions: Sequence[tuple[int, Sample]], prompts: Sequence[str]
    ) -> None:
        """Append one pending row for each question."""
        if not questions:
            return
        self._session.execute(
            insert(self._tables.evaluations),
            [
                {
                    "dataset_id": key,
                    "model_id": model.id,
                    "prompt": prompt,
                    "correct_answer": sample.gold,
                    "status": PENDING,
                    "attempts": 0,
                    "failures": 0,
                }
                for (key, sample), prompt in zip(questions, prompts, strict=True)
            ],
        )

    def take_pending(self, limit: int) -> list[Task]:
        """Return the rows to ask next."""
        rows = self._session.execute(self._statements.pending, {"limit": limit})
        return [self._read(row) for row in rows]

    def take_share(self, models: Sequence[int], most: int, limit: int) -> list[Task]:
        """Return the next rows of some models, of the questions up to a number."""
        values = {"models": models, "most": most, "limit": limit}
        return [
            self._read(row) for row in self._session.execute(self._statements.pending_of, values)
        ]

    def pending_count(self, models: Sequence[int], most: int) -> int:
        """Count the rows that `take_share` could return."""
        values = {"models": models, "most": most}
        return self._session.scalar(self._statements.pending_count, values) or 0

    def start(self, asked: Sequence[tuple[Task, int, int | None]], now_ms: int) -> None:
        """Mark rows as started, each with its reference and what the request cost."""
        if not asked:
            return
        table = self._tables.evaluations
        self._session.execute(
            update(table)
            .where(table.c.id == bindparam("row_id"))
            .values(
                status=STARTED,
                attempts=table.c.attempts + 1,
                inference_start_time=now_ms,
                inference_reference=bindparam("reference"),
                price=bindparam("cost"),
            ),
            [
                {
                    "row_id": task.id,
                    "reference": str(reference),
                    "cost": None if price is None else str(price),
                }
                for task, reference, price in asked
            ],
        )

    def expire(self, started_until_ms: int) -> int:
        """Put rows back that were started at or before a moment; return how many."""
        rows = self._tables.evaluations.c
        result = self._session.execute(
            update(self._tables.evaluations)
            .where(rows.status == STARTED, rows.inference_start_time <= started_until_ms)
            .values(status=PENDING, error="no answer came within the lease")
        )
        return int(getattr(result, "rowcount", 0))

    def find_started(self, reference: str) -> Task | None:
        """Return the row that waits for an answer to this reference, or None."""
        row = self._session.execute(self._statements.by_reference, {"reference": reference}).first()
        return None if row is None else self._read(row)

    def finish(self, task: Task, values: Mapping[str, Any], now_ms: int) -> None:
        """Mark a row as done, with what was made of the answer."""
        self._set(task, {"status": DONE, "error": None, "inference_end_time": now_ms, **values})

    def put_back(self, task: Task, reason: str, *, price: int | None = None) -> None:
        """Mark a row as pending again, through no fault of the model; its price may be new."""
        values: dict[str, Any] = {"status": PENDING, "error": reason}
        if price is not None:
            values["price"] = str(price)
        self._set(task, values)

    def fail(self, task: Task, reason: str) -> None:
        """Count an error: the row is pending again, or given up after `MAX_FAILURES`."""
        failures = task.failures + 1
        status = UNSCORED if failures >= MAX_FAILURES else PENDING
        self._set(task, {"status": status, "failures": failures, "error": reason})

    def revive(self, model: ModelRow) -> None:
        """Put a model's rows back that were given up."""
        rows = self._tables.evaluations.c
        self._session.execute(
            update(self._tables.evaluations)
            .where(rows.model_id == model.id, rows.status == UNSCORED)
            .values(status=PENDING, failures=0)
        )

    def reset(self, model: ModelRow, weights: str) -> ModelRow:
        """Forget all that a model has answered, since it has other weights than was thought."""
        models, rows = self._tables.models, self._tables.evaluations
        mine = select(rows.c.id).where(rows.c.model_id == model.id)
        told = self._tables.told
        self._session.execute(delete(told).where(told.c.evaluation_id.in_(mine)))
        self._session.execute(update(models).where(models.c.id == model.id).values(data_tx=weights))
        self._session.execute(
            update(rows)
            .where(rows.c.model_id == model.id)
            .values(status=PENDING, failures=0, error=None, correct=None, answer=None)
        )
        return model._replace(data_tx=weights)

    def counts(self, model: ModelRow, most: int | None = None, *, told: bool = False) -> Counts:
        """Count a model's rows: of the questions up to a number, as far as they were told."""
        statement = self._statements.counts if most is None else self._statements.counts_of_first
        if told:
            statement, most = self._statements.counts_told, LARGEST if most is None else most
        total, evaluated, unscored, correct, per_character = self._session.execute(
            statement, {"model_id": model.id, "most": most}
        ).one()
        return Counts(correct, evaluated, unscored, total, per_character)

    def tell(self, model: ModelRow) -> None:
        """Let everybody know what is decided of a model up to now."""
        told = insert(self._tables.told).from_select(["evaluation_id"], self._statements.untold)
        self._session.execute(told, {"process": model.inference_process})

    def untell(self, model: ModelRow) -> None:
        """Let nobody know any more of the rows of a model that were given up."""
        rows, told = self._tables.evaluations.c, self._tables.told
        mine = select(rows.id).where(rows.model_id == model.id, rows.status == UNSCORED)
        self._session.execute(delete(told).where(told.c.evaluation_id.in_(mine)))

    def final_answers(self, model: ModelRow, most: int) -> Iterator[tuple[int, bool, Any]]:
        """Go through a model's answers: the number of the question, whether right, the answer."""
        rows = self._tables.evaluations.c
        found = self._session.execute(
            select(rows.dataset_id, rows.correct, rows.answer)
            .where(rows.model_id == model.id, rows.status == DONE, rows.dataset_id <= most)
            .order_by(rows.dataset_id)
        )
        return ((number, bool(correct), answer) for number, correct, answer in found)

    def outcomes(self, model: ModelRow, *, told: bool = False) -> Iterator[ReportRow]:
        """Go through a model's rows, in their order; or through all but answers not yet told."""
        rows = self._tables.evaluations.c
        is_known = rows.id.in_(select(self._tables.told.c.evaluation_id))
        known = [or_(rows.status != DONE, is_known)] if told else []
        found = self._session.execute(
            select(
                rows.status,
                rows.correct_answer,
                rows.prediction,
                rows.margin_nats,
                rows.error,
                rows.answer,
            )
            .where(rows.model_id == model.id, *known)
            .order_by(rows.dataset_id)
        )
        return (ReportRow(*row) for row in found)

    def answers(self, model: ModelRow, *, told: bool = False) -> Iterator[AnswerFacts]:
        """Go through what became of a model's questions, in their order; or as far as is told."""
        rows, questions = self._tables.evaluations.c, self._tables.datasets.c
        known = [rows.id.in_(select(self._tables.told.c.evaluation_id))] if told else []
        named = (type_coerce(questions[name], Text) for name in self._tables.choices)
        texts = [rows.prompt, *named]
        marked = [text.contains(mark, autoescape=True) for text in texts for mark in TEMPLATE_MARKS]
        found = self._session.execute(
            select(
                rows.dataset_id,
                rows.status,
                rows.prediction,
                rows.correct,
                rows.margin_nats,
                rows.inference_end_time,
                or_(*marked),
            )
            .join_from(self._tables.evaluations, self._tables.datasets)
            .where(rows.model_id == model.id, *known)
            .order_by(rows.dataset_id)
        )
        return (AnswerFacts(*row) for row in found)

    def asked_samples(
        self, model: ModelRow, numbers: Sequence[int], *, told: bool = False
    ) -> Iterator[tuple[SampleFacts, Sample]]:
        """Go through some of a model's questions, in their order, with what became of each."""
        rows, key = self._tables.evaluations.c, self._tables.told.c.evaluation_id
        questions = [c for c in self._tables.datasets.c if c.name != "id"]
        found = self._session.execute(
            select(
                rows.dataset_id,
                rows.status,
                rows.answer,
                rows.inference_start_time,
                rows.inference_end_time,
                rows.attempts,
                rows.error,
                key,
                *questions,
            )
            .join_from(self._tables.evaluations, self._tables.datasets)
            .join(self._tables.told, key == rows.id, isouter=True)
            .where(rows.model_id == model.id, rows.dataset_id.in_(numbers))
            .order_by(rows.dataset_id)
        )
        for row in found:
            number, status, answer, started, ended, attempts, error, known = row[:8]
            facts = SampleFacts(number, status, answer, started, ended, attempts, error)
            if told and known is None:
                facts = SampleFacts(number, PENDING, None, None, None, 0, None)
            elif status != DONE:
                facts = facts._replace(answer=None, answered_at=None)
            yield facts, self._tables.sample(row)

    def _set(self, task: Task, values: Mapping[str, Any]) -> None:
        table = self._tables.evaluations
        self._session.execute(
            update(table).where(table.c.id == bindparam("row_id")).values(list_names(values)),
            {"row_id": task.id, **{f"new_{name}": value for name, value in values.items()}},
        )

    def _read(self, row: Row[Any]) -> Task:
        return Task(
            id=row.id,
            sample=self._tables.sample(row),
            model=row.inference_process,
            weights=row.data_tx,
            protocol=row.protocol,
            failures=row.failures,
            price=None if row.price is None else int(row.price),
        )


def list_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter for each column: values stay out of the statement, which is cached."""
    return {name: bindparam(f"new_{name}") for name in values}
