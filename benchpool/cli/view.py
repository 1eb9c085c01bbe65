"""How messages, results and trees of messages are shown, for people and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchpool.ao import shapes
from benchpool.ao.clock import format_moment
from benchpool.ao.colours import colourless
from benchpool.cli import output

if TYPE_CHECKING:
    from benchpool.ao.message import Message, Result
    from benchpool.network import Network
    from benchpool.network.sent import Trace

MAX_SIBLINGS = 12
"""Messages of one outbox that a tree shows people; --json shows all."""
MAX_DEPTH = 100
"""Levels of a tree that are shown, for people or nested in JSON."""
MAX_LINES = 300
_DATA_WIDTH = 100
moment = format_moment
_HIDDEN_TAGS = {
    "Action",
    "Content-Type",
    "Reference",
    "X-Reference",
    "Authority",
    "Module",
    *("Data-Protocol", "Variant", "Type", "Scheduler", "From-Process", "From-Module", "Pushed-For"),
}

NameOf = Callable[[str], str]


def names(network: Network) -> NameOf:
    """Return a function from an id to its name, or to the id itself."""
    by_id = {identity: name for name, identity in network.names().items()}
    by_id.setdefault(network.messenger.address, "messenger")
    return lambda identity: by_id.get(identity, identity)


def tags_text(message: Message, name_of: NameOf, *, width: int = 60) -> str:
    """Write the tags that say something about a message, ids as names."""
    return " ".join(
        f"{name}={output.one_line(name_of(value), width)}"
        for name, value in message.tags
        if name not in _HIDDEN_TAGS and not name.startswith("Cron-")
    )


def data_text(data: str | bytes, width: int = _DATA_WIDTH) -> str:
    """Write Data on one line; people see no more of it than a width."""
    if isinstance(data, bytes):
        return f"({output.count(len(data), 'byte')})"
    return output.one_line(data, width)


def heading(message: Message, name_of: NameOf) -> str:
    """Say in one line what a message is: action, from, to, tags."""
    action = "Process" if message.type == "Process" else message.action or "(no Action)"
    text = f"{_painted(action, 'strong')}  {name_of(message.sender)} → {name_of(message.process)}"
    tags = tags_text(message, name_of)
    return f"{text}  {_painted(tags, 'faint')}" if tags else text


def _painted(text: str, style: str) -> str:
    # Word by word: between words a line may end, and what follows it is not of this style.
    return " ".join(word and output.paint(word, style) for word in output.clean(text).split(" "))


def _details(node: Trace) -> list[str]:
    lines = [data_text(node.message.data)] if node.message.data else []
    if node.result is not None:
        lines += [
            f"| {output.one_line(each, _DATA_WIDTH)}"
            for each in colourless(node.result.output).splitlines()
        ]
        if node.result.error:
            error = output.one_line(colourless(node.result.error), 300)
            lines.append(_painted(f"✗ error: {error}", "error"))
    return lines


def print_tree(root: Trace, name_of: NameOf) -> None:
    """Print what came of a message. Errors are marked; people see no more than they can read."""
    width = output.width()
    deepest = MAX_DEPTH if width is None else min(MAX_DEPTH, width // 6)
    waiting: list[tuple[Trace | str, str, str, int]] = [(root, "", "", 0)]
    printed = 0
    while waiting:
        node, branch, margin, depth = waiting.pop()
        if isinstance(node, str):
            output.line(node, branch, margin)
            continue
        if width is not None and printed >= MAX_LINES:
            output.line("… and more; all of it with --json")
            return
        printed += 1
        children: list[Trace | str] = list(node.children)
        if width is not None and len(children) > MAX_SIBLINGS:
            children[MAX_SIBLINGS:] = [f"… and {len(children) - MAX_SIBLINGS} more"]
        if depth >= deepest and children:
            children = [f"… and {output.count(sum(1 for _ in node.walk()) - 1, 'message')} below"]
        stem = f"{margin}{'│' if children else ' '}  "
        said = output.fit_ids(heading(node.message, name_of), branch)
        output.line(said, branch, f"{stem}  ")
        for text in _details(node):
            output.line(output.fit_ids(text, stem), stem, f"{stem}  ")
        for place, child in enumerate(reversed(children)):
            last = place == 0
            ends, goes_on = ("└─ ", "   ") if last else ("├─ ", "│  ")
            waiting.append((child, f"{margin}{ends}", f"{margin}{goes_on}", depth + 1))


def message_json(message: Message, name_of: NameOf | None = None) -> dict[str, Any]:
    """Show a message as JSON under AO's names, with the names of the parties where known."""
    shown = {
        **shapes.message_json(message),
        "Process": message.process,
        "Position": message.position,
    }
    if name_of is not None:
        for key, identity in (("From-Name", message.sender), ("Process-Name", message.process)):
            name = name_of(identity)
            if name != identity:
                shown[key] = name
    return shown


def result_json(result: Result | None) -> dict[str, Any] | None:
    """Show a result as JSON; None for mail and for what is pending."""
    return None if result is None else shapes.result_json(result)


def tree_json(root: Trace, name_of: NameOf) -> dict[str, Any]:
    """Nest a tree as JSON; below `MAX_DEPTH` levels only the number of messages is given."""
    top: list[dict[str, Any]] = []
    waiting: list[tuple[Trace, list[dict[str, Any]], int]] = [(root, top, 0)]
    while waiting:
        node, into, depth = waiting.pop()
        shown: dict[str, Any] = {
            "message": message_json(node.message, name_of),
            "result": result_json(node.result),
        }
        into.append(shown)
        if depth >= MAX_DEPTH and node.children:
            shown["cut"] = sum(1 for _ in node.walk()) - 1
            continue
        shown["children"] = []
        waiting.extend((child, shown["children"], depth + 1) for child in reversed(node.children))
    return top[0]
