"""A terminal to run commands in, for the tests of what people see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import pyte

from benchpool.cli import main

_ROWS = 300
_PATIENCE_S = 60

Step = tuple[str, str | Callable[[], str]]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands on the terminal in the end."""

    lines: list[str]
    raw: str
    """All that was written, with what has been erased since."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def watch(work: Callable[[], object], *, columns: int = 100) -> Shown:
    """Do work in a copy of this process that has a terminal."""
    child, leader = pty.fork()
    if child == 0:
        _in_the_child(work, columns)
    written = b""
    try:
        while block := os.read(leader, 65536):
            written += block
    except OSError:  # Linux says so when the other side has closed
        pass
    os.close(leader)
    os.waitpid(child, 0)
    screen = pyte.Screen(columns, _ROWS)
    pyte.ByteStream(screen).feed(written)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Shown(lines, written.decode())


def type_into(work: Callable[[], object], steps: Iterable[Step], *, columns: int = 100) -> Shown:
    """Do work in a copy of this process that has a terminal, and somebody types there.

    Args:
        work: what is done.
        steps: what must be on the screen, and what is typed then, or done to know what to type;
            each is looked for from the line on which the one before was typed.
    """
    child, leader = pty.fork()
    if child == 0:
        _in_the_child(work, columns)
    screen = _Answering(columns, _ROWS, leader)
    stream = pyte.ByteStream(screen)
    written = b""
    waiting = list(steps)
    above = 0
    fresh = True
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while True:
            ready, _, _ = select.select([leader], [], [], 0.05 if fresh else 1)
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                raise AssertionError(f"{waiting[:1]} never came:\n{_text(screen)}")
            if ready:
                block = os.read(leader, 65536)
                if not block:
                    break
                written += block
                stream.feed(block)
                fresh = True
            elif fresh and waiting and waiting[0][0] in _text(screen, above):
                _, keys = waiting.pop(0)
                above = screen.cursor.y
                os.write(leader, (keys if isinstance(keys, str) else keys()).encode())
            else:
                fresh = False
    except OSError:  # Linux says so when the other side has closed
        pass
    finally:
        os.close(leader)
        os.waitpid(child, 0)
    assert not waiting, f"{waiting[0]} never came:\n{_text(screen)}"
    return Shown(_text(screen).splitlines(), written.decode())


class _Answering(pyte.Screen):
    """A screen that says where its cursor is when it is asked, as terminals do."""

    def __init__(self, columns: int, rows: int, leader: int) -> None:
        super().__init__(columns, rows)
        self._leader = leader

    def write_process_input(self, data: str) -> None:
        os.write(self._leader, data.encode())


def _text(screen: pyte.Screen, above: int = 0) -> str:
    return "\n".join(line.rstrip() for line in screen.display[above:]).rstrip()


def _in_the_child(work: Callable[[], object], columns: int) -> None:
    try:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.environ.pop("COLUMNS", None)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
        with suppress(SystemExit):
            work()
        sys.stdout.flush()
    except BaseException as error:  # nothing of pytest may run twice
        os.write(2, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


def on_a_terminal(*args: str, columns: int = 100, **environment: str) -> Shown:
    """Run a command."""
    return watch(partial(_run, args, environment), columns=columns)


def typed(*args: str, steps: Iterable[Step], **environment: str) -> Shown:
    """Run a command in which somebody types, see `type_into`."""
    return type_into(partial(_run, args, environment), steps)


def _run(args: tuple[str, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.argv = ["benchpool", *args]
    main()
