"""benchpool spawn, fork, processes, inspect, log: processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.ao.colours import colourless
from benchpool.cli import completion, output, session
from benchpool.cli.options import (
    DataFileOption,
    DataOption,
    FromOption,
    HomeOption,
    JsonOption,
    TagOption,
    read_content,
)
from benchpool.errors import HandlerError

if TYPE_CHECKING:
    from benchpool.ao.message import Message, Result
    from benchpool.cli.view import NameOf
    from benchpool.network import Network

_STATE_LINES = 40
_STATE_WIDTH = 120

ProcessArgument = Annotated[
    str,
    typer.Argument(metavar="PROCESS", help="Its name or id.", autocompletion=completion.processes),
]


def spawn(
    module: Annotated[
        str,
        typer.Argument(
            metavar="MODULE", help="See: benchpool module list.", autocompletion=completion.modules
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="A name to address it by.")
    ] = None,
    tag: TagOption = None,
    data: DataOption = None,
    data_file: DataFileOption = None,
    load: Annotated[
        list[Path] | None,
        typer.Option(
            "--load",
            metavar="FILE",
            help="Lua that it evaluates then, with the files beside it that this requires.",
        ),
    ] = None,
    package: Annotated[
        list[str] | None,
        typer.Option(
            "--package",
            metavar="P",
            help="A package that it can require.",
            autocompletion=completion.packages,
        ),
    ] = None,
    given_id: Annotated[
        str | None,
        typer.Option("--as", metavar="ID", help="Its id, for sources that name it; unsigned only."),
    ] = None,
    sender: FromOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Create a process from a module and print its id.

    Example: benchpool spawn WrappedAR --name WrappedAR --tag Ticker=wAR
    """
    from benchpool.client.lua_bundle import as_module, bundle
    from benchpool.client.naming import named_ids
    from benchpool.client.writer import send

    content = read_content(tag, data, data_file)
    loads = [(str(file), bundle(file)) for file in load or ()]
    with session.writing(home, new=True) as (network, writer):
        owner = session.signer(network, writer, sender)
        packages = [(each, as_module(each, network.package(each))) for each in package or ()]
        with session.working(network, writer):
            process = writer.spawn(
                module,
                named_ids(network, content.tags),
                name=name,
                data=content.data,
                sender=owner,
                given_id=given_id,
            )
            for what, source in (*packages, *loads):
                sent = send(writer, process, "Eval", data=source, sender=owner)
                if sent.error:
                    raise HandlerError(
                        f"{name or process} was spawned, and {what} failed in it:"
                        f" {colourless(sent.error)}"
                    )
    if as_json:
        output.print_json({"id": process, "name": name})
    else:
        output.line(process if name is None else f"{process}  {name}")


def fork(
    process: ProcessArgument,
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="N", help="A name to address it by.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="MESSAGE", help="The last message that both know."),
    ] = None,
    sender: FromOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Create a process that goes on from what another has become, and print its id.

    Example: benchpool fork Token --name WhatIf
    """
    from benchpool.network.forking import fork_of

    with session.writing(home) as (network, writer):
        said = fork_of(network, process, at)
        owner = session.signer(network, writer, sender or said.owner or None)
        with session.working(network, writer):
            made = writer.spawn(said.module, said.tags, name=name, sender=owner)
    if as_json:
        output.print_json({"id": made, "name": name})
    else:
        output.line(made if name is None else f"{made}  {name}")


def processes(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the processes of the network in the order in which they were spawned.

    Example: benchpool processes
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        given = {identity: name for name, identity in network.names().items()}
        found = network.processes()
        name_of = view.names(network)
        if as_json:
            output.print_json(
                [
                    {
                        "id": info.id,
                        "name": given.get(info.id),
                        "module": info.module,
                        "owner": info.owner,
                        "created": info.created_ms,
                    }
                    for info in found
                ]
            )
            return
        if not found:
            output.note("no processes yet; make one with: benchpool spawn MODULE")
            return
        output.table(
            ["Name", "Module", "Owner", "Spawned", "Id"],
            [
                (
                    given.get(info.id, ""),
                    network.registry.name(info.module),
                    name_of(info.owner),
                    view.moment(info.created_ms),
                    info.id,
                )
                for info in found
            ],
        )


def inspect(process: ProcessArgument, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show a process: module, owner, tags, state, handlers, cron and extensions.

    Example: benchpool inspect Benchmark
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        shown = _describe(network, process)
        if as_json:
            output.print_json(shown)
        else:
            _print_description(shown, view.names(network))


def _describe(network: Network, party: str) -> dict[str, Any]:
    from benchpool.ao.shapes import tags_json
    from benchpool.process.state import state_json

    info = network.info(party)
    process = network.process(info.id)
    return {
        "id": info.id,
        "name": network.name_of(info.id) if network.name_of(info.id) != info.id else None,
        "module": info.module,
        "module_name": network.registry.name(info.module),
        "kind": "data" if network.registry.is_data(info.module) else "code",
        "owner": info.owner,
        "created": info.created_ms,
        "tags": tags_json(info.tags),
        "extensions": list(process.extensions),
        "cron": [
            {
                "interval": entry.text,
                "tags": tags_json(entry.tags),
                "due": due_ms,
            }
            for entry, due_ms in network.timeline.entries(info.id)
        ],
        "inbox": len(process.inbox),
        **process.inspect(),
        "state": state_json(process.state),
    }


def _print_description(shown: dict[str, Any], name_of: NameOf) -> None:
    from benchpool.cli import view

    pairs: list[tuple[str, object]] = [
        ("Id", shown["id"]),
        ("Name", shown["name"] or ""),
        ("Module", name_and_id(shown["module_name"], shown["module"])),
        ("Owner", name_of(shown["owner"])),
        ("Spawned", view.moment(shown["created"])),
        ("Extensions", ", ".join(shown["extensions"]) or "none"),
        ("Inbox", f"{output.count(shown['inbox'], 'message')} that no handler took"),
    ]
    if shown["kind"] == "data":  # it keeps its inbox and its handlers to itself
        pairs[-1] = ("Memory", "its own; what it says of it: benchpool dryrun --action Eval")
    pairs += [(str(name), value) for name, value in shown["description"].items()]
    output.fields(pairs)
    output.heading("Tags")
    for tag in shown["tags"]:
        value = output.one_line(name_of(tag["value"]), 160)
        output.line(f"{output.clean(tag['name'])}={value}", "  ", "    ")
    if shown["handlers"]:
        output.heading("Handlers")
    for row in shown["handlers"]:
        runs = "" if row["max_runs"] is None else f"  (at most {row['max_runs']} more times)"
        said = f"{output.clean(row['name'])}: {output.clean(row['pattern'])}{runs}"
        output.line(said, "  ", "    ")
    if shown["cron"]:
        output.heading("Cron")
    for entry in shown["cron"]:
        tags = " ".join(f"{tag['name']}={tag['value']}" for tag in entry["tags"])
        said = f"every {entry['interval']}: {tags}; next {view.moment(entry['due'])}"
        output.line(output.clean(said), "  ", "    ")
    output.heading("State")
    lines = json.dumps(shown["state"], indent=2, ensure_ascii=False).splitlines()
    most = len(lines) if output.width() is None else _STATE_LINES
    for text in lines[:most]:
        margin = " " * (2 + len(text) - len(text.lstrip()))
        output.line(output.one_line(text.lstrip(), _STATE_WIDTH), margin, f"{margin}  ")
    if len(lines) > most:
        output.line(f"  … {output.count(len(lines) - most, 'more line')}; all of it with --json")


def name_and_id(name: str, identity: str) -> str:
    """Write a name beside the id that it stands for, if it is not the id itself."""
    return identity if name == identity else f"{name}  {identity}"


def log(
    process: Annotated[
        str,
        typer.Argument(
            metavar="PROCESS",
            help="A process, or a wallet, by name or id.",
            autocompletion=completion.parties,
        ),
    ],
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many.")] = 100,
    after: Annotated[
        int, typer.Option("--after", metavar="N", help="Begin behind this position.")
    ] = -1,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List what a process evaluated, oldest first, with what came of each message.

    Example: benchpool log WrappedAR --after 20 --limit 10
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        entries = network.log(process, after=after, limit=limit + 1)
        more = len(entries) > limit
        entries = entries[:limit]
        name_of = view.names(network)
        if as_json:
            output.print_json(
                [
                    {
                        "message": view.message_json(message, name_of),
                        "result": view.result_json(result),
                    }
                    for message, result in entries
                ]
            )
            return
        if not entries:
            output.note("no messages")
            return
        output.table(
            ["Position", "Time", "From", "Action", "Came of it", "Id"],
            [_log_row(message, result, name_of) for message, result in entries],
            right=["Position"],
        )
    if more:
        output.note(f"more: --after {entries[-1][0].position}")


def _log_row(message: Message, result: Result | None, name_of: NameOf) -> list[object]:
    from benchpool.cli import view

    action = "Process" if message.type == "Process" else message.action
    return [
        message.position,
        view.moment(message.timestamp),
        f"{name_of(message.sender)}{' (cron)' if message.cron else ''}",
        action,
        _outcome(result),
        message.id,
    ]


def _outcome(result: Result | None) -> str:
    if result is None:
        return ""
    if result.error:
        return f"✗ {output.one_line(colourless(result.error), 60)}"
    actions = [outgoing.tags.get("Action") or "(no Action)" for outgoing in result.messages]
    actions += [f"spawn {spawn.module}" for spawn in result.spawns]
    counted = {name: actions.count(name) for name in dict.fromkeys(actions)}
    parts = [name if count == 1 else f"{count} × {name}" for name, count in counted.items()]
    return output.one_line(", ".join(parts), 60)
