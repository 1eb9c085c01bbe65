"""benchpool up: a local AO network over HTTP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import output
from benchpool.cli.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from benchpool.server.run import Addresses

_STOPPING = "stopping; Ctrl-C again ends it at once"
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
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Serve the network of a home to AO clients, on the wall clock, until Ctrl-C.

    A second Ctrl-C ends it at once; nothing that was accepted is lost.

    Other commands go on working on the same home meanwhile.

    Example: benchpool up --port 4000
    """
    from benchpool.errors import PrerequisiteError
    from benchpool.store.home import find_home
    from benchpool.store.server_file import refuse_served

    try:
        from benchpool.server.run import Options, serve_home
    except ImportError as error:
        raise PrerequisiteError(
            f"the server needs a package that is not installed ({error.name});"
            " install benchpool[server]"
        ) from None

    folder = find_home(home)
    refuse_served(folder)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)

    def ready(addresses: Addresses, resumed: int) -> None:
        if resumed:
            output.note(f"resuming {resumed} messages of an interrupted run")
        if as_json:
            output.print_json({name: getattr(addresses, name) for name in addresses.__slots__})
        else:
            _show(addresses)
        output.flush()

    options = Options(host, port, mu_port, su_port, cu_port)
    serve_home(folder, options, on_ready=ready, on_stop=lambda: output.note(_STOPPING))
    output.note("stopped; what was pending is taken up at the next start")


def _show(addresses: Addresses) -> None:
    output.fields(
        [
            ("Messenger unit", addresses.mu),
            ("Scheduler unit", addresses.su),
            ("Compute unit", addresses.cu),
            ("Gateway", addresses.gateway),
            ("Scheduler", addresses.scheduler),
            ("Authority", addresses.messenger),
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
