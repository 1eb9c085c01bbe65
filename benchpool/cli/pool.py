"""benchpool pool: the messages of a benchmark pool under short names; see docs/protocol.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import FromOption, HomeOption, JsonOption, VerboseOption

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

_WRAPPED_AR = "WrappedAR"
_RULES = (
    "How the funds are divided. ArithmeticDecrease: Of n entries the first gets n parts, the second"
    " n - 1, and the last one part. GeometricDecrease: Every entry gets twice what the next one"
    " gets. WinnerTakesAll: The best entry gets everything. Equal: Every entry that answered"
    " anything gets the same. Proportional: Every entry gets in proportion to its score above a"
    " blind guess."
)
"""The rules' own sentences, which are slow to import."""

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
AllocationOption = Annotated[
    str,
    typer.Option("--allocation", metavar="RULE", help=_RULES, autocompletion=completion.rules),
]


def pool_client(
    network: Network, benchmark: str, writer: Writer | None = None, *, verbose: bool = False
) -> PoolClient:
    """Return who talks to the Benchmark; with `verbose` it tells what it asks and sends."""
    from benchpool.cli.pool_view import Verbose
    from benchpool.client.pools import PoolClient

    watch = Verbose(network) if verbose else None
    return PoolClient(network, benchmark, writer=writer, watch=watch)


@app.command("create")
def create(
    *,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="D",
            help="The dataset process, by name or id.",
            autocompletion=completion.datasets,
        ),
    ],
    allocation: AllocationOption,
    funds: Annotated[str, typer.Option("--funds", metavar="WAR", help="In wAR, such as 1.5.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="cloze or letters, with /bf16 to compute in BF16; default: the data set's first.",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", help="How long it is open, such as 12h; default 30d."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="What to call it.")] = None,
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    token: Annotated[
        str,
        typer.Option(
            "--token",
            metavar="PROCESS",
            help="The token process.",
            autocompletion=completion.processes,
        ),
    ] = _WRAPPED_AR,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Fund a pool by a Transfer to the Benchmark, and print the pool's id.

    Example: benchpool pool create --dataset SiqaDataset --allocation WinnerTakesAll --funds 1.5
    """
    from benchpool.ao.clock import parse_duration
    from benchpool.cli.pool_view import rule_text, say_what_ranks_get
    from benchpool.client.plan import EXPECTED, Plan
    from benchpool.errors import InvalidQuantity
    from benchpool.pools.terms import PayoutTerms
    from benchpool.winston import format_war, parse_war

    try:
        quantity = parse_war(funds)
    except InvalidQuantity as error:
        raise typer.BadParameter(str(error), param_hint="--funds") from None
    if quantity == 0:
        raise typer.BadParameter("a pool needs more than nothing", param_hint="--funds")
    if duration is not None:
        parse_duration(duration)
    with session.writing(home) as (network, writer):
        client = pool_client(network, benchmark, writer, verbose=verbose)
        asked = network.resolve(dataset)
        tags = {
            "X-Dataset": asked,
            "X-Allocation": allocation,
            "X-Protocol": protocol or client.first_protocol(asked),
            "X-Duration": duration,
            "X-Title": title,
        }
        terms = {name: value for name, value in tags.items() if value}
        created = client.create(
            token=network.resolve(token),
            quantity=quantity,
            terms=terms,
            funder=session.signer(network, writer, sender),
        )
        made = client.get(created.tags["Pool"])
        samples = int(client.info(asked).get("Samples") or 0)
        rules = PayoutTerms.read(terms, client.chance(made))
    if as_json:
        output.print_json(made.facts)
    else:
        output.line(created.tags["Pool"])
        output.note(f"{format_war(quantity)} by {rule_text(allocation)}")
    say_what_ranks_get(Plan(samples, EXPECTED, rules, quantity))


@app.command("join")
def join(
    pool: PoolArgument,
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="M",
            help="A process, a model of this machine, or a GGUF file.",
            autocompletion=completion.entries,
        ),
    ],
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    router: Annotated[
        str | None,
        typer.Option(
            "--router",
            metavar="PROCESS",
            help="Default: the one the data set asks.",
            autocompletion=completion.processes,
        ),
    ] = None,
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Enter a model into a pool; one that is no process yet is stored and gets a LlamaWorker.

    Example: benchpool pool join 4fT9 --model smollm2-135m --from alice
    """
    with session.writing(home) as (network, writer):
        owner = session.signer(network, writer, sender)
        client = pool_client(network, benchmark, writer, verbose=verbose)
        entered = client.find(pool)
        with session.working(network, writer):
            worker = client.worker(model, entered, router=router, owner=owner)
            joined = client.join(entered.id, worker, owner=owner)
    if as_json:
        output.print_json({"pool": entered.id, "model": worker, "name": joined.tags.get("Name")})
    else:
        output.line(worker)
        output.note(f"{model} joined {entered.title or entered.id}")


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
    from benchpool.cli.pool_view import rule_text
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
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show how a pool's entries rank.

    Example: benchpool pool leaderboard 4fT9
    """
    from benchpool.cli import view
    from benchpool.cli.pool_view import print_board, rule_text, say_how_sure, why_refunded
    from benchpool.client.standing import Field

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
    from benchpool.cli.pool_view import print_board, print_pool, say_how_sure, why_refunded
    from benchpool.client.standing import Field
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
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what the answers say beside the scores: how sure, letters, near ties, tokens, failures.

    Example: benchpool pool report 4fT9
    """
    from benchpool.cli.pool_view import report_lines, why_refunded
    from benchpool.client.standing import Field

    with session.reading(home) as network:
        client = pool_client(network, benchmark, verbose=verbose)
        found = client.find(pool)
        reports = Field(client, found, client.reports(found.id)).standings()
    if as_json:
        output.print_json(reports)
        return
    if not reports:
        output.note("no entries yet; enter one with: benchpool pool join POOL --model M")
    for each in reports:
        output.line(output.paint(output.clean(each["name"]), "strong"))
        output.fields([(name, value) for name, value in report_lines(each) if value])
    if why := why_refunded(found.facts, reports):
        output.note(f"refunded: {why}")
