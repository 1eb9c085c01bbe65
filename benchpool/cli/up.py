"""benchpool up: a local AO network over HTTP."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption, WorkersOption, read_limits

if TYPE_CHECKING:
    from benchpool.server.sockets import Addresses

_STOPPING = "stopping; Ctrl-C again ends it at once"
_POLL = "/api/finished/"
"""How other commands wait for the end of what they sent, twice a second."""
_UNIT_HELP = "A port of its own for this unit, beside its path on --port."


def up(
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="H", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="0: any that is free.")
    ] = 4000,
    mu_port: Annotated[int | None, typer.Option("--mu-port", metavar="N", help=_UNIT_HELP)] = None,
    su_port: Annotated[int | None, typer.Option("--su-port", metavar="N", help=_UNIT_HELP)] = None,
    cu_port: Annotated[int | None, typer.Option("--cu-port", metavar="N", help=_UNIT_HELP)] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A further name to answer to; * is any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="URL",
            help="Pages that may write here, as https://example.com; * is any. By default those of"
            " this machine alone; all may read.",
        ),
    ] = None,
    go_live: Annotated[
        bool,
        typer.Option("--go-live", help="Do not ask whether a home of virtual time moves to today."),
    ] = False,
    ahead: Annotated[
        bool,
        typer.Option(
            "--ahead",
            help="Serve a home whose time is ahead of the machine's clock, at half pace until it"
            " is not.",
        ),
    ] = False,
    workers: WorkersOption = None,
    virtual: Annotated[
        bool,
        typer.Option(
            "--virtual",
            help="Leave the home in virtual time, which stands still until it is moved on from the"
            " dashboard.",
        ),
    ] = False,
    read_only: Annotated[
        bool,
        typer.Option("--read-only", help="Let nobody act from the dashboard, token or not."),
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the dashboard in the browser.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not show requests; nor does --json.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Serve the network of a home to AO clients, on the wall clock, until Ctrl-C.

    A home of virtual time moves to today, for good; there this asks first.

    Requests are shown on stderr as they are answered. Other commands go on working on the same
    home meanwhile. A second Ctrl-C ends it at once; nothing that was accepted is lost.

    Example: benchpool up --port 4000
    """
    from benchpool.store.home import Home, find_home
    from benchpool.store.server_file import refuse_served

    need_server()
    from benchpool.server.program import Hooks, Program, serve_home
    from benchpool.server.sockets import Options

    folder = find_home(home)
    refuse_served(folder)
    fresh = not Home(folder).exists()
    if not (fresh or go_live or virtual):
        _ask_to_go_live(folder)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    limits = read_limits(folder, workers)
    if limits is not None and not quiet:
        logging.getLogger("benchpool.inference").setLevel(logging.INFO)  # who comes and goes

    def ready(addresses: Addresses, resumed: int) -> None:
        if fresh:
            output.note(f"a new network begins in {folder}")
        if resumed:
            output.note(f"resuming {output.count(resumed, 'message')} of an interrupted run")
        if as_json:
            output.print_json({name: getattr(addresses, name) for name in addresses.__slots__})
        else:
            _show(addresses)
        output.flush()
        if open_browser:
            show_page(addresses.dashboard)

    options = Options(
        host,
        port,
        mu_port,
        su_port,
        cu_port,
        tuple(allow_host or ()),
        tuple(allow_origin or ()),
        read_only,
    )
    hooks = Hooks(
        on_ready=ready,
        on_stop=lambda: output.note(_STOPPING),
        on_wait=lambda why: output.note(f"{why}; requests get 503 until there is room"),
        on_again=lambda: output.note("there is room again; going on"),
        on_request=None if quiet or as_json else _show_request,
    )
    settings = {} if limits is None else {"limits": limits}
    serve_home(Program(folder, options, hooks, ahead=ahead, virtual=virtual, settings=settings))
    output.note("stopped; what was pending is taken up at the next start")


def need_server() -> None:
    """Go on only if the server's packages are there. Raises: PrerequisiteError."""
    from benchpool.errors import PrerequisiteError

    try:
        import benchpool.server.program  # noqa: F401
    except ImportError as error:
        raise PrerequisiteError(
            f"the server needs a package that is not installed ({error.name});"
            " install benchpool[server]"
        ) from None


def show_page(url: str) -> None:
    """Open a page in the browser, if there is one; nobody waits for it."""
    import threading
    import webbrowser

    def show() -> None:
        if not webbrowser.open(url):
            output.note(f"no browser could be opened; see {url}")

    threading.Thread(target=show, daemon=True).start()


def _show_request(method: str, path: str, status: int, seconds: float) -> None:
    if path.startswith(_POLL):
        return
    shown = output.clean(f"{method} {path}")
    text = f"{time.strftime('%H:%M:%S')}  {status}  {1000 * seconds:5.0f} ms  {shown}\n"
    with suppress(OSError):  # nobody reads them: no reason not to serve
        sys.stderr.write(output.paint(text, "error", sys.stderr) if status >= 400 else text)


def _ask_to_go_live(folder: Path) -> None:
    """Ask before a network whose time is virtual is moved to today.

    Raises: ConfigError where nobody can be asked; typer.Exit if the answer is no.
    """
    from benchpool.ao.wire import SIGNED_FACT
    from benchpool.cli.view import moment
    from benchpool.errors import ConfigError
    from benchpool.store.home import open_run

    with open_run(folder) as run:
        if run.store.fact(SIGNED_FACT) is not None or not run.store.count():
            return
        now_ms = int(run.store.fact("clock") or 0)
    what = (
        f"{folder} lives in virtual time, at {moment(now_ms)}. A server moves it to today for good:"
        " pools that end before today are over, and every message is signed from then on"
    )
    if not (output.is_terminal(sys.stdin) and output.is_terminal(sys.stderr)):
        raise ConfigError(f"{what}; agree to that with --go-live, or serve a copy of the folder")
    output.note(f"{what}. To keep it as it is, serve a copy of the folder.")
    sys.stderr.write("Move it to today? [y/N]: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        output.note("nothing was changed")
        raise typer.Exit(1)


def _show(addresses: Addresses) -> None:
    output.fields(
        [
            ("Messenger unit", addresses.mu),
            ("Scheduler unit", addresses.su),
            ("Compute unit", addresses.cu),
            ("Gateway", addresses.gateway),
            ("Scheduler", addresses.scheduler),
            ("Authority", addresses.messenger),
            ("Dashboard", addresses.dashboard),
            *([("Token to act there", addresses.token)] if addresses.token else []),
        ]
    )
    output.line()
    output.line("In JavaScript:")
    output.line("  import { connect } from '@permaweb/aoconnect'")
    output.line("  const ao = connect({")
    output.line(f"    MODE: 'legacy', MU_URL: '{addresses.mu}', CU_URL: '{addresses.cu}',")
    output.line(f"    GATEWAY_URL: '{addresses.gateway}',")
    output.line("  })")
    output.note("Ctrl-C stops it")
