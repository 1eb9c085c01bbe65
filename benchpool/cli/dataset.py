"""benchpool dataset: data sets of finished requests, from tasks and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import output
from benchpool.cli.options import JsonOption
from benchpool.cli.questions import find_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchpool.evaluation.compiled import Header, Question

app = typer.Typer(
    help="Make, check and look at data sets.\n\nExample: benchpool dataset check mine.jsonl",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="The file; default the task's or table's name here, .jsonl.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Take the first N questions.")
]
NameOption = Annotated[
    str, typer.Option("--name", metavar="NAME", help="The data set's name; default the task's.")
]
TitleOption = Annotated[
    str, typer.Option("--title", metavar="TEXT", help="What people call it; default its name.")
]
LicenseOption = Annotated[
    str, typer.Option("--license", metavar="TEXT", help="Under which the data may be used.")
]
SourceOption = Annotated[
    str, typer.Option("--source", metavar="TEXT", help="Where the data comes from.")
]
FileArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE|NAME", help="A compiled data set, or the name of a pulled one."),
]


@app.command("compile")
def compile_(
    task: Annotated[
        Path, typer.Argument(metavar="TASK.yaml", help="A task of lm-evaluation-harness.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="More files, as after --data.")
    ] = None,
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="FILE...",
            help="The data that is asked; SPLIT=FILE for another split, such as train=FILE.",
        ),
    ] = None,
    out: OutOption = None,
    limit: LimitOption = None,
    shots: Annotated[
        int | None,
        typer.Option(
            "--shots", min=0, metavar="N", help="Exemplars before a question; default the task's."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Take this metric of the task's, repeatable; default all.",
        ),
    ] = None,
    leave_out: Annotated[
        bool,
        typer.Option("--leave-out", help="Leave out, and count, questions without a valid answer."),
    ] = False,
    with_lm_eval: Annotated[
        str | None,
        typer.Option(
            "--with-lm-eval",
            metavar="PYTHON",
            help="Run the task's own code in this Python, which has lm-evaluation-harness.",
        ),
    ] = None,
    name: NameOption = "",
    title: TitleOption = "",
    license_: LicenseOption = "",
    source: SourceOption = "",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compile a task of lm-evaluation-harness with its data into finished requests.

    Example: benchpool dataset compile arc_easy.yaml --data test.jsonl -o arc.jsonl
    """
    from benchpool.tasks.compiling import Job
    from benchpool.tasks.isolation import compile_file

    job = Job(
        task=str(task),
        data=tuple(_split(each) for each in (*(data or []), *(more or []))),
        limit=limit,
        shots=shots,
        metrics=tuple(metric or ()),
        leave_out=leave_out,
        name=name,
        title=title,
        license=license_,
        source=source,
    )
    sources = (str(task), *(file for _, file in job.data))
    path = _target(out, name or task.stem, sources, force=force)
    if with_lm_eval is None:
        header = compile_file(job, path)
    else:
        from benchpool.tasks.harness import compile_with_harness

        output.note(f"the task's own code runs in {with_lm_eval}, without a sandbox")
        header = compile_with_harness(job, with_lm_eval, path)
    _show(header, path, as_json=as_json)


@app.command("new")
def new(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSON, JSON Lines, Parquet or Arrow.")
    ],
    question: Annotated[
        str, typer.Option("--question", metavar="COL", help="The column of the question.")
    ],
    answer: Annotated[
        list[str],
        typer.Option(
            "--answer", metavar="COL", help="The column of the right answer; repeat for more."
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COL]...", help="More columns of choices, as after --choices."),
    ] = None,
    *,
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--choices",
            metavar="COL...",
            help="The columns of the choices, or one with lists; without, a text is written.",
        ),
    ] = None,
    context: Annotated[
        str,
        typer.Option("--context", metavar="COL", help="The column of what the question is about."),
    ] = "",
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers",
            metavar="text|letter|number|number-from-0",
            help="How an answer names a choice; default: what fits all of them.",
        ),
    ] = None,
    out: OutOption = None,
    limit: LimitOption = None,
    name: NameOption = "",
    title: TitleOption = "",
    license_: LicenseOption = "",
    source: SourceOption = "",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a data set of a table, without a task.

    Example: benchpool dataset new quiz.csv --question q --choices a b c --answer right
    """
    from benchpool.tasks.isolation import compile_file
    from benchpool.tasks.tables import Answers, Table

    known: dict[str | None, Answers | None] = {
        None: None,
        "text": "text",
        "letter": "letter",
        "number": "number",
        "number-from-0": "number-from-0",
    }
    if answers not in known:
        raise typer.BadParameter(f"--answers is text, letter, number or number-from-0: {answers}")
    if more and not choices:
        raise typer.BadParameter(f"{more[0]} stands alone; columns of choices follow --choices")
    table = Table(
        file=str(file),
        question=question,
        choices=(*(choices or ()), *(more or ())),
        answer=tuple(answer),
        context=context,
        answers=known[answers],
        limit=limit,
        name=name,
        title=title,
        license=license_,
        source=source,
    )
    path = _target(out, name or file.stem, [str(file)], force=force)
    _show(compile_file(table, path), path, as_json=as_json)


@app.command("check")
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Read all of a data set, count, and warn of what looks wrong.

    Example: benchpool dataset check arc.jsonl
    """
    from benchpool.tasks.checking import check_dataset

    report = check_dataset(find_data(str(file)))
    header = report.dataset.header
    found = {
        "sha256": report.sha256,
        "name": header.name,
        "title": header.title,
        "kind": header.kind,
        "questions": header.count,
        "unscored": len(header.unscored),
        "choices": report.choices,
        "chance": float(report.chance),
        "metrics": [each.name for each in header.scorers],
        "longest_prompt": report.longest,
        "source": header.source,
        "license": header.license,
        "version": header.version,
        "warnings": report.warnings,
    }
    if as_json:
        output.print_json(found)
        return
    low, high = report.choices or (0, 0)
    output.fields(
        [
            ("Name", header.name),
            ("Questions", f"{header.count:,}, {header.kind}"),
            *([("Choices", low if low == high else f"{low} to {high}")] if high else []),
            *([("Chance", f"{float(report.chance):.4f}")] if high else []),
            ("Metrics", ", ".join(each.name for each in header.scorers)),
            ("Longest prompt", output.count(report.longest, "character")),
            ("Source", header.source or "not told"),
            ("License", header.license or "not told"),
            ("SHA-256", report.sha256),
        ]
    )
    for warning in report.warnings:
        output.note(f"warning: {warning}")


@app.command("preview")
def preview(
    file: FileArgument,
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, metavar="N", help="How many questions.")
    ] = 3,
    first: Annotated[
        int, typer.Option("--from", min=1, metavar="N", help="The first one, counted from 1.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Show questions as they are asked: spaces at the ends as ·, line ends as ⏎.

    Example: benchpool dataset preview arc.jsonl -n 1
    """
    import msgspec

    from benchpool.tasks.checking import read_dataset

    dataset, _ = read_dataset(find_data(str(file)))
    shown = dataset.questions[first - 1 : first - 1 + number]
    if not shown:
        raise typer.BadParameter(f"{file} has {output.count(len(dataset.questions), 'question')}")
    if as_json:
        output.print_json([msgspec.to_builtins(each) for each in shown])
        return
    for place, question in enumerate(shown, first):
        if place > first:
            output.line()
        output.line(output.paint(f"Question {place} of {len(dataset.questions):,}", "strong"))
        _show_question(question)


def _show_question(question: Question) -> None:
    from benchpool.evaluation.compiled import ChoicesQuestion, led_choices

    *lines, last = question.prompt.split("\n")
    for each in lines:
        output.verbatim(f"  {visible(each)}⏎")
    output.verbatim(f"  {visible(last)}")
    choices = getattr(question, "choices", ())
    if isinstance(question, ChoicesQuestion):
        choices = led_choices(question)
    gold = getattr(question, "gold", (1,))
    for place, choice in enumerate(choices, 1):
        output.verbatim(f"  {'✓' if place in gold else ' '} {place}. {visible(choice)}")
    if not choices:
        for target in getattr(question, "targets", ()):
            output.verbatim(f"  ✓ {visible(target)}")
        stops = " ".join(visible(each) for each in getattr(question, "stop", ()))
        tokens = getattr(question, "max_tokens", 0)
        output.verbatim(f"  until {stops or 'the end'}, at most {tokens} tokens")


def visible(text: str) -> str:
    """Make line ends, and spaces at the ends of a text, visible."""
    start = len(text) - len(text.lstrip(" "))
    end = len(text.rstrip(" ")) if start < len(text) else start
    middle = output.clean(text[start:end].replace("\n", "⏎"))
    return f"{'·' * start}{middle}{'·' * (len(text) - end)}"


def _split(text: str) -> tuple[str, str]:
    """Read `SPLIT=FILE` or `FILE`."""
    split, equals, path = text.partition("=")
    named = equals and re.fullmatch(r"\w+", split) and not Path(text).exists()
    return (split, path) if named else ("", text)


def _target(out: Path | None, name: str, sources: Iterable[str], *, force: bool) -> Path:
    path = out or Path(re.sub(r"[^\w.-]", "_", name) + ".jsonl")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    if path.exists() and any(path.samefile(each) for each in sources if Path(each).exists()):
        raise typer.BadParameter(f"{path} is what is read; name another file with -o")
    if path.exists() and not force:
        raise typer.BadParameter(f"{path} is there already; replace it with --force")
    return path


def _show(header: Header, path: Path, *, as_json: bool) -> None:
    import hashlib

    import msgspec

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if as_json:
        facts: dict[str, Any] = msgspec.to_builtins(header)
        output.print_json({"file": str(path), "sha256": sha256, **facts})
        return
    left = f", {output.count(len(header.unscored), 'question')} left out" if header.unscored else ""
    made = f"{output.count(header.count, 'question')} of {header.name}"
    output.line(f"✓ {output.clean(f'{path}: {made}{left}')}")
    output.line(f"  SHA-256 {sha256}")
