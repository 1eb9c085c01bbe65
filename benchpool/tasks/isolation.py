"""Compile in a child process: templates of strangers run there, with little time and memory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchpool.errors import BenchpoolError, ConfigError, DatasetError, PrerequisiteError
from benchpool.evaluation.compiled import Header
from benchpool.tasks import child
from benchpool.tasks.compiling import Job
from benchpool.tasks.tables import Table

_ERRORS: dict[str, type[BenchpoolError]] = {
    "config": ConfigError,
    "prerequisite": PrerequisiteError,
    "other": DatasetError,
}


RECORD_S = 10.0


def compile_file(job: Job | Table, path: Path, *, record_s: float = RECORD_S) -> Header:
    """Compile a task or a table into a file, which appears whole or not at all.

    Args:
        job: what is compiled.
        path: the file, replaced if it is there.
        record_s: how long a record may be worked on, in seconds of the processor's time.

    Raises:
        ConfigError: the task or table cannot be compiled.
        DatasetError: the data cannot be read or does not go with the task; or a template takes too
            much time or memory; or the file cannot be written.
        PrerequisiteError: a package is missing that reads the data.
    """
    with beside(path) as folder:
        (folder / child.PLACE).touch()
        done = subprocess.run(  # noqa: S603 - this program itself
            [sys.executable, "-m", "benchpool.tasks.child", str(folder), str(record_s)],
            input=msgspec.json.encode(job),
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCHPOOL_DEBUG") else subprocess.DEVNULL,
            env=_environment(),
            check=False,
        )
        if done.returncode:
            raise DatasetError(_ended(done.returncode, folder, record_s))
        outcome = msgspec.json.decode(done.stdout, type=child.Outcome)
        if outcome.header is None:
            raise _ERRORS[outcome.failure](outcome.error)
        publish(folder / child.OUTPUT, path)
    return outcome.header


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a folder beside a file to be, which is gone afterwards.

    Raises:
        DatasetError: nothing can be written there.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=".benchpool-", dir=path.parent))
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror}", path=path) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(made: Path, path: Path) -> None:
    """Give a finished file its name. Raises: DatasetError."""
    try:
        made.replace(path)
    except OSError as error:
        raise DatasetError(f"cannot be written: {error.strerror}", path=path) from None


def _environment() -> dict[str, str]:
    # Nothing of the user's; a fixed hash seed, so that equal input gives equal bytes.
    kept = {key: os.environ[key] for key in ("SYSTEMROOT", "LD_LIBRARY_PATH") if key in os.environ}
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return kept | {"PYTHONPATH": paths, "PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}


def _ended(code: int, folder: Path, record_s: float) -> str:
    where = (folder / child.PLACE).read_bytes().decode(errors="replace").strip() or "start"
    if code in (-getattr(signal, "SIGPROF", 0), -getattr(signal, "SIGXCPU", 0)):
        return f"{where}: a record does not end within {record_s:g} s"
    memory = child.MEMORY_BYTES >> 20
    return f"{where}: compiling ended with code {code}; it may take {memory} MiB of memory"
