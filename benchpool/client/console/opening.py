"""Opening a conversation: which kind a process leads."""

from __future__ import annotations

from pathlib import Path

from benchpool.ao.wallet import Wallet
from benchpool.client.console.actions import ActionTalk
from benchpool.client.console.lua import LuaTalk
from benchpool.client.console.talk import Talk
from benchpool.client.writer import Writer
from benchpool.network import Network
from benchpool.process.forked import ForkedProcess
from benchpool.process.process import Process


def converse(
    network: Network,
    writer: Writer,
    process: str,
    wallet: Wallet,
    *,
    blueprints: Path | None = None,
) -> Talk:
    """Begin a conversation: in Lua if the process evaluates it for this wallet, else in actions.

    Args:
        network: to look at.
        writer: who sends.
        process: by name or id.
        wallet: who speaks.
        blueprints: see `LuaTalk`.

    Raises: UnknownProcess; PrerequisiteError, StoreError if its module cannot be had.
    """
    info = network.info(process)
    found = network.process(info.id)
    while isinstance(found, ForkedProcess):
        found = found.inner
    if isinstance(found, Process):
        return ActionTalk(network, writer, process, wallet)
    talk = LuaTalk(network, writer, process, wallet, blueprints=blueprints)
    if talk.connect():
        return talk
    return ActionTalk(network, writer, process, wallet, no_lua=_why_no_lua(talk))


def _why_no_lua(talk: LuaTalk) -> str:
    owner, name_of = talk.info.owner, talk.network.name_of
    if talk.wallet.address == owner:
        return f"{talk.name} evaluates no Lua for {talk.wallet.name}"
    known = {wallet.address for wallet in talk.network.wallets()}
    advice = f"; speak as {name_of(owner)} with --from {name_of(owner)}" if owner in known else ""
    return (
        f"{talk.wallet.name} is not the owner of {talk.name}, which evaluates Lua of"
        f" {name_of(owner)} alone{advice}"
    )
