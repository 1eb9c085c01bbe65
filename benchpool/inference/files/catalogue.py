"""The models of this machine: the cache of verified files, and what can be pulled into it.

A cached model is ``NAME.gguf``, read-only, with ``NAME.json`` beside it. Files get there by one
rename after verification, so what is there is whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from benchpool.errors import ConfigError, PrerequisiteError
from benchpool.fetching.cache import staging
from benchpool.fetching.download import FetchProgress
from benchpool.fetching.fetch import Wanted, fetch
from benchpool.fetching.hashing import hash_file
from benchpool.fetching.sources import (
    NAME_PATTERN,
    HuggingFaceSource,
    PathSource,
    UrlSource,
    describe,
)
from benchpool.inference.engine import ModelCard
from benchpool.inference.files.folders import default_cache
from benchpool.inference.files.gguf_header import GgufHeader, read_header, read_loadable
from benchpool.inference.files.model_entry import BUILT_IN, ModelEntry
from benchpool.inference.remote import add_server
from benchpool.inference.remote_models import (
    SCHEME,
    Listed,
    RemoteTerms,
    ServerList,
    check_terms,
    describe_server,
)
from benchpool.inference.texts import bounded

_STAGED = "model.gguf"
_MOST_TITLE = 200


class _Record(msgspec.Struct, frozen=True):
    """``NAME.json``: what the file itself does not say."""

    title: str
    licence: str
    sha256: str
    origin: str


class _EntryFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ModelEntry, ...] = ()
    datasets: tuple[Any, ...] = ()
    """For the catalogue of data sets."""


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


class Catalogue:
    """Pull, add, list and find models.

    Entries of one's own come from ``catalogue.yaml`` beside the cache folder: ``models:`` and a
    list of entries with the fields of ``ModelEntry``.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = default_cache() if cache is None else cache
        self.entry_file = self.cache.parent / "catalogue.yaml"
        self.servers = ServerList(self.cache)

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
            FetchError: The source cannot be reached, or what came is not the entry's file.
            ModelFileError: The entry's file is no model; nothing is kept.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise PrerequisiteError(self._unknown(name))
        present = self._path(name)
        if present.exists() and self._record(present).sha256 == entry.sha256:
            return self._installed(present)
        self._check_no_server(name)
        with staging(self.cache) as folder:
            wanted = Wanted(name, entry.source, entry.size_bytes, entry.sha256)
            file = fetch(wanted, folder, _STAGED, progress)
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
        _check_name(name)
        present = self._path(name)
        sha256 = hash_file(path)
        if present.exists():
            if self._record(present).sha256 == sha256:
                return self._installed(present)
            raise ConfigError(f"{name} is another file already; give a name with --name")
        self._check_no_server(name)
        with staging(self.cache) as folder:
            wanted = Wanted(name, PathSource(path=str(path)), header.size_bytes, sha256)
            file = fetch(wanted, folder, _STAGED)
            return self._keep(
                name, file, _described(header, name, sha256, str(path.resolve()), licence)
            )

    def pull_from(
        self,
        source: HuggingFaceSource | UrlSource,
        name: str | None = None,
        *,
        sha256: str | None = None,
        progress: FetchProgress | None = None,
    ) -> InstalledModel:
        """Fetch a GGUF file of a hub or an address into the cache.

        Args:
            source: Where it is.
            name: What it will be called; None for one made from the file's.
            sha256: What it must have; None takes what the hub says, if it says anything.
            progress: Told of what is done.

        Raises:
            FetchError: It cannot be had, or has another hash; says what is kept to go on with.
            ModelFileError: It is no model; nothing is kept.
            ConfigError: The name cannot be used, or stands for another file.
        """
        origin = describe(source)
        address = (
            source.file if isinstance(source, HuggingFaceSource) else urlsplit(source.url).path
        )
        name = _name_from(Path(unquote(address))) if name is None else name
        _check_name(name)
        present = self._path(name)
        if present.exists():
            record = self._record(present)
            if record.sha256 == sha256 or (sha256 is None and record.origin == origin):
                return self._installed(present)
            raise ConfigError(f"{name} is another file already; give a name with --name")
        self._check_no_server(name)
        with staging(self.cache) as folder:
            file = fetch(Wanted(name, source, None, sha256), folder, _STAGED, progress)
            header = read_loadable(file)
            hashed = sha256 or hash_file(file)
            return self._keep(name, file, _described(header, name, hashed, origin))

    def find(self, name: str) -> Path:
        """Path of a cached model, or of the data of one that a server runs.

        Raises:
            PrerequisiteError: It is not here; says how to get it.
        """
        if re.fullmatch(NAME_PATTERN, name):
            for path in (self._path(name), self.servers.path(name)):
                if path.is_file():
                    return path
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
        if path == self.servers.path(name):
            self.servers.remove(name)
            return
        path.unlink()
        (path.parent / f"{name}.json").unlink(missing_ok=True)

    def list(self) -> Sequence[InstalledModel]:
        """Every cached model, by name; then those that servers run.

        Raises:
            ModelFileError: A cached file is damaged; names it.
            ConfigError: So is what is known of a server.
        """
        cached = [self._installed(path) for path in sorted(self.cache.glob("*.gguf"))]
        return cached + [self._at_server(listed) for listed in self.servers]

    def add_server(
        self,
        address: str,
        model: str,
        name: str | None = None,
        terms: RemoteTerms | None = None,
        *,
        pause_s: float = 1.0,
    ) -> InstalledModel:
        """Probe a model server, and put it on the list of those that may be asked.

        The same address and model again keeps its data, and so its id, and takes the new terms.

        Args:
            address: Such as openai+http://127.0.0.1:8080/v1.
            model: What the server calls it.
            name: What it will be called here; None for one made from the model's.
            terms: How it may be asked.
            pause_s: See `benchpool.inference.remote_http.ModelServer`.

        Raises:
            ConfigError: The address, the terms or the name cannot be used.
            InferenceError: The server cannot be asked; nothing is kept.
        """
        name = _name_from(Path(model)) if name is None else name
        _check_name(name)
        described, terms = describe_server(address, model), terms or RemoteTerms()
        check_terms(described, terms)
        if self._path(name).exists():
            raise ConfigError(f"{name} is a file already; give a name with --name")
        if self.servers.path(name).exists():
            known = self.servers.read(name).described
            if (known.url, known.model) != (described.url, described.model):
                raise ConfigError(f"{name} is at another server already; give a name with --name")
            described = known
        return self._at_server(
            add_server(Listed(name, described, terms), self.servers, pause_s=pause_s)
        )

    def _at_server(self, listed: Listed) -> InstalledModel:
        described, path = listed.described, self.servers.path(listed.name)
        origin = f"{SCHEME}{described.url}"
        return InstalledModel(
            listed.name, described.model, path, described.sha256, "unknown", origin, listed.card
        )

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

    def _check_no_server(self, name: str) -> None:
        if self.servers.path(name).exists():
            raise ConfigError(f"{name} is at a model server; run: benchpool model remove {name}")

    def _path(self, name: str) -> Path:
        return self.cache / f"{name}.gguf"

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self.entries))
        return (
            f"no model {name!r} in the catalogue ({known}); "
            "add a GGUF file with: benchpool model add PATH"
        )


def _described(
    header: GgufHeader, name: str, sha256: str, origin: str, licence: str = "unknown"
) -> _Record:
    """Return what a file says of itself, as far as somebody may be shown it."""
    said = header.metadata
    title = bounded(str(said.get("general.name", name)), _MOST_TITLE) or name
    return _Record(
        title, bounded(str(said.get("general.license", licence)), _MOST_TITLE), sha256, origin
    )


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"{name!r} cannot name a model: use lower-case letters, digits, '.', '_' and '-'"
        )


def _name_from(path: Path) -> str:
    stem = path.name.lower().removesuffix(".gguf")
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("._-")[:100] or "model"
