"""What the commands print: data on stdout, everything else on stderr. Alone in knowing Rich.

On a terminal there are tables, colours and progress; into a pipe goes plain aligned text. `--json`
puts JSON alone on stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Report = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""

_SHORT = 8
_STYLES = {"error": "\x1b[31m", "good": "\x1b[32m", "faint": "\x1b[2m", "strong": "\x1b[1m"}


def is_terminal(stream: TextIO) -> bool:
    """Tell whether people look at a stream, rather than another program."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def in_colour(stream: TextIO) -> bool:
    """Tell whether colour may go to a stream."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def clean(text: str) -> str:
    """Make text of unknown origin fit for a terminal: control characters become escapes.

    Data comes from anybody; an escape sequence in it must not reach the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shorten(text: str, width: int) -> str:
    """Cut a text to a width, with an ellipsis; always on one line."""
    text = clean(text.replace("\n", " "))
    return text if len(text) <= width else f"{text[: max(width - 1, 1)]}…"


def short_id(text: str) -> str:
    """Abbreviate an id where people read it; leave it whole where programs do."""
    if len(text) == 43 and " " not in text and is_terminal(sys.stdout):
        return f"{text[:_SHORT]}…"
    return text


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Colour a text if its stream takes colour."""
    return f"{_STYLES[style]}{text}\x1b[0m" if in_colour(stream or sys.stdout) else text


def line(text: str = "") -> None:
    """Print a line of data."""
    sys.stdout.write(f"{text}\n")


def flush() -> None:
    """Let whoever reads stdout have it now."""
    sys.stdout.flush()


def raw(data: bytes) -> None:
    """Print bytes as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Tell people something beside the data."""
    sys.stderr.write(f"{clean(text)}\n")


def complain(text: str) -> None:
    """Report an error."""
    sys.stderr.write(f"{paint('error:', 'error', sys.stderr)} {_one_paragraph(text)}\n")


def _one_paragraph(text: str) -> str:
    return "\n".join(clean(part) for part in text.splitlines()) or "unknown"


def print_json(value: object) -> None:
    """Print one JSON value."""
    line(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print rows under headers.

    Args:
        headers: one a column.
        rows: cells are written as text.
        right: the headers of the columns that are aligned right: numbers.
    """
    cells = [[clean(str(cell)) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _rich_table(headers, cells, right)
        return
    sizes = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        padded = [
            cell.rjust(size) if header in right else cell.ljust(size)
            for header, cell, size in zip(headers, row, sizes, strict=True)
        ]
        line("  ".join(padded).rstrip())


def _rich_table(headers: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        shown.add_column(header, justify="right" if header in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*[Text(cell) for cell in row])  # Text: nothing in it is taken for markup
    Console(color_system="auto" if in_colour(sys.stdout) else None, highlight=False).print(shown)


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Print named values, one a line."""
    size = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        line(f"{paint(name.ljust(size), 'faint')}  {clean(str(value))}".rstrip())


def rate(value: float) -> str:
    """Write how many a second, in few digits."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@contextmanager
def progress() -> Iterator[Report]:
    """Show how long work goes on, if people look at stderr."""
    if not is_terminal(sys.stderr):
        yield lambda _done, _total, _text: None
        return
    bar = _Bar()
    try:
        yield bar.report
    finally:
        bar.stop()


class _Bar:
    """A progress bar on stderr, one line for each thing being done."""

    def __init__(self) -> None:
        self._progress: RichProgress | None = None
        self._tasks: dict[str, Any] = {}
        self._done: dict[str, int] = {}
        self._lock = Lock()

    def report(self, done: int, total: int, text: str) -> None:
        with self._lock:  # models report from threads of their own
            if self._progress is None:
                self._progress = self._start()
            if text not in self._tasks:
                self._tasks[text] = self._progress.add_task(clean(text), total=total)
            task = self._tasks[text]
            if done < self._done.get(text, 0):  # something new under the same name
                self._progress.reset(task, total=total)
            self._done[text] = done
            self._progress.update(task, completed=done, total=total)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()

    @staticmethod
    def _start() -> RichProgress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            def render(self, task: Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text("" if not speed else f"{rate(speed)}/s", style="progress.data.speed")

        shown = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            Rate(),
            TimeRemainingColumn(),
            console=Console(stderr=True, color_system="auto" if in_colour(sys.stderr) else None),
            transient=True,
        )
        shown.start()
        return shown
