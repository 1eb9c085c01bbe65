"""Files of what became of each question: JSON Lines, CSV or Parquet, by the file's ending.

All three hold the fields of `Record`, a row a question and model, and read back as what was
written. CSV writes lists and tables as JSON into their cells.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchpool.client.evaluating.run import Evaluation, Record
from benchpool.client.files import write_whole
from benchpool.errors import ConfigError, DatasetError, PrerequisiteError

_FIELDS: Final = Record.__struct_fields__
_PLAIN: Final = {"model", "weights", "runtime", "data", "data_sha256", "protocol", "id", "prompt"}
"""Texts, which CSV writes as they are; all else it writes as JSON."""
_EMPTY: Final = {"unscored"}


def check_ending(path: Path) -> None:
    """Make sure that a file of samples can be written, before anything is computed.

    Raises:
        ConfigError: Another ending, or no folder.
        PrerequisiteError: Parquet without pyarrow.
    """
    _form(path)
    if path.suffix.lower() == ".parquet":
        _arrow()
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder for {path.name}")


def write_samples(path: Path, evaluations: Iterable[Evaluation]) -> None:
    """Write all records of evaluations; the file is there whole, or as it was before.

    Raises:
        ConfigError: It cannot be written.
        PrerequisiteError: Parquet without pyarrow.
    """
    write, _ = _form(path)
    records = [record for each in evaluations for record in each.records]
    write_whole(path, lambda place: write(place, records))


def read_samples(path: Path) -> list[Evaluation]:
    """Read the evaluations of a file, in the order of their models.

    Raises:
        ConfigError: Another ending.
        DatasetError: No such file, or no file of samples; names the line.
    """
    _, read = _form(path)
    found: dict[str, dict[int, Record]] = {}
    try:
        for line, record in read(path):
            of_model = found.setdefault(record.model, {})
            if record.question in of_model:
                raise DatasetError(
                    f"holds question {record.question} of {record.model} twice",
                    path=path,
                    line=line,
                )
            kept = next(iter(of_model.values()), record)
            if _about(kept) != _about(record):
                raise DatasetError(
                    f"mixes data, protocols or weights of {record.model}", path=path, line=line
                )
            of_model[record.question] = record
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or error}", path=path) from error
    if not found:
        raise DatasetError("holds no samples", path=path)
    return [Evaluation(model, list(records.values())) for model, records in found.items()]


def _about(record: Record) -> tuple[str, ...]:
    return record.weights, record.runtime, record.data_sha256, record.protocol


# -- JSON Lines ----------------------------------------------------------------------------------


def _write_lines(path: Path, records: Sequence[Record]) -> None:
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for each in records:
            file.write(encoder.encode(each) + b"\n")


def _read_lines(path: Path) -> Iterator[tuple[int, Record]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _decode(path, number, line)


def _decode(path: Path, number: int, line: bytes) -> Record:
    try:
        return msgspec.json.decode(line, type=Record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(f"is no sample: {error}", path=path, line=number) from None


# -- CSV -----------------------------------------------------------------------------------------


def _write_csv(path: Path, records: Sequence[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_FIELDS)
        for each in records:
            row = msgspec.to_builtins(each)
            writer.writerow([_cell(name, row[name]) for name in _FIELDS])


def _cell(name: str, value: Any) -> str:
    if name in _PLAIN or name in _EMPTY:
        return str(value)
    return "" if value is None else msgspec.json.encode(value).decode()


def _read_csv(path: Path) -> Iterator[tuple[int, Record]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8: {error}", path=path) from None
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = [name for name in _FIELDS if name not in (rows.fieldnames or ())]
        if missing:
            raise DatasetError(f"has no column {missing[0]}", path=path, line=1)
        for row in rows:
            try:
                fields = {name: _value(name, row[name]) for name in _FIELDS}
                yield rows.line_num, msgspec.convert(fields, Record)
            except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
                raise DatasetError(
                    f"is no sample: {error}", path=path, line=rows.line_num
                ) from None
    except csv.Error as error:
        raise DatasetError(f"is no CSV: {error}", path=path, line=rows.line_num) from None


def _value(name: str, cell: str | None) -> Any:
    if cell is None:
        raise ValueError(f"{name} is missing")
    if name in _PLAIN or name in _EMPTY:
        return cell
    return None if cell == "" else json.loads(cell)


# -- Parquet -------------------------------------------------------------------------------------


def _arrow() -> Any:
    try:
        import pyarrow  # noqa: PLC0415 - an extra
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise PrerequisiteError(
            "Parquet needs pyarrow, which is not installed; run: pip install 'benchpool[parquet]',"
            " or name a file that ends in .jsonl or .csv"
        ) from None
    return pyarrow


def _schema(arrow: Any) -> Any:
    texts, numbers = arrow.list_(arrow.string()), arrow.list_(arrow.int64())
    kinds = dict.fromkeys(_FIELDS, arrow.string()) | {
        "question": arrow.int64(),
        "choices": texts,
        "gold": numbers,
        "targets": texts,
        "log_likelihoods": arrow.list_(arrow.float64()),
        "prediction_per_character": arrow.int64(),
        "correct": arrow.bool_(),
        "correct_per_character": arrow.bool_(),
        "margin_nats": arrow.float64(),
    }
    return arrow.schema(list(kinds.items()))


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    arrow = _arrow()
    rows = []
    for each in records:
        row = msgspec.to_builtins(each)
        for name in ("prediction", "scores"):  # a number or a text, and a table: as JSON
            row[name] = None if row[name] is None else msgspec.json.encode(row[name]).decode()
        rows.append(row)
    table = arrow.Table.from_pylist(rows, schema=_schema(arrow))
    arrow.parquet.write_table(table, path)


def _read_parquet(path: Path) -> Iterator[tuple[int, Record]]:
    arrow = _arrow()
    try:
        rows = arrow.parquet.read_table(path, schema=_schema(arrow)).to_pylist()
    except (arrow.ArrowException, ValueError) as error:
        raise DatasetError(f"is no file of samples: {error}", path=path) from None
    for number, row in enumerate(rows, start=1):
        try:
            for name in ("prediction", "scores"):
                row[name] = None if row[name] is None else json.loads(row[name])
            yield number, msgspec.convert(row, Record)
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
            raise DatasetError(f"is no sample: {error}", path=path, line=number) from None


_Write = Callable[[Path, Sequence[Record]], None]
_Read = Callable[[Path], Iterator[tuple[int, Record]]]
_FORMS: Final[dict[str, tuple[_Write, _Read]]] = {
    ".jsonl": (_write_lines, _read_lines),
    ".csv": (_write_csv, _read_csv),
    ".parquet": (_write_parquet, _read_parquet),
}


def _form(path: Path) -> tuple[_Write, _Read]:
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"{path}: samples are kept in files that end in {', '.join(_FORMS)}")
    return form
