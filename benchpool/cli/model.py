"""benchpool model: GGUF files on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import output
from benchpool.cli.options import JsonOption

if TYPE_CHECKING:
    from benchpool.inference.catalogue import InstalledModel

app = typer.Typer(
    help="Pull, add and list models.\n\nExample: benchpool model pull smollm2-135m",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]


@app.command("pull")
def pull(name: NameArgument, as_json: JsonOption = False) -> None:
    """Fetch a model of the catalogue, verify it, and keep it on this machine.

    Example: benchpool model pull smollm2-135m
    """
    from benchpool.inference.catalogue import Catalogue

    catalogue = Catalogue()
    entry = catalogue.entries.get(name)
    if entry is not None:
        output.note(f"{entry.title}, {_megabytes(entry.size_bytes)}; licence: {entry.licence}")
    with output.progress() as report:
        model = catalogue.pull(name, report)
    _show_one(model, as_json=as_json)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF file.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Default: made from the file's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a GGUF file into the models of this machine.

    Example: benchpool model add ~/Downloads/tiny.gguf --name tiny
    """
    from benchpool.inference.catalogue import Catalogue

    if not file.is_file():
        raise typer.BadParameter(f"{file} is no file")
    _show_one(Catalogue().add(file, name), as_json=as_json)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models on this machine.

    Example: benchpool model list
    """
    from benchpool.inference.catalogue import Catalogue

    models = Catalogue().list()
    if as_json:
        output.print_json([_model_json(model) for model in models])
    elif models:
        output.table(
            ["Name", "Parameters", "Quantization", "Context", "Size", "Licence"],
            [
                (
                    model.name,
                    _millions(model.card.parameters),
                    model.card.quantization,
                    model.card.context_tokens,
                    _megabytes(model.card.size_bytes),
                    model.licence,
                )
                for model in models
            ],
            right=["Parameters", "Context", "Size"],
        )
    else:
        output.note("no models yet; see: benchpool model catalogue")


@app.command("remove")
def remove(name: NameArgument) -> None:
    """Delete a model from this machine.

    Example: benchpool model remove smollm2-135m
    """
    from benchpool.inference.catalogue import Catalogue

    Catalogue().remove(name)
    output.note(f"removed {name}")


@app.command("catalogue")
def catalogue(as_json: JsonOption = False) -> None:
    """List the models that can be pulled.

    Example: benchpool model catalogue
    """
    from benchpool.inference.catalogue import Catalogue

    entries = list(Catalogue().entries.values())
    if as_json:
        output.print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        output.table(
            ["Name", "Title", "Size", "Licence"],
            [
                (entry.name, entry.title, _megabytes(entry.size_bytes), entry.licence)
                for entry in entries
            ],
            right=["Size"],
        )


def _show_one(model: InstalledModel, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_model_json(model))
    else:
        output.line(f"{model.name}  {model.path}")


def _model_json(model: InstalledModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "path": str(model.path),
        "sha256": model.sha256,
        "licence": model.licence,
        "origin": model.origin,
        "architecture": model.card.architecture,
        "parameters": model.card.parameters,
        "quantization": model.card.quantization,
        "context_tokens": model.card.context_tokens,
        "size_bytes": model.card.size_bytes,
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
