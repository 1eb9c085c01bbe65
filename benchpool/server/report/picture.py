"""A report as one picture: the board, how the accuracies came about, and where the money goes.

The drawings are those of the pages. A page lets a browser stretch them to its width; here they are
laid out for one width, in pixels, because renderers of SVG know no strokes that do not stretch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from benchpool.errors import PrerequisiteError
from benchpool.server.dashboard import drawings, rendering
from benchpool.server.dashboard.charts import BESIDE_PX
from benchpool.server.dashboard.pages.board import BoardView
from benchpool.server.report.views import PoolReport

_WIDTH: Final = 1000
_MARGIN: Final = 32
_ROW: Final = 34
_COLUMNS: Final = {"name": 0, "accuracy": 300, "drawn": 330, "reward": _WIDTH - 2 * _MARGIN}
_DRAWN: Final = 400
_FLOW: Final = 700
_FONTS: Final = "DejaVu Sans, Noto Sans, Liberation Sans, Segoe UI, Helvetica, Arial, sans-serif"
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")


def pool_png(report: PoolReport, *, zoom: int = 2) -> bytes:
    """Draw a pool as PNG.

    Args:
        report: the pool.
        zoom: dots a pixel.

    Raises: PrerequisiteError if the renderer is not installed.
    """
    renderer = find_renderer()
    drawn: bytes = renderer.svg_to_bytes(svg_string=pool_svg(report), zoom=float(zoom))
    return drawn


def find_renderer() -> Any:
    """Return what renders SVG, an extra. Raises: PrerequisiteError."""
    try:
        import resvg_py  # noqa: PLC0415 - an extra
    except ImportError:
        raise PrerequisiteError(
            "a PNG needs resvg-py, which is not installed; run: pip install 'benchpool[png]', or"
            " write a page with --html"
        ) from None
    return resvg_py


def pool_svg(report: PoolReport) -> str:
    """Draw a pool as SVG that stands alone, in light colours."""
    board = report.board
    canvas = _Canvas()
    title = board.title or rendering.short(board.id)
    canvas.text(title, size=22, weight=700)
    settled = board.status if board.settled else f"{board.status}, provisional"
    canvas.text(
        f"{rendering.war(board.funds)} · {settled} · as of {rendering.moment(board.now)}",
        class_="quiet",
    )
    canvas.down(14)
    if board.entries:
        _draw_board(canvas, board)
    course = drawings.course(board)
    if course:
        canvas.heading("Accuracy as answers came in")
        canvas.put(str(course), _WIDTH - 2 * _MARGIN - BESIDE_PX, x=BESIDE_PX)
        legend = [each.name for each in board.entries if each.course]
        _draw_legend(canvas, legend)
    canvas.heading("Where the money went" if board.settled else "Where the money would go")
    canvas.put(str(drawings.money(board)), _FLOW)
    canvas.down(6)
    canvas.text(f"Pool {board.id} · made by benchpool {report.version}", class_="quiet", size=11)
    return canvas.written()


def _draw_board(canvas: _Canvas, board: BoardView) -> None:
    axis = drawings.axis_of(board)
    canvas.heading("Board")
    top = canvas.y
    columns = (("Accuracy", "accuracy", "end"), ("Reward", "reward", "end"))
    for said, column, anchor in columns:
        canvas.at(_COLUMNS[column], top + 11, said, anchor=anchor, class_="quiet")
    canvas.put(str(drawings.scale(axis)), _DRAWN, x=_COLUMNS["drawn"])
    canvas.down(8)
    for entry in board.entries:
        line, ranks = canvas.y + 16, "–".join(dict.fromkeys(map(str, entry.rank_set)))
        rank = "–" if entry.rank is None else f"{entry.rank}"
        canvas.at(_COLUMNS["name"], line, f"{rank}  {_cut(entry.name)}", weight=600)
        if entry.rank is not None and ranks != rank:
            canvas.at(_COLUMNS["name"], line + 13, f"may be {ranks}", class_="quiet", size=10)
        canvas.at(_COLUMNS["accuracy"], line, rendering.percent(entry.accuracy), anchor="end")
        reward = rendering.war(entry.reward)
        canvas.at(_COLUMNS["reward"], line, reward, anchor="end")
        drawn = drawings.interval(axis, entry, board.chance)
        if drawn:
            canvas.put(str(drawn), _DRAWN, x=_COLUMNS["drawn"])
            canvas.down(_ROW - 24)
        else:
            canvas.down(_ROW)
    if board.chance is not None:
        chance = rendering.percent(board.chance)
        canvas.text(f"lines: 95 % intervals; dashed: a blind guess, {chance}", class_="quiet")


def _draw_legend(canvas: _Canvas, names: list[str]) -> None:
    x, top = float(BESIDE_PX), canvas.y
    for number, name in enumerate(names, start=1):
        canvas.put(str(drawings.swatch(number)), 20, x=x, y=top)
        canvas.at(x + 26, top + 10, _cut(name), class_="quiet")
        x += 60 + 7.2 * len(_cut(name))
    canvas.down(max(0.0, top + 18 - canvas.y))


def _cut(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


class _Canvas:
    """Puts drawings and lines of text below each other."""

    def __init__(self) -> None:
        self.y = float(_MARGIN)
        self._parts: list[str] = []

    def down(self, pixels: float) -> None:
        """Leave room."""
        self.y += pixels

    def heading(self, said: str) -> None:
        """Begin a part."""
        self.down(20)
        self.text(said, size=16, weight=600)
        self.down(6)

    def text(self, said: str, *, size: int = 13, weight: int = 400, class_: str = "ink") -> None:
        """Write a line."""
        self.down(size)
        self.at(0, self.y, said, size=size, weight=weight, class_=class_)
        self.down(size * 0.6)

    def at(
        self,
        x: float,
        y: float,
        said: str,
        *,
        anchor: str = "start",
        size: int = 13,
        weight: int = 400,
        class_: str = "ink",
    ) -> None:
        """Write somewhere."""
        self._parts.append(
            f'<text class="{class_}" x="{_MARGIN + x:g}" y="{y:g}" text-anchor="{anchor}"'
            f' style="font-size:{size}px;font-weight:{weight}">{escape(_plain(said))}</text>'
        )

    def put(self, drawn: str, width: float, *, x: float = 0, y: float | None = None) -> None:
        """Put a drawing, below what is there or at a height."""
        element = ElementTree.fromstring(_plain(drawn))  # noqa: S314 - drawn here
        height = float(element.get("height", "0"))
        lay_out(element, width, height)
        element.set("overflow", "visible")
        element.set("x", f"{_MARGIN + x:g}")
        element.set("y", f"{self.y if y is None else y:g}")
        self._parts.append(ElementTree.tostring(element, encoding="unicode"))
        if y is None:
            self.down(height)

    def written(self) -> str:
        """Return everything as one SVG."""
        height = self.y + _MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:g}"'
            f' font-family="{_FONTS}"><style>{escape(light_style(), quote=False)}</style>'
            f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff"/>'
            + "".join(self._parts)
            + "</svg>"
        )


def _plain(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(char for char in text if char >= " " and char not in "\ufffe\uffff")


def light_style() -> str:
    """Return the rules for drawings out of the pages' style, their colours written out."""
    text = (Path(rendering.__file__).parent / "assets" / "style.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"@media[^{]*\{(?:[^{}]*\{(?:[^{}]|\{[^{}]*\})*\})*[^{}]*\}", "", text)
    colours = dict(re.findall(r"(--[\w-]+):\s*([^;]+);", text))
    rules = [
        f"{selector.strip()}{{{_resolved(body, colours)}}}"
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text)
        if re.fullmatch(r"[\w\s.,-]+", selector) and re.search(r"fill|stroke|opacity", body)
    ]
    return "\n".join([*rules, f"text.ink{{fill:{colours['--ink']}}}", "text{font-size:12px}"])


def _resolved(body: str, colours: dict[str, str]) -> str:
    return re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], body)


# -- laying out ----------------------------------------------------------------------------------


def lay_out(element: ElementTree.Element, width: float, height: float) -> None:
    """Write a drawing's shares of its width as pixels, in place."""
    element.set("width", f"{width:g}")
    element.set("height", f"{height:g}")
    for child in element:
        for name in ("x", "x1", "x2", "cx"):
            value = child.get(name, "")
            if value.endswith("%"):
                child.set(name, f"{width * float(value[:-1]) / 100:g}")
        if _name(child) == "svg":
            tall = float(child.get("height", "0"))
            box = [float(each) for each in child.get("viewBox", "0 0 1 1").split()]
            del child.attrib["viewBox"], child.attrib["preserveAspectRatio"]
            child.set("width", f"{width:g}")
            for inner in child:
                _stretch(inner, width / box[2], tall / box[3])


def _stretch(element: ElementTree.Element, across: float, down: float) -> None:
    """Stretch a shape, and not its strokes."""
    for names, by in ((("x", "x1", "x2", "width"), across), (("y", "y1", "y2", "height"), down)):
        for name in names:
            if name in element.attrib:
                element.set(name, f"{float(element.attrib[name]) * by:.2f}")
    for name in ("points", "d"):
        if name in element.attrib:
            element.set(name, "".join(_scaled(element.attrib[name], across, down)))


def _scaled(text: str, across: float, down: float) -> Iterator[str]:
    """Scale the pairs of numbers of a path; a vertical step has only its height."""
    by: Callable[[int], float] = lambda place: (across, down)[place % 2]  # noqa: E731
    place = end = 0
    for found in _NUMBER.finditer(text):
        between = text[end : found.start()]
        if between.strip().isalpha():
            place = 1 if between.strip() == "V" else 0
        yield f"{between}{float(found[0]) * by(place):.2f}"
        place, end = place + 1, found.end()
    yield text[end:]


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
