"""The data sets of this machine: pulled, verified and compiled, each by its name.

A pulled data set is `NAME.jsonl`, read-only, with `NAME.json` beside it. The data that it was made
of is kept by its hash under `sources/`, so that nothing is fetched a second time.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchpool.errors import FetchError, PrerequisiteError
from benchpool.evaluation.compiled import Header, read_header
from benchpool.fetching.cache import staging
from benchpool.fetching.download import FetchProgress
from benchpool.fetching.fetch import Wanted, fetch
from benchpool.fetching.hashing import hash_file
from benchpool.fetching.sources import NAME_PATTERN, describe
from benchpool.inference.files.folders import default_cache
from benchpool.tasks.catalogue.entries import DatasetEntry, DataSource, built_in, read_entries
from benchpool.tasks.compiling import Job
from benchpool.tasks.isolation import compile_file
from benchpool.tasks.task_file import TaskFile

_COLUMNAR: Final = (".arrow", ".parquet")


class _Record(msgspec.Struct, frozen=True):
    """`NAME.json`: what the file was made of, and its hash."""

    entry: str
    sha256: str


class PulledDataset(NamedTuple):
    """A data set on this machine."""

    name: str
    path: Path
    sha256: str
    header: Header


class DatasetShelf:
    """Pull, list and find data sets.

    Entries of one's own come from `catalogue.yaml` beside the cache folder: `datasets:` and a list
    of entries with the fields of `DatasetEntry`; their tasks lie beside it.

    Args:
        cache: The folder; None for `datasets` beside the models of this machine.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = default_cache().parent / "datasets" if cache is None else cache
        self.entry_file = self.cache.parent / "catalogue.yaml"

    @property
    def entries(self) -> dict[str, DatasetEntry]:
        """Data sets that can be pulled, by name; one's own entries replace built-in ones.

        Raises:
            ConfigError: `catalogue.yaml` cannot be read.
        """
        own = read_entries(self.entry_file) if self.entry_file.exists() else {}
        return built_in() | own

    def pull(self, name: str, progress: FetchProgress | None = None) -> PulledDataset:
        """Fetch the data of an entry, verify it and compile it; what is here already stays.

        Raises:
            PrerequisiteError: No entry of this name, or a package is missing that reads its data.
            FetchError: The data cannot be had, or is not the entry's.
            ConfigError, DatasetError: It does not compile; nothing is kept but its data.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise PrerequisiteError(self._unknown(name))
        made_of = _identity(entry)
        if self._path(name).exists() and self._record(name).entry == made_of:
            return self._pulled(name)
        if find_spec("pyarrow") is None and any(_is_columnar(each) for each in entry.files):
            raise PrerequisiteError(
                f"the data of {name} is read with pyarrow; install it:"
                " pip install 'benchpool[parquet]'"
            )
        with staging(self.cache) as folder:
            self._fetch(entry, folder, progress)
            data = []
            for each in entry.files:
                _link(self._source(each), folder / each.name)
                data.append((each.split, str(folder / each.name)))
            made = folder / f"{name}.jsonl"
            job = Job(
                task=entry.task,
                data=tuple(data),
                name=name,
                title=entry.title,
                license=entry.licence,
                source="; ".join(dict.fromkeys(describe(each.source) for each in entry.files)),
                leave_out=True,
            )
            compile_file(job, made)
            made.chmod(0o444)
            record = folder / f"{name}.record"
            record.write_bytes(msgspec.json.encode(_Record(made_of, hash_file(made))))
            self._beside(name).unlink(missing_ok=True)  # it must never describe another file
            made.replace(self._path(name))
            record.replace(self._beside(name))
        return self._pulled(name)

    def find(self, name: str) -> Path:
        """Return the file of a data set that was pulled.

        Raises:
            PrerequisiteError: It is not here; says how to get it.
        """
        if re.fullmatch(NAME_PATTERN, name) and self._path(name).is_file():
            return self._path(name)
        if name in self.entries:
            raise PrerequisiteError(
                f"data set {name} is not on this machine; run: benchpool dataset pull {name}"
            )
        raise PrerequisiteError(self._unknown(name))

    def list(self) -> Sequence[PulledDataset]:
        """Return every data set that was pulled. Raises: DatasetError for a damaged one."""
        return [self._pulled(path.stem) for path in sorted(self.cache.glob("*.jsonl"))]

    def _fetch(self, entry: DatasetEntry, folder: Path, progress: FetchProgress | None) -> None:
        for each in entry.files:
            kept = self._source(each)
            if kept.exists():
                if hash_file(kept) == each.sha256:
                    continue
                kept.unlink()  # damaged since it was verified
            wanted = Wanted(f"{entry.name}: {each.name}", each.source, each.size_bytes, each.sha256)
            fetched = fetch(wanted, folder, f"fetched-{each.sha256}", progress)
            kept.parent.mkdir(exist_ok=True)
            fetched.chmod(0o444)
            fetched.replace(kept)

    def _pulled(self, name: str) -> PulledDataset:
        path = self._path(name)
        with path.open("rb") as file:
            header = read_header(file.readline(), str(path))
        return PulledDataset(name, path, self._record(name).sha256, header)

    def _record(self, name: str) -> _Record:
        try:
            return msgspec.json.decode(self._beside(name).read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return _Record("", hash_file(self._path(name)))

    def _path(self, name: str) -> Path:
        return self.cache / f"{name}.jsonl"

    def _beside(self, name: str) -> Path:
        return self.cache / f"{name}.json"

    def _source(self, file: DataSource) -> Path:
        return self.cache / "sources" / file.sha256

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self.entries))
        return (
            f"no data set {name[:60]!r} in the catalogue ({known}); make one of your own with:"
            " benchpool dataset compile TASK.yaml --data FILE"
        )


def _identity(entry: DatasetEntry) -> str:
    """Hash all that a compiled file follows from, but the compiler. Raises: ConfigError."""
    task = TaskFile(Path(entry.task)).sha256
    return sha256(f"{entry.model_dump_json(exclude={'task'})}\n{task}".encode()).hexdigest()


def _is_columnar(file: DataSource) -> bool:
    return file.name.endswith(_COLUMNAR)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise FetchError(f"{target} cannot be written: {error.strerror}") from error
