"""The tables of a compiled data set: questions as finished requests, and the other tables as ever.

The tables of a data set with a fixed number of choices have columns of their own; see `tables`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import JSON, Column, Integer, MetaData, Table, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchpool.evaluation.compiled import (
    ChoicesQuestion,
    GenerateQuestion,
    LikelihoodQuestion,
    Question,
)
from benchpool.evaluation.compiled_scores import CompiledSample, sample_of
from benchpool.evaluation.sample import Sample
from processes.dataset.statements import Statements
from processes.dataset.tables import EvaluationColumns, ModelColumns, Tables

_LISTS: Final = ("choices", "leads", "texts", "gold", "stop", "targets")


class QuestionColumns:
    """A question. What its kind does not have is null."""

    __tablename__ = "datasets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    """What the data calls it; empty if nothing."""
    context: Mapped[str] = mapped_column(Text)
    question: Mapped[str] = mapped_column(Text)
    request: Mapped[str] = mapped_column(Text)
    """The prompt, byte for byte."""
    choices: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    """Continuations, byte for byte."""
    leads: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    """What stands between the prompt and each of them, where something does."""
    texts: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    gold: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    """The right choices, counted from 1."""
    stop: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    max_tokens: Mapped[int | None]
    targets: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))


class CompiledTables(Tables):
    """The tables of a compiled data set."""

    __slots__ = ()

    def question_values(self, sample: Sample) -> dict[str, Any]:
        """Return the row of a question, without its id."""
        assert isinstance(sample, CompiledSample)
        asked = sample.asked
        lists = {name: getattr(asked, name, None) for name in _LISTS}
        return {
            "name": asked.id,
            "context": asked.context,
            "question": asked.question,
            "request": asked.prompt,
            "max_tokens": getattr(asked, "max_tokens", None),
            **{name: list(value) if value else None for name, value in lists.items()},
        }

    def sample(self, row: Any) -> CompiledSample:
        """Read a question back from a row that holds its columns."""
        fields = row._mapping
        lists = {name: tuple(fields[name] or ()) for name in _LISTS}
        shown = {
            "prompt": fields["request"],
            "id": fields["name"],
            "context": fields["context"],
            "question": fields["question"],
        }
        question: Question
        if fields["gold"] is not None:
            question = ChoicesQuestion(
                choices=lists["choices"],
                leads=lists["leads"],
                texts=lists["texts"],
                gold=lists["gold"],
                **shown,
            )
        elif fields["max_tokens"] is not None:
            question = GenerateQuestion(
                stop=lists["stop"],
                max_tokens=fields["max_tokens"],
                targets=lists["targets"],
                **shown,
            )
        else:
            question = LikelihoodQuestion(
                choices=lists["choices"], targets=lists["targets"], **shown
            )
        return sample_of(question)


@cache
def compiled_tables() -> CompiledTables:
    """Return the tables of a compiled data set."""

    class Base(DeclarativeBase):
        pass

    type("Dataset", (QuestionColumns, Base), {})
    type("Model", (ModelColumns, Base), {})
    type("Evaluation", (EvaluationColumns, Base), {})
    made = Base.metadata.tables
    told = Table("told", MetaData(), Column("evaluation_id", Integer, primary_key=True))
    texts = ("request", "choices")
    return CompiledTables(
        Base.metadata, made["datasets"], made["models"], made["evaluations"], told, texts
    )


@cache
def compiled_statements() -> Statements:
    """Return the statements on the tables of compiled questions."""
    return Statements(compiled_tables())
