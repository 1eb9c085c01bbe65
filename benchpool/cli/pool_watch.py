"""benchpool pool leaderboard --watch: a board that is drawn again in its place when it changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from benchpool.cli import output, view
from benchpool.cli.pool_view import board_lines, sure_lines
from benchpool.client.standing import SETTLED, Field
from benchpool.client.words import why_refunded

if TYPE_CHECKING:
    from benchpool.client.pool_facts import PoolFacts
    from benchpool.client.pools import PoolClient
    from benchpool.network import Network

EVERY_S: Final = 1.0
"""How often it is looked whether anything has changed."""

Show = Callable[[list[str]], None]


def watch(network: Network, client: PoolClient, pool: str, *, as_json: bool) -> None:
    """Show a pool's board until the pool is settled, and again each time it changes.

    Args:
        network: only reads; another process may be writing to its home.
        client: asks the Benchmark.
        pool: its id, or what `PoolClient.find` takes.
        as_json: print each board as one line of JSON.
    """
    pool_id = client.find(pool).id
    seen: tuple[object, ...] = ()
    with _screen(as_json=as_json) as show:
        while True:
            now = (network.store.end(), output.width())
            if now != seen:
                seen = now
                found = client.find(pool_id)
                rows = Field(client, found, client.leaderboard(pool_id)).standings()
                show(_written(network, client, found, rows, as_json=as_json))
                if found.text("status") in SETTLED:
                    return
            # Else this moment would be kept, and the home's write-ahead logs could not be cut.
            network.compute.following.forget_databases()
            network.store.refresh()
            sleep(EVERY_S)
            if network.store.end() != seen[0]:
                network.refresh()


def _written(
    network: Network,
    client: PoolClient,
    pool: PoolFacts,
    rows: list[dict[str, Any]],
    *,
    as_json: bool,
) -> list[str]:
    if as_json:
        return [output.json_line(rows)]
    head = f"{pool.title or pool.id}: {pool.text('status')}"
    next_ms = client.next_ranking() if pool.text("status") == "open" else None
    if next_ms is not None:
        head += f", ranked next at {view.moment(next_ms)}"
    lines = [output.paint(output.clean(head), "strong")]
    if not rows:
        return [*lines, "no entries yet"]
    lines += board_lines(rows, view.names(network))
    why = why_refunded(pool.facts, rows)
    notes = [*sure_lines(rows), *([f"refunded: {why}"] if why else [])]
    return lines + [output.paint(output.clean(text), "faint") for text in notes]


@contextmanager
def _screen(*, as_json: bool) -> Iterator[Show]:
    """Give what shows lines in the place of those before, or below them where programs read."""
    if as_json or not output.is_terminal(sys.stdout):
        yield _below()
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as live:
        yield lambda lines: live.update(Text.from_ansi("\n".join(lines)), refresh=True)


def _below() -> Show:
    """Print what differs from before; programs have it at once."""
    before: list[str] = []

    def show(lines: list[str]) -> None:
        if lines != before:
            before[:] = lines
            output.verbatim("\n".join(lines))
            output.flush()

    return show
