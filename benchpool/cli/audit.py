"""benchpool audit: a statement of one pool that a funder can read, checked from the log alone."""

from __future__ import annotations

from collections.abc import Callable
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
        output.complain(f"{failed} of {len(statement.checks)} checks failed")
        raise typer.Exit(1)


def _show(statement: Statement) -> None:
    from benchpool.cli.view import moment
    from benchpool.winston import format_war

    pool = statement.pool

    who = statement.name_of
    _head("Pool")
    output.fields(
        [
            ("Id", pool.id),
            ("Title", pool.title or "(none)"),
            ("Status", statement.status),
            ("Funds", format_war(pool.funds)),
            ("Funder", who(pool.funder)),
            ("Open", f"{moment(pool.start_ms)} to {moment(pool.end_ms)}"),
            ("Data set", f"{pool.dataset_name}, {pool.protocol}"),
            ("Rule", pool.allocation),
        ]
    )
    _head("What came in")
    output.table(
        ["Time", "From", "Amount"],
        [[moment(d.time_ms), who(d.sender), format_war(d.quantity)] for d in pool.deposits],
        right=["Amount"],
    )
    _head("Who took part, and how they did")
    if not statement.rows:
        output.line("nobody")
    else:
        _show_board(statement, who)
    models = {row.model: row.name for row in statement.rows}
    _head("Who was paid")
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
                    models.get(paid.model, paid.model) or "refund",
                    paid.transfer,
                ]
                for paid in statement.paid
            ],
            right=["Amount"],
        )
    _head("Checks, from the log alone")
    for check in statement.checks:
        mark, style = _MARKS[check.passed]
        detail = f": {output.clean(check.detail)}" if check.detail else ""
        output.paragraph(f"{check.name}{detail}", f"{output.paint(mark, style)} ", "  ")


def _show_board(statement: Statement, who: Callable[[str], str]) -> None:
    from benchpool.cli.view import moment
    from benchpool.winston import format_war

    rows = [
        [
            row.rank,
            row.name,
            who(row.participant),
            moment(row.joined_ms),
            f"{row.correct}/{row.total}",
            _accuracy(row.correct, row.evaluated, row.standard_error),
            format_war(row.reward),
        ]
        for row in statement.rows
    ]
    headers = ["Rank", "Model", "Participant", "Joined", "Correct", "Accuracy", "Share"]
    output.table(headers, rows, right=["Rank", "Correct", "Accuracy", "Share"])


def _accuracy(correct: int, evaluated: int, error: float | None) -> str:
    if not evaluated:
        return "no answers"
    spread = "" if error is None else f" ± {error:.4f}"
    return f"{correct / evaluated:.4f}{spread}"


def _head(text: str) -> None:
    output.line()
    output.line(output.paint(text, "strong"))
