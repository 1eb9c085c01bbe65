"""A record becomes a question: byte for byte what lm-evaluation-harness asks.

Source: `lm_eval/api/task.py`, `ConfigurableTask`, of version 0.4.13.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from typing import Any

from benchpool.evaluation.compiled import (
    MAX_CHOICES,
    ChoicesQuestion,
    GenerateQuestion,
    LikelihoodQuestion,
    Question,
)
from benchpool.tasks.fewshot import Exemplar
from benchpool.tasks.records import Cell, Record
from benchpool.tasks.task import Task
from benchpool.tasks.templates import Template, TemplateError

_MARKS = ("{{", "{%")


class CannotScore(Exception):
    """A question has no answer that could be right; the message says why."""


class Requests:
    """Makes questions from the records of a task.

    Args:
        task: what is asked.
        columns: the names of the data's columns.

    Raises:
        ConfigError: a template is broken.
    """

    def __init__(self, task: Task, columns: Collection[str]) -> None:
        self._task = task
        field = task.file.get
        self._text = self._field("doc_to_text", field("doc_to_text"), columns)
        self._target = self._field("doc_to_target", field("doc_to_target"), columns)
        self._choice = self._field("doc_to_choice", field("doc_to_choice"), columns)
        self._description = self._field("description", field("description", ""), columns)
        self._prefix = self._field("gen_prefix", field("gen_prefix"), columns)
        own = task.fewshot.overrides

        def override(key: str, default: _Field) -> _Field:
            return self._field(key, own[key], columns, exemplar=True) if key in own else default

        self._shown_text = override("doc_to_text", self._text)
        self._shown_target = override("doc_to_target", self._target)
        self._shown_choice = override("doc_to_choice", self._choice)
        self._shown_prefix = override("gen_prefix", self._prefix)
        self._shown_target_delimiter = str(own.get("target_delimiter", task.target_delimiter))
        self._shown_delimiter = str(own.get("fewshot_delimiter", task.fewshot_delimiter))
        self._several: bool | None = None  # whether the first question has several targets
        self._leads: bool | None = None  # whether its choices stand in the prompt

    def question(self, record: Record, exemplars: Sequence[Exemplar]) -> Question:
        """Return the question of a record.

        Raises:
            DatasetError: the record lacks what the task asks for.
            CannotScore: nothing would be right.
        """
        try:
            return self._question(record.columns, exemplars)
        except _Refused as refused:
            raise record.error(str(refused)) from None

    def _question(self, record: dict[str, Any], exemplars: Sequence[Exemplar]) -> Question:
        task = self._task
        target = self._target.value(record)
        if self._several is None:
            self._several = isinstance(target, list)
        choices = self._choices(self._choice, record) if self._choice.given else None
        asked = self._text.value(record)
        if self._leads is None:
            self._leads = self._is_number(asked)
        above = [self._description.text(record), *map(self._turn, exemplars)]
        prefix = self._prefix.text(record)
        if self._leads and not isinstance(target, str):
            raise _Refused(
                f"doc_to_text gives the number {asked}, so the choices stand in the prompt and"
                f" doc_to_target is the text that follows them, not {_shown(target)}"
            )
        if self._leads:
            return led(
                task,
                "".join(above),
                [self._before(each, prefix) for each in choices or ()],
                target,
                choices or [],
                gold=asked,
            )
        prompt = "".join([*above, self._before(self._checked(asked), prefix)])
        return finished(task, prompt, target, choices, several=self._several)

    def _before(self, asked: str, prefix: str) -> str:
        close = prefix and asked and not (asked[-1].isspace() or prefix[0].isspace())
        return f"{asked}{self._task.target_delimiter if close else ''}{prefix}"

    def _is_number(self, asked: Any) -> bool:
        """Whether `doc_to_text` says which choice is right: the choices stand in the prompt."""
        return isinstance(asked, int) and self._choice.given and self._task.kind == "choices"

    def _turn(self, exemplar: Exemplar) -> str:
        """Return an exemplar with its answer."""
        asked = self._without_answer(exemplar)
        target = self._shown_target.value(exemplar)
        prefix = self._shown_prefix.text(exemplar)
        delimiter = self._shown_target_delimiter
        if target is None or target == "":
            if not prefix:
                return asked
            close = asked and not (asked[-1].isspace() or prefix[0].isspace())
            return f"{asked}{delimiter if close else ''}{prefix}"
        if isinstance(target, int) and self._shown_choice.given:
            choices = self._choices(self._shown_choice, exemplar)
            try:
                target = choices[_index(target, choices)]
            except CannotScore as error:
                raise _Refused(f"an exemplar cannot be shown: {error}") from None
        elif isinstance(target, list):
            target = target[0] if target else ""
        if not isinstance(target, str):
            raise _Refused(f"an exemplar's answer is {_shown(target)}, not a text")
        if not prefix:
            return f"{asked}{delimiter}{target}{self._shown_delimiter}"
        close = asked and not (asked[-1].isspace() or prefix[0].isspace())
        between = "" if not target or prefix[-1].isspace() or target[0].isspace() else " "
        return (
            f"{asked}{delimiter if close else ''}{prefix}{between}{target}{self._shown_delimiter}"
        )

    def _without_answer(self, exemplar: Exemplar) -> str:
        """Return an exemplar without its answer."""
        asked = self._shown_text.value(exemplar)
        if self._leads:
            choices = self._choices(self._shown_choice, exemplar)
            try:
                return choices[_index(asked, choices)]
            except CannotScore as error:
                raise _Refused(f"an exemplar cannot be shown: {error}") from None
        return self._checked(asked)

    def _checked(self, asked: Any) -> str:
        if not isinstance(asked, str):
            raise _Refused(f"doc_to_text gives {_shown(asked)}, not a text")
        return asked

    def _choices(self, field: _Field, record: dict[str, Any]) -> list[str]:
        choices = field.value(record)
        if isinstance(choices, tuple):
            choices = list(choices)
        if not isinstance(choices, list):
            raise _Refused(f"doc_to_choice gives {_shown(choices)}, not a list of texts")
        wrong = next((each for each in choices if not isinstance(each, str)), None)
        if wrong is not None:
            quote = ": quote yes and no in YAML" if isinstance(wrong, bool) else ""
            raise _Refused(
                f"doc_to_choice gives {_shown(wrong)} among the choices, not a text{quote}"
            )
        return choices

    def _field(
        self, key: str, value: Any, columns: Collection[str], *, exemplar: bool = False
    ) -> _Field:
        steps = ("fewshot_config", key) if exemplar else (key,)
        place = self._task.file.place(*steps)
        choices = self._task.file.get("doc_to_choice") is not None
        try:
            return _Field(key, value, columns, place, numbers=choices)
        except TemplateError as error:
            raise self._task.file.error(f"{key} {error}", *steps) from None


def finished(
    task: Task, prompt: str, target: Any, choices: list[str] | None, *, several: bool
) -> Question:
    """Return the question that a prompt, its answer and its choices make.

    Args:
        task: what is asked.
        prompt: as it is asked.
        target: what `doc_to_target` gives.
        choices: what `doc_to_choice` gives, if it is given.
        several: whether a list of answers is several answers.

    Raises:
        CannotScore: nothing would be right.
    """
    if task.kind == "likelihood":
        if not isinstance(target, str) or not target:
            raise CannotScore(f"the continuation is {_shown(target)}, not a text")
        return LikelihoodQuestion(prompt=prompt, choices=(str(target),), targets=(str(target),))
    if task.kind == "generate":
        if choices is not None:
            targets = [choices[_index(target, choices)]]
        elif isinstance(target, list) and several:
            targets = [str(each) for each in target]
        else:
            targets = [str(target)]
        if not targets:
            raise CannotScore("the list of right answers is empty")
        return GenerateQuestion(
            prompt=prompt, stop=task.stop, max_tokens=task.max_tokens, targets=tuple(targets)
        )
    choices = choices or []
    _check_choices(choices)
    return ChoicesQuestion(
        prompt=prompt,
        choices=tuple(f"{task.target_delimiter}{choice}" for choice in choices),
        texts=tuple(choices),
        gold=_gold(target, choices),
    )


def led(
    task: Task, above: str, leads: Sequence[str], target: Any, choices: list[str], *, gold: Any
) -> Question:
    """Return the question whose choices stand in the prompt, and go on alike.

    Args:
        task: what is asked.
        above: what stands before all of them.
        leads: what stands before the continuation, one a choice.
        target: the continuation, as `doc_to_target` gives it.
        choices: what `doc_to_choice` gives.
        gold: the number of the right choice from 0, as `doc_to_text` gives it.

    Raises:
        CannotScore: nothing would be right.
    """
    _check_choices(choices)
    if not isinstance(target, str) or not target:
        raise CannotScore(f"the continuation is {_shown(target)}, not a text")
    return ChoicesQuestion(
        prompt=above,
        choices=(f"{task.target_delimiter}{target}",) * len(choices),
        texts=tuple(choices),
        gold=_gold(gold, choices),
        leads=tuple(leads),
    )


def _check_choices(choices: list[str]) -> None:
    if len(choices) < 2 or len(choices) > MAX_CHOICES:
        raise CannotScore(f"{len(choices)} choices; there are 2 to {MAX_CHOICES}")
    if not all(choices):
        raise CannotScore("a choice is empty")


class _Refused(Exception):
    """A record cannot become a question."""


class _Field:
    """A key that a record fills: a number, a column, a template or a list."""

    def __init__(
        self, key: str, value: Any, columns: Collection[str], place: str, *, numbers: bool
    ) -> None:
        self._key = key
        self._place = place
        self._value = value
        self._numbers = numbers
        self.given = value is not None
        self._column = isinstance(value, str) and value in columns
        self._template: Template | None = None
        self._parts: list[Template] | None = None
        if isinstance(value, str):
            self._template = None if self._column else Template(value)
        elif isinstance(value, dict) and key == "doc_to_choice":
            self._value = list(value.values())
        elif isinstance(value, list):
            # lm-evaluation-harness takes a list as it is; braces in it can only be templates.
            if any(isinstance(x, str) and any(mark in x for mark in _MARKS) for x in value):
                self._parts = [Template(str(each)) for each in value]
        elif value is not None and (type(value) is not int or not key.startswith("doc_to")):
            raise TemplateError(f"is a text, not {_shown(value)}")

    def value(self, record: dict[str, Any]) -> Any:
        """Return what it stands for in a record."""
        try:
            if self._column:
                if self._value not in record:
                    raise _Refused(f"there is no column {self._value!r} ({self._key})")
                return self._plain(record[self._value])
            if self._parts is not None:
                return [part.fill(record) for part in self._parts]
            if self._template is not None:
                return self._read(self._template.fill(record))
        except TemplateError as error:
            raise _Refused(f"{self._key} ({self._place}) {error}{_columns(record)}") from None
        return self._value

    def text(self, record: dict[str, Any]) -> str:
        """Return it as a text; empty if it is not given."""
        if not self.given:
            return ""
        if self._column:
            value = record.get(self._value)
        elif self._template is not None:
            try:
                value = self._template.fill(record)
            except TemplateError as error:
                raise _Refused(f"{self._key} ({self._place}) {error}") from None
        else:
            value = self._value
        if value is not None and not isinstance(value, str):
            raise _Refused(f"{self._key} gives {_shown(value)}, not a text")
        return value or ""

    def _plain(self, value: Any) -> Any:
        """Return a cell; CSV holds the numbers of choices, and lists of them, as text."""
        if self._key == "doc_to_target" and self._numbers and isinstance(value, Cell):
            return int(value) if value.isdecimal() and len(value) < 4 else value
        if self._key == "doc_to_choice" and isinstance(value, str):
            return self._literal(value)
        return value

    def _read(self, text: str) -> Any:
        if self._key == "doc_to_choice":
            return self._literal(text)
        if text.isdigit() and self._numbers:
            return self._literal(text)
        if self._key == "doc_to_target" and len(text) >= 2 and text[0] == "[" and text[-1] == "]":
            try:
                return ast.literal_eval(text)
            except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
                return text
        return text

    def _literal(self, text: str) -> Any:
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError, TypeError):
            raise _Refused(
                f"{self._key} ({self._place}) gives {_shown(text)}, which is no list or number"
            ) from None


def _gold(target: Any, choices: list[str]) -> tuple[int, ...]:
    """Return which choices are right, counted from 1."""
    golds = target if isinstance(target, list) else [target]
    if not golds:
        raise CannotScore("the list of right answers is empty")
    return tuple(dict.fromkeys(_index(gold, choices) + 1 for gold in golds))


def _index(target: Any, choices: list[str]) -> int:
    """Return which choice an answer is, counted from 0: by its text or by its number."""
    if isinstance(target, str):
        if target in choices:
            return choices.index(target)
        raise CannotScore(f"the answer {_shown(target)} is none of the choices")
    if not isinstance(target, int) or not 0 <= target < len(choices):
        raise CannotScore(
            f"the answer {_shown(target)} is none of the choices, 0 to {len(choices) - 1}"
        )
    return int(target)


def _columns(record: dict[str, Any]) -> str:
    names = ", ".join(list(record)[:12])
    return f"; the columns are {names[:200]}"


def _shown(value: Any) -> str:
    return repr(value)[:60]
