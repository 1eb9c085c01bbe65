"""The table of workers that are not this machine's own cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchpool.cli import output

if TYPE_CHECKING:
    from benchpool.inference.engines import Engines


def show_workers(engines: Engines) -> None:
    """Show the workers of a cluster, what they have done, and what waits; nothing without one."""
    workers = engines.workers()
    if not workers:
        return
    output.heading("Workers")
    output.table(
        ["Worker", "Node", "State", "Models", "Runtime", "Answers", "Tokens/s"],
        [
            [
                each.id,
                each.node,
                each.state,
                " ".join(each.models),
                each.runtime,
                each.stats.answered,
                output.rate(each.tokens_per_second),
            ]
            for each in workers
        ],
        right=["Answers", "Tokens/s"],
    )
    output.line(f"Queue: {output.count(engines.waiting(), 'request')}")
    output.line()
