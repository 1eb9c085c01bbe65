"""benchpool simulate: run a scripted lifecycle and check what it expects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output
from benchpool.cli.options import JsonOption

if TYPE_CHECKING:
    from benchpool.simulation.runner import ScenarioOutcome


def simulate(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="See docs/scenarios.md.", autocompletion=completion.scenarios
        ),
    ],
    home: Annotated[
        Path | None,
        typer.Option("--home", metavar="PATH", help="Keep the network there; default: in memory."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a scenario file and tick off its steps; the exit code is 1 if an expectation fails.

    Example: benchpool simulate tests/scenarios/happy-pool.yaml
    """
    from benchpool.simulation.runner import run_scenario
    from benchpool.simulation.scenario import load_scenario

    scenario = load_scenario(file)
    failed: ScenarioOutcome | None = None
    outcomes = []
    if not as_json and scenario.title:
        output.line(output.paint(scenario.title, "strong"))
    for outcome in run_scenario(scenario, home=home):
        outcomes.append(outcome)
        if not as_json:
            _print(outcome)
        if outcome.failures:
            failed = outcome
    if as_json:
        output.print_json(
            {
                "file": str(file),
                "title": scenario.title,
                "ok": failed is None,
                "steps": [outcome.view() for outcome in outcomes],
            }
        )
    if failed is not None:
        first = failed.failures[0]
        output.complain(f"{file}:{first.line}: {first.text}")
        raise typer.Exit(1)


def _print(outcome: ScenarioOutcome) -> None:
    mark = output.paint("✗", "error") if outcome.failures else output.paint("✓", "good")
    output.line(output.clean(outcome.title), f"{mark} {outcome.time:>8}  ", " " * 12)
    for failure in outcome.failures:
        output.line(f"line {failure.line}: {output.clean(failure.text)}", "    ", "      ")
