"""benchpool eval: what models score on a data set, without a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.default_command import WithDefault
from benchpool.cli.options import HomeOption, JsonOption, WorkersOption, read_limits
from benchpool.cli.questions import find_data
from benchpool.cli.report_files import ForceOption, HtmlOption, ReportFiles
from benchpool.cli.workers import show_workers

if TYPE_CHECKING:
    from benchpool.client.evaluating.questions import Questions
    from benchpool.client.evaluating.run import Evaluation


class Evaluations(WithDefault):
    """The commands below `eval`; what names none of them is a model."""

    default = "run"


app = typer.Typer(
    cls=Evaluations,
    subcommand_metavar="MODEL... | COMMAND [ARGS]...",
    help="""Score models on a data set without a pool, and compare them.

    Example: benchpool eval smollm2-135m --data datasets/siqa-sample.jsonl
    """,
    rich_markup_mode=None,
)

DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="FILE|NAME",
        help="A compiled data set, Social IQa, or a data set of the catalogue.",
        autocompletion=completion.evaluable,
    ),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="cloze or letters, with /bf16 to compute in BF16; default: the data set's first.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", help="Ask only the first N questions."),
]


@app.command("run")
def run(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Models of this machine, GGUF files, or data ids of the home.",
            autocompletion=completion.models,
        ),
    ],
    *,
    data: DataOption,
    protocol: ProtocolOption = None,
    limit: LimitOption = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            metavar="FILE",
            help="Write what became of each question; .jsonl, .csv or .parquet.",
        ),
    ] = None,
    workers: WorkersOption = None,
    html: HtmlOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Ask models the questions of a data set, and print their scores.

    Engines, answers and scores are those of a pool. Answers are kept as they come, in the home if
    there is one, else in the user's cache: after an interrupt the same command goes on.

    Example: benchpool eval smollm2-135m gemma-3-270m --data datasets/siqa-sample.jsonl
    """
    from benchpool.client.evaluating.questions import load_questions
    from benchpool.client.evaluating.samples import check_ending, write_samples
    from benchpool.client.evaluating.summary import compare_all, summarise

    if samples is not None:
        check_ending(samples)
    files = ReportFiles(html=html, force=force)
    questions = load_questions(find_data(data), protocol)
    found = _evaluate(models, questions, limit=limit, home=home, workers=workers, quiet=as_json)
    if samples is not None:
        write_samples(samples, found)
        output.note(f"{samples}: {output.count(sum(len(e.records) for e in found), 'sample')}")
    figures = [summarise(each) for each in found]
    pairs = compare_all(found)
    files.write_eval(_about(questions, found), found, figures, pairs)
    if as_json:
        output.print_json({**_about(questions, found), "models": figures, "pairs": pairs})
    else:
        _show(_about(questions, found), figures, pairs)


@app.command("view")
def view(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What --samples wrote: .jsonl, .csv, .parquet.")
    ],
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any that is free.")
    ] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a file of samples question by question in the browser, on this machine, until Ctrl-C.

    Example: benchpool eval view smollm.jsonl --open
    """
    from benchpool.cli.up import need_server, show_page

    need_server()
    from benchpool.server.dashboard.file_view import serve_samples

    def ready(url: str) -> None:
        output.line(url)
        output.note("Ctrl-C stops it")
        output.flush()
        if open_browser:
            show_page(url)

    serve_samples(file, port, ready)


@app.command("compare")
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A file of samples; with --data or --in, a model.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE|NAME", help="Ask the models these questions."),
    ] = None,
    within: Annotated[
        Path | None,
        typer.Option("--in", metavar="FILE", help="A file of samples that holds both models."),
    ] = None,
    protocol: ProtocolOption = None,
    questions: Annotated[
        int | None,
        typer.Option("--questions", min=1, metavar="N", help="Ask only the first N questions."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, metavar="N", help="Show at most N questions.")
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Tell whether two models differ, by the questions that only one got right.

    Example: benchpool eval compare smollm.jsonl gemma.jsonl
    """
    from benchpool.cli.comparison import show_comparison
    from benchpool.client.evaluating.questions import load_questions
    from benchpool.client.evaluating.samples import read_samples
    from benchpool.client.evaluating.summary import compare as compared

    if data is not None and within is not None:
        raise typer.BadParameter("--data and --in exclude each other")
    if data is None and not (protocol is None and questions is None):
        raise typer.BadParameter("--protocol and --questions go with --data")
    if data is not None:
        asked = load_questions(find_data(data), protocol)
        a, b = _evaluate([first, second], asked, limit=questions, home=home)
    elif within is not None:
        found = read_samples(within)
        a, b = (_of_model(found, name, within) for name in (first, second))
    else:
        a, b = (_only(read_samples(Path(name)), name) for name in (first, second))
    result = compared(a, b, seed=seed)
    if as_json:
        output.print_json(result)
    else:
        show_comparison(result, limit)


def _evaluate(
    models: Sequence[str],
    questions: Questions,
    *,
    limit: int | None,
    home: Path | None,
    workers: str | None = None,
    quiet: bool = False,
) -> list[Evaluation]:
    from benchpool.client.evaluating.room import open_room
    from benchpool.client.evaluating.run import evaluate_all

    with open_room(home, read_limits(home, workers)) as room:
        named = [room.find_model(name) for name in models]
        try:
            with output.progress() as report:

                def show(done: int, total: int, name: str) -> None:
                    report(done, total, f"questions to {name[:20]}")

                found = list(evaluate_all(named, questions, room.engines, limit=limit, report=show))
        except KeyboardInterrupt:
            output.note(
                f"interrupted; the answers so far are in {room.answers}: run the same command again"
                " to go on"
            )
            raise session.Interrupted from None
        if not quiet:
            show_workers(room.engines)
        if home is not None and room.data is None:
            output.note(f"{home} holds no network; answers are kept in {room.answers}")
    return found


def _of_model(found: Sequence[Evaluation], name: str, file: Path) -> Evaluation:
    for each in found:
        if each.model == name:
            return each
    there = ", ".join(each.model for each in found)
    raise typer.BadParameter(f"{file} holds no model {name!r}; it holds {there}")


def _only(found: Sequence[Evaluation], file: str) -> Evaluation:
    if len(found) > 1:
        there = " ".join(each.model for each in found[:2])
        raise typer.BadParameter(
            f"{file} holds {len(found)} models; name two of them, such as: {there} --in {file}"
        )
    return found[0]


def _about(questions: Questions, found: Sequence[Evaluation]) -> dict[str, Any]:
    return {
        "data": questions.name,
        "data_sha256": questions.sha256,
        "protocol": str(questions.protocol),
        "questions": len(found[0].records),
        "of": len(questions),
    }


def _show(
    about: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], pairs: Sequence[Any]
) -> None:
    from benchpool.client.words import indistinct

    asked, of = about["questions"], about["of"]
    count = output.count(of, "question") if asked == of else f"the first {asked:,} of {of:,}"
    output.fields(
        [
            ("Data", f"{about['data']}, {count}"),
            ("SHA-256", about["data_sha256"]),
            ("Protocol", about["protocol"]),
        ]
    )
    output.line()
    metrics = list(dict.fromkeys(name for each in figures for name in each["metrics"]))
    numbers = ["Right", "Accuracy", "95 % interval"]
    per_character = any(each["accuracy_per_character"] is not None for each in figures)
    numbers += [*["Per character"][:per_character], *metrics, "Unscored"]
    output.table(
        ["Model", *numbers],
        [
            [
                each["model"],
                each["correct"],
                _fraction(each["accuracy"]),
                " to ".join(map(_fraction, each["interval"])),
                *[_fraction(each["accuracy_per_character"])][:per_character],
                *(_fraction(each["metrics"].get(name)) for name in metrics),
                each["unscored"],
            ]
            for each in figures
        ],
        right=numbers,
    )
    for each in figures:
        for reason, times in each["reasons"].items():
            output.note(f"{each['model']}: {output.count(times, 'question')} unscored: {reason}")
        if each["p_chance"] is not None and each["p_chance"] > 0.05:
            output.note(
                f"{each['model']} is within the noise of guessing, {each['chance']:.4f}"
                f" (exact binomial p = {each['p_chance']:.2f})"
            )
    for pair in pairs:
        output.line(output.clean(f"{indistinct(pair)}."))


def _fraction(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
