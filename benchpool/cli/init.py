"""benchpool init: a network for pools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption


def init(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Questions: JSON Lines, a JSON list, or the official Social IQa archive or"
            " folder; default: the sample that benchpool ships.",
        ),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a network for pools: WrappedAR, Benchmark, LlamaRouter, LlamaHerder and SiqaDataset.

    Called again, it keeps what is there and adds what is missing.

    Example: benchpool init
    """
    from benchpool.client.deployment import deploy
    from benchpool.evaluation.sample import load_samples, to_json

    samples = None if data is None else to_json(load_samples(data)).encode()
    with session.writing(home, new=True) as (network, writer), session.working(network, writer):
        names = deploy(network, writer=writer, samples=samples).names()
    if as_json:
        output.print_json(names)
    else:
        output.fields(list(names.items()))
