"""benchpool pool: the messages of a benchmark pool under short names; see docs/protocol.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption, VerboseOption
from benchpool.cli.report_files import (
    CsvOption,
    ForceOption,
    HtmlOption,
    ParquetOption,
    PngOption,
    ReportFiles,
)

if TYPE_CHECKING:
    from benchpool.client.pools import PoolClient
    from benchpool.client.writer import Writer
    from benchpool.network import Network

app = typer.Typer(
    help="Fund pools, enter models and read leaderboards.\n\n"
    "Example: benchpool pool create --dataset SiqaDataset --allocation WinnerTakesAll --funds 1.5",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PoolArgument = Annotated[
    str,
    typer.Argument(
        metavar="POOL",
        help="A pool's id, the beginning of it, or its title.",
        autocompletion=completion.pools,
    ),
]
BenchmarkOption = Annotated[
    str,
    typer.Option(
        "--benchmark",
        metavar="PROCESS",
        help="The Benchmark process.",
        autocompletion=completion.processes,
    ),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="PROCESS",
        help="The token process.",
        autocompletion=completion.processes,
    ),
]


def pool_client(
    network: Network, benchmark: str, writer: Writer | None = None, *, verbose: bool = False
) -> PoolClient:
    """Return who talks to the Benchmark; with `verbose` it tells what it asks and sends."""
    from benchpool.cli.pool_view import Verbose
    from benchpool.client.pools import PoolClient

    watch = Verbose(network) if verbose else None
    return PoolClient(network, benchmark, writer=writer, watch=watch)


@app.command("list")
def list_pools(
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List the pools of a Benchmark.

    Example: benchpool pool list
    """
    from benchpool.cli import view
    from benchpool.client.words import rule_text
    from benchpool.winston import format_war

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        pools = client.pools()
        name_of = view.names(network)
    if as_json:
        output.print_json([pool.facts for pool in pools])
    elif pools:
        output.table(
            ["Pool", "Title", "Data set", "Funds", "Allocation", "Status", "Ends", "Entries"],
            [
                (
                    pool.id,
                    pool.title,
                    name_of(pool.dataset),
                    format_war(int(pool.text("funds"))),
                    pool.text("allocation"),
                    pool.text("status"),
                    view.moment(pool.facts["end_time"]),
                    pool.entries,
                )
                for pool in pools
            ],
            right=["Funds", "Entries"],
        )
        for name in dict.fromkeys(pool.text("allocation") for pool in pools):
            output.note(rule_text(name))
    else:
        output.note("no pools yet; make one with: benchpool pool create")


@app.command("leaderboard")
def leaderboard(
    pool: PoolArgument,
    *,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Show it again each time it changes, until Ctrl-C."),
    ] = False,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show how a pool's entries rank.

    With --watch the board stays in its place and follows the pool until it is settled; into a
    pipe goes each board that differs, with --json one a line.

    Example: benchpool pool leaderboard 4fT9 --watch
    """
    if watch:
        from benchpool.cli.pool_watch import watch as watch_board

        try:
            with session.reading(home) as network:
                watch_board(
                    network,
                    pool_client(network, benchmark, verbose=verbose),
                    pool,
                    as_json=as_json,
                )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        return
    from benchpool.cli import view
    from benchpool.cli.pool_view import print_board, say_how_sure
    from benchpool.client.standing import Field
    from benchpool.client.words import rule_text, why_refunded

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = client.find(pool)
        rows = Field(client, found, client.leaderboard(found.id)).standings()
        name_of = view.names(network)
        next_ms = client.next_ranking() if found.text("status") == "open" else None
    if as_json:
        output.print_json(rows)
        return
    if rows:
        print_board(rows, name_of)
        say_how_sure(rows)
        output.note(f"by {rows[0]['protocol']}; more of it: benchpool pool report")
    else:
        output.note("no entries yet; enter one with: benchpool pool join POOL --model M")
    output.note(rule_text(found.text("allocation")))
    if next_ms is not None:
        ranked = any(row["total"] for row in rows)
        said = "ranked again" if ranked else "nothing is ranked yet; ranked first"
        output.note(f"{said} at {view.moment(next_ms)}")
    if why := why_refunded(found.facts, rows):
        output.note(f"refunded: {why}")


@app.command("show")
def show(
    pool: PoolArgument,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show a pool with all that is known of it.

    Example: benchpool pool show 4fT9
    """
    from benchpool.cli import view
    from benchpool.cli.pool_view import (
        bound,
        print_board,
        print_pool,
        say_how_sure,
    )
    from benchpool.client.standing import Field
    from benchpool.client.words import conditions, why_refunded
    from benchpool.winston import format_war

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = client.get(client.find(pool).id)
        facts = {**found.facts, "models": Field(client, found, found.facts["models"]).standings()}
        name_of = view.names(network)
        next_ms = client.next_ranking() if found.text("status") == "open" else None
    if as_json:
        output.print_json(facts)
        return
    entries, givers = facts["models"], facts["contributions"]
    why = why_refunded(facts, entries)
    more = [
        *conditions(found.payout),
        *bound(found, name_of),
        ("Refunded" if why else "Settled", why or found.text("reason")),
        ("Next ranking", "" if next_ms is None else view.moment(next_ms)),
        ("Entries", str(len(entries))),
    ]
    print_pool(facts, name_of, more)
    if len(givers) > 1:
        output.heading("Contributions")
        rows = [(name_of(giver), format_war(int(amount))) for giver, amount in givers.items()]
        output.table(["From", "Amount"], rows, right=["Amount"])
    if entries:
        output.heading("Entries")
        print_board(entries, name_of)
        say_how_sure(entries)


@app.command("report")
def report(
    pool: PoolArgument,
    *,
    html: HtmlOption = None,
    png: PngOption = None,
    csv: CsvOption = None,
    parquet: ParquetOption = None,
    force: ForceOption = False,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what the answers say beside the scores: how sure, letters, near ties, tokens, failures.

    To show it to somebody, write it to files: a page, a picture, a table of every answer.

    Example: benchpool pool report 4fT9 --html report.html
    """
    from benchpool.cli import view
    from benchpool.cli.pool_view import bound, report_lines
    from benchpool.client.standing import Field
    from benchpool.client.words import why_refunded

    files = ReportFiles(html=html, png=png, csv=csv, parquet=parquet, force=force)
    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = client.get(client.find(pool).id)
        reports = Field(client, found, client.reports(found.id)).standings()
        name_of = view.names(network)
        files.write_pool(network, client, found)
    if as_json:
        output.print_json(reports)
        return
    if found.is_sealed and found.entries:
        output.note("nothing is answered yet: its questions are sealed")
    elif not reports:
        output.note("no entries yet; enter one with: benchpool pool join POOL --model M")
    for each in reports:
        output.line(output.paint(output.clean(each["name"]), "strong"))
        output.fields([(name, value) for name, value in report_lines(each) if value])
    if lines := [(name, value) for name, value in bound(found, name_of) if value]:
        output.heading("What the pool is bound to")
        output.fields(lines)
    if why := why_refunded(found.facts, reports):
        output.note(f"refunded: {why}")
