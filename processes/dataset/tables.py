"""The tables of a data set process: questions, models, and one row of evaluation for each pair.

The columns of the questions depend on how many choices they have (`answerA`, `answerB`, ...), so
the tables are made once for each number of choices.
"""

from __future__ import annotations

from functools import cache
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from benchpool.evaluation.sample import Sample

PENDING: Final = "pending"
STARTED: Final = "started"
DONE: Final = "done"
UNSCORED: Final = "unscored"
"""Given up after too many failures: neither right nor wrong."""


class DatasetColumns:
    """A question. Its choices stand between `question` and `result`."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-3)
    context: Mapped[str] = mapped_column(Text, sort_order=-2)
    question: Mapped[str] = mapped_column(Text, sort_order=-1)
    result: Mapped[int] = mapped_column(sort_order=100)
    """The right choice, counted from 1."""


class ModelColumns:
    """A model, under one protocol."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    inference_process: Mapped[str] = mapped_column(Text)
    data_tx: Mapped[str] = mapped_column(Text)
    """The data id of its weights."""
    protocol: Mapped[str] = mapped_column(Text)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (UniqueConstraint("inference_process", "protocol"),)


class EvaluationColumns:
    """One question asked of one model."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    prompt: Mapped[str] = mapped_column(Text)
    correct_answer: Mapped[int]
    prediction: Mapped[int | None]
    """The choice taken, counted from 1; 0 for an answer that names none."""
    inference_start_time: Mapped[int | None]
    inference_end_time: Mapped[int | None]
    inference_reference: Mapped[str | None] = mapped_column(Text)
    """What the last request bore; an answer must bear the same."""
    status: Mapped[str] = mapped_column(Text, default=PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it was asked."""
    failures: Mapped[int] = mapped_column(default=0)
    """How often an error came back."""
    error: Mapped[str | None] = mapped_column(Text)
    price: Mapped[str | None] = mapped_column(Text)
    """Winston in decimal digits: what the last request cost, or the next one must."""
    correct: Mapped[bool | None]
    prediction_per_character: Mapped[int | None]
    correct_per_character: Mapped[bool | None]
    margin_nats: Mapped[float | None]
    answer: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    """What the model answered, as it came: log-likelihoods or a text."""

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        return (
            UniqueConstraint("dataset_id", "model_id"),
            # A tick takes the pending rows in this order.
            Index("evaluations_by_status", "status", "attempts", "id"),
            # A Score reads this index and not the table.
            Index("evaluations_by_model", "model_id", "status", "correct", "correct_per_character"),
            # Unique, so that an answer is looked up here and not in the index by status.
            Index("evaluations_by_reference", "inference_reference", unique=True),
        )


class Tables(NamedTuple):
    """The tables of a data set whose questions have a given number of choices."""

    metadata: MetaData
    datasets: Table
    models: Table
    evaluations: Table
    told: Table
    """Rows that a Score has told of: all that strangers are told of. It has metadata of its own,
    for data sets of the first edition have no such table."""
    choices: tuple[str, ...]
    """The names of the columns of the choices."""

    def question_values(self, sample: Sample) -> dict[str, Any]:
        """Return the row of a question, without its id."""
        choices = dict(zip(self.choices, sample.choices, strict=True))
        return {
            "context": sample.context,
            "question": sample.question,
            **choices,
            "result": sample.gold,
        }

    def sample(self, row: Any) -> Sample:
        """Read a question back from a row that holds its columns."""
        fields = row._mapping
        choices = tuple(fields[name] for name in self.choices)
        return Sample(fields["context"], fields["question"], choices, fields["result"])


@cache
def tables(choices: int) -> Tables:
    """Return the tables for questions with so many choices.

    Raises: ValueError for fewer than two choices, or more than there are letters.
    """
    if not 2 <= choices <= len(ascii_uppercase):
        raise ValueError(f"a question has 2 to {len(ascii_uppercase)} choices, not {choices}")
    names = tuple(f"answer{letter}" for letter in ascii_uppercase[:choices])

    class Base(DeclarativeBase):
        pass

    columns = {name: mapped_column(Text, nullable=False, sort_order=0) for name in names}
    type("Dataset", (DatasetColumns, Base), dict(columns))
    type("Model", (ModelColumns, Base), {})
    type("Evaluation", (EvaluationColumns, Base), {})
    made = Base.metadata.tables
    told = Table("told", MetaData(), Column("evaluation_id", Integer, primary_key=True))
    return Tables(Base.metadata, made["datasets"], made["models"], made["evaluations"], told, names)
