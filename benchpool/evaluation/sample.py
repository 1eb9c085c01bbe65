"""Samples of a multiple-choice data set, and reading them from any form Social IQa comes in.

Reading is all or nothing: a data set with one bad line is refused by file and line, because a
pool that silently skips questions pays for a different benchmark than the one it names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from benchpool.errors import DatasetError
from benchpool.evaluation import archive
from benchpool.evaluation.archive import Split
from benchpool.evaluation.files import read_file

_T = TypeVar("_T")

_ANSWERS: Final = ("answerA", "answerB", "answerC")
_LABELS: Final = {"1": 1, "2": 2, "3": 3, 1: 1, 2: 2, 3: 3}
_BOM: Final = b"\xef\xbb\xbf"


class Sample(msgspec.Struct, frozen=True):
    """One question with its choices.

    Attributes:
        context: What happened.
        question: What is asked about it.
        choices: The answers in the order A, B, C, without a leading space.
        gold: The right choice, counted from 1.
    """

    context: str
    question: str
    choices: tuple[str, ...]
    gold: int


def load_samples(path: Path, *, split: Split = "dev") -> list[Sample]:
    """Read a data set from a file or a folder.

    Args:
        path: JSON Lines, a JSON list, the official archive ``socialiqa-train-dev.zip``, or a
            folder that holds ``dev.jsonl`` and ``dev-labels.lst``, itself or one level down.
        split: Which half of an archive or folder; other files are one split already.

    Raises:
        DatasetError: Nothing there, or not a data set; names the file and line.
    """
    if path.is_dir():
        return _parse_pair(archive.read_folder(path, split))
    return parse_samples(read_file(path), name=str(path), split=split)


def parse_samples(data: bytes, *, name: str, split: Split = "dev") -> list[Sample]:
    """Read a data set from bytes: an archive by its magic, a list by its ``[``, or JSON Lines.

    Args:
        data: The whole file.
        name: What errors call it.
        split: Which half of an archive; the other forms are one split already.

    Raises:
        DatasetError: Not a data set; names the file and line.
    """
    if archive.is_archive(data):
        return _parse_pair(archive.read_archive(data, name, split))
    data = data.removeprefix(_BOM)
    if data[:4096].lstrip().startswith(b"["):
        return _parse_list(data, name)
    return _parse_lines(data, name, _labelled_sample)


def to_json(samples: Sequence[Sample]) -> str:
    """Write samples as a canonical JSON list that ``parse_samples`` reads back.

    Raises:
        ValueError: A sample that does not have three choices.
    """
    rows = []
    for sample in samples:
        answers = dict(zip(_ANSWERS, sample.choices, strict=True))
        row = {"context": sample.context, "question": sample.question, **answers}
        rows.append({**row, "label": str(sample.gold)})
    return msgspec.json.encode(rows).decode()


def samples_hash(samples: Iterable[Sample]) -> str:
    """Return the SHA-256 of questions, 64 hexadecimal digits, whatever file they came in.

    Of the JSON list, without spaces, of ``[context, question, [choice, ...], gold]``.
    """
    return sha256(_canonical(samples)).hexdigest()


def seal(salt: str, samples: Iterable[Sample]) -> str:
    """Return what commits to questions without telling them: the SHA-256 of salt and questions.

    Of the salt, a line feed, and what ``samples_hash`` hashes.
    """
    return sha256(salt.encode() + b"\n" + _canonical(samples)).hexdigest()


def _canonical(samples: Iterable[Sample]) -> bytes:
    return msgspec.json.encode([(s.context, s.question, s.choices, s.gold) for s in samples])


def _parse_pair(pair: archive.QuestionFiles) -> list[Sample]:
    labels = _parse_lines(pair.labels, pair.labels_name, lambda line: _label(line.strip()))
    rows = _parse_lines(pair.questions, pair.questions_name, lambda line: _texts(_decode(line)))
    if len(labels) != len(rows):
        raise DatasetError(
            f"has {len(labels)} labels for the {len(rows)} questions of {pair.questions_name}",
            path=pair.labels_name,
            line=min(len(labels), len(rows)) + 1,  # the first line without its partner
        )
    return [_sample(texts, gold) for texts, gold in zip(rows, labels, strict=True)]


def _parse_lines(data: bytes, name: str, parse: Callable[[str], _T]) -> list[_T]:
    # Only b"\n" ends a line: str.splitlines would also cut at U+2028 or U+0085 inside a text.
    lines = data.removeprefix(_BOM).rstrip().split(b"\n")
    if lines == [b""]:
        raise DatasetError("holds no questions", path=name)
    parsed = []
    for number, line in enumerate(lines, start=1):
        try:
            parsed.append(parse(line.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"is not UTF-8 (byte {error.start + 1} of the line)", path=name, line=number
            ) from error
        except _BadRecord as error:
            raise DatasetError(str(error), path=name, line=number) from error
    return parsed


def _parse_list(data: bytes, name: str) -> list[Sample]:
    try:
        text = data.decode("utf-8")
        rows = msgspec.json.decode(text, type=list[msgspec.Raw])
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError("is not UTF-8", path=name, line=line) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise DatasetError(
            f"is not valid JSON: {error}", path=name, line=_line_of_failure(text)
        ) from error
    if not rows:
        raise DatasetError("holds no questions", path=name)
    samples = []
    start = 0
    for number, row in enumerate(rows, start=1):
        # Between two items stand only spaces and a comma, so the search finds the item itself.
        raw = bytes(row)
        start = data.index(raw, start)
        try:
            samples.append(_labelled_sample(raw.decode()))
        except _BadRecord as error:
            line = data.count(b"\n", 0, start) + 1
            raise DatasetError(f"item {number}: {error}", path=name, line=line) from error
        start += len(raw)
    return samples


def _line_of_failure(text: str) -> int | None:
    # msgspec says only the byte; the slower parser of the standard library knows the line.
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno
    except RecursionError:
        return None
    return None


class _BadRecord(Exception):
    pass


def _labelled_sample(text: str) -> Sample:
    record = _decode(text)
    return _sample(_texts(record), _label(record.get("label")))


def _sample(texts: Sequence[str], gold: int) -> Sample:
    context, question, *choices = texts
    return Sample(context=context, question=question, choices=tuple(choices), gold=gold)


def _decode(text: str) -> dict[str, object]:
    if not text.strip():
        raise _BadRecord("is an empty line")
    try:
        record = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _BadRecord(f"is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise _BadRecord(f"is not a JSON object but {_shown(record)}")
    return record


def _texts(record: dict[str, object]) -> list[str]:
    texts = []
    for field in ("context", "question", *_ANSWERS):
        if field not in record:
            raise _BadRecord(f"has no {field!r}")
        text = record[field]
        if not isinstance(text, str):
            raise _BadRecord(f"{field!r} must be text, not {_shown(text)}")
        if not text.strip():
            raise _BadRecord(f"{field!r} is empty")
        texts.append(text)
    return texts


def _label(label: object) -> int:
    if label is None:
        raise _BadRecord("has no 'label'")
    # By exact type: True and 1.0 equal 1 to Python, but are no labels.
    gold = _LABELS.get(label) if type(label) in (str, int) else None
    if gold is None:
        raise _BadRecord(f"the label must be 1, 2 or 3, not {_shown(label)}")
    return gold


def _shown(value: object) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
