"""benchpool console: a conversation with a process, line by line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import MAX_DATA_BYTES, FromOption, HomeOption, JsonOption
from benchpool.cli.process import ProcessArgument

if TYPE_CHECKING:
    from benchpool.client.console import Talk

_MOST_LINES = 10_000
"""Lines of one statement: what goes on longer is evaluated, and fails as it may."""


def console(
    process: ProcessArgument,
    *,
    run: Annotated[
        str | None, typer.Option("--run", metavar="CODE", help="Say this alone, and leave.")
    ] = None,
    sender: FromOption = None,
    blueprints: Annotated[
        Path | None,
        typer.Option(
            "--blueprints",
            metavar="FOLDER",
            envvar="BENCHPOOL_BLUEPRINTS",
            help="Where .load-blueprint finds files.",
        ),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Talk to a process: in Lua with one of aos, in actions with others; .help, help tell more.

    From a pipe it takes lines, and ends at the first that fails, with exit code 1.

    Example: benchpool console Points --run 'return Balances'
    """
    from benchpool.client.console import converse

    with session.writing(home) as (network, writer):
        wallet = session.signer(network, writer, sender)
        talk = converse(network, writer, process, wallet, blueprints=blueprints)
        if run is not None:
            _say_all(talk, iter([run]), as_json=as_json)
        elif as_json or not _on_a_terminal():
            _say_all(talk, _statements(talk), as_json=as_json)
        else:
            from benchpool.cli.console_terminal import Terminal

            Terminal(talk).run()


def _on_a_terminal() -> bool:
    return output.is_terminal(sys.stdin) and output.is_terminal(sys.stdout)


def _statements(talk: Talk) -> Iterator[str]:
    """Put the lines of stdin together, as far as each text needs more.

    Raises: ConfigError for what is no text, or no line.
    """
    lines: list[str] = []
    for line in _lines_of_stdin():
        lines.append(line)
        text = "\n".join(lines)
        if len(lines) >= _MOST_LINES or not talk.needs_more(text):
            yield text
            lines.clear()
    if lines:
        yield "\n".join(lines)


def _lines_of_stdin() -> Iterator[str]:
    from benchpool.errors import ConfigError

    try:
        while line := sys.stdin.readline(MAX_DATA_BYTES + 1):
            if len(line) > MAX_DATA_BYTES:
                raise ConfigError(f"a line of stdin has more than {MAX_DATA_BYTES:,} characters")
            yield line.rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError("stdin is not UTF-8 text") from None


def _say_all(talk: Talk, texts: Iterator[str], *, as_json: bool) -> None:
    """Say texts one after the other, up to the first that fails."""
    from benchpool.cli import console_view
    from benchpool.client.console.answers import Edit, Left
    from benchpool.errors import ConfigError

    show = console_view.print_json if as_json else console_view.show
    for text in texts:
        with session.working(talk.network, talk.writer):
            answers = talk.say(text)
        for answer in answers:
            if isinstance(answer, Edit):
                raise ConfigError("there is no terminal to open an editor on")
            if isinstance(answer, Left):
                return
            show(answer, talk)
            if answer.failure:
                raise typer.Exit(1)
        output.flush()
        talk.news()  # what came of it is seen; nobody waits for it here
