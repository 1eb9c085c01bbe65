"""Fitting text into the width of a terminal: whole words, aligned columns, shortened ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from benchpool.ao.ids import is_id

_GAP = "  "
_SHORT = 8
_ID = re.compile(r"(?<![\w-])[\w-]{43}(?![\w-])", re.ASCII)
_COLOUR = re.compile(r"\x1b\[\d*m")

Block = list[str]
"""The lines of one row."""


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; colours take none."""
    text = _COLOUR.sub("", text)
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shorten_ids(text: str) -> str:
    """Abbreviate the ids in a text; commands take what is left of them."""
    return _ID.sub(lambda found: f"{found[0][:_SHORT]}…" if is_id(found[0]) else found[0], text)


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Break a text into lines between words; a word that is too wide has a line of its own.

    Args:
        text: one paragraph.
        width: of the lines, in columns.
        first: what the first line begins with.
        rest: what the other lines begin with.
    """
    lines: list[str] = []
    begin, used, words = first, columns(first), list[str]()
    for word in text.split(" "):
        size = columns(word)
        if words and used + len(words) + size > width:
            lines.append(begin + " ".join(words))
            begin, used, words = rest, columns(rest), []
            if not word:
                continue
        words.append(word)
        used += size
    return [*lines, begin + " ".join(words)]


def tabulate(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], width: int | None
) -> list[Block]:
    """Align rows under headers: in columns if they fit, else as one `header  value` a line.

    Ids are shortened, and cells broken between words, only where it does not fit otherwise.

    Args:
        headers: one a column.
        rows: the cells.
        right: the headers of the columns that are aligned right.
        width: of the terminal; None for no end.

    Returns: the lines of the headers, then those of each row; without headers, where each value
        has its own beside it, the first block is empty.
    """
    grid = [list(headers), *map(list, rows)]
    sizes = _sizes(grid)
    if width is not None and _total(sizes) > width:
        grid = [[shorten_ids(cell) for cell in row] for row in grid]
        squeezed = _squeeze(grid, width)
        if squeezed is None:
            return _records(headers, rows, width)
        sizes = squeezed
    sides = ["right" if header in right else "left" for header in headers]
    return [_row(cells, sizes, sides) for cells in grid]


def _sizes(grid: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(columns, column)) for column in zip(*grid, strict=True)]


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + len(_GAP) * (len(sizes) - 1)


def _squeeze(grid: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Return sizes of columns that fit, the widest made narrower; None if words would be split."""
    sizes = [min(size, width) for size in _sizes(grid)]
    least = [
        max(columns(word) for cell in column for word in cell.split(" "))
        for column in zip(*grid, strict=True)
    ]
    while _total(sizes) > width:
        loose = [place for place, size in enumerate(sizes) if size > least[place]]
        if not loose:
            return None
        sizes[max(loose, key=lambda place: sizes[place])] -= 1
    return sizes


def _row(cells: Sequence[str], sizes: Sequence[int], sides: Sequence[str]) -> Block:
    parts = [wrap(cell, size) for cell, size in zip(cells, sizes, strict=True)]
    return [
        _GAP.join(map(_pad, line, sizes, sides)).rstrip()
        for line in zip_longest(*parts, fillvalue="")
    ]


def _pad(text: str, size: int, side: str) -> str:
    blank = " " * (size - columns(text))
    return f"{blank}{text}" if side == "right" else f"{text}{blank}"


def _records(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[Block]:
    size = max(map(columns, headers)) + len(_GAP)
    blocks: list[Block] = [[]]
    for number, cells in enumerate(rows):
        block = [""] if number else []
        for header, cell in zip(headers, cells, strict=True):
            fitting = cell if size + columns(cell) <= width else shorten_ids(cell)
            block += wrap(fitting, width, _pad(header, size, "left"), " " * size)
        blocks.append([line.rstrip() for line in block])
    return blocks
