"""benchpool wallet: keys that own processes and sign messages."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchpool.cli import completion, output, session
from benchpool.cli.options import HomeOption, JsonOption
from benchpool.errors import ConfigError

if TYPE_CHECKING:
    from benchpool.ao.wallet import Wallet

app = typer.Typer(
    help="Make, list, import and export wallets.\n\nExample: benchpool wallet new alice",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    type: Annotated[
        str, typer.Option("--type", help="ed25519 (the default), arweave or ethereum.")
    ] = "ed25519",
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a wallet and print its address.

    Example: benchpool wallet new alice
    """
    with session.writing(home, new=True) as (_, writer):
        wallet = writer.new_wallet(name, type)
    _show(wallet, as_json=as_json)


@app.command("import")
def import_wallet(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A key file: one JWK.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take in a wallet from a key file, an Arweave wallet's for instance.

    Example: benchpool wallet import alice arweave-keyfile.json
    """
    from benchpool.ao.wallet import read_wallet

    wallet = read_wallet(file, name)
    with session.writing(home, new=True) as (_, writer):
        writer.add_wallet(wallet)
    _show(wallet, as_json=as_json)


@app.command("export")
def export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A wallet, by name or address.", autocompletion=completion.wallets
        ),
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; NAME.json by default.")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a wallet's private key to a new file, as a JWK that only you can read.

    Example: benchpool wallet export alice alice-key.json
    """
    with session.reading(home) as network:
        wallet = network.wallet(name)
    path = file or Path(f"{wallet.name}.json")
    text = json.dumps(wallet.jwk())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} is there already; name another file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "w") as out:
        out.write(text)
    if as_json:
        output.print_json({"name": wallet.name, "address": wallet.address, "file": str(path)})
    else:
        output.line(f"{path}  the private key of {wallet.name}: keep it secret")


@app.command("address")
def address(
    wallet: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE",
            help="A wallet's name, or a key file.",
            autocompletion=completion.wallets,
        ),
    ],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Print the address of a wallet, or of a key file.

    Example: benchpool wallet address alice
    """
    from benchpool.ao.wallet import read_wallet

    if Path(wallet).is_file():
        found = read_wallet(Path(wallet), Path(wallet).stem)
    else:
        with session.reading(home) as network:
            found = network.wallet(wallet)
    if as_json:
        output.print_json({"address": found.address, "type": found.kind})
    else:
        output.line(found.address)


def _show(wallet: Wallet, *, as_json: bool) -> None:
    if as_json:
        shown = {"name": wallet.name, "address": wallet.address, "type": wallet.kind}
        output.print_json(shown)
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
