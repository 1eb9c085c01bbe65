"""The child process that runs one model: ``python -m benchpool.inference.child PATH ...``.

Frames come in on stdin and go out on what stdout was at the start. It ends when its parent
does, and leaves interrupts at the terminal to its parent.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference.engine import EngineStats
from benchpool.inference.frames import (
    Alive,
    Answered,
    Ask,
    Failed,
    FromChild,
    Loaded,
    Refused,
    Settings,
    read_ask,
    write_frame,
)

if TYPE_CHECKING:
    from benchpool.inference.llama.llama_cpp import LlamaCppEngine


class _Outbox:
    """Frames to the parent, from the worker and the heartbeat alike."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def send(self, message: FromChild) -> None:
        try:
            with self._lock:
                write_frame(self._pipe, message)
        except OSError:
            os._exit(0)  # nobody listens any more


class _Done:
    """What the heartbeat tells of the work: a long evaluation is not a wedged one."""

    def __init__(self) -> None:
        self.engine: LlamaCppEngine | None = None

    def decodes(self) -> int:
        return 0 if self.engine is None else self.engine.stats.decodes


def main(arguments: list[str]) -> int:
    """Load the model, then answer until the parent is gone.

    Args:
        arguments: ``Settings`` as JSON.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    # Native code may print to stdout: frames get a descriptor of their own.
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings = msgspec.json.decode(arguments[0], type=Settings)
    _limit_memory(settings.memory_bytes)
    outbox = _Outbox(frames)
    asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
    _start(_read_asks, asks)
    done = _Done()
    _start(_beat, outbox, settings.heartbeat_s, parent, done)
    try:
        engine = done.engine = _open(settings)
    except (InferenceError, ImportError, MemoryError) as error:
        outbox.send(Refused(str(error) or "out of memory"))
        return 1
    outbox.send(Loaded(engine.runtime, engine.copy))
    while True:
        _answer(engine, asks.get(), outbox)


def _open(settings: Settings) -> LlamaCppEngine:
    # Only now, so that heartbeats tell a slow import from a dead child.
    from benchpool.inference.llama.llama_cpp import LlamaCppEngine  # noqa: PLC0415

    return LlamaCppEngine(
        Path(settings.path),
        name=settings.name,
        threads=settings.threads,
        context_tokens=settings.context_tokens,
        precision=settings.precision,
        layout=settings.layout,
        copies=Path(settings.copies) if settings.copies else None,
        sha256=settings.sha256,
        checked=settings.checked,
    )


def _limit_memory(limit_bytes: int) -> None:
    # What the process allocates, not the model that it maps: that is the page cache's.
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard == resource.RLIM_INFINITY or hard > limit_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, hard))


def _answer(engine: LlamaCppEngine, ask: Ask, outbox: _Outbox) -> None:
    before = EngineStats()
    before.add(engine.stats)
    try:
        for answers in engine.stream(ask.requests):
            spent = engine.stats.since(before)
            before.add(spent)
            outbox.send(Answered(tuple(answers), spent))
    except (InferenceError, MemoryError) as error:
        outbox.send(Failed(str(error) or "out of memory"))


def _read_asks(asks: queue.SimpleQueue[Ask]) -> None:
    while (ask := read_ask(sys.stdin.buffer)) is not None:
        asks.put(ask)
    os._exit(0)  # the worker may be inside a long evaluation


def _beat(outbox: _Outbox, heartbeat_s: float, parent: int, done: _Done) -> None:
    pause = threading.Event()
    while not pause.wait(heartbeat_s):
        # Another child of the parent may hold our stdin open after the parent's death.
        if os.getppid() != parent:
            os._exit(0)
        outbox.send(Alive(done.decodes()))


def _start(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
