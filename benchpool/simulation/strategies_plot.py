"""A plot of what strategies bring, written as SVG: a panel a rule, three bars a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from benchpool.simulation.strategies import StrategyRow

_COLOURS: Final = ("#9a9a9a", "#0072b2", "#e69f00")
"""One for each of the terms; people who see colours otherwise can tell them apart."""
_LEFT: Final = 96
_TOP: Final = 58
_PANEL: Final = 150
_GAP: Final = 22
_BAR: Final = 7
_GROUP: Final = 34


def plot_strategies(rows: Sequence[StrategyRow]) -> str:
    """Draw rows as ``try_strategies`` gives them; whiskers are 95 % intervals."""
    rules, terms, strategies = (
        list(dict.fromkeys(getattr(row, name) for row in rows))
        for name in ("rule", "terms", "strategy")
    )
    width = _LEFT + len(rules) * (_PANEL + _GAP)
    bottom = _TOP + len(strategies) * _GROUP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + 28}"'
        ' font-family="sans-serif" font-size="11">',
        "<title>What each strategy brings under each rule</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(8, 16, "Expected part of the funds, all entries of the entrant together", "start"),
    ]
    for place, name in enumerate(terms):
        x = _LEFT + place * 120
        drawn += [_box(x, 25, 10, 9, _COLOURS[place]), _text(x + 14, 33, name, "start")]
    for place, name in enumerate(strategies):
        drawn.append(_text(_LEFT - 8, _TOP + place * _GROUP + 18, name, "end"))
    for place, rule in enumerate(rules):
        drawn += _axis(_LEFT + place * (_PANEL + _GAP), bottom, rule)
    for row in rows:
        x = _LEFT + rules.index(row.rule) * (_PANEL + _GAP)
        y = _TOP + strategies.index(row.strategy) * _GROUP + 4
        place = terms.index(row.terms)
        drawn += _bar(x, y + place * (_BAR + 1), row, _COLOURS[place])
    return "\n".join([*drawn, "</svg>", ""])


def _axis(x: int, bottom: int, rule: str) -> list[str]:
    drawn = [_text(x + _PANEL // 2, _TOP - 8, rule, "middle")]
    for percent in (0, 50, 100):
        at = x + _PANEL * percent / 100
        drawn.append(_line(at, _TOP, at, bottom, "#d0d0d0"))
        drawn.append(_text(at, bottom + 14, f"{percent}%", "middle"))
    return drawn


def _bar(x: int, y: int, row: StrategyRow, colour: str) -> list[str]:
    reach = 1.96 * row.error
    low, high = max(0.0, row.share - reach), min(1.0, row.share + reach)
    middle = y + _BAR / 2
    return [
        _box(x, y, row.share * _PANEL, _BAR, colour),
        _line(x + low * _PANEL, middle, x + high * _PANEL, middle, "#303030"),
    ]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'
