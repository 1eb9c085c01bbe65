"""benchpool model stats: how fast models answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output
from benchpool.cli.options import HomeOption, JsonOption
from benchpool.errors import InferenceError

if TYPE_CHECKING:
    from benchpool.inference.runs import RunTotals


def stats(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A name, or the first of a SHA-256.",
            autocompletion=completion.models,
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how fast models answered in this home, and on what they ran.

    Example: benchpool model stats
    """
    import sqlite3
    from contextlib import closing

    from benchpool.inference import runs
    from benchpool.inference.answer_cache import FILE_NAME
    from benchpool.store.connections import sqlite_uri
    from benchpool.store.home import Home, find_home

    path = Home(find_home(home)).answers / FILE_NAME
    found: list[RunTotals] = []
    if path.exists():
        uri = sqlite_uri(path, read_only=True)
        try:
            with closing(sqlite3.connect(uri, uri=True)) as database:
                found = runs.totals(database)
        except (sqlite3.Error, ValueError) as error:
            raise InferenceError(
                f"{path} cannot be read: {error}; it is a cache: remove it, and it is made anew"
            ) from None
    if model is not None:
        found = [one for one in found if one.name == model or one.model.startswith(model)]
    if as_json:
        output.print_json([_stats_json(one) for one in found])
    elif found:
        _show_stats(found)
    else:
        output.note("no model was asked in this home yet" if model is None else f"none of {model}")


def _stats_json(one: RunTotals) -> dict[str, Any]:
    import msgspec

    known: dict[str, Any] = msgspec.to_builtins(one)
    return known | {
        "tokens_per_second": round(one.tokens_per_second, 1),
        "questions_per_second": round(one.questions_per_second, 2),
    }


def _show_stats(found: Sequence[RunTotals]) -> None:
    headers = ["Model", "SHA-256", "Weights", "Precision", "Layout", "Answered", "Cached"]
    numbers = ["Unanswered", "Tokens", "Tokens/s a worker", "Questions/s"]
    output.table(
        [*headers, *numbers],
        [
            (
                one.name,
                one.model[:12],
                one.quantization,
                one.runtime.precision,
                one.runtime.layout,
                one.answered,
                one.cached,
                one.unanswered,
                one.tokens,
                output.rate(one.tokens_per_second),
                output.rate(one.questions_per_second),
            )
            for one in found
        ],
        right=["Answered", "Cached", *numbers],
    )
    for runtime in dict.fromkeys((one.runtime.build, one.runtime.cpu) for one in found):
        output.note(f"{runtime[0]}; {runtime[1]}")
