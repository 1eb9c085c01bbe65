"""benchpool module: what processes are made of, code that is installed and WASM files of AO."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from benchpool.network import Network
    from benchpool.process.registry import Registry
    from benchpool.store.shelf import AddedModule

_MIB = 1 << 20

app = typer.Typer(
    help="List the modules that can be spawned, and add WASM modules of AO.\n\n"
    "Example: benchpool module add aos.wasm --name aos",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("add")
def add(
    file: Annotated[
        str, typer.Argument(metavar="FILE|ID", help="A WASM module, or the id of data that is one.")
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="N", help="A name to spawn it by.")],
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Its id on AO's main network; repeatable."),
    ] = None,
    compute_limit: Annotated[
        int | None,
        typer.Option("--compute-limit", metavar="N", min=1, help="Fuel that a message may use."),
    ] = None,
    memory_limit: Annotated[
        int | None,
        typer.Option("--memory-limit", metavar="MIB", min=1, help="Memory of a process, in MiB."),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Put a WASM module of AO into the network, to be spawned by its name or ids.

    Example: benchpool module add aos.wasm --name aos
    """
    from benchpool.ao.ids import is_id

    if not is_id(file) and not Path(file).is_file():
        raise typer.BadParameter(f"{file} is no file")
    with session.writing(home, new=True) as (network, writer):
        try:
            added = writer.add_module(
                file if is_id(file) else Path(file),
                name=name,
                ids=ids or (),
                compute_limit=compute_limit,
                memory_limit=None if memory_limit is None else memory_limit * _MIB,
            )
        except PermissionError as error:
            raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
        shown = _shown(network, added)
    if as_json:
        output.print_json(shown)
    else:
        output.line(f"{added.id}  {added.name}")


@app.command("list")
def list_modules(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the modules that can be spawned, with what each is for.

    Example: benchpool module list
    """
    from benchpool.process.registry import Registry

    registry = Registry()
    rows = [
        {"name": name, "kind": "installed", "purpose": purpose(registry, name)}
        for name in registry.names()
    ]
    rows += [
        {"name": each.name, "kind": "added", "purpose": f"{each.format}, {each.id}"}
        for each in _added(home)
    ]
    if as_json:
        output.print_json(rows)
    elif rows:
        output.table(["Module", "Kind", "Purpose"], [list(row.values()) for row in rows])
    else:
        output.note("no package offers modules (entry point group benchpool.modules)")


@app.command("show")
def show(
    module: Annotated[
        str,
        typer.Argument(
            metavar="MODULE", help="Its name or an id.", autocompletion=completion.modules
        ),
    ],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show a module: format, size, hash, limits and the ids by which it is known.

    Example: benchpool module show Benchmark
    """
    from benchpool.ao.ids import module_id
    from benchpool.process.registry import Registry

    record = next((each for each in _added(home) if each.known_as(module)), None)
    if record is not None:
        with session.reading(home) as network:
            shown = _shown(network, record)
    else:
        registry = Registry()
        registry.find(module)
        name = registry.name(module)
        shown = {
            "name": name,
            "kind": "installed",
            "id": module_id(name),
            "format": "python-benchpool",
            "purpose": purpose(registry, name),
        }
    if as_json:
        output.print_json(shown)
        return
    output.fields(
        [
            (key.replace("_", " ").capitalize(), _text(value))
            for key, value in shown.items()
            if value not in (None, [])
        ]
    )


def purpose(registry: Registry, name: str) -> str:
    """Say what an installed module is for, in one line."""
    try:
        module = registry.find(name)
    except Exception as error:
        return f"cannot be imported: {error}"
    return (module.__doc__ or "").strip().split("\n")[0]


def _added(home: Path | None) -> list[AddedModule]:
    """Return what was added to a home; nothing if there is none."""
    from benchpool.store.home import Home, find_home, open_run
    from benchpool.store.shelf import modules_of

    folder = find_home(home)
    if not Home(folder).exists():
        return []
    with open_run(folder) as run:
        return modules_of(run.store)


def _shown(network: Network, record: AddedModule) -> dict[str, Any]:
    compute, memory = network.modules.bounds(record)
    users = [info for info in network.processes() if record.known_as(info.module)]
    return {
        "name": record.name,
        "kind": "added",
        "id": record.id,
        "ids": list(record.ids),
        "format": record.format,
        "size": record.size,
        "sha256": record.sha256,
        "compute_limit": compute,
        "memory_limit": memory,
        "processes": len(users),
    }


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
