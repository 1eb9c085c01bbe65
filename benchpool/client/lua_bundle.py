"""Lua bundles: a source with the files that it requires, as one text that an Eval can hold.

Source of the idea and of where files are looked for: `.load` of aos. A name that is no file beside
the main one is left to the process, which has modules of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchpool.errors import ConfigError

_MOST_DEPTH: Final = 100
"""Files that require each other in turn."""
_PART: Final = re.compile(
    r"--\[(?P<c>=*)\[.*?\](?P=c)\]|--[^\n]*"  # comments, in which nothing is required
    r"|\brequire\s*\(?\s*(?:\"(?P<double>[^\"\n]+)\"|'(?P<single>[^'\n]+)'|\[\[(?P<long>[^\]\n]+)\]\])"
    r"|\[(?P<s>=*)\[.*?\](?P=s)\]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
    r"|[A-Za-z_]\w*",
    re.DOTALL | re.ASCII,
)


def bundle(main: Path) -> str:
    """Return a Lua source behind all that it requires, as one text.

    Args:
        main: a file; `require("a.b")` in it, or in what it requires, is `a/b.lua` beside it.

    Raises: ConfigError for a file that cannot be read, or files that require each other.
    """
    done: dict[str, str] = {}
    _follow(main, main.parent, (main.stem,), done)
    source = done.pop(main.stem)
    return "".join(as_module(name, text) for name, text in done.items()) + source


def as_module(name: str, source: str) -> str:
    """Return a source as text that has `require(name)` give what the source returns."""
    quoted = _quoted(name)
    return (
        f"do\nlocal value = (function(...)\n{source}\nend)({quoted})\n"
        f"if value == nil then value = package.loaded[{quoted}] end\n"
        f"package.loaded[{quoted}] = value == nil and true or value\nend\n"
    )


def required(source: str) -> Iterator[str]:
    """Go through the names that a source requires by a text, in order."""
    for found in _PART.finditer(source):
        name = found["double"] or found["single"] or found["long"]
        if name:
            yield name


def _follow(path: Path, folder: Path, above: tuple[str, ...], done: dict[str, str]) -> None:
    """Add what a file requires, then the file itself, whose name is the last of `above`."""
    if len(above) > _MOST_DEPTH:
        raise ConfigError(f"more than {_MOST_DEPTH} files beside {folder} require each other")
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {why}") from None
    for name in required(source):
        beside = folder / f"{name.replace('.', '/').strip('/')}.lua"
        if name in done or not beside.is_file():
            continue
        if name in above:
            chain = " -> ".join([*above[above.index(name) :], name])
            raise ConfigError(f"files beside {folder} require each other in a circle: {chain}")
        _follow(beside, folder, (*above, name), done)
    done[above[-1]] = source


def _quoted(name: str) -> str:
    # JSON's escapes of what such names may hold are Lua's too.
    return json.dumps(name, ensure_ascii=False)
