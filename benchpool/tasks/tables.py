"""A table becomes a data set without a task: a question, choices and an answer a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

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
)
from benchpool.evaluation.text_scorers import Metric
from benchpool.tasks.compiling import Bounds, Compiled
from benchpool.tasks.records import DataFile, Record

Answers = Literal["text", "letter", "number", "number-from-0"]
"""How a table says which choice is right."""
STOP: Final = ("\n",)
MAX_TOKENS: Final = 64
EXACT: Final = Metric(name="exact_match", ignore_case=True, ignore_punctuation=True)
"""How a written text is compared with the answer."""


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="table"):
    """A table and what its columns are.

    Args:
        file: the data file.
        question: the column of the question.
        choices: the columns of the choices, or one column that holds lists of them; none if the
            answer is a text to be written.
        answer: the columns of right answers, of which all but one may be empty in a record; a
            cell may hold a list of them.
        context: the column of what the question is about; empty for none.
        answers: how an answer names a choice; None finds it out from all of them.
        limit: how many questions are taken at most.
        name: the name of the data set; empty for the file's.
        title: what people call it; empty for its name.
        license: under which it may be used.
        source: where it comes from.
    """

    file: str
    question: str
    choices: tuple[str, ...]
    answer: tuple[str, ...]
    context: str = ""
    answers: Answers | None = None
    limit: int | None = None
    name: str = ""
    title: str = ""
    license: str = ""
    source: str = ""


class _Row(NamedTuple):
    record: Record
    """Without its columns, of which the file may have many."""
    prompt: str
    choices: list[str]
    answers: list[Any]


def compile_table(table: Table, began: Callable[[str], None]) -> Compiled:
    """Make a data set of a table.

    Args:
        table: the table.
        began: is told where each record stands before it is looked at.

    Raises:
        ConfigError: it cannot be told how the answers name choices.
        DatasetError: the data cannot be read; names the file, line and column.
        PrerequisiteError: the data is columnar, and pyarrow is not installed.
    """
    began(table.file)
    data = DataFile(Path(table.file))
    rows: list[_Row] = []
    bounds = Bounds()
    for record in islice(data.records(), table.limit):
        began(f"{record.path}, {record.place}")
        row = _row(table, record)
        bounds.add(record, (row.prompt, *row.choices))
        rows.append(row)
    began(table.file)
    questions = _choices(table, rows) if table.choices else [_written(table, row) for row in rows]
    kind: Literal["choices", "generate"] = "choices" if table.choices else "generate"
    name = table.name or data.path.stem
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
    return Compiled(header, questions)


def _row(table: Table, record: Record) -> _Row:
    question = _text(record, table.question)
    context = _text(record, table.context) if table.context else ""
    prompt = f"Question: {question}\nAnswer:"
    return _Row(
        record._replace(columns={}),
        f"{context}\n{prompt}" if context else prompt,
        _choice_texts(table, record),
        _answers(table, record),
    )


def _answers(table: Table, record: Record) -> list[Any]:
    cells = [_cell(record, column) for column in table.answer]
    flat = [each for cell in cells for each in (cell if isinstance(cell, list) else [cell])]
    given = [each for each in flat if each is not None and not _is_blank(each)]
    if not given:
        raise record.error("the answer is empty", table.answer[0])
    return given


def _is_blank(cell: Any) -> bool:
    return isinstance(cell, str) and not cell.strip()


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
    targets = [_plain(each) for each in row.answers]
    if not all(targets):
        raise row.record.error("the answer is empty or no text", table.answer[0])
    return GenerateQuestion(
        prompt=row.prompt,
        stop=STOP,
        max_tokens=MAX_TOKENS,
        targets=tuple(dict.fromkeys(str(each) for each in targets)),
    )


def _choices(table: Table, rows: Sequence[_Row]) -> list[Question]:
    golds = _golds(table, rows)
    return [
        ChoicesQuestion(
            prompt=row.prompt,
            choices=tuple(f" {each}" for each in row.choices),
            texts=tuple(row.choices),
            gold=gold,
        )
        for row, gold in zip(rows, golds, strict=True)
    ]


def _golds(table: Table, rows: Sequence[_Row]) -> list[tuple[int, ...]]:
    """Return which choices of each row are right, counted from 1."""
    wanted = [table.answers] if table.answers else ["text", "letter", "number"]
    found: dict[str, list[tuple[int, ...]]] = {}
    reached: list[tuple[int, Any]] = []
    for reading in wanted:
        golds: list[tuple[int, ...]] = []
        for row in rows:
            read = [_READINGS[reading](row.choices, each) for each in row.answers]
            if None in read:
                reached.append((len(golds), row.answers[read.index(None)]))
                break
            golds.append(tuple(dict.fromkeys(each for each in read if each is not None)))
        else:
            found[reading] = golds
    if not found:
        number, answer = max(reached, key=lambda each: each[0])
        said = _unknown(answer, len(rows[number].choices), table.answers)
        raise rows[number].record.error(said, table.answer[0])
    if len(set(map(tuple, found.values()))) > 1:
        raise ConfigError(
            f"{table.file}: the column {table.answer[0]!r} can be read as {' or '.join(found)};"
            f" say which with --answers {next(iter(found))}"
        )
    return next(iter(found.values()))


def _by_text(choices: list[str], answer: Any) -> int | None:
    text = _plain(answer) or ""
    return choices.index(text) + 1 if choices.count(text) == 1 else None


def _by_letter(choices: list[str], answer: Any) -> int | None:
    text = (_plain(answer) or "").upper()
    number = ord(text) - ord("A") + 1 if len(text) == 1 and text.isascii() else 0
    return number if 1 <= number <= min(len(choices), 26) else None


def _by_number(choices: list[str], answer: Any) -> int | None:
    text = _plain(answer) or ""
    number = int(text) if text.isdecimal() and len(text) <= 3 else 0
    return number if 1 <= number <= len(choices) else None


def _by_number_from_0(choices: list[str], answer: Any) -> int | None:
    text = _plain(answer) or ""
    number = int(text) if text.isdecimal() and len(text) <= 3 else -1
    return number + 1 if 0 <= number < len(choices) else None


_READINGS: Final[dict[str, Callable[[list[str], Any], int | None]]] = {
    "text": _by_text,
    "letter": _by_letter,
    "number": _by_number,
    "number-from-0": _by_number_from_0,
}


def _unknown(cell: Any, choices: int, reading: Answers | None) -> str:
    answer = repr(cell)[:60]
    if reading is not None:
        return f"{answer} is no {reading} of the {choices} choices"
    zero = " (with --answers number-from-0 they count from 0)" if answer.strip("'") == "0" else ""
    return (
        f"{answer} is neither the text of one of the {choices} choices nor its letter or"
        f" number from 1{zero}"
    )
