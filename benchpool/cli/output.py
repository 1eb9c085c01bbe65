"""What the commands print: data on stdout, everything else on stderr.

On a terminal text is fitted to its width, with colours and progress; into a pipe goes plain aligned
text, whole. `--json` puts JSON alone on stdout.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, TextIO

from benchpool.ao.colours import COLOUR, colourless
from benchpool.cli import layout

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Report = Callable[[int, int, str], None]
"""Called with (done, total, what is being done)."""

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


def tinted(text: str, stream: TextIO | None = None) -> str:
    """Make lines of unknown origin fit for a terminal, but let them have their colours.

    Of all that a terminal takes for a command, colours alone pass, where colour may go; they end
    with the text.
    """
    coloured = in_colour(stream or sys.stdout)
    parts = COLOUR.split(text)
    shown = []
    for place, part in enumerate(parts):
        if place % 2 == 0:
            shown.append("\n".join(clean(each) for each in _lines(part)))
        elif coloured:
            shown.append(part)
    return "".join(shown) + ("\x1b[0m" if coloured and len(parts) > 1 else "")


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").expandtabs(4).split("\n")


def one_line(text: str, width: int) -> str:
    """Write a text on one line; people see no more of it than a width, with an ellipsis."""
    text = clean(text.replace("\n", " "))
    cut = is_terminal(sys.stdout) and len(text) > width
    return f"{text[: max(width - 1, 1)]}…" if cut else text


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Colour a text if its stream takes colour."""
    return f"{_STYLES[style]}{text}\x1b[0m" if in_colour(stream or sys.stdout) else text


def count(number: int, thing: str, things: str = "") -> str:
    """Write how many things there are: `1 message`, `2,000 messages`."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def line(text: str = "", first: str = "", rest: str = "") -> None:
    """Print a line of data, on a terminal as several that fit.

    Args:
        text: what it says.
        first: what it begins with.
        rest: what the other lines begin with.
    """
    verbatim("\n".join(_fitted(text, sys.stdout, first, rest)))


def verbatim(text: str) -> None:
    """Print lines of data as they are."""
    _write(sys.stdout, f"{text}\n")


def fit_ids(text: str, first: str = "") -> str:
    """Shorten the ids of what does not fit one line otherwise."""
    room = width()
    wide = room is not None and layout.columns(first + text) > room
    return layout.shorten_ids(text) if wide else text


def _fitted(text: str, stream: TextIO, first: str = "", rest: str = "") -> list[str]:
    room = width(stream)
    lines = [f"{first}{text}"] if room is None else layout.wrap(text, room, first, rest)
    return [each.rstrip() for each in lines]


def width(stream: TextIO | None = None) -> int | None:
    """Return how many columns people see, on stdout by default; None where programs read."""
    stream = stream or sys.stdout
    if not is_terminal(stream):
        return None
    own = os.get_terminal_size(stream.fileno())
    return shutil.get_terminal_size(own).columns or 80


def _write(stream: TextIO, text: str) -> None:
    """Write where no progress is: the two never share lines."""
    with _bar.gone():
        getattr(stream, "rich_proxied_file", stream).write(text)


def heading(text: str) -> None:
    """Begin a part of what is printed."""
    line()
    line(paint(text, "strong"))


def flush() -> None:
    """Let whoever reads stdout have it now."""
    sys.stdout.flush()


def raw(data: bytes) -> None:
    """Print bytes as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Tell people something beside the data, in one line or more."""
    lines = [each for part in text.split("\n") for each in _fitted(clean(part), sys.stderr)]
    _write(sys.stderr, "\n".join(lines) + "\n")


def complain(text: str) -> None:
    """Report an error."""
    lines = [clean(part) for part in text.splitlines()] or ["unknown"]
    lines[0] = f"{paint('error:', 'error', sys.stderr)} {lines[0]}"
    fitted = [line for each in lines for line in _fitted(each, sys.stderr)]
    _write(sys.stderr, "\n".join(fitted) + "\n")


def wrong(text: str) -> None:
    """Report, in its own words, what a process says against something."""
    lines = [clean(each) for each in _lines(colourless(text).strip("\r\n"))]
    _write(sys.stderr, "\n".join(paint(each, "error", sys.stderr) for each in lines) + "\n")


def print_json(value: object) -> None:
    """Print one JSON value."""
    verbatim(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def json_line(value: object) -> str:
    """Write one JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print rows under headers. See `table_lines`."""
    verbatim("\n".join(table_lines(headers, rows, right=right)))


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> list[str]:
    """Write rows under headers.

    Args:
        headers: one a column.
        rows: cells are written as text.
        right: the headers of the columns that are aligned right: numbers.
    """
    cells = [[clean(str(cell)) for cell in row] for row in rows]
    head, *body = layout.tabulate(headers, cells, right, width())
    return [paint(each, "strong") for each in head] + [each for row in body for each in row]


def fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Print named values, one a line."""
    size = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        named = f"{paint(name.ljust(size), 'faint')}  "
        line(clean(str(value)), named, " " * (size + 2))


def rate(value: float) -> str:
    """Write how many a second, in few digits."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@contextmanager
def progress() -> Iterator[Report]:
    """Show how long work goes on, if people look at stderr."""
    if not is_terminal(sys.stderr):
        yield lambda _done, _total, _text: None
        return
    _bar.wanted = True
    try:
        yield _bar.report
    finally:
        with _bar.gone():
            _bar.wanted = False


class _Bar:
    """The progress on stderr, one line for each thing being done, below all that is printed."""

    def __init__(self) -> None:
        self.wanted = False
        self._progress: RichProgress | None = None
        self._tasks: dict[str, Any] = {}
        self._done: dict[str, int] = {}
        self._lock = RLock()

    def report(self, done: int, total: int, text: str) -> None:
        with self._lock:  # models report from threads of their own
            if not self.wanted:
                return
            if self._progress is None:
                self._progress = _new_progress()
                self._progress.start()
            if text not in self._tasks:
                self._tasks[text] = self._progress.add_task(
                    clean(text), total=total, completed=done
                )
            task = self._tasks[text]
            if done < self._done.get(text, 0):  # something new under the same name
                self._progress.reset(task, total=total)
            self._done[text] = done
            self._progress.update(task, completed=done, total=total)

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Take it off the terminal, where the block may print; the next report begins it anew."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
                self._progress = None
                self._tasks.clear()
                self._done.clear()
            yield


_bar = _Bar()


def _new_progress() -> RichProgress:
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

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True, color_system="auto" if in_colour(sys.stderr) else None),
        transient=True,
        redirect_stdout=False,  # data goes where stdout goes
    )
