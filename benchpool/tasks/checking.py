"""What a compiled data set holds, and what looks wrong in it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from benchpool.evaluation.compiled import (
    ChoicesQuestion,
    CompiledDataset,
    GenerateQuestion,
    Question,
    chance,
    led_choices,
    read_compiled,
    write_compiled,
)
from benchpool.evaluation.files import read_file

_MARKS = ("{{", "}}", "{%")


class Report(NamedTuple):
    """What was found.

    Args:
        dataset: the data set.
        sha256: the hash of its bytes, which is its identity.
        chance: the share that is right by lot.
        choices: the fewest and the most choices of a question; None without choices.
        longest: the most characters of a prompt.
        warnings: what looks wrong, in sentences.
    """

    dataset: CompiledDataset
    sha256: str
    chance: Fraction
    choices: tuple[int, int] | None
    longest: int
    warnings: list[str]


def read_dataset(path: Path) -> tuple[CompiledDataset, bytes]:
    """Read a compiled data set from a file, with its bytes.

    Raises:
        DatasetError: it cannot be read, or is none.
    """
    data = read_file(path)
    return read_compiled(data, str(path)), data


def check_dataset(path: Path) -> Report:
    """Read all of a data set and look at it.

    Raises:
        DatasetError: it cannot be read, or is none.
    """
    dataset, data = read_dataset(path)
    questions = dataset.questions
    counts = [len(each.choices) for each in questions if isinstance(each, ChoicesQuestion)]
    warnings = list(_warnings(dataset))
    if write_compiled(dataset.header, questions) != data:
        warnings.append("it is not in the canonical form: equal questions may have another hash")
    return Report(
        dataset,
        hashlib.sha256(data).hexdigest(),
        chance(questions),
        (min(counts), max(counts)) if counts else None,
        max(len(each.prompt) + max(map(len, _leads(each))) for each in questions),
        warnings,
    )


def _warnings(dataset: CompiledDataset) -> Iterator[str]:
    header, questions = dataset
    for key in ("source", "license"):
        if not getattr(header, key):
            yield f"its {key} is not told"
    if header.unscored:
        first = header.unscored[0]
        yield f"{_count(len(header.unscored))} left out, first number {first.item}: {first.reason}"
    seen: Counter[tuple[str, tuple[str, ...]]] = Counter()
    found: dict[str, list[int]] = {}
    for number, question in enumerate(questions, 1):
        seen[question.prompt, _parts(question)] += 1
        for fault in _faults(question):
            found.setdefault(fault, []).append(number)
    twice = sum(times - 1 for times in seen.values())
    if twice:
        yield f"{_count(twice)} asked more than once"
    for fault, numbers in found.items():
        yield f"{_count(len(numbers))} with {fault}, first number {numbers[0]}"
    places = {each.gold for each in questions if isinstance(each, ChoicesQuestion)}
    if len(places) == 1 and len(questions) > 3:
        yield f"the right choice is always number {next(iter(places))[0]}"


def _faults(question: Question) -> Iterator[str]:
    parts = _parts(question)
    if any(mark in part for part in (question.prompt, *parts) for mark in _MARKS):
        yield "braces of a template that was not filled"
    for prompt in dict.fromkeys(question.prompt + lead for lead in _leads(question)):
        if not prompt.strip():
            yield "an empty prompt"
        elif prompt[-1] in " \t":
            yield "a space at the end of the prompt"
    if isinstance(question, ChoicesQuestion) and len(set(parts)) < len(parts):
        yield "a choice that stands there twice"
    if isinstance(question, GenerateQuestion) and not all(t.strip() for t in question.targets):
        yield "an empty answer"


def _leads(question: Question) -> tuple[str, ...]:
    return (isinstance(question, ChoicesQuestion) and question.leads) or ("",)


def _parts(question: Question) -> tuple[str, ...]:
    if isinstance(question, ChoicesQuestion):
        return led_choices(question)
    return () if isinstance(question, GenerateQuestion) else question.choices


def _count(number: int) -> str:
    return f"{number:,} question{'' if number == 1 else 's'}"
