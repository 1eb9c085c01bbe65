"""The two files that make one split of Social IQa, out of its official archive or a folder.

Source: ``socialiqa-train-dev.zip`` as published: ``socialiqa-train-dev/dev.jsonl`` (questions)
and ``dev-labels.lst`` (one label a line), the same for ``train``, and a ``__MACOSX`` shadow of
each that a reader must pass over.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final, Literal, NamedTuple, get_args

from benchpool.errors import DatasetError
from benchpool.evaluation.files import read_file

Split = Literal["dev", "train"]

# The largest member of the official archive has 8 MiB; a member that claims or turns out to be
# more than this is a zip bomb or no data set.
MAX_MEMBER_BYTES: Final = 64 * 1024 * 1024

# What zipfile raises on damaged, truncated or encrypted archives; it promises no common base.
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


class QuestionFiles(NamedTuple):
    """Questions and labels as they stand in their files, and what errors call those files."""

    questions: bytes
    questions_name: str
    labels: bytes
    labels_name: str


def is_archive(data: bytes) -> bool:
    """Whether bytes begin like a zip archive, an empty one included."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def read_archive(data: bytes, name: str, split: Split) -> QuestionFiles:
    """Take a split's two files out of a zip archive, whatever folder they stand in.

    Raises:
        DatasetError: A broken archive, a file missing or there twice, or a member over 64 MiB.
    """
    questions, labels = _file_names(split)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            questions_member = _find_member(opened, questions, name)
            labels_member = _find_member(opened, labels, name)
            return QuestionFiles(
                _read_member(opened, questions_member, name),
                f"{name}/{questions_member.filename}",
                _read_member(opened, labels_member, name),
                f"{name}/{labels_member.filename}",
            )
    except _DAMAGE as error:
        raise DatasetError(f"is a damaged archive: {error}", path=name) from error


def read_folder(folder: Path, split: Split) -> QuestionFiles:
    """Read a split's two files from a folder, or from the one folder inside it that has them.

    Raises:
        DatasetError: No such files, or in more than one folder.
        OSError: A file cannot be read.
    """
    questions, labels = _file_names(split)
    inside = sorted(child for child in folder.iterdir() if child.is_dir() and _counts(child.name))
    for candidates in ([folder], inside):
        found = [place for place in candidates if (place / questions).is_file()]
        if len(found) > 1:
            places = ", ".join(place.name for place in found)
            raise DatasetError(f"has {questions} in more than one folder: {places}", path=folder)
        if found:
            if not (found[0] / labels).is_file():
                raise DatasetError(f"has {questions} but no {labels} beside it", path=found[0])
            questions_path, labels_path = found[0] / questions, found[0] / labels
            return QuestionFiles(
                read_file(questions_path),
                str(questions_path),
                read_file(labels_path),
                str(labels_path),
            )
    raise DatasetError(f"has no {questions}, neither itself nor one level down", path=folder)


def _file_names(split: Split) -> tuple[str, str]:
    if split not in get_args(Split):
        raise DatasetError(f"there is no split {split!r}, only dev and train")
    return f"{split}.jsonl", f"{split}-labels.lst"


def _counts(name: str) -> bool:
    # macOS adds __MACOSX/.../._dev.jsonl: resource forks that end like the files they shadow.
    return name != "__MACOSX" and not name.startswith(".")


def _find_member(opened: zipfile.ZipFile, wanted: str, name: str) -> zipfile.ZipInfo:
    found = [
        member
        for member in opened.infolist()
        if PurePosixPath(member.filename).name == wanted
        and all(_counts(part) for part in PurePosixPath(member.filename).parts)
    ]
    if len(found) != 1:
        raise DatasetError(f"the archive has {len(found) or 'no'} files {wanted}", path=name)
    return found[0]


def _read_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The rarer methods may need gigabytes of memory to unpack a few bytes.
        raise DatasetError(f"{member.filename} is neither stored nor deflated", path=name)
    # The declared size may lie, so what counts is what comes out, read no further than the bound.
    with opened.open(member) as stream:
        data = stream.read(MAX_MEMBER_BYTES + 1)
    if len(data) > MAX_MEMBER_BYTES:
        raise DatasetError(
            f"{member.filename} unpacks to more than {MAX_MEMBER_BYTES >> 20} MiB", path=name
        )
    return data
