"""benchpool audit: a statement of one pool that a funder can read, checked from the log alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption
from benchpool.cli.pool import PoolArgument
from benchpool.errors import PrerequisiteError

if TYPE_CHECKING:
    from benchpool.audit.recomputation import Recomputation
    from benchpool.audit.recompute import Again
    from benchpool.audit.statement import Statement

_MARKS = {True: ("✓", "good"), False: ("✗", "error"), None: ("–", "faint")}


def audit(
    pool: PoolArgument,
    *,
    recompute: Annotated[
        int | None,
        typer.Option(
            "--recompute",
            metavar="K",
            min=1,
            help="Ask the models again for K answers an entry, and compare.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            metavar="NATS",
            min=0,
            help="How far a log-likelihood may be off on another runtime; default 2.",
        ),
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Check a pool from the log alone and state what became of its money.

    Trusts no state: scores, ranks and payouts are worked out again; with --recompute the models'
    answers, too. Which ones are drawn follows from the log, so everybody draws the same. Of an
    entry that lies once in 20 answers, 90 draws find a lie with 99 %. Exit code 1: a check failed.
    3: a drawn answer could not be compared; a model's file is missing, or it is text that another
    machine generated.

    Example: benchpool audit "Social IQa demo" --recompute 90
    """
    from benchpool.audit.audit import audit_home
    from benchpool.store.home import find_home

    folder = find_home(home)
    with _again(folder, recompute, margin) as again:
        statement = audit_home(folder, pool, again=again)
    if as_json:
        output.print_json(statement.view())
    else:
        _show(statement)
    if not statement.passed:
        failed = sum(check.passed is False for check in statement.checks)
        output.complain(f"{failed} of {output.count(len(statement.checks), 'check')} failed")
        raise typer.Exit(1)
    if statement.recomputed is not None and statement.recomputed.passed is None:
        raise PrerequisiteError(_why_not(statement.recomputed))


@contextmanager
def _again(folder: Path, draws: int | None, margin: float | None) -> Iterator[Again | None]:
    """Make engines that ask models again, without the answers that the home keeps of them."""
    if draws is None:
        yield None
        return
    from contextlib import closing

    from benchpool.audit.recompute import MARGIN_NATS, Again
    from benchpool.network.build import engines
    from benchpool.units.limits import find_limits

    with (
        closing(engines(find_limits(folder).of_this_machine())) as opened,
        output.progress() as report,
    ):
        yield Again(
            opened,
            draws,
            MARGIN_NATS if margin is None else margin,
            lambda name, done, asked: report(done, asked, f"questions to {name[:20]}"),
        )


def _why_not(done: Recomputation) -> str:
    if not done.unasked:
        return "there are no answers that could be compared"
    reasons = "; ".join(f"{count}: {reason}" for reason, count in done.unasked.items())
    return f"answers that could not be compared: {reasons}"


def _show(statement: Statement) -> None:
    from benchpool.cli.pool_view import (
        MAY_BE,
        PROVISIONAL,
        print_board,
        print_pool,
    )
    from benchpool.cli.view import moment
    from benchpool.client.words import why_refunded
    from benchpool.winston import format_war

    who, pool = statement.name_of, statement.pool
    shown = statement.view()
    entries = [{**each, "joined_at": each["joined_ms"]} for each in shown["entries"]]
    why = why_refunded(shown["pool"], entries)
    names = {pool.dataset: pool.dataset_name}
    more = [("Chance", f"{pool.chance} by guessing"), ("Refunded", why)]
    output.heading("Pool")
    print_pool(shown["pool"], lambda each: names.get(each) or who(each), more)
    output.heading("What came in")
    output.table(
        ["Time", "From", "Amount"],
        [[moment(d.time_ms), who(d.sender), format_war(d.quantity)] for d in pool.deposits],
        right=["Amount"],
    )
    output.heading("Who took part, and how they did")
    if entries:
        print_board(entries, who)
        output.line(MAY_BE)
        if not statement.settled:
            output.line(PROVISIONAL)
    else:
        output.line("nobody")
    models = {row.model: row.name for row in statement.rows}
    output.heading("Who was paid")
    if not statement.paid:
        output.line("nobody yet")
    else:
        output.table(
            ["Time", "To", "Amount", "For", "Transfer"],
            [
                [
                    moment(paid.time_ms),
                    who(paid.recipient),
                    format_war(paid.quantity),
                    models.get(paid.model, paid.model) or f"refund: {why}",
                    paid.transfer,
                ]
                for paid in statement.paid
            ],
            right=["Amount"],
        )
    if statement.recomputed is not None:
        _show_recomputed(statement.recomputed)
    models_too = " and the models" if statement.recomputed is not None else " alone"
    output.heading(f"Checks, from the log{models_too}")
    for check in statement.checks:
        mark, style = _MARKS[check.passed]
        detail = f": {output.clean(check.detail)}" if check.detail else ""
        output.line(f"{check.name}{detail}", f"{output.paint(mark, style)} ", "  ")


def _show_recomputed(done: Recomputation) -> None:
    """Print what the models were asked again, and how likely that finds a lie."""
    from benchpool.audit.recomputation import RARE
    from benchpool.evaluation.planning import draws_to_find

    output.heading("What the models were asked again")
    output.table(
        ["Model", "Answers", "Drawn", "Same bits", "Near", "Lies", "1 lie in 20 found"],
        [
            [
                entry.name,
                entry.answers,
                entry.drawn,
                entry.same,
                entry.near,
                len(entry.lies),
                f"{entry.found:.1%}",
            ]
            for entry in done.entries
        ],
        right=["Answers", "Drawn", "Same bits", "Near", "Lies", "1 lie in 20 found"],
    )
    for entry in done.entries:
        for reason, count in entry.unasked.items():
            output.line(output.clean(f"{entry.name}: {count} not compared: {reason}"), "", "  ")
    needed = draws_to_find(RARE)
    output.line(f"To find one lie in 20 with 99 %, {needed} answers an entry are drawn.")
    if any(entry.near for entry in done.entries):
        output.line(f"Near: another runtime, every log-likelihood within {done.margin:g} nats.")
