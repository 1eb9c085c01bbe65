"""benchpool pool plan and rules: what to expect of a pool before it is funded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption
from benchpool.cli.pool import BenchmarkOption, pool_client
from benchpool.cli.pool_terms import (
    AllocationOption,
    EligibleOption,
    PlacesOption,
    TiesOption,
    payout_tags,
)
from benchpool.cli.questions import find_data, read_questions
from benchpool.pools import sentences

if TYPE_CHECKING:
    from benchpool.client.plan import Plan
    from benchpool.client.pools import PoolClient

_MOST_ROWS = 20


def rules(*, as_json: JsonOption = False) -> None:
    """List the rules by which a pool's funds can be divided, and on what conditions.

    Example: benchpool pool rules
    """
    listed = [("X-Allocation", name, False, text) for name, text in sentences.RULES.items()]
    listed.append(("copies", "", False, sentences.COPIES))
    for tag, values in sentences.CONDITIONS.items():
        listed += [
            (tag, value, value == next(iter(values)), text) for value, text in values.items()
        ]
    listed += [("X-Bond", "", False, sentences.BOND), ("left over", "", False, sentences.LEFT)]
    listed += [("X-Controls", name, False, text) for name, text in sentences.CONTROLS.items()]
    if as_json:
        names = ("term", "name", "default", "summary")
        output.print_json([dict(zip(names, each, strict=True)) for each in listed])
        return
    output.table(
        ["Term", "Value", "What it does"],
        [
            (term, f"{value or 'without'} (default)" if default else value, text)
            for term, value, default, text in listed
        ],
    )


def plan(
    *,
    questions: Annotated[
        int | None, typer.Option("--questions", min=1, metavar="N", help="How many questions.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="D",
            help="Or: a dataset process, by name or id.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "--file",
            metavar="FILE|NAME",
            help="Or: a file of questions, or a data set that was pulled.",
            autocompletion=completion.evaluable,
        ),
    ] = None,
    entries: Annotated[
        int,
        typer.Option("--entries", min=1, max=1_000, metavar="N", help="How many models enter."),
    ] = 5,
    allocation: AllocationOption = "ArithmeticDecrease",
    funds: Annotated[
        str, typer.Option("--funds", metavar="WAR", help="In wAR, such as 1.5.")
    ] = "1",
    eligible: EligibleOption = None,
    ties: TiesOption = None,
    places: PlacesOption = None,
    chance: Annotated[
        str | None,
        typer.Option("--chance", help="What a blind guess scores; default the data set's, or 1/3."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            min=0.001,
            metavar="R",
            help="Questions answered in a second; default 6.8, SmolLM2 135M on two cores.",
        ),
    ] = None,
    benchmark: BenchmarkOption = "Benchmark",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Say what a pool could tell, cost and pay, before it is funded.

    Example: benchpool pool plan --questions 180 --entries 5 --allocation WinnerTakesAll
    """
    from benchpool.client.plan import USUAL_RATE, Plan, read_chance
    from benchpool.pools.terms import PayoutTerms
    from benchpool.winston import parse_war

    if sum(each is not None for each in (questions, dataset, data)) != 1:
        raise typer.BadParameter("name one of --questions, --dataset, --data")
    fees: Mapping[str, str] = {}
    if data is not None:
        read = read_questions(find_data(data))
        questions = len(read.samples)
        chance = chance or (None if read.chance is None else str(read.chance))
    if dataset is not None:
        with session.reading(home) as network:
            client = pool_client(network, benchmark)
            told = client.info(network.resolve(dataset))
            fees = _fees(client, told.get("LlamaRouter"))
        questions, chance = int(told.get("Samples")), chance or told.get("Chance")
    tags = payout_tags(allocation=allocation, eligible=eligible, ties=ties, places=places)
    terms = PayoutTerms.read(tags, read_chance(chance or "1/3"))
    made = Plan(questions or 0, entries, terms, parse_war(funds), rate or USUAL_RATE)
    if as_json:
        output.print_json({**made.view(), "fees": fees or None})
    else:
        _show(made, fees)


def _fees(client: PoolClient, router: str) -> dict[str, str]:
    """Return what a herder takes for an inference; a router takes nothing."""
    if not router:
        return {}
    told = client.info(router)
    return {"base": told["Base-Fee"], "token": told["Token-Fee"]} if "Base-Fee" in told else {}


def _show(made: Plan, fees: Mapping[str, str]) -> None:
    from benchpool.winston import format_war

    view = made.view()
    difference = 100 * made.difference
    tells = "none that two models can have: too few questions"
    if made.difference < 1:
        tells = f"{difference:.1f} points; models that differ less are mostly not told apart"
    hours = view["computing_seconds"] / 3600
    cost = "none: no herder takes a fee"
    if fees:
        least = format_war(int(fees["base"]) * made.inferences)
        cost = f"{least}, and {format_war(int(fees['token']))} for each word and token"
    output.fields(
        [
            ("Questions", f"{made.questions:,}"),
            ("Entries", made.entries),
            ("Smallest difference", tells),
            *_eligible(view["eligible"], made),
            ("Inferences", f"{made.inferences:,}"),
            ("Hourly ticks", f"{made.ticks:,} at the least"),
            ("Computing", f"{hours:.2f} hours at {made.rate:g} questions a second"),
            ("Fees", cost),
        ]
    )
    print_rewards(made)
    if warning := made.too_fine():
        output.note(f"warning: {warning}")


def _eligible(test: Mapping[str, Any] | None, made: Plan) -> list[tuple[str, str]]:
    if test is None:
        return [("Eligible", "every entry that answers anything, guessers too")]
    if test["strictest"] > made.questions:
        return [("Eligible", "nobody: even all right does not rule out a guesser")]
    share = test["strictest"] / made.questions
    passing = "; ".join(
        f"{100 * float(accuracy):.0f} %: {100 * chance:.0f} of 100"
        for accuracy, chance in test["passing"].items()
    )
    return [
        (
            "Eligible",
            f"from {test['strictest']} right ({share:.4f}); from {test['alone']} once all others"
            " are in (exact binomial against guessing, Holm 5 %)",
        ),
        ("Honest models", f"would pass, by their accuracy: {passing}"),
    ]


def print_rewards(made: Plan) -> None:
    """Print what each rank would get."""
    from benchpool.winston import format_war

    rewards = made.rewards()
    if not rewards:
        output.line("What a rank gets depends on the scores above a blind guess.")
        return
    output.heading(f"What {made.entries} entries would get by {made.terms.rule}")
    output.table(
        ["Rank", "Share", "Reward"],
        [
            [place, f"{100 * each / made.funds:.1f} %" if made.funds else "–", format_war(each)]
            for place, each in enumerate(rewards[:_MOST_ROWS], start=1)
        ],
        right=["Rank", "Share", "Reward"],
    )
    if len(rewards) > _MOST_ROWS:
        output.note(f"{len(rewards) - _MOST_ROWS} further ranks: --json")
