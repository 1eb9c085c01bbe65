"""benchpool advance: move virtual time on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from pathlib import Path


def advance(
    duration: Annotated[
        str, typer.Argument(metavar="DURATION", help="Such as 90s, 24h, 30d or 1d12h.")
    ],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Move virtual time on and run every cron tick that falls due.

    Example: benchpool advance 30d
    """
    from benchpool.cli import view
    from benchpool.clock import parse_duration

    length_ms = parse_duration(duration)
    until_ms: int | None = None
    try:
        with session.writing(home) as network:
            start_ms = network.clock.now()
            until_ms = start_ms + length_ms
            with session.working(network) as report:
                ticks = network.advance(
                    length_ms,
                    lambda now_ms: report((now_ms - start_ms) // 1000, length_ms // 1000, "time"),
                )
            now_ms = network.clock.now()
    except KeyboardInterrupt:
        if until_ms is not None:
            _say_what_is_left(home, until_ms)
        raise
    if as_json:
        output.print_json({"ticks": ticks, "time": now_ms, "moment": view.moment(now_ms)})
    else:
        output.line(f"{ticks} cron ticks; the time is {view.moment(now_ms)} ({now_ms})")


def _say_what_is_left(home: Path | None, until_ms: int) -> None:
    """Time up to the last commit has passed; the same command again would go too far."""
    from benchpool.clock import format_duration

    with session.reading(home) as network:
        left_ms = until_ms - network.clock.now()
    if left_ms > 0:
        output.note(
            f"to reach the time that was meant: benchpool advance {format_duration(left_ms)}"
        )
