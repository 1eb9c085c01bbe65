"""Charts: SVG that is made of shares of its width, so that text keeps its size on every screen.

Whoever cannot see a chart gets its label, and the figures in the table beside it. Colours come from
the style sheet, by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup, escape

MOST_LINES: Final = 6
"""Lines with a colour of their own."""
BESIDE_PX: Final = 44
"""What the style sheet leaves free beside a plot, for the words of its axis."""
_PLOT_TOP, _PLOT_PX = 12, 200
_WORDS_PX, _GAP_PX = 34.0, 8


def element(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """Write an element of SVG; `_` in the name of an attribute is a hyphen, at its end nothing."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup(f"<{name}{named}>{inside}</{name}>")  # noqa: S704 - all parts are escaped


def _plain(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


class Axis(NamedTuple):
    """A scale from a value to a share of the width, in percent."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Sequence[float], *, within: tuple[float, float] = (0, 1)) -> Axis:
        """Choose bounds in tenths that hold all values."""
        low = max(within[0], int(min(values, default=within[0]) * 10 - 0.5) / 10)
        high = min(within[1], -int(-max(values, default=within[1]) * 10 - 0.5) / 10)
        return cls(low, high) if high > low else cls(*within)

    def at(self, value: float) -> float:
        """Return where a value stands, in percent."""
        share = (value - self.low) / (self.high - self.low)
        return 100 * min(1.0, max(0.0, share))

    def ticks(self) -> list[float]:
        """Return three to six values to write beside it."""
        tenths = round((self.high - self.low) * 10)
        step = next((each for each in (1, 2, 5) if tenths // each <= 5), 10)
        first = round(self.low * 10)
        return [each / 10 for each in range(first, first + tenths + 1, step)]


def scale(axis: Axis) -> Markup:
    """Draw the axis that stands above intervals; its outer words reach beyond it."""
    marks = [
        element(
            "text",
            f"{100 * tick:.0f} %",
            x=f"{axis.at(tick):.1f}%",
            y=11,
            text_anchor="middle",
            class_="quiet",
        )
        for tick in axis.ticks()
    ]
    return element("svg", *marks, class_="scale", height=16, width="100%", aria_hidden="true")


def interval(
    axis: Axis,
    value: float,
    low: float,
    high: float,
    chance: float | None,
    unit: str = "%",
    class_: str = "interval",
) -> Markup:
    """Draw an accuracy with its interval, and the line of a blind guess."""
    said = f"{100 * value:.1f} {unit}, between {100 * low:.1f} and {100 * high:.1f} {unit}"
    parts = [] if chance is None else [_upright(axis.at(chance), 0, 24, "chance")]
    ends = [_upright(axis.at(each), 8, 16, "whisker") for each in (low, high)]
    between = {"x1": f"{axis.at(low):.2f}%", "x2": f"{axis.at(high):.2f}%", "y1": 12, "y2": 12}
    parts += [element("line", class_="whisker", **between), *ends]
    parts.append(element("circle", cx=f"{axis.at(value):.2f}%", cy=12, r=5, class_="dot"))
    return element(
        "svg", *parts, class_=class_, height=24, width="100%", role="img", aria_label=said
    )


def _upright(percent: float, top: int, bottom: int, class_: str) -> Markup:
    x = f"{percent:.2f}%"
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_=class_)


class Line(NamedTuple):
    """One line of a plot: points (x, y, low, high)."""

    points: Sequence[tuple[float, float, float, float]]


def course(lines: Sequence[Line], axis: Axis, most: int, chance: float, label: str) -> Markup:
    """Draw accuracies as answers come in, up to a number of them, each with its interval.

    The words beside the axis stand left of the drawing, in `BESIDE_PX` that are left free there.
    """

    def place(x: float, y: float) -> str:
        return f"{100 * x / max(most, 1):.2f},{100 - axis.at(y):.2f}"

    bands, strokes = [], []
    for number, line in enumerate(lines):
        colour = f"line-{number + 1}" if number < MOST_LINES else "line-other"
        if len(lines) <= 3 and line.points:
            edge = [place(x, low) for x, _, low, _ in line.points]
            edge += [place(x, high) for x, _, _, high in reversed(line.points)]
            bands.append(element("polygon", points=" ".join(edge), class_=f"band {colour}"))
        path = " ".join(place(x, y) for x, y, _, _ in line.points)
        strokes.append(element("polyline", points=path, class_=f"stroke {colour}"))
    guess = 100 - axis.at(chance)
    inner = element(
        "svg",
        *(
            element("line", x1=0, x2=100, y1=100 - axis.at(t), y2=100 - axis.at(t), class_="grid")
            for t in axis.ticks()
        ),
        *bands,
        element("line", x1=0, x2=100, y1=guess, y2=guess, class_="chance"),
        *strokes,
        viewBox="0 0 100 100",
        preserveAspectRatio="none",
        y=_PLOT_TOP,
        width="100%",
        height=_PLOT_PX,
    )
    beside = [
        element("text", f"{100 * t:.0f} %", x=-6, y=_down(axis, t) + 4, text_anchor="end")
        for t in axis.ticks()
    ]
    below = [
        element("text", f"{most * share / 100:,.0f}", x=x, y=_PLOT_TOP + _PLOT_PX + 16, **how)
        for share, x, how in (
            (0, "0", {"text_anchor": "start"}),
            (100, "100%", {"text_anchor": "end"}),
        )
    ]
    named = element("text", "answers", x="50%", y=_PLOT_TOP + _PLOT_PX + 16, text_anchor="middle")
    return element(
        "svg",
        inner,
        *beside,
        *below,
        named,
        class_="plot quiet-text",
        height=_PLOT_TOP + _PLOT_PX + 24,
        width="100%",
        role="img",
        aria_label=label,
    )


def _down(axis: Axis, value: float) -> float:
    return _PLOT_TOP + _PLOT_PX * (1 - axis.at(value) / 100)


class Stream(NamedTuple):
    """Money that comes in or goes out."""

    name: str
    said: str
    """The amount, in words."""
    amount: int
    class_: str = ""


def flow(sources: Sequence[Stream], targets: Sequence[Stream], label: str) -> Markup:
    """Draw money that comes from sources into one fund, and goes from there to targets."""
    total = max(sum(each.amount for each in sources), sum(each.amount for each in targets), 1)
    most = max(len(sources), len(targets), 1)
    tall = max(140, 48 * most)
    fund_px = tall - _GAP_PX * (most - 1)
    bands: list[Markup] = []
    marks: list[Markup] = []
    for streams, x, middle, edge in ((sources, 0, 49, "start"), (targets, 100, 51, "end")):
        sizes = [max(2.0, fund_px * each.amount / total) for each in streams]
        given_px = fund_px * sum(each.amount for each in streams) / total
        inner = (tall - given_px) / 2
        for each, (top, size) in zip(streams, _slots(sizes, tall), strict=True):
            height = fund_px * each.amount / total
            bands.append(_band(x, top, size, middle, inner, height, each.class_))
            inner += height
            centre = top + size / 2
            near = {"x": f"{x}%", "dx": 12 if edge == "start" else -12, "text_anchor": edge}
            marks.append(element("text", each.name, y=centre - 3, **near))
            marks.append(element("text", each.said, y=centre + 12, class_="quiet", **near))
    top = (tall - fund_px) / 2
    fund = element("rect", x=49.0, y=top, width=2, height=fund_px, class_="fund")
    drawn = element(
        "svg",
        *bands,
        fund,
        viewBox=f"0 0 100 {tall}",
        preserveAspectRatio="none",
        width="100%",
        height=tall,
    )
    return element(
        "svg",
        drawn,
        *marks,
        class_="flow",
        height=tall,
        width="100%",
        role="img",
        aria_label=label,
    )


def _slots(sizes: Sequence[float], tall: float) -> list[tuple[float, float]]:
    """Give each stream its place: one that is thinner than its words gets room for them."""
    rooms = [max(_WORDS_PX, each) for each in sizes]
    over = sum(rooms) + _GAP_PX * (len(rooms) - 1) - tall
    if over > 0:  # those with more room than they need give some up
        spare = sum(room - _WORDS_PX for room in rooms) or 1
        rooms = [room - min(over, spare) * (room - _WORDS_PX) / spare for room in rooms]
    top = max(0.0, tall - sum(rooms) - _GAP_PX * (len(rooms) - 1)) / 2
    found = []
    for room, size in zip(rooms, sizes, strict=True):
        drawn = min(size, room)
        found.append((top + (room - drawn) / 2, drawn))
        top += room + _GAP_PX
    return found


def _band(
    x: int, top: float, size: float, middle: int, inner: float, height: float, class_: str
) -> Markup:
    half = (x + middle) / 2
    path = (
        f"M{x},{top:.2f} C{half},{top:.2f} {half},{inner:.2f} {middle},{inner:.2f}"
        f" V{inner + height:.2f} C{half},{inner + height:.2f} {half},{top + size:.2f}"
        f" {x},{top + size:.2f} Z"
    )
    return element("path", d=path, class_=f"stream {class_}".strip())


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Draw how a number went, from 0 to its highest; nothing of less than two values."""
    if len(values) < 2:
        return Markup("")
    top, last = max(*values, 1e-9), len(values) - 1
    path = " ".join(f"{100 * i / last:.2f},{23 - 22 * v / top:.2f}" for i, v in enumerate(values))
    line = element("polyline", points=path, class_="stroke line-1")
    return element(
        "svg",
        line,
        class_="sparkline",
        viewBox="0 0 100 24",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )
