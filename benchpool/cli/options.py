"""Options that several commands take, and reading what people type into them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from benchpool.cli import completion

if TYPE_CHECKING:
    from benchpool.units.limits import Limits

MAX_DATA_BYTES = 64 * 2**20
"""The most that a message's Data may hold; larger things belong into the data store."""

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="PATH",
        envvar="BENCHPOOL_HOME",
        help="The folder in which the network lives; default ./.benchpool.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WALLET",
        help="The wallet that signs; default 'default'.",
        autocompletion=completion.wallets,
    ),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="K=V", help="A tag, repeatable; @NAME as value is the id of NAME."
    ),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="TEXT", help="The Data; - reads it from stdin.")
]
DataFileOption = Annotated[
    str | None,
    typer.Option("--data-file", metavar="FILE", help="A file with the Data; - is stdin."),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|ray|ADDRESS",
        help="Where models run: on N cores of this machine, on a Ray cluster of it (ray), or on"
        " that of ray://HOST:PORT or HOST:PORT; default: as limits.toml says, else every core.",
    ),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show each message that is sent.")
]


def read_limits(home: Path | None, workers: str | None) -> Limits | None:
    """Read the limits of a home, with the workers that were typed; None if none were.

    Raises: ConfigError.
    """
    if workers is None:
        return None
    from dataclasses import replace

    from benchpool.inference.ray.address import check_address
    from benchpool.store.home import find_home
    from benchpool.units.limits import find_limits

    limits = find_limits(find_home(home))
    if workers.isdecimal():
        return replace(limits, workers=int(workers))
    check_address(workers)
    return replace(limits, workers=workers)


class Content(NamedTuple):
    """What a message carries."""

    tags: list[tuple[str, str]]
    data: str | bytes


def read_content(tags: list[str] | None, data: str | None, data_file: str | None) -> Content:
    """Read tags and Data as they were typed. Raises: typer.BadParameter."""
    return Content(read_tags(tags), read_data(data, data_file))


def read_tags(texts: list[str] | None) -> list[tuple[str, str]]:
    """Read `K=V` texts; a value may contain `=`. Raises: typer.BadParameter."""
    pairs = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no tag: write NAME=VALUE")
        if not name.strip():
            raise typer.BadParameter(f"{text!r} has no name before the '='")
        pairs.append((_utf8(name.strip(), "--tag"), _utf8(value, "--tag")))
    return pairs


def read_data(data: str | None, data_file: str | None) -> str | bytes:
    """Read Data from its option, a file or stdin. Raises: typer.BadParameter."""
    if data is not None and data_file is not None:
        raise typer.BadParameter("--data and --data-file exclude each other")
    if data is not None and data != "-":
        return _utf8(data, "--data")
    if data is None and data_file is None:
        return ""
    source = data_file or "-"
    try:
        if source == "-":
            content = sys.stdin.buffer.read(MAX_DATA_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(MAX_DATA_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{source} cannot be read: {error.strerror}") from None
    if len(content) > MAX_DATA_BYTES:
        raise typer.BadParameter(
            f"{source} has more than {MAX_DATA_BYTES:,} bytes; store it with"
            " 'benchpool data put FILE' and send its id"
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _utf8(text: str, option: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"{option} is not UTF-8: {text!r}") from None
    return text
