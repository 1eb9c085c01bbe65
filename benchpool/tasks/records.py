"""Data files, record by record: JSON, JSON Lines, CSV, TSV, packed or not; Parquet and Arrow.

Nothing is read as a whole but a JSON file, whose size is limited for that. Errors name the file
and the line, or the record where a format has no lines.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from benchpool.errors import DatasetError
from benchpool.tasks.columnar import read_columns

MAX_FILE_BYTES = 1 << 29
"""The most that a data file may have, unpacked."""
MAX_JSON_BYTES = 1 << 26
"""The most that a JSON file may have, which has to be in memory as a whole."""
MAX_LINE_BYTES = 1 << 24
MAX_COLUMNS = 4096
_BLOCK_BYTES = 1 << 20

TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
COLUMNS = (".parquet", ".arrow")


class Cell(str):
    """A cell of CSV or TSV, which may have been a number."""

    __slots__ = ()


class Record(NamedTuple):
    """A record of a data file."""

    columns: dict[str, Any]
    path: str
    place: str
    """Where in the file it stands: `line 3`."""

    def error(self, text: str, column: str = "") -> DatasetError:
        """Return the error that this record cannot be taken."""
        where = f"{self.place}, column {column!r}" if column else self.place
        return DatasetError(f"{self.path}, {where}: {text}")


class DataFile:
    """A data file, told by the ending of its name; `ARCHIVE.zip/NAME` is a file in a zip.

    What ends in `.gz` is unpacked, and told by the ending before.

    Args:
        path: the file.

    Raises:
        DatasetError: it is not there, too large, or of no kind that is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inner = ""
        if not path.is_file():
            archive = next((each for each in path.parents if each.suffix == ".zip"), None)
            if archive is None or not archive.is_file():
                raise DatasetError("is no file", path=path)
            self.path, self._inner = archive, path.relative_to(archive).as_posix()
        _check_size(self.path.stat().st_size, self.path)

    @property
    def sha256(self) -> str:
        """The hash of the file as it is on the disk."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Yield the records in their order.

        Raises:
            DatasetError: the file is empty or broken; names the line.
            PrerequisiteError: it is columnar, and pyarrow is not installed.
        """
        empty = True
        for record in self._read():
            empty = False
            yield record
        if empty:
            raise DatasetError("holds no record", path=self.path)

    def _read(self) -> Iterator[Record]:
        ending = self.path.suffix.lower()
        if ending == ".zip":
            yield from self._read_zip()
            return
        if ending in COLUMNS:
            for number, columns in enumerate(read_columns(self.path), 1):
                yield Record(columns, str(self.path), f"record {number}")
            return
        opened: Callable[[Path, str], Any] = open
        if ending == ".gz":
            opened, ending = gzip.open, self.path.with_suffix("").suffix.lower()
        _check_ending(ending, str(self.path))
        try:
            with opened(self.path, "rb") as file:
                yield from _read_text(file, ending, str(self.path))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DatasetError(f"cannot be unpacked: {error}", path=self.path) from None
        except OSError as error:
            raise DatasetError(f"cannot be read: {error.strerror}", path=self.path) from None

    def _read_zip(self) -> Iterator[Record]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                member = self._member(archive)
                _check_size(member.file_size, f"{self.path}/{member.filename}")
                with archive.open(member) as file:
                    name = f"{self.path}/{member.filename}"
                    yield from _read_text(file, Path(member.filename).suffix.lower(), name)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, zlib.error, OSError) as error:
            raise DatasetError(f"is no zip that can be read: {error}", path=self.path) from None
        except (NotImplementedError, RuntimeError) as error:  # a method of packing, a password
            raise DatasetError(f"cannot be unpacked: {error}", path=self.path) from None

    def _member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        members = [
            each
            for each in archive.infolist()
            if Path(each.filename).suffix.lower() in TEXTS
            and not each.filename.startswith("__MACOSX/")
        ]
        if self._inner:
            members = [each for each in members if each.filename == self._inner]
        if len(members) == 1:
            return members[0]
        if not members:
            wanted = self._inner or f"a file that ends in {', '.join(TEXTS)}"
            raise DatasetError(f"does not hold {wanted}", path=self.path)
        names = ", ".join(each.filename for each in members[:5])
        first = f"{self.path}/{members[0].filename}"
        raise DatasetError(
            f"holds {len(members)} data files ({names}); name one: {first}",
            path=self.path,
        )


def _check_size(size: int, path: Path | str) -> None:
    if not size:
        raise DatasetError("is empty", path=path)
    if size > MAX_FILE_BYTES:
        raise DatasetError(
            f"has {size:,} bytes; at most {MAX_FILE_BYTES:,} can be read: split it", path=path
        )


def _check_ending(ending: str, path: str) -> None:
    if ending not in TEXTS:
        raise DatasetError(
            f"is of no kind that is read: {', '.join((*TEXTS, *COLUMNS, '.zip', '.gz'))}", path=path
        )


def _read_text(file: IO[bytes], ending: str, path: str) -> Iterator[Record]:
    if ending in (".csv", ".tsv"):
        return _read_table(file, path, "\t" if ending == ".tsv" else ",")
    return _read_json(file, path) if ending == ".json" else _read_lines(file, path)


def _lines(file: IO[bytes], path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text, each with its number and its end."""
    read = 0
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        read += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise DatasetError(f"has more than {MAX_LINE_BYTES:,} bytes", path=path, line=number)
        if read > MAX_FILE_BYTES:  # a zip may tell of less than it holds
            raise DatasetError(f"has more than {MAX_FILE_BYTES:,} bytes", path=path)
        yield number, _decoded(line, path, number)


def _decoded(line: bytes, path: str, number: int) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"byte {error.start + 1} is not UTF-8 text; save the file as UTF-8",
            path=path,
            line=number,
        ) from None
    return text.removeprefix("\ufeff") if number == 1 else text


def _read_lines(file: IO[bytes], path: str) -> Iterator[Record]:
    for number, line in _lines(file, path):
        if line.strip():
            try:
                columns = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                raise DatasetError(f"is not JSON: {error}", path=path, line=number) from None
            yield _json_record(columns, path, f"line {number}")


def _read_json(file: IO[bytes], path: str) -> Iterator[Record]:
    data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise DatasetError(
            f"has more than {MAX_JSON_BYTES:,} bytes; larger data is read as JSON Lines, one object"
            " a line, in a file that ends in .jsonl",
            path=path,
        )
    try:
        content = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError as error:
        raise DatasetError(f"byte {error.start + 1} is not UTF-8 text", path=path) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise DatasetError(f"is not JSON: {error}", path=path) from None
    if isinstance(content, dict):
        lists = [each for each in content.values() if isinstance(each, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list):
        raise DatasetError("holds no list of objects", path=path)
    for number, columns in enumerate(content, 1):
        yield _json_record(columns, path, f"record {number}")


def _json_record(columns: Any, path: str, place: str) -> Record:
    if not isinstance(columns, dict):
        raise DatasetError(f"{path}, {place}: is no JSON object")
    return Record(columns, path, place)


def _read_table(file: IO[bytes], path: str, delimiter: str) -> Iterator[Record]:
    lines = _lines(file, path)
    _, first = next(lines, (1, ""))
    if delimiter == "," and "," not in first and ";" in first:
        delimiter = ";"  # as spreadsheets write where the comma stands in numbers

    def texts() -> Iterator[str]:
        yield first
        for _, line in lines:
            yield line

    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    start = 1
    try:
        header = _header(next(reader, []), path)
        start = reader.line_num + 1
        for cells in reader:
            if cells:
                yield _row(header, cells, path, start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(f"is no row of a table: {error}", path=path, line=start) from None


def _header(names: list[str], path: str) -> list[str]:
    if len(names) > MAX_COLUMNS:
        raise DatasetError(f"has more than {MAX_COLUMNS} columns", path=path, line=1)
    twice = next((name for name in names if names.count(name) > 1), None)
    if not any(names):
        raise DatasetError("names no columns", path=path, line=1)
    if twice is not None:
        raise DatasetError(f"names the column {twice!r} twice", path=path, line=1)
    return names


def _row(header: list[str], cells: list[str], path: str, line: int) -> Record:
    if len(cells) != len(header):
        raise DatasetError(
            f"has {len(cells)} columns, and the first line names {len(header)}",
            path=path,
            line=line,
        )
    return Record(dict(zip(header, map(Cell, cells), strict=True)), path, f"line {line}")
