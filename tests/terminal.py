"""A terminal to run commands in, for the tests of what people see."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pyte

from benchpool.cli import main

_ROWS = 300


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


def _in_the_child(work: Callable[[], object], columns: int) -> None:
    try:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, columns, 0, 0))
        os.environ["TERM"] = "xterm-256color"
        os.environ.pop("COLUMNS", None)
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

    def work() -> None:
        os.environ.update(environment)
        sys.argv = ["benchpool", *args]
        main()

    return watch(work, columns=columns)
