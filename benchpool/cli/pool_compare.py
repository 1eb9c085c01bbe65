"""benchpool pool compare: whether one entry of a pool is better than another."""

from __future__ import annotations

from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.comparison import show_comparison
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
        show_comparison(result, limit)
