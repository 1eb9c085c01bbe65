"""benchpool advance: move virtual time on."""

from __future__ import annotations

from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption, WorkersOption, read_limits
from benchpool.cli.workers import show_workers
from benchpool.errors import ConfigError


def advance(
    duration: Annotated[
        str, typer.Argument(metavar="DURATION", help="Such as 90s, 24h, 30d or 1d12h.")
    ],
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Move virtual time on and run every cron tick that falls due.

    Example: benchpool advance 30d
    """
    from benchpool.ao.clock import format_duration, parse_duration
    from benchpool.cli import view

    length_ms = parse_duration(duration)
    until_ms = 0

    def advise() -> str | None:
        # Time up to the last commit has passed; the same command again would go too far.
        with session.reading(home) as network:
            left_ms = until_ms - network.clock.now()
        return f"go on with: benchpool advance {format_duration(left_ms)}" if left_ms > 0 else None

    with session.writing(home, advise, limits=read_limits(home, workers)) as (network, writer):
        if writer is not network:
            raise ConfigError(
                "a server runs on this home: stop it first, or move its time on from its dashboard"
                " if it was started with --virtual"
            )
        start_ms = network.clock.now()
        until_ms = start_ms + length_ms
        with session.working(network) as report:
            ticks = network.advance(
                length_ms,
                lambda now_ms: report((now_ms - start_ms) // 1000, length_ms // 1000, "time"),
            )
        now_ms = network.clock.now()
        if not as_json:
            show_workers(network.host.backend)
    if as_json:
        output.print_json({"ticks": ticks, "time": now_ms, "moment": view.moment(now_ms)})
    else:
        ran = output.count(ticks, "cron tick")
        output.line(f"{ran}; the time is {view.moment(now_ms)} ({now_ms})")
