"""benchpool package: Lua packages that processes of aos may require."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption

app = typer.Typer(
    help="Keep Lua packages for processes of aos.\n\n"
    "Example: benchpool package add @sam/counter counter.lua",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What require is called with.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its Lua source.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Keep a Lua package, with the files that it requires, for: spawn --package NAME.

    Example: benchpool package add counter counter.lua
    """
    from benchpool.client.lua_bundle import bundle

    source = bundle(file)
    with session.writing(home, new=True) as (_, writer):
        added = writer.add_package(name, source)
    if as_json:
        output.print_json({"name": added.name, "id": added.id})
    else:
        output.line(f"{added.id}  {added.name}")


@app.command("list")
def list_packages(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the packages of the network.

    Example: benchpool package list
    """
    with session.reading(home) as network:
        found = network.packages()
    if as_json:
        output.print_json([{"name": each.name, "id": each.id} for each in found])
    elif found:
        output.table(["Package", "Data"], [(each.name, each.id) for each in found])
    else:
        output.note("no packages yet; add one with: benchpool package add NAME FILE")
