"""A table becomes a data set without a task: a question, choices and an answer a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from benchpool.errors import ConfigError
from benchpool.evaluation.compiled import (
    FORMAT,
    MAX_CHOICES,
    METHODS,
    ChoicesQuestion,
    GenerateQuestion,
    Header,
    Origin,
    Question,
    SourceFile,
    write_compiled,
)
from benchpool.evaluation.text_scorers import Metric
from benchpool.tasks.isolation import beside, publish
from benchpool.tasks.records import DataFile, Record

Answers = Literal["text", "letter", "number", "number-from-0"]
"""How a table says which choice is right."""
STOP: Final = ("\n",)
MAX_TOKENS: Final = 64
EXACT: Final = Metric(name="exact_match", ignore_case=True, ignore_punctuation=True)
"""How a written text is compared with the answer."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table and what its columns are.

    Args:
        file: the data file.
        question: the column of the question.
        choices: the columns of the choices, or one column that holds lists of them; none if the
            answer is a text to be written.
        answer: the column of the answer.
        context: the column of what the question is about; empty for none.
        answers: how an answer names a choice; None finds it out from all of them.
        limit: how many questions are taken at most.
        name: the name of the data set; empty for the file's.
        title: what people call it; empty for its name.
        license: under which it may be used.
        source: where it comes from.
    """

    file: Path
    question: str
    choices: tuple[str, ...]
    answer: str
    context: str = ""
    answers: Answers | None = None
    limit: int | None = None
    name: str = ""
    title: str = ""
    license: str = ""
    source: str = ""


class _Row(NamedTuple):
    record: Record
    prompt: str
    choices: list[str]
    answer: Any


def compile_table(table: Table, path: Path) -> Header:
    """Make a data set of a table; the file appears whole or not at all.

    Args:
        table: the table.
        path: the file that is made, replaced if it is there.

    Raises:
        ConfigError: it cannot be told how the answers name choices.
        DatasetError: the data cannot be read; names the file, line and column.
        PrerequisiteError: the data is columnar, and pyarrow is not installed.
    """
    data = DataFile(table.file)
    rows: list[_Row] = []
    for record in data.records():
        if len(rows) == table.limit:
            break
        rows.append(_row(table, record))
    questions = _choices(table, rows) if table.choices else [_written(table, row) for row in rows]
    kind: Literal["choices", "generate"] = "choices" if table.choices else "generate"
    name = table.name or table.file.stem
    header = Header(
        format=FORMAT,
        name=name,
        title=table.title or name,
        source=table.source,
        license=table.license,
        version="",
        compiled=Origin(task="", data=(SourceFile(file=data.path.name, sha256=data.sha256),)),
        kind=kind,
        protocol=METHODS[kind],
        metrics=("acc", "acc_norm") if table.choices else (EXACT, "f1"),
        filters=(),
        unscored=(),
        count=len(questions),
    )
    with beside(path) as folder:
        made = folder / "made"
        made.write_bytes(write_compiled(header, questions))
        publish(made, path)
    return header


def _row(table: Table, record: Record) -> _Row:
    question = _text(record, table.question)
    context = _text(record, table.context) if table.context else ""
    prompt = f"Question: {question}\nAnswer:"
    return _Row(
        record,
        f"{context}\n{prompt}" if context else prompt,
        _choice_texts(table, record),
        _cell(record, table.answer),
    )


def _cell(record: Record, column: str) -> Any:
    if column not in record.columns:
        names = ", ".join(map(repr, list(record.columns)[:12]))
        raise record.error(f"there is no such column; there are {names[:300]}", column)
    return record.columns[column]


def _text(record: Record, column: str) -> str:
    text = _plain(_cell(record, column))
    if text is None:
        raise record.error("is no text", column)
    if not text:
        raise record.error("is empty", column)
    return text


def _plain(value: Any) -> str | None:
    """Return a cell as a text; None if it is something else."""
    if isinstance(value, str):
        return value.strip()
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if plain else None


def _choice_texts(table: Table, record: Record) -> list[str]:
    cells = [_cell(record, column) for column in table.choices]
    columns = list(table.choices)
    if len(cells) == 1 and isinstance(cells[0], list):
        cells = cells[0]
        columns *= len(cells)
    while cells and cells[-1] in ("", None):  # questions may have fewer choices than others
        cells.pop()
    texts = []
    for cell, column in zip(cells, columns, strict=False):
        text = _plain(cell)
        if not text:
            raise record.error("a choice is empty or no text", column)
        texts.append(text)
    if table.choices and not 2 <= len(texts) <= MAX_CHOICES:
        raise record.error(f"has {len(texts)} choices; there are 2 to {MAX_CHOICES}", columns[0])
    return texts


def _written(table: Table, row: _Row) -> Question:
    answers = row.answer if isinstance(row.answer, list) else [row.answer]
    targets = [_plain(each) for each in answers]
    if not targets or not all(targets):
        raise row.record.error("the answer is empty or no text", table.answer)
    return GenerateQuestion(
        prompt=row.prompt,
        stop=STOP,
        max_tokens=MAX_TOKENS,
        targets=tuple(str(each) for each in targets),
    )


def _choices(table: Table, rows: Sequence[_Row]) -> list[Question]:
    golds = _golds(table, rows)
    return [
        ChoicesQuestion(
            prompt=row.prompt,
            choices=tuple(f" {each}" for each in row.choices),
            texts=tuple(row.choices),
            gold=(gold,),
        )
        for row, gold in zip(rows, golds, strict=True)
    ]


def _golds(table: Table, rows: Sequence[_Row]) -> list[int]:
    """Return which choice of each row is right, counted from 1."""
    wanted = [table.answers] if table.answers else ["text", "letter", "number"]
    found: dict[str, list[int]] = {}
    reached: list[tuple[int, str]] = []
    for reading in wanted:
        golds: list[int] = []
        for row in rows:
            gold = _READINGS[reading](row)
            if gold is None:
                reached.append((len(golds), reading))
                break
            golds.append(gold)
        else:
            found[reading] = golds
    if not found:
        row = rows[max(reached)[0]]
        raise row.record.error(_unknown(row, table.answers), table.answer)
    if len({tuple(golds) for golds in found.values()}) > 1:
        raise ConfigError(
            f"{table.file}: the column {table.answer!r} can be read as {' or '.join(found)};"
            f" say which with --answers {next(iter(found))}"
        )
    return next(iter(found.values()))


def _by_text(row: _Row) -> int | None:
    text = _plain(row.answer) or ""
    return row.choices.index(text) + 1 if row.choices.count(text) == 1 else None


def _by_letter(row: _Row) -> int | None:
    text = (_plain(row.answer) or "").upper()
    number = ord(text) - ord("A") + 1 if len(text) == 1 and text.isascii() else 0
    return number if 1 <= number <= min(len(row.choices), 26) else None


def _by_number(row: _Row) -> int | None:
    text = _plain(row.answer) or ""
    number = int(text) if text.isdecimal() and len(text) <= 3 else 0
    return number if 1 <= number <= len(row.choices) else None


def _by_number_from_0(row: _Row) -> int | None:
    text = _plain(row.answer) or ""
    number = int(text) if text.isdecimal() and len(text) <= 3 else -1
    return number + 1 if 0 <= number < len(row.choices) else None


_READINGS: Final[dict[str, Callable[[_Row], int | None]]] = {
    "text": _by_text,
    "letter": _by_letter,
    "number": _by_number,
    "number-from-0": _by_number_from_0,
}


def _unknown(row: _Row, reading: Answers | None) -> str:
    answer = repr(row.answer)[:60]
    if reading is not None:
        return f"{answer} is no {reading} of the {len(row.choices)} choices"
    zero = " (with --answers number-from-0 they count from 0)" if answer.strip("'") == "0" else ""
    return (
        f"{answer} is neither the text of one of the {len(row.choices)} choices nor its letter or"
        f" number from 1{zero}"
    )
