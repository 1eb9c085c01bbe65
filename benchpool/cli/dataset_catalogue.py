"""benchpool dataset list and pull: official data sets, with their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output
from benchpool.cli.options import JsonOption

if TYPE_CHECKING:
    from benchpool.tasks.catalogue.shelf import PulledDataset


def list_datasets(as_json: JsonOption = False) -> None:
    """List the data sets of the catalogue, and which of them are on this machine.

    Example: benchpool dataset list
    """
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    shelf = DatasetShelf()
    pulled = {each.name: each for each in shelf.list()}
    entries = shelf.entries
    if as_json:
        output.print_json(
            [
                {
                    **entry.model_dump(mode="json"),
                    "size_bytes": entry.size_bytes,
                    "pulled": _facts(pulled[name]) if name in pulled else None,
                }
                for name, entry in sorted(entries.items())
            ]
        )
        return
    output.table(
        ["Name", "Title", "Data", "Licence", "Questions"],
        [
            (
                name,
                entry.title,
                f"{entry.size_bytes / 1e6:.1f} MB",
                entry.licence,
                f"{pulled[name].header.count:,}" if name in pulled else "not pulled",
            )
            for name, entry in sorted(entries.items())
        ],
        right=["Data", "Questions"],
    )


def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="The data set's name.",
            autocompletion=completion.dataset_entries,
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Fetch a data set of the catalogue, verify it, compile it, and keep it on this machine.

    Example: benchpool dataset pull arc-easy
    """
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    shelf = DatasetShelf()
    entry = shelf.entries.get(name)
    if entry is not None:
        output.note(
            f"{entry.title}, {entry.size_bytes / 1e6:.1f} MB of data; licence: {entry.licence}"
            + (f" ({entry.stated})" if entry.stated else "")
        )
    with output.progress() as report:
        pulled = shelf.pull(name, report)
    if as_json:
        output.print_json(_facts(pulled))
        return
    output.fields(
        [
            ("Name", pulled.name),
            ("Questions", pulled.header.count),
            ("Left out", len(pulled.header.unscored)),
            ("SHA-256", pulled.sha256),
            ("File", pulled.path),
        ]
    )


def _facts(pulled: PulledDataset) -> dict[str, Any]:
    header = pulled.header
    return {
        "name": pulled.name,
        "path": str(pulled.path),
        "sha256": pulled.sha256,
        "title": header.title,
        "licence": header.license,
        "source": header.source,
        "version": header.version,
        "kind": header.kind,
        "questions": header.count,
        "left_out": len(header.unscored),
    }
