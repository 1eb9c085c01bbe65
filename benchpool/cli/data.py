"""benchpool data: files in the data store, each under the hash of its bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption

app = typer.Typer(
    help="Store and read data transactions.\n\nExample: benchpool data put questions.jsonl",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("put")
def put(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model, a data set, anything.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Store a file and print its id: the hash of its bytes.

    Example: benchpool data put datasets/siqa-sample.jsonl
    """
    if not file.is_file():
        raise typer.BadParameter(f"{file} is no file")
    with session.writing(home) as (network, _):
        try:
            data_id = network.data.put_file(file)
        except PermissionError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
        size = network.data.path(data_id).stat().st_size
    if as_json:
        output.print_json({"id": data_id, "bytes": size})
    else:
        output.line(data_id)


@app.command("get")
def get(
    id: Annotated[str, typer.Argument(metavar="ID", help="What was printed by 'data put'.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; else stdout.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Write stored data to stdout or a file, after checking it against its id.

    Example: benchpool data get kZ3vVQ4nK0bq3rQwX1m0j7p5l2c9d8e6f4g1h0iJkLm -o questions.jsonl
    """
    with session.reading(home) as network:
        path = network.data.path(network.data.resolve(id))
        if out is None:
            output.raw(path.read_bytes())
            return
        try:
            shutil.copyfile(path, out)
        except OSError as error:
            raise typer.BadParameter(f"{out} cannot be written: {error.strerror}") from None
