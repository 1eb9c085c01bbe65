"""Run one GGUF model in a child process that may die.

A model file from a stranger can abort the process that loads it, a chat template can run for
ever, memory can run out. The parent stays, and learns how the child ended and what it said
last. To start another one is the caller's to decide.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec
from msgspec import structs

from benchpool.errors import InferenceError, ModelDied, ModelFileError
from benchpool.fetching.hashing import hash_file
from benchpool.inference.engine import (
    Answer,
    Engine,
    EngineStats,
    LayoutName,
    Precision,
    Progress,
    Request,
    Unanswered,
    fits,
)
from benchpool.inference.files.gguf_header import read_loadable
from benchpool.inference.files.sealed import Identity
from benchpool.inference.frames import (
    Alive,
    Answered,
    Ask,
    Failed,
    FromChild,
    Loaded,
    Refused,
    Settings,
    read_from_child,
    write_frame,
)
from benchpool.inference.machine import child_memory_bytes
from benchpool.inference.texts import bounded

_STDERR_LINES = 50
_SHOWN_LINES = 8
_LINE_BYTES = 200
_END_S = 5.0

_checked: dict[tuple[str | None, Path | None], Identity] = {}
"""BF16 copies whose bytes a child of this program has checked, by source and folder."""


class IsolatedEngine(Engine):
    """A model in a child process, which lives once: after its death nothing is answered.

    Args:
        path: The GGUF file; its header is read before any child is started.
        threads: Threads of llama.cpp; None for every core this process may use.
        context_tokens: Longest request, if the model was trained on that much.
        load_timeout_s: Time for the child to start and load the model, and to transcode it.
        answer_timeout_s: Time for one evaluation, of 256 tokens at most.
        heartbeat_s: Pause between the child's heartbeats; ten missing in a row mean it hangs.
        name: The model's name in messages and on its card.
        precision: "bf16" computes with a BF16 copy of the file, made once.
        layout: How requests meet; None for the best that this model and build can do.
        copies: Folder of BF16 copies; None for one beside the model cache.
        sha256: The file's hash if it is known; a BF16 copy is kept under it.
        load: Whether to load the model now.
        memory_bytes: What the child may allocate beside the mapped file; None for 3 GiB and
            twice the file's size, within what this machine has: see `machine`.
        children: That run at the same time, and share the machine's memory.

    Raises:
        ModelFileError: Not a model that llama.cpp can load.
        ModelDied: The child ended, or did not load the model in time.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        context_tokens: int = 4096,
        load_timeout_s: float = 120.0,
        answer_timeout_s: float = 120.0,
        heartbeat_s: float = 1.0,
        name: str | None = None,
        precision: Precision = "stored",
        layout: LayoutName | None = None,
        copies: Path | None = None,
        sha256: str | None = None,
        memory_bytes: int | None = None,
        children: int = 1,
        load: bool = True,
    ) -> None:
        self.path = path
        header = read_loadable(path)
        if sha256 is None and precision != "stored":
            sha256 = hash_file(path)
        self.card = header.card(name or path.name.removesuffix(".gguf"), sha256=sha256)
        self._settings = Settings(
            path=str(path),
            name=self.card.name,
            threads=threads,
            context_tokens=context_tokens,
            heartbeat_s=heartbeat_s,
            precision=precision,
            layout=layout,
            copies=str(copies) if copies else None,
            sha256=sha256,
            memory_bytes=memory_bytes or child_memory_bytes(header.size_bytes, children),
            checked=_checked.get((sha256, copies)),
        )
        self._copy = sha256, copies
        self._load_timeout_s = load_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._silence_s = max(10 * heartbeat_s, 5.0)
        self._child: _Child | None = None
        self._closed = False
        self.stats = EngineStats()
        if load:
            self.load()

    @property
    def pid(self) -> int | None:
        """Process id of the child; None after it died."""
        return None if self._child is None else self._child.process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        child = self._child
        return child is not None and child.process.poll() is None

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order. See ``Engine.answer``.

        Raises:
            ModelDied: The child ended or hung.
            InferenceError: llama.cpp failed, or the engine is closed.
        """
        answers: dict[int, Answer] = {}
        with closing(self.stream(requests)) as stream:
            for frame in stream:
                for number, answer in frame.answers:
                    answers[number] = answer
                    if progress is not None:
                        progress(len(answers), len(requests))
        return [answers[number] for number in range(len(requests))]

    def stream(self, requests: Sequence[Request]) -> Generator[Answered]:
        """Answer every request, each with its place in the list, as the answers come.

        A stream that does not come to its end ends the child: what it might still send would be
        taken for the answers to the next call.

        Raises:
            ModelDied: The child ended or hung.
            InferenceError: llama.cpp failed, or the engine is closed.
        """
        child = self._child
        if child is None:
            raise InferenceError(f"{self.card.name}: the engine is closed")
        missing = dict(enumerate(requests))
        if not missing:
            return
        try:
            child.send(Ask(tuple(requests)))
            while missing:
                yield self._next_answers(child, missing)
        except BaseException:
            self.close()
            raise

    def _next_answers(self, child: _Child, missing: dict[int, Request]) -> Answered:
        """Wait for answers to some of what is missing, and take it off."""
        message = self._receive(child, self._answer_timeout_s, "the next answers")
        if isinstance(message, Failed):
            raise InferenceError(bounded(message.reason))
        if not isinstance(message, Answered):
            self._die(child, f"it sent {type(message).__name__} instead of an answer")
        if not message.answers:
            self._die(child, "it sent no answer where it said that it did")
        for place, answer in message.answers:
            request = missing.pop(place, None)
            if request is None or not fits(request, answer):
                self._die(child, "it sent an answer to nothing that it was asked")
        self.stats.add(message.stats)
        answers = tuple((place, _short(answer)) for place, answer in message.answers)
        return Answered(answers, message.stats)

    def close(self) -> None:
        """End the child. See ``Engine.close``."""
        self._closed = True
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def load(self) -> None:
        """Start the child, and wait until it has loaded the model.

        Raises:
            ModelFileError: Not a model that llama.cpp can load.
            ModelDied: The child ended, or did not load the model in time.
        """
        child = self._child = _Child(self._settings)
        try:
            if self._closed:  # by another thread, which saw no child to end
                self._die(child, "the engine was closed", ended=False)
            self._await_model(child)
        except BaseException:
            self.close()
            raise

    def _await_model(self, child: _Child) -> None:
        message = self._receive(child, self._load_timeout_s, "loading the model")
        if isinstance(message, Refused):
            raise ModelFileError(bounded(message.reason))
        if not isinstance(message, Loaded):
            self._die(child, f"it sent {type(message).__name__} instead of loading the model")
        runtime = message.runtime
        self.runtime = structs.replace(
            runtime, build=bounded(runtime.build), cpu=bounded(runtime.cpu)
        )
        if message.copy is not None:
            _checked[self._copy] = message.copy

    def _receive(self, child: _Child, timeout_s: float, awaited: str) -> FromChild:
        deadline = time.monotonic() + timeout_s
        decodes: int | None = None
        while True:
            remaining_s = deadline - time.monotonic()
            try:
                message = child.inbox.get(timeout=max(0.0, min(remaining_s, self._silence_s)))
            except queue.Empty:
                late = remaining_s <= self._silence_s
                reason = (
                    f"no progress with {awaited} for {timeout_s:g} s"
                    if late
                    else f"no heartbeat for {self._silence_s:g} s"
                )
                self._die(child, reason, ended=False)
            if message is None:
                self._die(child, f"it ended during {awaited}")
            if not isinstance(message, Alive):
                return message
            if decodes is not None and message.decodes > decodes:
                deadline = time.monotonic() + timeout_s
            decodes = message.decodes

    def _die(self, child: _Child, reason: str, *, ended: bool = True) -> NoReturn:
        how = child.end() if ended else ""
        self.close()
        said = "".join(f"\n  {line}" for line in list(child.stderr)[-_SHOWN_LINES:])
        raise ModelDied(
            f"model {self.card.name}: the process that ran it is gone: {reason}"
            + (f" ({how})" if how else "")
            + said
        )


class _Child:
    """The process, its pipes and the threads that read them."""

    def __init__(self, settings: Settings) -> None:
        # -P: a file of the working folder must not stand in for a package.
        written = msgspec.json.encode(settings).decode()
        command = [sys.executable, "-P", "-m", "benchpool.inference.child", written]
        self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdin: BinaryIO = self.process.stdin  # type: ignore[assignment]
        self.inbox: queue.SimpleQueue[FromChild | None] = queue.SimpleQueue()
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._threads = [
            threading.Thread(target=self._read_frames, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self.process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: Ask) -> None:
        """Send without waiting: a child that reads nothing is found out by its silence."""
        thread = threading.Thread(target=self._write, args=(message,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> str:
        """Wait for a child that is ending, and say how it ended."""
        try:
            code = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return "still running, killed"
        self._threads[1].join(_END_S)
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"

    def kill(self) -> None:
        """End the child whatever it does, and release every handle."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(_END_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                _close(pipe)  # type: ignore[arg-type]

    def _write(self, message: Ask) -> None:
        try:
            write_frame(self._stdin, message)
        except (OSError, ValueError):
            return  # the reader of its frames tells what became of the child

    def _read_frames(self, pipe: BinaryIO) -> None:
        while (message := read_from_child(pipe)) is not None:
            self.inbox.put(message)
        self.inbox.put(None)

    def _read_stderr(self, pipe: BinaryIO) -> None:
        while line := pipe.readline(_LINE_BYTES):
            text = line.decode("utf-8", errors="replace").rstrip()
            if text:
                self.stderr.append(text)


def _short(answer: Answer) -> Answer:
    return Unanswered(bounded(answer.reason)) if isinstance(answer, Unanswered) else answer


def _close(pipe: BinaryIO) -> None:
    try:
        pipe.close()
    except OSError:  # what was left in the buffer had no reader
        return


def child_environment() -> dict[str, str]:
    """The environment of a child of this program that runs a module of benchpool."""
    # The child must find this very benchpool, installed or not, from any working folder.
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    # Without GGML_NO_BACKTRACE an abort starts a debugger, if one is installed.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GGML_NO_BACKTRACE": "1"}
