"""Options that say how a pool is paid out, and reading what people type into them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from benchpool.cli import completion
from benchpool.pools.sentences import CONDITIONS, RULES, conditions_text

ALLOCATION_HELP = "How the funds are divided. " + " ".join(
    f"{name}: {sentence}" for name, sentence in RULES.items()
)
AllocationOption = Annotated[
    str,
    typer.Option(
        "--allocation", metavar="RULE", help=ALLOCATION_HELP, autocompletion=completion.rules
    ),
]
EligibleOption = Annotated[
    str | None,
    typer.Option(
        "--eligible",
        metavar="|".join(CONDITIONS["X-Eligible"]),
        help=conditions_text("X-Eligible"),
    ),
]
NearCopiesOption = Annotated[
    str | None,
    typer.Option(
        "--near-copies",
        metavar="|".join(CONDITIONS["X-Near-Copies"]),
        help=conditions_text("X-Near-Copies"),
    ),
]
TiesOption = Annotated[
    str | None,
    typer.Option("--ties", metavar="|".join(CONDITIONS["X-Ties"]), help=conditions_text("X-Ties")),
]
PlacesOption = Annotated[
    int | None,
    typer.Option("--places", min=1, metavar="K", help=conditions_text("X-Places")),
]


def payout_tags(
    *,
    allocation: str | None = None,
    eligible: str | None = None,
    near_copies: str | None = None,
    ties: str | None = None,
    places: int | None = None,
) -> dict[str, str]:
    """Return the tags of the options that were given."""
    tags = {
        "X-Allocation": allocation,
        "X-Eligible": eligible,
        "X-Near-Copies": near_copies,
        "X-Ties": ties,
        "X-Places": None if places is None else str(places),
    }
    return {name: value for name, value in tags.items() if value}


def read_moment(text: str, option: str) -> int:
    """Read a time in milliseconds, or as commands print it. Raises: typer.BadParameter."""
    if text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write it like 2025-01-31T00:00:00Z", param_hint=option
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def is_duration(text: str) -> bool:
    """Tell whether a text is a duration such as 7d, rather than a time."""
    from benchpool.ao.clock import parse_duration
    from benchpool.errors import ConfigError

    try:
        parse_duration(text)
    except ConfigError:
        return False
    return True
