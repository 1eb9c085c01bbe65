"""benchpool send, dryrun, inbox, result: messages and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output, session
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
    from benchpool.network.trace import Trace

TargetOption = Annotated[
    str, typer.Option("--target", metavar="T", help="A process or wallet, by name or id.")
]
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
    from benchpool.cli.outcome import failure

    content = read_content(tag, data, data_file)
    sent: Sent | None = None

    def advise() -> str | None:
        # Sending again would be a second message if this one is in the log already.
        if sent is None:
            return None
        with session.reading(home) as network:
            network.result(sent.id, sent.process)
        return f"message {sent.id} was accepted, and the next command that writes goes on with it"

    with session.writing(home, advise) as network:
        owner = session.signer(network, sender)
        with session.working(network):
            tags = session.named_ids(network, content.tags)
            sent = network.post(target, action, tags, data=content.data, sender=owner)
            network.run()
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
    from benchpool.cli.outcome import failure

    content = read_content(tag, data, data_file)
    with session.reading(home) as network:
        tags = session.named_ids(network, content.tags)
        owner = session.asker(network, sender)
        result = network.dry_run(target, action, tags, data=content.data, sender=owner)
        if as_json:
            output.print_json(result.view())
        else:
            _show_result(result, view.names(network))
        given = dict([("Action", action), *tags])
        said = (given.get("From-Process", owner.address), given["Action"])
        answers = [each for each in result.messages if each.target == said[0]]
        failed = failure(network, target, said, result, answers)
    _exit_if(failed)


def result(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a message, or its beginning.")],
    process: Annotated[
        str | None, typer.Option("--process", help="Whose log, if it was assigned to several.")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show the result of a message: what its evaluation put out.

    Example: benchpool result kZ3vVQ4nK0bq3rQwX1m0j7p5l2c9d8e6f4g1h0iJkLm
    """
    from benchpool.cli import view

    with session.reading(home) as network:
        message_id = network.logs.resolve(id)
        found = network.result(message_id, None if process is None else network.resolve(process))
        if as_json:
            output.print_json(found.view())
        else:
            _show_result(found, view.names(network))
            if found.error:
                output.line(output.paint(f"✗ error: {output.clean(found.error)}", "error"))


def _show_result(result: Result, name_of: NameOf) -> None:
    from benchpool.cli import view

    if not (result.messages or result.spawns or result.assignments or result.output):
        output.note("no messages and no output")
    for outgoing in result.messages:
        action = outgoing.tags.get("Action") or "(no Action)"
        output.line(f"{output.paint(output.clean(action), 'strong')} → {name_of(outgoing.target)}")
        for name, value in outgoing.tags:
            if name not in {"Action", "Content-Type"}:
                said = f"{output.clean(name)}={output.one_line(name_of(value), 200)}"
                output.paragraph(said, "  ", "    ")
        if outgoing.data:
            output.paragraph(view.data_text(outgoing.data, 1000), "  ", "    ")
    for spawn in result.spawns:
        output.line(f"spawn {output.clean(spawn.module)}")
    for assign in result.assignments:
        output.line(f"assign {assign.message} → {', '.join(map(name_of, assign.processes))}")
    for text in result.output.splitlines():
        output.paragraph(output.clean(text), "| ", "|   ")


def inbox(
    party: Annotated[
        str, typer.Argument(metavar="[WALLET|PROCESS]", help="Whose, by name or id.")
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
        name_of = view.names(network)
        if as_json:
            output.print_json([view.message_json(each, name_of) for each in messages])
            return
        if not messages:
            output.note(f"{party} has no messages")
            return
        if len(messages) > limit:
            output.note(
                f"the last {limit} of {output.count(len(messages), 'message')}; see --limit"
            )
        output.table(
            ["Time", "From", "Action", "Tags", "Data"],
            [_mail_row(each, name_of) for each in messages[-limit:]],
        )


def _mail_row(message: Message, name_of: NameOf) -> list[str]:
    from benchpool.cli import view

    return [
        view.moment(message.timestamp),
        name_of(message.sender),
        message.action,
        view.tags_text(message, name_of),
        view.data_text(message.data, 60),
    ]
