"""A task of lm-evaluation-harness as it is written: YAML files that include each other."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from benchpool.errors import ConfigError
from benchpool.tasks.yaml_source import YamlSource

MAX_FILES = 16
"""How many files a task may be made of."""


class _Setting(NamedTuple):
    value: Any
    source: YamlSource


class TaskFile:
    """The keys of a task, each with the file and line that it comes from.

    What a file says stands above what it includes, key by key, as in lm-evaluation-harness.

    Args:
        path: the YAML file of the task.

    Raises:
        ConfigError: a file is not there, is no YAML mapping, or includes itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests: list[str] = []
        self._settings = self._load(path, path, 1, ())

    @property
    def sha256(self) -> str:
        """The hash of the files: of their own hashes in hexadecimal, each with a line feed."""
        return hashlib.sha256("".join(f"{each}\n" for each in self._digests).encode()).hexdigest()

    @property
    def keys(self) -> list[str]:
        """The keys that are there."""
        return list(self._settings)

    def get(self, key: str, default: Any = None) -> Any:
        """Return what a key stands for; null counts as absent, as in lm-evaluation-harness."""
        setting = self._settings.get(key)
        return default if setting is None or setting.value is None else setting.value

    def place(self, key: str, *steps: int | str) -> str:
        """Return `FILE:LINE` of a key, or of something below it."""
        if key not in self._settings:
            return str(self.path)
        source = self._settings[key].source
        return f"{source.path}:{source.line((key, *steps))}"

    def error(self, text: str, key: str, *steps: int | str) -> ConfigError:
        """Return the error that a key, or something below it, cannot be taken."""
        return ConfigError(f"{self.place(key, *steps)}: {text}")

    def _load(
        self, path: Path, by: Path, line: int, above: tuple[Path, ...]
    ) -> dict[str, _Setting]:
        place = f"{path}" if not above else f"{by}:{line}: include: {path}"
        real = path.resolve()
        if not real.is_file():
            raise ConfigError(f"{place} is no file")
        if real in above:
            raise ConfigError(f"{place} includes itself")
        if len(self._digests) == MAX_FILES:
            raise ConfigError(f"{place}: a task is made of at most {MAX_FILES} files")
        source = YamlSource(path, ConfigError, functions=True)
        if not isinstance(source.content, dict):
            raise ConfigError(f"{path}: a task is a mapping: task: NAME, doc_to_text: ...")
        self._digests.append(hashlib.sha256(source.data).hexdigest())
        settings: dict[str, _Setting] = {}
        for number, name in enumerate(_included(source)):
            line = source.line(("include", number))
            settings |= self._load(path.parent / name, path, line, (*above, real))
        for key, value in source.content.items():
            if not isinstance(key, str):
                raise ConfigError(f"{path}: a key is a word, not {key!r}")
            if key != "include":
                settings[key] = _Setting(value, source)
        return settings


def _included(source: YamlSource) -> list[str]:
    include = source.content.get("include")
    names = include if isinstance(include, list) else [] if include is None else [include]
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name or Path(name).is_absolute():
            line = source.line(("include", number))
            raise ConfigError(f"{source.path}:{line}: include names files beside this one")
    return names
