"""benchpool pool commit and join: enter a model, and be known as the first to have its weights."""

from __future__ import annotations

from typing import Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import FromOption, HomeOption, JsonOption, VerboseOption
from benchpool.cli.pool import BenchmarkOption, PoolArgument, TokenOption, pool_client

ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="M",
        help="A process, a model of this machine, or a GGUF file.",
        autocompletion=completion.entries,
    ),
]


def commit(
    *,
    model: ModelOption,
    salt: Annotated[
        str | None, typer.Option("--salt", metavar="S", help="Your own; default a random one.")
    ] = None,
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Commit to a model's weights before anybody can see them, and keep the salt that reveals it.

    Whoever copies the weights after they are uploaded was not first then, even if the copy joins
    before the original. Again for the same weights: the first time counts.

    Example: benchpool pool commit --model smollm2-135m --from alice
    """
    from benchpool.cli import view
    from benchpool.client.commitments import FILE, Commitments
    from benchpool.store.home import find_home

    folder = find_home(home)
    with session.writing(home) as (network, writer):
        owner = session.signer(network, writer, sender)
        client = pool_client(network, benchmark, writer, verbose=verbose)
        weights = client.weights(model)
        kept = Commitments(folder).keep(client.benchmark, owner.address, weights, salt or "")
        since = client.commit(kept.sha256, owner=owner)
    if as_json:
        facts = {"commitment": kept.sha256, **kept._asdict(), "committed_at": since}
        output.print_json(facts)
        return
    output.fields(
        [
            ("Commitment", kept.sha256),
            ("Salt", kept.salt),
            ("Weights", weights),
            ("Since", view.moment(since)),
        ]
    )
    output.note(
        f"the salt is kept in {folder / FILE}, where pool join finds it; from another home: --salt"
    )


def join(
    pool: PoolArgument,
    *,
    model: ModelOption,
    salt: Annotated[
        str | None,
        typer.Option(
            "--salt", metavar="S", help="Reveals a commitment; default what pool commit kept."
        ),
    ] = None,
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    token: TokenOption = "WrappedAR",  # noqa: S107 - a process
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

    If the pool asks for a bond, it is paid in wrapped AR.

    Example: benchpool pool join 4fT9 --model smollm2-135m --from alice
    """
    from benchpool.client.commitments import Commitments
    from benchpool.store.home import find_home
    from benchpool.winston import format_war

    with session.writing(home) as (network, writer):
        owner = session.signer(network, writer, sender)
        client = pool_client(network, benchmark, writer, verbose=verbose)
        entered = client.get(client.find(pool).id)
        if entered.bond:
            output.note(f"joining costs a bond of {format_war(entered.bond)}")
        with session.working(network, writer):
            worker = client.worker(model, entered, router=router, owner=owner)
            if salt is None:
                weights = client.weights(worker)
                kept = Commitments(find_home(home)).find(client.benchmark, owner.address, weights)
                salt = kept.salt if kept else ""
            joined = client.join(
                entered.id,
                worker,
                owner=owner,
                salt=salt,
                bond=entered.bond,
                token=network.resolve(token) if entered.bond else "",
            )
    if as_json:
        facts = {"pool": entered.id, "model": worker, "name": joined.tags.get("Name")}
        output.print_json({**facts, "committed": bool(salt), "bond": str(entered.bond)})
        return
    output.line(worker)
    output.note(f"{model} joined {entered.title or entered.id}")
    if salt:
        output.note("its weights are held since they were committed to")
