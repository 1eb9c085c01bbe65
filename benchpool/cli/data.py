"""benchpool data: files in the data store, each under the hash of its bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption

_BEGINNING_BYTES = 32

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


@app.command("list")
def list_data(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List what the data store holds, with the processes whose spawn tags name it.

    Example: benchpool data list
    """
    with session.reading(home) as network:
        files = network.data.files()
        uploads = network.data.uploads.all(lambda _item, error: output.note(f"left out: {error}"))
        users: dict[str, list[str]] = {}
        for info in network.processes():
            for value in dict.fromkeys(value for _, value in info.tags):
                users.setdefault(value, []).append(network.name_of(info.id))
    items: dict[str, list[str]] = {}
    for upload in uploads:
        items.setdefault(upload.record.data, []).append(upload.id)
    found: list[dict[str, Any]] = [
        {
            "id": data_id,
            "bytes": path.stat().st_size,
            "begins": _beginning(path),
            "uploads": items.get(data_id, []),
            "used_by": [
                user for each in (data_id, *items.get(data_id, ())) for user in users.get(each, ())
            ],
        }
        for data_id, path in files.items()
    ]
    if as_json:
        output.print_json(found)
    elif found:
        output.table(
            ["Id", "Bytes", "Used by", "Begins with"],
            [
                (each["id"], f"{each['bytes']:,}", ", ".join(each["used_by"]), each["begins"])
                for each in found
            ],
            right=["Bytes"],
        )
    else:
        output.note("no data yet; store a file with: benchpool data put FILE")


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        begins = file.read(_BEGINNING_BYTES)
    return begins.decode("ascii", errors="replace").replace("\ufffd", ".")


@app.command("get")
def get(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="What was printed by 'data put'.", autocompletion=completion.data_ids
        ),
    ],
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
