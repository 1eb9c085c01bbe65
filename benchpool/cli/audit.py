"""benchpool audit: a statement of one pool that a funder can read, checked from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption
from benchpool.cli.pool import PoolArgument

if TYPE_CHECKING:
    from benchpool.audit.statement import Statement

_MARKS = {True: ("✓", "good"), False: ("✗", "error"), None: ("–", "faint")}


def audit(pool: PoolArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Check a pool from the log alone and state what became of its money.

    Trusts no state: scores, ranks and payouts are worked out again. Exit code 1: a check failed.

    Example: benchpool audit "Social IQa demo"
    """
    from benchpool.audit.audit import audit_home
    from benchpool.store.home import find_home

    statement = audit_home(find_home(home), pool)
    if as_json:
        output.print_json(statement.view())
    else:
        _show(statement)
    if not statement.passed:
        failed = sum(check.passed is False for check in statement.checks)
        output.complain(f"{failed} of {output.count(len(statement.checks), 'check')} failed")
        raise typer.Exit(1)


def _show(statement: Statement) -> None:
    from benchpool.cli.pool_view import (
        MAY_BE,
        PROVISIONAL,
        print_board,
        print_pool,
        why_refunded,
    )
    from benchpool.cli.view import moment
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
    output.heading("Checks, from the log alone")
    for check in statement.checks:
        mark, style = _MARKS[check.passed]
        detail = f": {output.clean(check.detail)}" if check.detail else ""
        output.line(f"{check.name}{detail}", f"{output.paint(mark, style)} ", "  ")
