"""The models of this machine: the cache of verified files, and what can be pulled into it.

A cached model is ``NAME.gguf``, read-only, with ``NAME.json`` beside it. Files get there by one
rename after verification, so what is there is whole.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml
from platformdirs import user_cache_dir
from pydantic import BaseModel, ConfigDict, ValidationError

from benchpool.errors import ConfigError, PrerequisiteError
from benchpool.inference.engine import ModelCard
from benchpool.inference.files.fetch import FetchProgress, fetch
from benchpool.inference.files.gguf_header import read_header, read_loadable
from benchpool.inference.files.hashing import hash_file
from benchpool.inference.files.model_entry import BUILT_IN, NAME_PATTERN, ModelEntry, PathSource
from benchpool.inference.texts import bounded

CACHE_VARIABLE = "BENCHPOOL_MODELS"
_STAGING = ".incoming-"
_STALE_S = 24 * 3600
_MOST_TITLE = 200


class _Record(msgspec.Struct, frozen=True):
    """``NAME.json``: what the file itself does not say."""

    title: str
    licence: str
    sha256: str
    origin: str


class _EntryFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ModelEntry, ...]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model in the cache."""

    name: str
    title: str
    path: Path
    sha256: str
    licence: str
    origin: str
    card: ModelCard


def default_cache() -> Path:
    """The folder of cached models: ``$BENCHPOOL_MODELS``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("benchpool")) / "models"


class Catalogue:
    """Pull, add, list and find models.

    Entries of one's own come from ``catalogue.yaml`` beside the cache folder: ``models:`` and a
    list of entries with the fields of ``ModelEntry``.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = default_cache() if cache is None else cache
        self.entry_file = self.cache.parent / "catalogue.yaml"

    @property
    def entries(self) -> dict[str, ModelEntry]:
        """Models that can be pulled, by name; one's own entries replace built-in ones.

        Raises:
            ConfigError: ``catalogue.yaml`` cannot be read.
        """
        entries = {entry.name: entry for entry in BUILT_IN}
        if self.entry_file.exists():
            try:
                document = yaml.safe_load(self.entry_file.read_text(encoding="utf-8"))
                own = _EntryFile.model_validate(document)
            except (OSError, yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
                raise ConfigError(f"{self.entry_file}: {error}") from error
            entries |= {entry.name: entry for entry in own.models}
        return entries

    def pull(self, name: str, progress: FetchProgress | None = None) -> InstalledModel:
        """Fetch a model of the catalogue into the cache; one that is there already stays.

        Raises:
            PrerequisiteError: No entry of this name.
            ModelFileError: What came is not the entry's file; nothing is kept.
            InferenceError: The source cannot be reached.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise PrerequisiteError(self._unknown(name))
        present = self._path(name)
        if present.exists() and self._record(present).sha256 == entry.sha256:
            return self._installed(present)
        with self._staging() as folder:
            file = fetch(entry, folder, progress)
            read_header(file)
            record = _Record(entry.title, entry.licence, entry.sha256, entry.source.kind)
            return self._keep(name, file, record)

    def add(
        self, path: Path, name: str | None = None, *, licence: str = "unknown"
    ) -> InstalledModel:
        """Copy a GGUF file into the cache, under a name made from the file's if none is given.

        Raises:
            ModelFileError: Not a GGUF file, or a truncated one; nothing was copied.
            ConfigError: The name cannot be used, or stands for another file.
        """
        header = read_loadable(path)
        name = _name_from(path) if name is None else name
        if not re.fullmatch(NAME_PATTERN, name):
            raise ConfigError(
                f"{name!r} cannot name a model: use lower-case letters, digits, '.', '_' and '-'"
            )
        present = self._path(name)
        sha256 = hash_file(path)
        if present.exists():
            if self._record(present).sha256 == sha256:
                return self._installed(present)
            raise ConfigError(f"{name} is another file already; give a name with --name")
        entry = ModelEntry(
            name=name,
            title=bounded(str(header.metadata.get("general.name", name)), _MOST_TITLE) or name,
            licence=bounded(str(header.metadata.get("general.license", licence)), _MOST_TITLE),
            source=PathSource(path=str(path)),
            size_bytes=header.size_bytes,
            sha256=sha256,
        )
        with self._staging() as folder:
            record = _Record(entry.title, entry.licence, sha256, str(path.resolve()))
            return self._keep(name, fetch(entry, folder), record)

    def find(self, name: str) -> Path:
        """Path of a cached model.

        Raises:
            PrerequisiteError: It is not here; says how to get it.
        """
        if re.fullmatch(NAME_PATTERN, name) and self._path(name).is_file():
            return self._path(name)
        if name in self.entries:
            raise PrerequisiteError(
                f"model {name} is not on this machine; run: benchpool model pull {name}"
            )
        raise PrerequisiteError(self._unknown(name))

    def remove(self, name: str) -> None:
        """Delete a model from the cache.

        Raises:
            PrerequisiteError: It is not there.
        """
        path = self.find(name)
        path.unlink()
        (path.parent / f"{name}.json").unlink(missing_ok=True)

    def list(self) -> Sequence[InstalledModel]:
        """Every cached model, by name.

        Raises:
            ModelFileError: A cached file is damaged; names it.
        """
        return [self._installed(path) for path in sorted(self.cache.glob("*.gguf"))]

    def _keep(self, name: str, file: Path, record: _Record) -> InstalledModel:
        target = self._path(name)
        described = file.with_suffix(".json")
        described.write_bytes(msgspec.json.encode(record))
        file.chmod(0o444)
        beside = target.parent / f"{name}.json"
        beside.unlink(missing_ok=True)  # a record must never describe another file
        file.replace(target)
        described.replace(beside)
        return self._installed(target)

    def _installed(self, path: Path) -> InstalledModel:
        name = path.name.removesuffix(".gguf")
        record = self._record(path)
        card = read_header(path).card(name, sha256=record.sha256)
        return InstalledModel(
            name, record.title, path, record.sha256, record.licence, record.origin, card
        )

    def _record(self, path: Path) -> _Record:
        name = path.name.removesuffix(".gguf")
        try:
            return msgspec.json.decode((path.parent / f"{name}.json").read_bytes(), type=_Record)
        except (FileNotFoundError, msgspec.DecodeError):
            # Somebody put the file there by hand: the file itself is what counts.
            read_loadable(path)
            return _Record(name, "unknown", hash_file(path), "unknown")

    def _path(self, name: str) -> Path:
        return self.cache / f"{name}.gguf"

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self.entries))
        return (
            f"no model {name!r} in the catalogue ({known}); "
            "add a GGUF file with: benchpool model add PATH"
        )

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        # Inside the cache, so that the last step is a rename on one file system.
        self.cache.mkdir(parents=True, exist_ok=True)
        for stale in self.cache.glob(f"{_STAGING}*"):
            if time.time() - stale.stat().st_mtime > _STALE_S:  # its process was killed
                shutil.rmtree(stale, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.cache))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _name_from(path: Path) -> str:
    stem = path.name.lower().removesuffix(".gguf")
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("._-")[:100] or "model"
