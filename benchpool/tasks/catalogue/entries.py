"""An entry of the catalogue of data sets: data, where it comes from, and the task made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import Field, ValidationError

from benchpool.errors import ConfigError
from benchpool.fetching.sources import NAME_PATTERN, SHA256_PATTERN, Frozen, Source

TASKS: Final = Path(__file__).parent / "tasks"
_BUILT_IN: Final = Path(__file__).parent / "datasets.yaml"


class DataSource(Frozen):
    """One file of data. Size and SHA-256 pin its bytes, whatever the source says."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")
    """By its ending the file's form is known."""
    split: str = ""
    """Of the task; empty is the one that is asked."""
    source: Source
    size_bytes: int = Field(gt=0)
    sha256: str = Field(pattern=SHA256_PATTERN)


class DatasetEntry(Frozen):
    """A data set that can be pulled."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    licence: str
    stated: str = ""
    """Where the licence is stated, or was looked for."""
    task: str
    """Its YAML file: beside the catalogue that holds the entry, or in the folder `tasks` of this
    package."""
    files: tuple[DataSource, ...] = Field(min_length=1)

    @property
    def size_bytes(self) -> int:
        """Bytes of all its data."""
        return sum(each.size_bytes for each in self.files)


class _EntryFile(Frozen):
    datasets: tuple[DatasetEntry, ...] = ()
    models: tuple[Any, ...] = ()
    """For the catalogue of models."""


def built_in() -> dict[str, DatasetEntry]:
    """Return the entries that come with this program, by name."""
    return {entry.name: _with_task(entry, TASKS) for entry in _read(_BUILT_IN)}


def read_entries(file: Path) -> dict[str, DatasetEntry]:
    """Return the entries of somebody's `catalogue.yaml`, by name.

    Raises:
        ConfigError: It cannot be read.
    """
    return {entry.name: _with_task(entry, file.parent) for entry in _read(file)}


def _with_task(entry: DatasetEntry, folder: Path) -> DatasetEntry:
    return entry.model_copy(update={"task": str(folder / entry.task)})


def _read(file: Path) -> tuple[DatasetEntry, ...]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        return _EntryFile.model_validate(document).datasets
    except (OSError, yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
