"""The command line: one file a noun. Commands import what they need when they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.core

from benchpool.cli import (
    audit,
    backup,
    clock,
    console,
    data,
    dataset,
    dataset_catalogue,
    demo,
    fuzz,
    init,
    message,
    model,
    module,
    output,
    package,
    pool,
    pool_compare,
    pool_create,
    pool_explain,
    pool_join,
    pool_plan,
    portable,
    process,
    replay,
    sealing,
    session,
    simulate,
    up,
    wallet,
)
from benchpool.cli import eval as eval_
from benchpool.cli.arguments import shield_ids
from benchpool.errors import BenchpoolError
from benchpool.version import VERSION

__all__ = ["app", "main"]

DEBUG_VARIABLE = "BENCHPOOL_DEBUG"
_INTERRUPTED = 130
_BROKEN_PIPE = 141


class Root(typer.core.TyperGroup):
    """The command group in which every failure becomes one line and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command line."""
        return super().main(shield_ids(sys.argv[1:] if args is None else args), *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except KeyboardInterrupt as error:
            if not isinstance(error, session.Interrupted):
                output.note("interrupted")
            raise typer.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            _forget_stdout()
            raise typer.Exit(_BROKEN_PIPE) from None
        except Exception as error:
            raise typer.Exit(_report(error)) from None
        return result


def _report(error: Exception) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, BenchpoolError):
        output.complain(str(error))
        return error.exit_code
    said = (str(error).splitlines() or ["without a word"])[0]
    output.complain(
        f"{type(error).__name__}: {said}; run with {DEBUG_VARIABLE}=1 for the traceback"
    )
    return 1


def _forget_stdout() -> None:
    # Whoever read stdout has gone. What is still buffered must not raise again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="benchpool",
    cls=Root,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        output.line(f"benchpool {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Run AO processes and funded LLM benchmark pools on this machine.

    Example: benchpool init
    """


app.command("init")(init.init)
app.command("spawn")(process.spawn)
app.command("fork")(process.fork)
app.command("send")(message.send)
app.command("dryrun")(message.dryrun)
app.command("console")(console.console)
app.command("inbox")(message.inbox)
app.command("message")(message.message)
app.command("result")(message.result)
app.command("advance")(clock.advance)
app.command("processes")(process.processes)
app.command("inspect")(process.inspect)
app.command("log")(process.log)
app.command("replay")(replay.replay)
app.command("audit")(audit.audit)
app.command("export")(portable.export)
app.command("import")(portable.import_)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("rebuild")(backup.rebuild)
app.command("fuzz")(fuzz.fuzz)
app.command("up")(up.up)
app.command("demo")(demo.demo)
pool.app.command("create")(pool_create.create)
pool.app.command("commit")(pool_join.commit)
pool.app.command("join")(pool_join.join)
pool.app.command("reveal")(sealing.reveal)
pool.app.command("compare")(pool_compare.compare)
pool.app.command("plan")(pool_plan.plan)
pool.app.command("rules")(pool_plan.rules)
pool.app.command("explain")(pool_explain.explain)
pool.app.command("counterfactual")(pool_explain.counterfactual)
dataset.app.command("list")(dataset_catalogue.list_datasets)
dataset.app.command("pull")(dataset_catalogue.pull)
data.app.command("hash")(sealing.hash_)
data.app.command("seal")(sealing.seal)
app.add_typer(wallet.app, name="wallet")
app.add_typer(data.app, name="data")
app.add_typer(dataset.app, name="dataset")
app.add_typer(model.app, name="model")
app.add_typer(module.app, name="module")
app.add_typer(package.app, name="package")
app.add_typer(eval_.app, name="eval")
app.add_typer(pool.app, name="pool")
app.add_typer(simulate.app, name="simulate")


def main() -> None:
    """Run the `benchpool` command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    app(prog_name="benchpool")
