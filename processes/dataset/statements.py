"""The statements of a data set process that are run for every message, made once."""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

from sqlalchemy import (
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
)

from processes.dataset.tables import DONE, PENDING, STARTED, UNSCORED, Tables, tables


class Statements:
    """The statements, made once for each set of tables: SQLAlchemy then compiles each only once."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._rows = tables.evaluations.c

    @cached_property
    def pending(self) -> Select[Any]:
        """Rows to ask: those asked least often first, so that a silent model starves nobody."""
        rows = self._rows
        return (
            self._task()
            .where(rows.status == PENDING)
            .order_by(rows.attempts, rows.id)
            .limit(bindparam("limit"))
        )

    @cached_property
    def pending_of(self) -> Select[Any]:
        """The same of some models and questions, question by question."""
        rows = self._rows
        return (
            self._task()
            .where(rows.status == PENDING, *self._within())
            .order_by(rows.attempts, rows.dataset_id, rows.model_id)
            .limit(bindparam("limit"))
        )

    @cached_property
    def pending_count(self) -> Select[Any]:
        """How many there are of them."""
        return select(func.count()).where(self._rows.status == PENDING, *self._within())

    @cached_property
    def by_reference(self) -> Select[Any]:
        """The row that waits for an answer to a reference."""
        rows = self._rows
        return self._task().where(
            rows.inference_reference == bindparam("reference"), rows.status == STARTED
        )

    @cached_property
    def counts(self) -> Select[Any]:
        """How many rows a model has by status, and how many of them are correct."""
        return self._counts(self._rows.status)

    @cached_property
    def counts_of_first(self) -> Select[Any]:
        """The same of the questions up to a number."""
        return self.counts.where(self._rows.dataset_id <= bindparam("most"))

    @cached_property
    def counts_told(self) -> Select[Any]:
        """The same as far as it was told."""
        told = self.tables.told.c.evaluation_id
        status = case((told.is_not(None), self._rows.status), else_=PENDING)
        return (
            self._counts(status)
            .where(self._rows.dataset_id <= bindparam("most"))
            .join_from(
                self.tables.evaluations, self.tables.told, told == self._rows.id, isouter=True
            )
        )

    @cached_property
    def untold(self) -> Select[Any]:
        """The rows of a model, by whatever protocol, that are decided and nobody was told of."""
        rows, told = self._rows, self.tables.told.c.evaluation_id
        models = self.tables.models.c
        mine = select(models.id).where(models.inference_process == bindparam("process"))
        return select(rows.id).where(
            rows.model_id.in_(mine),
            rows.status.in_((DONE, UNSCORED)),
            ~exists().where(told == rows.id),
        )

    def _counts(self, status: Any) -> Select[Any]:
        rows = self._rows
        return select(
            func.count(),
            _count(status == DONE),
            _count(status == UNSCORED),
            _count(and_(status == DONE, rows.correct)),
            _count(and_(status == DONE, rows.correct_per_character)),
        ).where(rows.model_id == bindparam("model_id"))

    def _within(self) -> tuple[Any, Any]:
        rows = self._rows
        models = rows.model_id.in_(bindparam("models", expanding=True))
        return models, rows.dataset_id <= bindparam("most")

    def _task(self) -> Select[Any]:
        rows, models = self._rows, self.tables.models.c
        questions = [c for c in self.tables.datasets.c if c.name != "id"]
        return (
            select(
                rows.id,
                rows.failures,
                rows.price,
                models.inference_process,
                models.data_tx,
                models.protocol,
                *questions,
            )
            .join_from(self.tables.evaluations, self.tables.datasets)
            .join(self.tables.models)
        )


@cache
def statements(choices: int) -> Statements:
    """Return the statements on the tables of questions with so many choices."""
    return Statements(tables(choices))


def _count(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=literal_column("0"))), 0)
