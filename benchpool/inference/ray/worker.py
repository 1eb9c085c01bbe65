"""A worker of a cluster: it runs models in child processes, one of them at a time.

It lives on a node, as a Ray actor: it takes bytes and gives bytes. Every
call but `ask` and `more` returns when it is done; these two give answers as they come.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from benchpool.errors import InferenceError
from benchpool.fetching.hashing import hash_file
from benchpool.inference.admission import admit
from benchpool.inference.engine import Request
from benchpool.inference.files.folders import default_cache
from benchpool.inference.frames import Answered
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.machine import memory_bytes
from benchpool.inference.ray.frames import (
    About,
    Ask,
    Done,
    Failed,
    Given,
    Load,
    Loaded,
    Missing,
    ModelFile,
    More,
    Piece,
    Try,
    pack,
    unpack,
)
from benchpool.version import VERSION

CACHE_VARIABLE: Final = "BENCHPOOL_NODE_CACHE"
"""Where a node keeps the files that it was sent; by default beside the models of its user."""
LOOK_S: Final = 1.0
"""How long a worker that computes lets its asker wait for a sign of life."""
_RESERVE_BYTES: Final = 512 << 20
"""What a file that is sent leaves free on the disk of a node."""


class Worker:
    """Runs models on one CPU of a node. Its methods may be called by several threads at a time.

    Args:
        cores: Workers of this node, which share its memory.
    """

    def __init__(self, cores: int) -> None:
        chosen = os.environ.get(CACHE_VARIABLE)
        self._cache = Path(chosen) if chosen else default_cache().parent / "node"
        self._cores = cores
        self._children: dict[str, IsolatedEngine] = {}
        self._streams: dict[str, queue.SimpleQueue[Answered | Failed | None]] = {}
        self._dropped: set[str] = set()
        self._checked: dict[Path, tuple[int, int, int]] = {}
        """Files whose bytes have been read, as they were."""

    def about(self) -> bytes:
        """Say what this worker is: `About`."""
        there = self._cache.glob("*.gguf") if self._cache.is_dir() else ()
        files = tuple(sorted(path.stem for path in there))
        return pack(About(VERSION, os.getpid(), self._cores, memory_bytes(), files))

    # -- files -------------------------------------------------------------------------------

    def start(self, body: bytes) -> bytes:
        """Make ready for a `ModelFile`: `Missing` if its pieces are to be sent, else `Done`."""
        return _told(lambda: self._start(unpack(body, ModelFile)))

    def _start(self, file: ModelFile) -> Given:
        if self._find(file) is not None:
            return Done()
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._clean(file)
        free = shutil.disk_usage(self._cache).free
        if free < file.size_bytes + _RESERVE_BYTES:
            raise InferenceError(
                f"{self._cache} has {free:,} bytes left, and a model of {file.size_bytes:,} was"
                " to be kept there: make room"
            )
        self._arriving(file).write_bytes(b"")
        return Missing()

    def write(self, body: bytes, content: bytes) -> bytes:
        """Write a `Piece` of a file: `Done`."""

        def put() -> Given:
            piece = unpack(body, Piece)
            with self._arriving(piece.file).open("r+b") as file:
                file.seek(piece.offset)
                file.write(content)
            return Done()

        return _told(put)

    def finish(self, body: bytes) -> bytes:
        """Check a `ModelFile` whose pieces have come, and keep it: `Done`."""

        def check() -> Given:
            file = unpack(body, ModelFile)
            arrived = self._arriving(file)
            if hash_file(arrived) != file.sha256:
                arrived.unlink()
                raise InferenceError(f"the bytes that came are not those of {file.sha256}")
            arrived.replace(self._kept(file))
            return Done()

        return _told(check)

    def _kept(self, file: ModelFile) -> Path:
        if len(file.sha256) != 64 or not set(file.sha256) <= set("0123456789abcdef"):
            raise InferenceError("a file without the hash of its bytes cannot be kept")
        return self._cache / f"{file.sha256}.gguf"

    def _arriving(self, file: ModelFile) -> Path:
        return self._kept(file).with_suffix(f".{os.getpid()}")

    def _clean(self, file: ModelFile) -> None:
        """Delete what came of this file to workers that ended before it was whole."""
        for left in self._cache.glob(f"{file.sha256}.*"):
            pid = left.suffix[1:]
            if pid.isdecimal() and not _runs(int(pid)):
                left.unlink(missing_ok=True)

    def _find(self, file: ModelFile) -> Path | None:
        """Find a file whose bytes are those that are meant."""
        places = [self._kept(file), *[Path(file.path)][: file.shared]]
        return next((path for path in places if self._is_whole(path, file)), None)

    def _is_whole(self, path: Path, file: ModelFile) -> bool:
        try:
            status = path.stat()
            now = status.st_ino, status.st_size, status.st_mtime_ns
            if status.st_size != file.size_bytes:
                return False
            if self._checked.get(path) != now and hash_file(path) != file.sha256:
                return False
        except OSError:
            return False
        self._checked[path] = now
        return True

    # -- models ------------------------------------------------------------------------------

    def load(self, body: bytes) -> bytes:
        """Run a model, as `Load` says: `Loaded`, or `Missing`."""
        return _told(lambda: self._load(unpack(body, Load)))

    def _load(self, load: Load) -> Given:
        path = self._find(load.file)
        if path is None:
            return Missing()
        engine = self._children[load.child] = IsolatedEngine(
            path,
            name=load.name,
            precision=load.precision,
            layout=load.layout,
            sha256=load.file.sha256,
            context_tokens=load.context_tokens,
            memory_bytes=load.memory_bytes,
            copies=self._cache / "bf16",
            children=self._cores,
            threads=1,
            load=False,
        )
        if load.child in self._dropped:
            raise InferenceError(f"{load.name}: the engine was closed")
        try:
            engine.load()
        except BaseException:
            self._children.pop(load.child, None)
            raise
        return Loaded(engine.runtime)

    def ask(self, body: bytes) -> bytes:
        """Begin an `Ask`, and give its first answers: `More`."""

        def begin() -> Given:
            ask = unpack(body, Ask)
            engine = self._children.get(ask.child)
            if engine is None:
                raise InferenceError("the engine is closed")
            stream = self._streams[ask.child] = queue.SimpleQueue()
            arguments = engine, ask.requests, stream
            threading.Thread(target=_stream, args=arguments, daemon=True).start()
            return self._more(ask.child)

        return _told(begin)

    def more(self, child: str) -> bytes:
        """Give more answers, or a sign of life: `More`."""
        return _told(lambda: self._more(child))

    def _more(self, child: str) -> Given:
        stream = self._streams[child]
        frames: list[Answered] = []
        try:
            frame = stream.get(timeout=LOOK_S)
            while isinstance(frame, Answered):
                frames.append(frame)
                frame = stream.get_nowait()
        except queue.Empty:
            return More(tuple(frames), end=False)
        if isinstance(frame, Failed) and frames:
            stream.put(frame)  # what was answered before counts
            return More(tuple(frames), end=False)
        del self._streams[child]
        return frame if isinstance(frame, Failed) else More(tuple(frames), end=True)

    def drop(self, child: str) -> bytes:
        """End a child, also one that is being loaded: `Done`."""

        def end() -> Given:
            self._dropped.add(child)
            engine = self._children.pop(child, None)
            if engine is not None:
                engine.close()
            return Done()

        return _told(end)

    def admit(self, body: bytes) -> bytes:
        """Try a file, as `Try` says: `Done`, or `Missing`."""

        def attempt() -> Given:
            asked = unpack(body, Try)
            path = self._find(asked.file)
            if path is None:
                return Missing()
            admit(path, memory_bytes=asked.memory_bytes, children=self._cores)
            return Done()

        return _told(attempt)

    def want(self, cpus: int) -> None:
        """Tell the autoscaler of this worker's cluster, if it has one, how many CPUs are wanted."""
        import ray.autoscaler.sdk  # noqa: PLC0415 - only here is there a cluster

        ray.autoscaler.sdk.request_resources(num_cpus=cpus)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or no process that could be
        return True
    return True


def _stream(
    engine: IsolatedEngine,
    requests: tuple[Request, ...],
    answers: queue.SimpleQueue[Answered | Failed | None],
) -> None:
    try:
        with closing(engine.stream(requests)) as stream:
            for frame in stream:
                answers.put(frame)
    except Exception as error:
        answers.put(_failed(error))
    else:
        answers.put(None)


def _told(work: Callable[[], Given]) -> bytes:
    try:
        return pack(work())
    except Exception as error:
        return pack(_failed(error))


def _failed(error: Exception) -> Failed:
    if isinstance(error, InferenceError):
        return Failed(type(error).__name__, str(error))
    return Failed("WorkerLost", f"{type(error).__name__}: {error}")
