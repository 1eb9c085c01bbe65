"""Data and state as pages show them: text, JSON as a tree, bytes as hexadecimal; all bounded."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from benchpool.ao.message import Data
from benchpool.server.fields import opened

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
    """Show a value, the outer parts first, up to `MOST_NODES` of them.

    It takes as long as what it shows, however much the value holds.

    Args:
        value: a state, or what JSON holds.
        name: of it.
    """
    root = Node(name, "")
    left = MOST_NODES
    waiting = [(root, value, 0)]
    for node, held, depth in waiting:  # it grows meanwhile: outer parts come before inner ones
        parts = opened(held)
        if isinstance(parts, Mapping):
            named, node.text = iter(parts.items()), f"{{{len(parts):,}}}"
        elif isinstance(parts, list | tuple):
            named, node.text = enumerate(parts), f"[{len(parts):,}]"
        else:
            node.text = _leaf(parts)
            continue
        most = min(left, MOST_CHILDREN) if depth < MOST_DEPTH else 0
        taken = list(islice(named, most))
        left -= len(taken)
        node.more = len(parts) - len(taken)
        node.children = [Node(_cut(str(key)), "") for key, _ in taken]
        waiting += [
            (child, each, depth + 1) for child, (_, each) in zip(node.children, taken, strict=True)
        ]
    return root


def _leaf(value: Any) -> str:
    if isinstance(value, str | bytes):
        value = value[: _MOST_TEXT + 1]
    return _cut(json.dumps(value, ensure_ascii=False, default=str))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
