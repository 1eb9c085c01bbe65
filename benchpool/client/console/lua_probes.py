"""Lua that is evaluated in dry runs, to ask a process what it knows and leave nothing behind."""

from __future__ import annotations

import re
from typing import Final

MARK: Final = "benchpool-console"
WHO: Final = f'return "{MARK}"'
"""Gives `MARK` from a process that evaluates code of whoever asks."""

NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PATH: Final = re.compile(r"(?:[A-Za-z_]\w*\s*[.:]\s*)*(?:[A-Za-z_]\w*)?$", re.ASCII)

_MOST_PATH: Final = 300

KEYWORDS: Final = (
    *("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if"),
    *("in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"),
)

_MEMBERS: Final = """
local at = _G
for part in string.gmatch(%s, "[^.]+") do
  if type(at) == "table" then at = rawget(at, part) else at = nil end
end
if type(at) == "string" then at = string end
local seen, names = {}, {}
for _ = 1, 3 do
  if type(at) ~= "table" then break end
  for key, value in next, at do
    if type(key) == "string" and string.find(key, "^[%%a_][%%w_]*$") and not seen[key] then
      seen[key] = true
      names[#names + 1] = key .. " " .. type(value)
    end
    if #names == 5000 then break end
  end
  local meta = getmetatable(at)
  at = type(meta) == "table" and rawget(meta, "__index") or nil
end
table.sort(names)
return table.concat(names, "\\n")
"""

_MORE: Final = """
local text = %s
local whole, why = load("return " .. text, "=", "t")
if whole then return "whole" end
local parts, also = load(text, "=", "t")
if parts then return "whole" end
for _, each in ipairs({why, also}) do
  local cut = string.find(each, "unfinished string ", 1, true) and string.sub(text, -1) ~= "\\\\"
  if string.find(each, "<eof>'?$") and not cut then return "more" end
end
return "whole"
"""


def members(path: str) -> str:
    """Return code that gives what a table has: lines of a name and its type.

    Args:
        path: names with dots between them; empty means the globals.
    """
    return _MEMBERS % quoted(path)


def more(text: str) -> str:
    """Return code that gives `more` if a text is the beginning of a chunk, as Lua parses it."""
    return _MORE % quoted(text)


def at_cursor(text: str) -> tuple[str, str, bool]:
    """Say what stands at the end of a text.

    Returns: the path to a table, the beginning of a name in it, and whether it is called as a
        method.
    """
    text = text[-_MOST_PATH:]
    found = _PATH.search(text)
    words = "" if found is None else found[0]
    if text[: len(text) - len(words)].rstrip()[-1:] in (".", ":"):  # of what a call gives
        return "", "", False
    before, separator, begun = max(
        (words.rpartition(each) for each in ".:"), key=lambda parts: len(parts[0])
    )
    path = ".".join(NAME.findall(before))
    return path, begun.strip(), separator == ":"


def quoted(text: str) -> str:
    """Write a text as a literal of Lua."""
    level = "="
    while f"]{level}]" in text or text.endswith(f"]{level}"):
        level += "="
    return f"[{level}[\n{text}]{level}]"
