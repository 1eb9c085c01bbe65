"""benchpool send, dryrun, message, result, inbox: messages and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from benchpool.ao.message import Message, Result
    from benchpool.cli.view import NameOf
    from benchpool.network import Network, Sent
    from benchpool.network.sent import Trace

TargetOption = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="T",
        help="A process or wallet, by name or id.",
        autocompletion=completion.parties,
    ),
]
MessageArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID|PROCESS@N",
        help="A message's id, its beginning, or a process and the position that 'log' shows.",
        autocompletion=completion.messages,
    ),
]
AssignedOption = Annotated[
    str | None,
    typer.Option(
        "--process",
        help="Whose log, if it was assigned to several.",
        autocompletion=completion.processes,
    ),
]
_DATA_WIDTH = 4_000
ActionOption = Annotated[str, typer.Option("--action", metavar="A", help="The Action tag.")]


def send(
    *,
    target: TargetOption,
    action: ActionOption = "",
    tag: TagOption = None,
    data: DataOption = None,
    data_file: DataFileOption = None,
    sender: FromOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Send a message and show what came of it.

    Runs until nothing is pending. The exit code is 1 if the message was refused, if no handler
    took its action, or if the answer is an error.

    Example: benchpool send --target WrappedAR --action Balance --tag Recipient=@alice
    """
    from benchpool.client.naming import named_ids
    from benchpool.client.outcome import failure

    content = read_content(tag, data, data_file)
    sent: Sent | None = None

    def advise() -> str | None:
        # Sending again would be a second message if this one is in the log already.
        if sent is None:
            return None
        with session.reading(home) as network:
            network.result(sent.id, sent.process)
        return f"message {sent.id} was accepted, and the next command that writes goes on with it"

    with session.writing(home, advise) as (network, writer):
        owner = session.signer(network, writer, sender)
        with session.working(network, writer):
            tags = named_ids(network, content.tags)
            sent = writer.post(target, action, tags, data=content.data, sender=owner)
            writer.run()
        trace = sent.trace
        replies = trace.replies(sent.sender)
        said = (trace.message.sender, trace.message.action)
        _show_sent(network, sent, trace, as_json=as_json)
        failed = failure(network, target, said, trace.result, replies)
    _exit_if(failed)


def _exit_if(failed: str | None) -> None:
    if failed:
        output.complain(failed)
        raise typer.Exit(1)


def _show_sent(network: Network, sent: Sent, trace: Trace, *, as_json: bool) -> None:
    from benchpool.cli import view

    name_of = view.names(network)
    if as_json:
        output.print_json(
            {
                "id": sent.id,
                "process": sent.process,
                "result": view.result_json(trace.result),
                "tree": view.tree_json(trace, name_of),
                "replies": [
                    view.message_json(each, name_of) for each in trace.replies(sent.sender)
                ],
            }
        )
        return
    output.line(output.paint(sent.id, "faint"))
    view.print_tree(trace, name_of)


def dryrun(
    *,
    target: TargetOption,
    action: ActionOption = "",
    tag: TagOption = None,
    data: DataOption = None,
    data_file: DataFileOption = None,
    sender: FromOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what a message would give, and keep nothing of it.

    Example: benchpool dryrun --target WrappedAR --action Balance --tag Recipient=@alice
    """
    from benchpool.cli import view
    from benchpool.client.naming import named_ids
    from benchpool.client.outcome import failure

    content = read_content(tag, data, data_file)
    with session.reading(home) as network:
        tags = named_ids(network, content.tags)
        owner = session.asker(network, sender)
        result = network.dry_run(target, action, tags, data=content.data, sender=owner)
        if as_json:
            output.print_json(view.result_json(result))
        else:
            show_result(result, view.names(network))
        given = dict([("Action", action), *tags])
        said = (given.get("From-Process", owner.address), given["Action"])
        answers = [each for each in result.messages if each.target == said[0]]
        failed = failure(network, target, said, result, answers)
    _exit_if(failed)


def message(
    id: MessageArgument,
    process: AssignedOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show one message: what it says, its result, and all that came of it.

    Example: benchpool message WrappedAR@3
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        trace = network.logs.trace(*_find(network, id, process))
        name_of = view.names(network)
        if as_json:
            output.print_json(view.tree_json(trace, name_of))
        else:
            _show_message(trace, name_of)


def _find(network: Network, text: str, process: str | None) -> tuple[str, str | None]:
    """Return the id of a message and in whose log it is meant; None is where it came first.

    Raises: UnknownProcess, AmbiguousId.
    """
    party, _, position = text.rpartition("@")
    if party and position.isdecimal():
        process_id = network.resolve(party)
        return network.logs.entry_at(process_id, int(position)).id, process_id
    return network.logs.resolve(text), None if process is None else network.resolve(process)


def _show_message(trace: Trace, name_of: NameOf) -> None:
    from benchpool.cli import view

    message = trace.message
    output.fields(
        [
            ("Id", message.id),
            ("In the log of", f"{name_of(message.process)}, at {message.position}"),
            ("From", name_of(message.sender)),
            ("Owner", name_of(message.owner)),
            ("Time", f"{view.moment(message.timestamp)}, block {message.block_height}"),
            ("Comes of", name_of(message.pushed_for) or ("a cron tick" if message.cron else "")),
            *((name, name_of(value)) for name, value in message.tags),
        ]
    )
    if message.data:
        output.heading("Data")
        for text in message.data.splitlines() if isinstance(message.data, str) else [message.data]:
            output.line(view.data_text(text, _DATA_WIDTH))
    if trace.result is not None:
        output.heading("Result")
        show_result(trace.result, name_of)
    if trace.children:
        output.heading("What came of it")
        view.print_tree(trace, name_of)


def result(
    id: MessageArgument,
    process: AssignedOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show the result of a message: what its evaluation put out.

    Example: benchpool result WrappedAR@3
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        found = network.result(*_find(network, id, process))
        if as_json:
            output.print_json(view.result_json(found))
        else:
            show_result(found, view.names(network))


def show_result(result: Result, name_of: NameOf) -> None:
    """Print what an evaluation gave."""
    from benchpool.cli import view

    if result.error:
        output.line(output.paint(f"✗ error: {output.clean(colourless(result.error))}", "error"))
    elif not (result.messages or result.spawns or result.assignments or result.output):
        output.note("no messages and no output")
    for outgoing in result.messages:
        action = outgoing.tags.get("Action") or "(no Action)"
        output.line(f"{output.paint(output.clean(action), 'strong')} → {name_of(outgoing.target)}")
        for name, value in outgoing.tags:
            if name not in {"Action", "Content-Type"}:
                said = f"{output.clean(name)}={output.one_line(name_of(value), 200)}"
                output.line(said, "  ", "    ")
        if outgoing.data:
            output.line(view.data_text(outgoing.data, 1000), "  ", "    ")
    for spawn in result.spawns:
        output.line(f"spawn {output.clean(spawn.module)}")
    for assign in result.assignments:
        output.line(f"assign {assign.message} → {', '.join(map(name_of, assign.processes))}")
    for text in colourless(result.output).splitlines():
        output.line(output.clean(text), "| ", "|   ")


def inbox(
    party: Annotated[
        str,
        typer.Argument(
            metavar="[WALLET|PROCESS]",
            help="Whose, by name or id.",
            autocompletion=completion.parties,
        ),
    ] = session.DEFAULT_WALLET,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest last.")] = 50,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List a wallet's mail, or the messages of a process that no handler took.

    Example: benchpool inbox alice
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        messages = network.inbox(party)
        shown = messages[-limit:]
        name_of = view.names(network)
        if as_json:
            output.print_json([view.message_json(each, name_of) for each in shown])
            return
        if not messages:
            output.note(_no_messages(network, party))
            return
        if len(messages) > limit:
            output.note(
                f"the last {limit} of {output.count(len(messages), 'message')}; see --limit"
            )
        output.table(
            ["Time", "From", "Action", "Tags", "Data"],
            [_mail_row(each, name_of) for each in shown],
        )


def _no_messages(network: Network, party: str) -> str:
    info = network.store.process(network.resolve(party))
    if info is not None and network.registry.is_data(info.module):
        return (
            f"{party} keeps its inbox to itself; of aos, its owner sees it with: benchpool dryrun"
            f" --target {party} --action Eval --data Inbox"
        )
    return f"{party} has no messages"


def _mail_row(message: Message, name_of: NameOf) -> list[str]:
    from benchpool.cli import view

    return [
        view.moment(message.timestamp),
        name_of(message.sender),
        message.action,
        view.tags_text(message, name_of),
        view.data_text(message.data, 60),
    ]
