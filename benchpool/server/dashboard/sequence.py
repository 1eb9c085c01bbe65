"""Sequence: a diagram of messages between lanes, from above to below."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup, escape

from benchpool.ao.clock import format_moment
from benchpool.server.dashboard.charts import element
from benchpool.server.dashboard.pages.life import LifeView, Step

LANE_PX: Final = 148
"""From one lane to the next."""
STEP_PX: Final = 34
SCENE_PX: Final = 30
_HEAD_PX: Final = 44
_TIP_PX: Final = 7
_LONGEST: Final = 18
"""Characters of the name of a lane."""


def sequence(life: LifeView) -> Markup:
    """Draw a pool's life; nothing if nothing was sent."""
    if not life.scenes:
        return Markup("")
    width = LANE_PX * len(life.lanes)
    y = _HEAD_PX
    drawn: list[Markup] = []
    for scene in life.scenes:
        y += SCENE_PX
        when = format_moment(scene.time)[:16].replace("T", " ")
        said = when if scene.times == 1 else f"{when}, {scene.times:,} times in a row"
        drawn.append(element("line", x1=0, x2=width, y1=y - 18, y2=y - 18, class_="grid"))
        drawn.append(element("text", said, x=4, y=y - 3, class_="quiet"))
        for step in scene.steps:
            y += STEP_PX
            drawn.append(_arrow(step, y))
    tall = y + 16
    heads = []
    for i, lane in enumerate(life.lanes):
        x = _x(i)
        name = lane.name if len(lane.name) <= _LONGEST else f"{lane.name[: _LONGEST - 1]}…"
        heads.append(element("line", x1=x, x2=x, y1=32, y2=tall, class_="lane"))
        heads.append(element("rect", x=x - 66, y=4, width=132, height=28, rx=4, class_="head"))
        heads.append(element("text", name, x=x, y=22, text_anchor="middle"))
    arrows = sum(len(scene.steps) for scene in life.scenes)
    return element(
        "svg",
        *heads,
        *drawn,
        class_="sequence",
        width=width,
        height=tall,
        viewBox=f"0 0 {width} {tall}",
        role="img",
        aria_label=f"{arrows} kinds of messages between {len(life.lanes)} lanes, listed below",
    )


def _x(lane: int) -> int:
    return LANE_PX * lane + LANE_PX // 2


def _arrow(step: Step, y: int) -> Markup:
    said = f"{step.action} × {step.count:,}" if step.count > 1 else step.action
    source, target = _x(step.source), _x(step.target)
    if source == target:
        mark = "⟳ " if step.cron else ""
        path = f"M{source},{y - 12} h18 v12 h-{18 - _TIP_PX}"
        parts = [
            element("path", d=path, class_="arrow"),
            _tip(source, y, 1),
            element("text", f"{mark}{said}", x=source + 24, y=y - 2),
        ]
        return element("g", *parts)
    way = 1 if target > source else -1
    return element(
        "g",
        element("line", x1=source, x2=target - way * _TIP_PX, y1=y, y2=y, class_="arrow"),
        _tip(target, y, -way),
        element("text", said, x=(source + target) / 2, y=y - 5, text_anchor="middle"),
    )


def _tip(x: int, y: int, way: int) -> Markup:
    back = x + way * _TIP_PX
    return element("path", d=escape(f"M{x},{y} L{back},{y - 4} V{y + 4} Z"), class_="tip")
