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
from typing import BinaryIO

from benchpool.errors import InferenceError
from benchpool.inference.engine import Engine
from benchpool.inference.frames import (
    Alive,
    Answered,
    Ask,
    Failed,
    FromChild,
    Loaded,
    Refused,
    read_ask,
    write_frame,
)


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


def main(arguments: list[str]) -> int:
    """Load the model, then answer until the parent is gone.

    Args:
        arguments: Path, name, threads, context tokens, seconds between heartbeats.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    # Native code may print to stdout: frames get a descriptor of their own.
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    path, name, threads, context_tokens, heartbeat_s = arguments
    outbox = _Outbox(frames)
    asks: queue.SimpleQueue[Ask] = queue.SimpleQueue()
    _start(_read_asks, asks)
    _start(_beat, outbox, float(heartbeat_s), parent)
    try:
        # Only now, so that heartbeats tell a slow import from a dead child.
        from benchpool.inference.llama_cpp import LlamaCppEngine  # noqa: PLC0415

        engine = LlamaCppEngine(
            Path(path),
            name=name,
            threads=int(threads) or None,
            context_tokens=int(context_tokens),
        )
    except (InferenceError, ImportError) as error:
        outbox.send(Refused(str(error)))
        return 1
    outbox.send(Loaded())
    while True:
        _answer(engine, asks.get(), outbox)


def _answer(engine: Engine, ask: Ask, outbox: _Outbox) -> None:
    # One by one: answers do not depend on their neighbours, and each shows the parent progress.
    for request in ask.requests:
        try:
            (answer,) = engine.answer([request])
        except InferenceError as error:
            outbox.send(Failed(str(error)))
            return
        outbox.send(Answered(answer))


def _read_asks(asks: queue.SimpleQueue[Ask]) -> None:
    while (ask := read_ask(sys.stdin.buffer)) is not None:
        asks.put(ask)
    os._exit(0)  # the worker may be inside a long evaluation


def _beat(outbox: _Outbox, heartbeat_s: float, parent: int) -> None:
    pause = threading.Event()
    while not pause.wait(heartbeat_s):
        # Another child of the parent may hold our stdin open after the parent's death.
        if os.getppid() != parent:
            os._exit(0)
        outbox.send(Alive())


def _start(target: object, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, daemon=True).start()  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
