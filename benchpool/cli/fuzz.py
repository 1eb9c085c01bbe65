"""benchpool fuzz: simulated faults, seed by seed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output
from benchpool.cli.options import JsonOption

if TYPE_CHECKING:
    from benchpool.simulation.coverage import Coverage
    from benchpool.simulation.fuzz import Report

_SHOWN = (
    ("operations", "operations"),
    ("messages sent", "messages sent"),
    ("writes", "writes"),
    ("interruptions", "interruptions"),
    ("openings", "homes opened"),
    ("resumed messages", "messages resumed"),
    ("live batches", "batches in lanes"),
    ("live batches of several", "of several messages"),
    ("lanes at once", "evaluated beside others"),
    ("given up in lanes", "messages given up in lanes"),
)


def fuzz(
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="How many seeds to run.")
    ] = 100,
    start: Annotated[int, typer.Option("--start", metavar="S", min=0, help="The first seed.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Seeds at a time; default: one a core."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run pools in virtual time with crashes and faults of all kinds; check what must hold.

    A scripted engine stands in for the models. Exit code 1 if a seed fails; each seed that does is
    made small and printed with the command that runs it again.

    Example: benchpool fuzz --seeds 20
    """
    from benchpool.simulation import coverage
    from benchpool.simulation.fuzz import fuzz as run
    from benchpool.simulation.fuzz import total

    started = time.monotonic()
    reports = []
    if not as_json:
        output.note("a scripted engine stands in for the models: nothing here is inference")
    with output.progress() as report:
        for done in run(range(start, start + seeds), workers=workers or os.cpu_count() or 1):
            reports.append(done)
            report(len(reports), seeds, "seeds")
            if done.violations and not as_json:
                _print(done)
    seconds = time.monotonic() - started
    failed = [each for each in reports if each.violations]
    counts, met = total(reports), coverage.total(each.coverage for each in reports)
    if as_json:
        output.print_json(
            {
                "engine": "scripted",
                "seeds": seeds,
                "start": start,
                "ok": not failed,
                "seconds": round(seconds, 3),
                "counts": counts,
                "coverage": met.view(),
                "failed": [each.view() for each in failed],
            }
        )
    else:
        _print_total(seeds, len(failed), seconds, counts)
        _print_coverage(met)
    if failed:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    output.line(f"{output.paint('✗', 'error')} seed {report.seed}")
    for violation in report.violations:
        output.line(f"{violation.invariant}: {output.clean(violation.text)}", "    ", "      ")
    if report.scenario:
        output.line("    the shortest scenario that still fails:")
        for line in report.scenario:
            output.verbatim(f"      {output.clean(line)}")
    output.line(f"    run it again: {report.command}")


def _print_total(seeds: int, failed: int, seconds: float, counts: dict[str, int]) -> None:
    pairs: list[tuple[str, object]] = [
        ("seeds", f"{seeds}, {failed} failed"),
        ("seeds a minute", f"{seeds * 60 / seconds:,.0f}"),
    ]
    pairs += [(title, f"{counts.get(name, 0):,}") for name, title in _SHOWN]
    pairs += [(k, f"{n:,}") for k, n in counts.items() if k.startswith(("crash:", "fault:"))]
    output.fields(pairs)


def _print_coverage(met: Coverage) -> None:
    output.line()
    output.fields([(f"{kind}", f"{n:,}") for kind, n in sorted(met.operations.items())])
    output.line()
    columns = ("wallets", "processes", "ticks", "ok", "error", "refused")
    rows = [
        [action, *(f"{counts[column] or '-'}" for column in columns)]
        for action, counts in met.actions().items()
        if counts["wallets"] + counts["processes"] + counts["ticks"] > counts["refused"]
    ]
    output.table(["Action", *(column.capitalize() for column in columns)], rows, right=columns)
    output.line()
    never = met.never()
    output.line(f"handlers never met: {', '.join(never) or 'none'}")
