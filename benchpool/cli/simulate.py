"""benchpool simulate: scripted lifecycles, and strategies that are played against the rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output
from benchpool.cli.default_command import WithDefault
from benchpool.cli.options import JsonOption

if TYPE_CHECKING:
    from benchpool.simulation.runner import ScenarioOutcome
    from benchpool.simulation.strategies import StrategyRow

_SCENARIO = "scenario"
_BAR_WIDTH = 40


class Simulations(WithDefault):
    """The commands below `simulate`; what names none of them is a scenario file."""

    default = _SCENARIO


app = typer.Typer(
    cls=Simulations,
    subcommand_metavar="FILE | COMMAND [ARGS]...",
    help="""Run a scenario file, or play strategies against the rules of payment.

    Example: benchpool simulate tests/scenarios/happy-pool.yaml, or benchpool simulate strategies
    """,
)


@app.command(_SCENARIO)
def scenario(
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

    The word `scenario` may be left out.

    Example: benchpool simulate tests/scenarios/happy-pool.yaml
    """
    from benchpool.simulation.runner import run_scenario
    from benchpool.simulation.scenario import load_scenario

    script = load_scenario(file)
    failed: ScenarioOutcome | None = None
    outcomes = []
    if not as_json and script.title:
        output.line(output.paint(script.title, "strong"))
    for outcome in run_scenario(script, home=home):
        outcomes.append(outcome)
        if not as_json:
            _print(outcome)
        if outcome.failures:
            failed = outcome
    if as_json:
        output.print_json(
            {
                "file": str(file),
                "title": script.title,
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


@app.command()
def strategies(
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="S", min=0, help="The same seed gives the same numbers."),
    ] = 0,
    contests: Annotated[
        int, typer.Option("--contests", metavar="N", min=1, help="How many contests to play.")
    ] = 200,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            metavar="RULE",
            help="An allocation rule, repeatable; default all.",
            autocompletion=completion.rules,
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write a plot there, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Play made-up contests, and count what honest and dishonest strategies bring.

    An entrant with a model of 46 % meets four honest rivals of 41 to 52 %, on 180 questions with
    three choices. It enters its model (honest); its model twice (clone); two near copies beside it
    (requantized); eight guessers and no model (guessing); 40 guessers beside its model (flooding);
    half of its answers (late); or its model, with a quarter of the answers forged (lying).

    The terms are those of the first pools, the default ones, and X-Ties=tiers with
    X-Near-Copies=merge. What the numbers mean stands in docs/explanation/fairness.md.

    Example: benchpool simulate strategies --rule WinnerTakesAll
    """
    from dataclasses import asdict

    from benchpool.pools.allocation import RULES
    from benchpool.simulation.strategies import Field, try_strategies

    unknown = [name for name in rule or () if name not in RULES]
    if unknown:
        raise typer.BadParameter(f"no rule {unknown[0]!r}; there are {', '.join(RULES)}")
    with output.progress() as report:
        rows = try_strategies(
            seed=seed,
            contests=contests,
            rules=tuple(dict.fromkeys(rule or RULES)),
            on_progress=lambda done, total: report(done, total, "contests"),
        )
    if svg is not None:
        _write_plot(svg, rows)
    if as_json:
        field = asdict(Field())
        facts = {"schema": "strategies/1", "seed": seed, "contests": contests, "field": field}
        output.print_json({**facts, "rows": [row._asdict() for row in rows]})
        return
    _print_strategies(rows)


def _write_plot(path: Path, rows: Sequence[StrategyRow]) -> None:
    from benchpool.simulation.strategies_plot import plot_strategies

    try:
        path.write_text(plot_strategies(rows), encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from None


def _print_strategies(rows: Sequence[StrategyRow]) -> None:
    """Print the expected parts of the funds, and bars of their means over the rules."""
    from benchpool.simulation.strategies import tabulate

    head, *lines = tabulate(rows)
    output.line("Expected part of the funds, all entries of the entrant together (± 95 %)")
    output.table(head, lines, right=head[2:])
    output.heading("The same, on average over these rules")
    shares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        shares.setdefault((row.strategy, row.terms), []).append(row.share)
    means = {key: sum(each) / len(each) for key, each in shares.items()}
    cells = [[*key, f"{mean:.1%}", "█" * round(mean * _BAR_WIDTH)] for key, mean in means.items()]
    output.table(["Strategy", "Terms", "Part", ""], cells, right=["Part"])
    missed = 1 - max(row.found for row in rows)
    output.note(f"an audit that asks 90 answers again overlooks all lies with p = {missed:.0e}")
