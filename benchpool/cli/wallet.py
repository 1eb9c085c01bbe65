"""benchpool wallet: keys that own processes and sign messages."""

from __future__ import annotations

from typing import Annotated

import typer

from benchpool.cli import output, session
from benchpool.cli.options import HomeOption, JsonOption

app = typer.Typer(
    help="Make and list wallets.\n\nExample: benchpool wallet new alice",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a wallet and print its address.

    Example: benchpool wallet new alice
    """
    with session.writing(home) as network:
        wallet = network.new_wallet(name)
    if as_json:
        output.print_json({"name": wallet.name, "address": wallet.address})
    else:
        output.line(f"{wallet.address}  {wallet.name}")


@app.command("list")
def list_wallets(as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the wallets in the order in which they were made.

    Example: benchpool wallet list
    """
    with session.reading(home) as network:
        wallets = network.wallets()
    if as_json:
        output.print_json([{"name": each.name, "address": each.address} for each in wallets])
    elif wallets:
        output.table(["Name", "Address"], [(each.name, each.address) for each in wallets])
    else:
        output.note("no wallets yet; make one with: benchpool wallet new NAME")
