"""Use the WrappedAR token of a home: look at it, mint, transfer.

    python scripts/wrapped_ar.py                                  # the token and its balances
    python scripts/wrapped_ar.py mint 100 --to alice              # amounts are in wAR
    python scripts/wrapped_ar.py transfer 2.5 --from alice --to bob

The token is spawned if the home has none, and wallets that are named are made when they are new.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchpool import Network
from benchpool.client.pools import supply
from benchpool.client.served import open_to_write
from benchpool.client.writer import Writer, send
from benchpool.errors import BenchpoolError, HandlerError
from benchpool.network import ask
from benchpool.store.home import find_home
from benchpool.winston import format_war, parse_war

TOKEN = "WrappedAR"


def main() -> int:
    """Carry out one command and show the token; return the exit code."""
    options = parse_options()
    try:
        with open_to_write(find_home(options.home)) as (network, writer):
            if TOKEN not in network.names():
                writer.spawn(TOKEN, name=TOKEN)
            if options.command == "mint":
                mint(network, writer, options.amount, options.to)
            elif options.command == "transfer":
                transfer(network, writer, options.amount, options.sender, options.to)
            shown = show(network)
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(shown))
    else:
        print(f"{shown['name']} ({shown['ticker']}) {shown['process']}")
        print(f"supply {format_war(int(shown['supply']))}")
        for name, amount in shown["balances"].items():
            print(f"  {name:44} {format_war(int(amount))}")
    return 0


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--home",
        type=Path,
        default=argparse.SUPPRESS,
        help="the home folder (default: ./.benchpool)",
    )
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON object and nothing else",
    )
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("info", parents=[common], help="show the token (what happens by default)")
    minting = commands.add_parser("mint", parents=[common], help="make new tokens")
    minting.add_argument("amount", help="in wAR, such as 1.5")
    minting.add_argument("--to", default="default", help="wallet or process (default: default)")
    moving = commands.add_parser("transfer", parents=[common], help="move tokens")
    moving.add_argument("amount", help="in wAR, such as 1.5")
    moving.add_argument("--from", dest="sender", default="default", help="the paying wallet")
    moving.add_argument("--to", required=True, help="wallet or process that receives")
    options = parser.parse_args()
    options.home = getattr(options, "home", None)
    options.json = getattr(options, "json", False)
    return options


def address(network: Network, writer: Writer, name: str) -> str:
    """Return the id of a wallet or process; a new name makes a wallet."""
    if name not in network.names() and len(name) != 43:
        return writer.new_wallet(name).address
    return network.resolve(name)


def mint(network: Network, writer: Writer, amount: str, recipient: str) -> None:
    """Mint, as the token's owner. Raises: HandlerError if the token refuses."""
    tags = {"Quantity": str(parse_war(amount)), "Recipient": address(network, writer, recipient)}
    send(writer, TOKEN, "Mint", tags).reply("Mint-Confirmation")


def transfer(network: Network, writer: Writer, amount: str, sender: str, recipient: str) -> None:
    """Transfer. Raises: HandlerError if the token refuses."""
    address(network, writer, sender)
    tags = {"Quantity": str(parse_war(amount)), "Recipient": address(network, writer, recipient)}
    reply = send(writer, TOKEN, "Transfer", tags, sender=sender).reply()
    if reply.action == "Transfer-Error":
        raise HandlerError(f"{sender} cannot pay {amount} wAR: {reply.tags['Error']}")


def show(network: Network) -> dict[str, Any]:
    """Gather the token's facts and balances, by name where one is known."""
    info = ask(network, TOKEN, "Info").tags
    balances = json.loads(ask(network, TOKEN, "Balances").data)
    return {
        "process": network.resolve(TOKEN),
        "name": info["Name"],
        "ticker": info["Ticker"],
        "supply": str(supply(network, TOKEN)),
        "balances": {network.name_of(owner): amount for owner, amount in balances.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
