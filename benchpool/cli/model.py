"""benchpool model: GGUF files on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchpool.cli import completion, output
from benchpool.cli.model_stats import stats
from benchpool.cli.options import JsonOption
from benchpool.errors import InferenceError

if TYPE_CHECKING:
    from benchpool.inference.files.catalogue import InstalledModel

app = typer.Typer(
    help="Pull, add and list models.\n\nExample: benchpool model pull smollm2-135m",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The model's name.", autocompletion=completion.models)
]


@app.command("pull")
def pull(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|SOURCE",
            help="A name of the catalogue, hf:OWNER/REPO/FILE.gguf or an http address.",
            autocompletion=completion.catalogue,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of a source; default: made from its file's."),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option("--sha256", metavar="HEX", help="What a source's file must hash to."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch a model of the catalogue or of a source, verify it, and keep it on this machine.

    What was cut off goes on where it was. The file of a source is verified by --sha256, else by
    what the hub says of it; the hash is shown.

    Example: benchpool model pull smollm2-135m
    """
    from benchpool.fetching.sources import read_source
    from benchpool.inference.files.catalogue import Catalogue

    catalogue = Catalogue()
    source = read_source(model)
    if source is None:
        if name is not None or sha256 is not None:
            raise typer.BadParameter("--name and --sha256 are for hf:OWNER/REPO/FILE or an address")
        entry = catalogue.entries.get(model)
        if entry is not None:
            output.note(f"{entry.title}, {_megabytes(entry.size_bytes)}; licence: {entry.licence}")
        with output.progress() as report:
            _show_one(catalogue.pull(model, report), as_json=as_json)
        return
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise typer.BadParameter("a SHA-256 has 64 hexadecimal digits", param_hint="--sha256")
    pinned = sha256.lower() if sha256 else None
    with output.progress() as report:
        pulled = catalogue.pull_from(source, name, sha256=pinned, progress=report)
    output.note(f"licence: {pulled.licence}; SHA-256 {pulled.sha256}")
    _show_one(pulled, as_json=as_json)


@app.command("add")
def add(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|SERVER", help="A GGUF file, or a server: openai+http://HOST/v1."
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Default: made from the file's.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="What a server calls the model.")
    ] = None,
    key_from: Annotated[
        str | None,
        typer.Option(
            "--key-from", metavar="VARIABLE", help="The environment variable of a server's key."
        ),
    ] = None,
    max_tokens_total: Annotated[
        int | None,
        typer.Option(
            "--max-tokens-total",
            min=0,
            metavar="N",
            help="Tokens that asking a server may ever take; 0: any; default 10,000,000.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", min=1, max=256, metavar="N", help="Requests at a time; default 4."
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, metavar="S", help="Seconds for a request; default 120."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a GGUF file into the models of this machine, or add one that a server runs.

    A server is asked at once what it can do. Its key never leaves the environment.

    Example: benchpool model add openai+http://127.0.0.1:8080/v1 --model qwen3
    """
    from benchpool.inference.files.catalogue import Catalogue
    from benchpool.inference.remote_models import SCHEME, RemoteTerms

    asked = {
        "key_variable": key_from,
        "max_tokens_total": max_tokens_total,
        "concurrency": concurrency,
        "timeout_s": timeout,
    }
    given: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if not file.startswith(SCHEME):
        path = Path(file)
        if not path.is_file():
            raise typer.BadParameter(f"{file} is no file")
        if given or model is not None:
            raise typer.BadParameter(f"all options but --name and --json are for {SCHEME}URL")
        _show_one(Catalogue().add(path, name), as_json=as_json)
        return
    if model is None:
        raise typer.BadParameter("--model is required: what the server calls the model")
    catalogue = Catalogue()
    added = catalogue.add_server(file, model, name, RemoteTerms(**given))
    terms = catalogue.servers.read(added.name).terms
    _show_one(added, as_json=as_json)
    able = [
        text
        for text, can in (
            ("texts", terms.raw),
            ("turns", terms.chat),
            ("choices", terms.choices),
        )
        if can
    ]
    output.note(output.clean(f"answers {', '.join(able)}; not reproducible"))
    if not terms.choices:
        output.note(output.clean(f"cannot be asked cloze: {terms.why_no_choices}"))


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models on this machine.

    Example: benchpool model list
    """
    from benchpool.inference.files.catalogue import Catalogue

    models = Catalogue().list()
    if as_json:
        output.print_json([_model_json(model) for model in models])
    elif models:
        output.table(
            ["Name", "Parameters", "Quantization", "Context", "Size", "Licence"],
            [
                (
                    model.name,
                    _millions(model.card.parameters) if model.card.parameters else "at a server",
                    model.card.quantization,
                    model.card.context_tokens or "",
                    _megabytes(model.card.size_bytes),
                    model.licence,
                )
                for model in models
            ],
            right=["Parameters", "Context", "Size"],
        )
    else:
        output.note("no models yet; see: benchpool model catalogue")


@app.command("remove")
def remove(name: NameArgument) -> None:
    """Delete a model from this machine.

    Example: benchpool model remove smollm2-135m
    """
    from benchpool.inference.files.catalogue import Catalogue

    Catalogue().remove(name)
    output.note(f"removed {name}")


@app.command("catalogue")
def catalogue(as_json: JsonOption = False) -> None:
    """List the models that can be pulled.

    Example: benchpool model catalogue
    """
    from benchpool.inference.files.catalogue import Catalogue

    entries = list(Catalogue().entries.values())
    if as_json:
        output.print_json([entry.model_dump(mode="json") for entry in entries])
    else:
        output.table(
            ["Name", "Title", "Size", "Licence"],
            [
                (entry.name, entry.title, _megabytes(entry.size_bytes), entry.licence)
                for entry in entries
            ],
            right=["Size"],
        )


app.command("stats")(stats)


@app.command("check")
def check(
    file: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="A GGUF file, or a folder of them.")
    ],
    precision: Annotated[
        bool,
        typer.Option(
            "--precision/--no-precision", help="Measure stored weights against a BF16 copy."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Try a GGUF file in a process of its own: does it load, does it answer, how fast.

    Of a folder each GGUF file is tried; the exit code is 1 if one of them is no usable model.

    Example: benchpool model check ~/Downloads/tiny.gguf
    """
    if not file.is_dir():
        facts = _try(file, precision=precision)
        if as_json:
            output.print_json(facts)
        else:
            _show_trial(facts)
        return
    files = sorted(path for path in file.iterdir() if path.suffix.lower() == ".gguf")
    if not files:
        raise typer.BadParameter(f"{file} is a folder without a .gguf file")
    tried = []
    for path in files:
        try:
            tried.append(_try(path, precision=precision))
        except InferenceError as error:
            tried.append({"file": str(path), "error": str(error)})
        if not as_json:
            _show_trial(tried[-1])
            output.line()
    if as_json:
        output.print_json(tried)
    refused = sum("error" in each for each in tried)
    if refused:
        output.complain(f"{refused} of {output.count(len(tried), 'file')} cannot be used")
        raise typer.Exit(1)


def _try(file: Path, *, precision: bool) -> dict[str, Any]:
    """Say what a model is and how fast it answers. Raises: InferenceError."""
    from benchpool.inference.admission import admit, compare_precisions

    admission = admit(file)
    trial = compare_precisions(file) if precision else None
    card, runtime = admission.card, admission.runtime
    return {
        "file": str(file),
        "sha256": card.sha256,
        "architecture": card.architecture,
        "parameters": card.parameters,
        "quantization": card.quantization,
        "context_tokens": card.context_tokens,
        "chat_template_sha256": card.chat_template_sha256,
        "build": runtime.build,
        "cpu": runtime.cpu,
        "layout": runtime.layout,
        "tokens_per_second": None
        if trial is None
        else {"stored": round(trial.stored, 1), "bf16": round(trial.bf16, 1)},
        "faster": None if trial is None else "bf16" if trial.bf16_pays_off else "stored",
    }


def _show_trial(facts: dict[str, Any]) -> None:
    shown: list[tuple[str, object]] = [("File", facts["file"])]
    if "error" in facts:
        output.fields([*shown, ("Error", facts["error"])])
        return
    shown += [
        ("SHA-256", facts["sha256"]),
        ("Architecture", facts["architecture"]),
        ("Parameters", _millions(facts["parameters"])),
        ("Quantization", facts["quantization"]),
        ("Context", output.count(facts["context_tokens"], "token")),
        ("Chat template", facts["chat_template_sha256"] or "none"),
        ("Build", facts["build"]),
        ("Processor", facts["cpu"]),
        ("Layout", facts["layout"]),
    ]
    speeds = facts["tokens_per_second"]
    if speeds is not None:
        shown += [
            ("Stored", f"{output.rate(speeds['stored'])} tokens/s, one core"),
            ("BF16 copy", f"{output.rate(speeds['bf16'])} tokens/s, one core"),
            ("Faster here", facts["faster"]),
        ]
    output.fields(shown)


def _show_one(model: InstalledModel, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_model_json(model))
    else:
        output.line(f"{model.name}  {model.path}")


def _model_json(model: InstalledModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "title": model.title,
        "path": str(model.path),
        "sha256": model.sha256,
        "licence": model.licence,
        "origin": model.origin,
        "architecture": model.card.architecture,
        "parameters": model.card.parameters,
        "quantization": model.card.quantization,
        "context_tokens": model.card.context_tokens,
        "size_bytes": model.card.size_bytes,
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _millions(count: int) -> str:
    return f"{count / 1e6:.1f} M"
