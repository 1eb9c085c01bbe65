"""benchpool pool compare: whether one entry of a pool is better than another."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Annotated, Any

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption, VerboseOption
from benchpool.cli.pool import BenchmarkOption, PoolArgument, pool_client


def compare(
    pool: PoolArgument,
    first: Annotated[str, typer.Argument(metavar="A", help="An entry, by its name or id.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    limit: Annotated[
        int,
        typer.Option("--limit", min=0, metavar="N", help="Show at most N questions."),
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Tell whether two entries of a pool differ, by the questions that only one got right.

    Example: benchpool pool compare 4fT9 gemma-3-270m smollm2-135m
    """
    from benchpool.client.standing import Field

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = client.find(pool)
        field = Field(client, found, client.reports(found.id))
        result = field.compare(field.find(first), field.find(second), seed=seed)
    if as_json:
        output.print_json(result)
    else:
        _show(result, limit)


def _show(result: Mapping[str, Any], limit: int) -> None:
    a, b, n = result["first"], result["second"], result["n"]

    def points(fractions: list[float]) -> str:
        return " to ".join(f"{100 * each:+.1f}" for each in fractions)

    lines = [("Questions", f"{n} that both have met")]
    for side in (a, b):
        silent = f", {side['unanswered']} without an answer" if side["unanswered"] else ""
        lines.append((side["name"], f"{side['correct']} right, {side['correct'] / n:.4f}{silent}"))
    lines += [
        ("Both right", str(result["both_right"])),
        (f"Only {a['name']}", str(result["only_first"])),
        (f"Only {b['name']}", str(result["only_second"])),
        ("Neither", str(result["neither"])),
        ("Difference", f"{100 * result['difference']:+.1f} points"),
        ("95 % interval", f"{points(result['interval'])} points (Newcombe)"),
        ("Bootstrap", f"{points(result['bootstrap'])} points (2,000 paired resamples)"),
        ("Exact McNemar", f"p = {result['p']:.4f}"),
        ("Verdict", verdict(result)),
    ]
    output.fields([(output.clean(name), value) for name, value in lines])
    if result["provisional"]:
        output.note("the pool is not paid yet: what its last board counts")
    shown = result["questions"][:limit]
    told = all(each["gold"] for each in shown)
    if shown:
        output.heading("Questions that only one got right")
        output.table(
            ["Question", "Text", *["Right"][:told], a["name"], b["name"]],
            [
                [
                    each["id"],
                    f"{each['context']} {each['question']}",
                    *[_choice(each, each["gold"])][:told],
                    _choice(each, each["first"]),
                    _choice(each, each["second"]),
                ]
                for each in shown
            ],
            right=["Question"],
        )
    if not told:
        output.note("which choice is right is told when no pool asks any more")
    if more := len(result["questions"]) - len(shown):
        output.note(f"{more} more: --limit {len(result['questions'])}, or --json")


def verdict(result: Mapping[str, Any]) -> str:
    """Say whether two entries can be told apart, among all of their pool."""
    if result["told_apart"]:
        better = "first" if result["difference"] > 0 else "second"
        return f"{result[better]['name']} is better"
    beside = ""
    if result["p"] <= 0.05:
        beside = ": alone they could be, but not among all pairs of the pool (Holm 5 %)"
    return f"they cannot be told apart{beside}"


def _choice(question: Mapping[str, Any], choice: int | None) -> str:
    if choice is None:
        return "no answer"
    return f"{ascii_uppercase[choice - 1]} {question['choices'][choice - 1]}" if choice else "none"
