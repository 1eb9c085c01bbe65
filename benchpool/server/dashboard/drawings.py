"""Drawings: which charts a page has, made of its view; templates call these."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from benchpool.server.dashboard import charts
from benchpool.server.dashboard.charts import MOST_LINES, Axis, Line, Stream
from benchpool.server.dashboard.pages.board import BoardView, Entry
from benchpool.server.dashboard.pages.entry import CompareView
from benchpool.server.dashboard.pages.life import LifeView
from benchpool.server.dashboard.sequence import sequence as draw_sequence
from benchpool.winston import format_war

_MOST_STREAMS: Final = 6
"""Sources or targets that are drawn alone; the others are drawn together."""
_SURE_AFTER: Final = 0.1
"""The share of the answers after which a line stays within the plot: before, it leaps about."""


def axis_of(board: BoardView) -> Axis:
    """Return the axis on which all accuracies of a pool stand."""
    values = [each for entry in board.entries for each in entry.interval or ()]
    if board.chance is not None:
        values.append(board.chance)
    return Axis.around(values)


def scale(axis: Axis) -> Markup:
    """See `charts.scale`."""
    return charts.scale(axis)


def interval(axis: Axis, entry: Entry, chance: float | None) -> Markup:
    """Draw an entry's accuracy; nothing before it has one."""
    if entry.accuracy is None or entry.interval is None:
        return Markup("")
    low, high = entry.interval
    return charts.interval(axis, entry.accuracy, low, high, chance)


def difference(pair: CompareView) -> Markup:
    """Draw the difference of two accuracies with its interval, and no difference."""
    reach = max(0.1, *(abs(each) for each in pair.interval))
    axis = Axis(-reach, reach)
    low, high = pair.interval
    return charts.interval(
        axis, pair.difference, low, high, 0.0, "points", class_="interval difference"
    )


def swatch(number: int) -> Markup:
    """Draw the colour of a line, which is counted from 1."""
    name = f"line-{number}" if number <= MOST_LINES else "line-other"
    line = charts.element("line", x1=0, x2=20, y1=5, y2=5, class_=f"stroke {name}")
    return charts.element("svg", line, class_="swatch", width=20, height=10, aria_hidden="true")


def course(board: BoardView) -> Markup:
    """Draw how the accuracies came about; nothing before there are answers."""
    drawn = [each for each in board.entries if each.course]
    if not drawn:
        return Markup("")
    most = max(each.course[-1][0] for each in drawn)
    settled = [y for each in drawn for x, y, _, _ in each.course if x >= _SURE_AFTER * most]
    last = [bound for each in drawn for bound in each.course[-1][2:]]
    chance = board.chance or 0.0
    ends = ", ".join(f"{each.name} {100 * each.course[-1][1]:.1f} %" for each in drawn)
    return charts.course(
        [Line([(p[0], p[1], p[2], p[3]) for p in each.course]) for each in drawn],
        Axis.around([*settled, *last, chance]),
        int(most),
        chance,
        f"Accuracy as answers came in, up to {int(most):,} of them: {ends}",
    )


def money(board: BoardView) -> Markup:
    """Draw where the money came from and where it goes, or went."""
    sources = [
        Stream(gift.giver.name, format_war(int(gift.gave)), int(gift.gave)) for gift in board.gifts
    ]
    lost = int(board.lost_bonds)
    if lost:
        sources.append(Stream("lost bonds", format_war(lost), lost))
    targets = [
        Stream(line.name, format_war(int(line.reward)), int(line.reward), "reward")
        for line in board.settlement
        if int(line.reward)
    ]
    back = int(board.refunds)
    if back:
        targets.append(Stream("back to contributors", format_war(back), back, "refund"))
    sources, targets = _few(sources), _few(targets)
    said = "; ".join(f"{each.said} to {each.name}" for each in targets) or "nothing is paid yet"
    given = ", ".join(f"{each.said} from {each.name}" for each in sources)
    return charts.flow(sources, targets, f"Money: {given}; {said}")


def _few(streams: list[Stream]) -> list[Stream]:
    if len(streams) <= _MOST_STREAMS:
        return streams
    kept, rest = streams[: _MOST_STREAMS - 1], streams[_MOST_STREAMS - 1 :]
    amount = sum(each.amount for each in rest)
    return [*kept, Stream(f"{len(rest)} more", format_war(amount), amount, rest[0].class_)]


def speeds(name: str, values: list[float]) -> Markup:
    """Draw tokens a second of a model's newest batches."""
    if not values:
        return Markup("")
    ends = f"{min(values):,.0f} to {max(values):,.0f}, last {values[-1]:,.0f}"
    return charts.sparkline(values, f"Tokens a second of {name}, newest batches: {ends}")


def sequence(life: LifeView) -> Markup:
    """See `sequence.sequence`."""
    return draw_sequence(life)
