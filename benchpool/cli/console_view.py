"""What the console shows of answers, for people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchpool.ao import shapes
from benchpool.ao.colours import colourless
from benchpool.cli import output, view
from benchpool.cli.message import show_result
from benchpool.client.console.answers import (
    Answer,
    Arrived,
    Came,
    Evaluated,
    Listed,
    Shown,
    Told,
    Would,
)

if TYPE_CHECKING:
    from benchpool.ao.message import Message
    from benchpool.client.console import Talk
    from benchpool.client.console.outputs import Output


def show(answer: Answer | Arrived, talk: Talk) -> None:
    """Print an answer; why it failed goes to stderr."""
    match answer:
        case Evaluated(output=said):
            _show_output(said)
        case Arrived(message=message, output=said):
            output.line(view.heading(message, view.names(talk.network)))
            _show_output(said)
        case Came(trace=trace):
            view.print_tree(trace, view.names(talk.network))
        case Would(result=result):
            show_result(result, view.names(talk.network))
        case Listed(messages=messages):
            _show_messages(messages, talk)
        case Shown(value=value):
            _show_value(value)
        case Told(text=text):
            output.note(text)
    if answer.failure and not isinstance(answer, Evaluated | Arrived):
        output.flush()
        output.complain(answer.failure)


def _show_messages(messages: tuple[Message, ...], talk: Talk) -> None:
    if not messages:
        output.note("no messages")
    for message in messages:
        output.line(view.heading(message, view.names(talk.network)))
        if message.data:
            output.line(view.data_text(message.data), "   ", "   ")


def _show_output(said: Output) -> None:
    if said.error:
        output.flush()
        output.wrong(said.error)
    elif said.text:
        output.verbatim(output.tinted(said.text))


def _show_value(value: Any) -> None:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        for each in value:
            output.line(output.clean(each), "", "  ")
    elif isinstance(value, str):
        output.line(output.clean(value))
    else:
        for text in json.dumps(value, indent=2, ensure_ascii=False).splitlines():
            output.verbatim(output.clean(text))


def print_json(answer: Answer | Arrived, talk: Talk) -> None:
    """Print an answer as JSON on one line."""
    output.verbatim(json.dumps(_json(answer, talk), ensure_ascii=False, default=str))


def _json(answer: Answer | Arrived, talk: Talk) -> Any:
    name_of = view.names(talk.network)
    shown: dict[str, Any] = {}
    match answer:
        case Evaluated(id=identity, result=result, output=said):
            shown = {
                "id": identity or None,
                "output": colourless(said.text),
                "prompt": colourless(said.prompt),
                "result": shapes.result_json(result, talk.info),
            }
        case Came(trace=trace):
            shown = {
                "id": trace.message.id,
                "tree": view.tree_json(trace, name_of),
                "result": view.result_json(trace.result),
            }
        case Would(result=result):
            shown = {"result": view.result_json(result)}
        case Listed(messages=messages):
            shown = {"messages": [view.message_json(each, name_of) for each in messages]}
        case Shown(value=value):
            shown = {"value": value}
        case Told(text=text):
            shown = {"note": text}
    if answer.failure:
        shown["error"] = colourless(answer.failure)
    return shown
