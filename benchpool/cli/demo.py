"""benchpool demo: a funded pool's whole life with two real models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import output, session
from benchpool.cli.options import JsonOption, WorkersOption, read_limits
from benchpool.cli.workers import show_workers
from benchpool.client.words import indistinct

if TYPE_CHECKING:
    from benchpool.client.demo import Entrant
    from benchpool.network import Network
    from benchpool.units.limits import Limits

DEMO_HOME = Path(".benchpool-demo")
MODELS = {"ana": "smollm2-135m", "ben": "gemma-3-270m"}


def demo(
    *,
    questions: Annotated[
        int | None,
        typer.Option("--questions", min=1, metavar="N", help="Ask only the first N questions."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Questions: JSON Lines, a JSON list, or the official Social IQa archive or folder;"
            " by default 180 that come with benchpool.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="What wallets are made from: same seed, same log.")
    ] = 1,
    workers: WorkersOption = None,
    open_browser: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Serve the demo's network afterwards, and open its dashboard in the browser.",
        ),
    ] = False,
    as_json: JsonOption = False,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="PATH",
            help="The folder for the demo's network; default ./.benchpool-demo.",
        ),
    ] = None,
) -> None:
    """Mint, fund a three-day pool, enter two models, evaluate, rank and pay.

    The models must have been pulled: benchpool model pull smollm2-135m, and gemma-3-270m. A demo
    that was interrupted goes on where it was.

    Example: benchpool demo --questions 40
    """
    from benchpool.cli.up import need_server
    from benchpool.client.demo import run_demo
    from benchpool.evaluation.sample import load_samples

    if open_browser:
        need_server()  # rather than after all the work
    entrants = _entrants()
    samples = load_samples(data or _shipped())[:questions]
    folder = home or DEMO_HOME
    listener = DemoPrinter(quiet=as_json)
    try:
        limits = read_limits(folder, workers)
        with (
            _open(folder, seed, limits, replace=home is None) as network,
            session.working(network),
        ):
            if network.resumed:
                pending = output.count(network.resumed, "message")
                listener.step(f"going on in {folder}, where {pending} waited")
                network.run()
            asked = output.count(len(samples), "question")
            listener.step(f"{len(entrants)} models will answer {asked} each")
            result = run_demo(network, entrants, samples, listener)
            if not as_json:
                show_workers(network.host.backend)
    except KeyboardInterrupt:
        output.note("interrupted; the same command goes on from here")
        raise session.Interrupted from None
    if as_json:
        output.print_json(result)
    else:
        _show(result, folder)
    if open_browser:
        _serve(folder, result["pool"]["id"])


class DemoPrinter:
    """Prints the story as it happens."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def step(self, text: str) -> None:
        """Tell what has happened."""
        if self._quiet:
            output.note(text)
        else:
            output.line(text, "* ", "  ")

    def board(self, day: int, rows: Sequence[dict[str, Any]]) -> None:
        """Show the leaderboard at the end of a day of the pool."""
        if not self._quiet:
            output.heading(f"Leaderboard after day {day}")
            _board(rows)


def _serve(folder: Path, pool: str) -> None:
    """Serve the demo's network until Ctrl-C, and open the page of its pool.

    Its time moves to today: its pool is over, and shown as it ended.
    """
    from benchpool.cli.up import show_page
    from benchpool.server.program import Hooks, Program, serve_home
    from benchpool.server.sockets import Addresses, Options

    def ready(addresses: Addresses, _resumed: int) -> None:
        page = f"{addresses.dashboard}pools/{pool}"
        output.line(page, "Dashboard: ")
        output.note("Ctrl-C stops it")
        output.flush()
        show_page(page)

    hooks = Hooks(on_ready=ready, on_stop=lambda: output.note("stopping"))
    serve_home(Program(folder, Options(port=0), hooks))


def _entrants() -> list[Entrant]:
    from benchpool.client.demo import Entrant
    from benchpool.inference.files.catalogue import Catalogue

    catalogue = Catalogue()
    return [Entrant(wallet, model, catalogue.find(model)) for wallet, model in MODELS.items()]


def _shipped() -> Path:
    from benchpool.client.deployment import sample_path

    return sample_path()


def _open(folder: Path, seed: int, limits: Limits | None, *, replace: bool) -> Network:
    """Open the demo's home: a new one, or the one of an interrupted demo.

    A finished demo in the default place makes way for a new one.
    """
    from benchpool.client.demo import finished, is_demo
    from benchpool.errors import ConfigError
    from benchpool.network import Network
    from benchpool.store.server_file import refuse_served

    refuse_served(folder)
    network = Network(folder, seed=seed, limits=limits)
    done = finished(network)
    if network.names() and not is_demo(network):
        network.close(abort=True)
        raise ConfigError(f"{folder} holds another network; name a new folder with --home")
    if done and replace:
        import shutil

        network.close()
        shutil.rmtree(folder)
        return Network(folder, seed=seed, limits=limits)
    if done:
        output.note(f"{folder} holds a finished demo; this is what came of it")
    return network


def _board(rows: Sequence[dict[str, Any]]) -> None:
    from benchpool.cli.pool_view import print_board

    names = {row["participant"]: row["participant_name"] for row in rows}
    print_board(rows, names.__getitem__)


def _indistinct(a: Mapping[str, Any], b: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    """Say plainly that a rank, and what it pays, may be luck."""
    luck = " That one is paid more may be luck." if a["reward"] != b["reward"] else ""
    said = indistinct(
        {
            **pair,
            "models": [a["name"], b["name"]],
            "correct": [a["correct"], b["correct"]],
            "n": a["n"],
            "told_apart": False,
        }
    )
    return f"{said}.{luck}"


def _show(result: dict[str, Any], folder: Path) -> None:
    from benchpool.cli.pool_view import say_how_sure
    from benchpool.client.words import rule_text
    from benchpool.winston import format_war

    pool = result["pool"]
    output.line()
    output.line(f"Pool {pool['id']} is {pool['status']} by {pool['protocol']}")
    output.line(rule_text(pool["allocation"]))
    output.line()
    _board(result["leaderboard"])
    say_how_sure(result["leaderboard"])
    rows = {row["model"]: row for row in result["leaderboard"]}
    for pair in result["indistinct"]:
        first, second = pair["models"]
        output.line(output.clean(_indistinct(rows[first], rows[second], pair)))
    output.heading("Balances")
    output.table(
        ["Wallet", "Before", "After", "Change"],
        [
            [
                name,
                format_war(int(before)),
                format_war(int(result["balances_after"][name])),
                format_war(int(result["balances_after"][name]) - int(before)),
            ]
            for name, before in result["balances_before"].items()
        ],
        right=["Before", "After", "Change"],
    )
    conserved = result["supply_before"] == result["supply_after"]
    verdict = "conserved" if conserved else "NOT CONSERVED"
    output.line()
    output.line(
        f"Supply before {format_war(int(result['supply_before']))},"
        f" after {format_war(int(result['supply_after']))}: {verdict}"
    )
    margin = " " * len("Look around: ")
    output.line(f"benchpool inbox ana --home {folder}", "Look around: ", margin)
    output.line(f"benchpool inspect Benchmark --home {folder}", margin, margin)
    if not conserved:
        raise typer.Exit(1)


__all__ = ["demo"]
