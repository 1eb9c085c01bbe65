"""Data and state as pages show them: text, JSON as a tree, bytes as hexadecimal; all bounded."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import msgspec

from benchpool.ao.message import Data

MOST_CHARACTERS: Final = 100_000
"""Of a text that is shown; the JSON view says no more either, and how long it is."""
MOST_BYTES: Final = 1_024
"""Of what is no text."""
FOLDED_CHARACTERS: Final = 2_000
"""A text that is longer is folded."""
MOST_NODES: Final = 600
"""Of a tree."""
MOST_CHILDREN: Final = 100
MOST_DEPTH: Final = 20
_MOST_TEXT: Final = 400


class Shown(msgspec.Struct):
    """The Data of a message."""

    kind: str
    """`empty`, `text`, `json` or `binary`."""
    size: int
    """In bytes."""
    text: str = ""
    hex: str = ""
    """The first bytes of what is no text, a line for each 16."""
    base64: str = ""
    """The same bytes."""
    folded: bool = False
    cut: bool = False
    """Whether there is more than what is shown."""


def show_data(data: Data) -> Shown:
    """Show the Data of a message."""
    raw = data.encode(errors="replace") if isinstance(data, str) else data
    if not raw:
        return Shown("empty", 0)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return _binary(raw)
    if "\0" in text:
        return _binary(raw)
    kind, cut = "text", len(text) > MOST_CHARACTERS
    if not cut and text[0] in "{[":
        try:
            text, kind = json.dumps(json.loads(text), indent=2, ensure_ascii=False), "json"
        except (ValueError, RecursionError):
            kind = "text"
    text = text[:MOST_CHARACTERS]
    return Shown(kind, len(raw), text, folded=len(text) > FOLDED_CHARACTERS, cut=cut)


def _binary(raw: bytes) -> Shown:
    part = raw[:MOST_BYTES]
    lines = [f"{at:04x}  {part[at : at + 16].hex(' ')}" for at in range(0, len(part), 16)]
    return Shown(
        "binary",
        len(raw),
        hex="\n".join(lines),
        base64=base64.b64encode(part).decode(),
        folded=len(part) > 256,
        cut=len(raw) > MOST_BYTES,
    )


class Node(msgspec.Struct):
    """A value of a state, with its name in what holds it."""

    name: str
    text: str
    """Of a value that holds no others; else how many it holds."""
    children: list[Node] = []
    more: int = 0
    """Children that are left out."""


def tree(value: Any, name: str = "") -> Node:
    """Show a value as JSON holds it, the outer parts first, up to `MOST_NODES` of them."""
    root = Node(name, "")
    left = MOST_NODES
    waiting = [(root, value, 0)]
    for node, held, depth in waiting:  # it grows meanwhile: outer parts come before inner ones
        if isinstance(held, dict):
            pairs, node.text = list(held.items()), f"{{{len(held):,}}}"
        elif isinstance(held, list):
            pairs, node.text = [(str(i), each) for i, each in enumerate(held)], f"[{len(held):,}]"
        else:
            text = json.dumps(held, ensure_ascii=False)
            node.text = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
            continue
        taken = pairs[: min(left, MOST_CHILDREN)] if depth < MOST_DEPTH else []
        left -= len(taken)
        node.more = len(pairs) - len(taken)
        node.children = [Node(str(key), "") for key, _ in taken]
        waiting += [
            (child, each, depth + 1) for child, (_, each) in zip(node.children, taken, strict=True)
        ]
    return root
