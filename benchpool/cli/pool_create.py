"""benchpool pool create: fund a pool, on terms that are fixed with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import FromOption, HomeOption, JsonOption, VerboseOption
from benchpool.cli.pool import BenchmarkOption, TokenOption, pool_client
from benchpool.cli.pool_terms import (
    AllocationOption,
    EligibleOption,
    NearCopiesOption,
    PlacesOption,
    TiesOption,
    is_duration,
    payout_tags,
    read_moment,
)
from benchpool.pools.sentences import BOND, CONTROLS

if TYPE_CHECKING:
    from benchpool.ao.wallet import Wallet
    from benchpool.client.writer import Writer
    from benchpool.network import Network


def create(
    *,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            metavar="D",
            help="A process, by name or id, a compiled file, or what dataset pull has brought.",
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
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="WHEN",
            help="When it begins: in 12h, or at 2025-01-31T00:00:00Z; default now.",
        ),
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", help="How long it is open, such as 12h; default 30d."),
    ] = None,
    join_until: Annotated[
        str | None,
        typer.Option(
            "--join-until",
            metavar="WHEN",
            help="Until when models may join: 7d after the start, or a time; default the end.",
        ),
    ] = None,
    eligible: EligibleOption = None,
    near_copies: NearCopiesOption = None,
    ties: TiesOption = None,
    places: PlacesOption = None,
    bond: Annotated[
        str | None, typer.Option("--bond", metavar="WAR", help=f"In wAR, such as 0.01. {BOND}")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SHA256",
            help="Only make it for these questions; see: benchpool data hash FILE.",
        ),
    ] = None,
    sealed: Annotated[
        str | None,
        typer.Option(
            "--sealed",
            metavar="SHA256",
            help="The seal of questions that are told when nobody can join any more;"
            " see: benchpool data seal FILE.",
        ),
    ] = None,
    controls: Annotated[
        str | None,
        typer.Option(
            "--controls",
            metavar="C,...",
            help=" ".join(f"{name}: {text}" for name, text in CONTROLS.items()),
        ),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Option(
            "--remote",
            metavar="allow",
            help="allow: models may enter that a server runs, whose answers nobody can recompute.",
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            metavar="ID",
            help="What models must be computed on: what a model's Info calls Runtime; default: what"
            " the first that joins is computed on.",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="What to call it.")] = None,
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    token: TokenOption = "WrappedAR",  # noqa: S107 - a process
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Fund a pool by a Transfer to the Benchmark, and print the pool's id.

    Example: benchpool pool create --dataset SiqaDataset --allocation WinnerTakesAll --funds 1.5
    """
    from benchpool.ao.clock import parse_duration
    from benchpool.cli.pool_view import say_what_ranks_get
    from benchpool.client.plan import EXPECTED, Plan
    from benchpool.client.words import rule_text
    from benchpool.pools.terms import PayoutTerms
    from benchpool.winston import format_war

    quantity = read_war(funds, "--funds", "a pool")
    bonded = None if bond is None else str(read_war(bond, "--bond", "a bond"))
    if duration is not None:
        parse_duration(duration)
    if join_until is not None and not is_duration(join_until):
        join_until = str(read_moment(join_until, "--join-until"))
    with session.writing(home) as (network, writer):
        client = pool_client(network, benchmark, writer, verbose=verbose)
        funder = session.signer(network, writer, sender)
        asked = _dataset(network, writer, dataset, benchmark, funder)
        if start is not None:
            begins = is_duration(start) and network.clock.now() + parse_duration(start)
            start = str(begins or read_moment(start, "--start"))
        tags = {
            "X-Dataset": asked,
            "X-Protocol": protocol or client.first_protocol(asked),
            "X-Start": start,
            "X-Duration": duration,
            "X-Join-Until": join_until,
            "X-Bond": bonded,
            "X-Data": data,
            "X-Sealed": sealed,
            "X-Controls": controls,
            "X-Remote": remote,
            "X-Runtime": runtime,
            "X-Title": title,
            **payout_tags(
                allocation=allocation,
                eligible=eligible,
                near_copies=near_copies,
                ties=ties,
                places=places,
            ),
        }
        terms = {name: value for name, value in tags.items() if value}
        created = client.create(
            token=network.resolve(token),
            quantity=quantity,
            terms=terms,
            funder=funder,
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


def _dataset(network: Network, writer: Writer, name: str, benchmark: str, owner: Wallet) -> str:
    """Return the process of a data set: one that is there, else a new one for a compiled file.

    Raises: UnknownProcess, PrerequisiteError if there is neither; DatasetError, ConfigError if the
        file makes none.
    """
    from benchpool.client.deployment import find_compiled, spawn_dataset
    from benchpool.errors import UnknownProcess
    from benchpool.tasks.catalogue.shelf import DatasetShelf

    try:
        return network.resolve(name)
    except UnknownProcess:
        path = Path(name).expanduser()
        if not path.is_file():
            shelf = DatasetShelf()
            if name not in shelf.entries:
                raise
            path = shelf.find(name)
    called, there = find_compiled(network, path)
    if there is not None:
        return there
    spawned = spawn_dataset(network, path, called, benchmark=benchmark, writer=writer, sender=owner)
    output.note(f"spawned {called}, a CompiledDataset, of {path}")
    return spawned


def read_war(text: str, option: str, what: str) -> int:
    """Read an amount that must be more than nothing. Raises: typer.BadParameter."""
    from benchpool.errors import InvalidQuantity
    from benchpool.winston import parse_war

    try:
        quantity = parse_war(text)
    except InvalidQuantity as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if quantity == 0:
        raise typer.BadParameter(f"{what} needs more than nothing", param_hint=option)
    return quantity
