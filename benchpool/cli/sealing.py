"""benchpool data hash and seal, pool reveal: questions that nobody sees before models are fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import FromOption, HomeOption, JsonOption, VerboseOption
from benchpool.cli.pool import BenchmarkOption, PoolArgument, pool_client
from benchpool.cli.questions import QuestionFile, find_data, read_questions

QuestionsArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Questions, or the name of a pulled data set."),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="D",
        help="The dataset process that will read them; default: what the file is.",
        autocompletion=completion.datasets,
    ),
]


def hash_(
    file: QuestionsArgument,
    *,
    dataset: DatasetOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Print the SHA-256 of questions, by which pools are bound to them, whatever form they are in.

    Example: benchpool data hash datasets/siqa-sample.jsonl
    """
    read = _load(file, dataset, home)
    if as_json:
        output.print_json({"samples": len(read.samples), "samples_sha256": read.sha256})
    else:
        output.line(read.sha256)
        output.note(f"{output.count(len(read.samples), 'question')}; pool create --data takes it")


def seal(
    file: QuestionsArgument,
    *,
    salt: Annotated[
        str | None, typer.Option("--salt", metavar="S", help="Your own; default a random one.")
    ] = None,
    dataset: DatasetOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Print a seal for a pool whose questions are told when nobody can join any more.

    Example: benchpool data seal questions.jsonl
    """
    from secrets import token_urlsafe

    read, salt = _load(file, dataset, home), salt or token_urlsafe(24)
    made = {
        "salt": salt,
        "seal": read.seal(salt),
        "samples": len(read.samples),
        "samples_sha256": read.sha256,
    }
    if as_json:
        output.print_json(made)
        return
    names = ("Salt", "Seal", "Questions", "SHA-256")
    output.fields(list(zip(names, made.values(), strict=True)))
    output.note("keep the salt, and both secret: without it nobody can reveal the questions")
    output.note(f"next: benchpool pool create --sealed {made['seal']}")


def reveal(
    pool: PoolArgument,
    *,
    salt: Annotated[str, typer.Option("--salt", metavar="S", help="That of the seal.")],
    file: Annotated[
        Path, typer.Option("--file", metavar="FILE", help="The questions, as they were sealed.")
    ],
    sender: FromOption = None,
    benchmark: BenchmarkOption = "Benchmark",
    verbose: VerboseOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Load the questions of a sealed pool, once nobody can join any more.

    The data set's owner can do it. What would refund the pool, or another one that waits for this
    data set, is not sent.

    Example: benchpool pool reveal 4fT9 --salt hWz8 --file questions.jsonl
    """
    from benchpool.client.sealing import check_reveal

    with session.writing(home) as (network, writer):
        client = pool_client(network, benchmark, writer, verbose=verbose)
        found = client.get(client.find(pool).id)
        read = read_questions(file, network, found.dataset)
        owner = session.signer(network, writer, sender)
        now_ms = network.clock.now()
        check_reveal(client, found, owner, made=read.seal(salt), now_ms=now_ms)
        data_id = network.data.put_file(file)
        with session.working(network, writer):
            client.reveal(found, data_id, salt, owner=owner)
        revealed = client.get(found.id)
    if as_json:
        output.print_json({"pool": revealed.id, **revealed.binding})
    else:
        output.line(revealed.binding["samples_sha_256"])
        count = output.count(len(read.samples), "question")
        output.note(f"{count} revealed; entries are evaluated now")


def _load(file: Path, dataset: str | None, home: Path | None) -> QuestionFile:
    path = find_data(str(file))
    if dataset is None:
        return read_questions(path)
    with session.reading(home) as network:
        return read_questions(path, network, dataset)
