"""What the messenger and the scheduler unit do with a data item that somebody sends them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from benchpool.ao.dataitem import DataItem, decode
from benchpool.ao.message import Item, Message
from benchpool.ao.wire import PROCESS
from benchpool.errors import DataItemError, ItemRefused, MessageError, UnknownProcess
from benchpool.network import Network
from benchpool.server.answers import RefusedRequest
from benchpool.server.context import Context

NO_ITEM = "'body': A valid and signed data item must be provided as the body."
LARGE_BYTES = 64 << 10
"""Items above this are hashed and verified on a thread."""


class Checked(NamedTuple):
    """An item that may be scheduled, and what it says."""

    item: DataItem
    said: Item


async def check(context: Context, raw: bytes) -> Checked:
    """Read and verify an item: a small one at once, a large one without holding others up.

    Raises: Refused.
    """
    if len(raw) <= LARGE_BYTES:
        return _check(context.network, raw)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(context.threads, _check, context.network, raw)


def _check(network: Network, raw: bytes) -> Checked:
    try:
        item = decode(raw)
        return Checked(item, network.reception.check(item))
    except DataItemError as error:
        raise RefusedRequest(NO_ITEM, detail=str(error)) from None
    except ItemRefused as error:
        raise RefusedRequest(str(error)) from None


def schedule(network: Network, checked: Checked) -> Message:
    """Give an item its place in a log. Raises: UnknownProcess, UnknownModule, DuplicateMessage."""
    if checked.said.type != PROCESS:
        check_target(network, checked.item.target)
    return network.accept(checked.item, checked.said)


def as_scheduler_said(error: MessageError) -> RefusedRequest:
    """Write a refusal as the messenger passes on what its scheduler says."""
    return RefusedRequest(f'400: {{"error":"{error}"}}')


def check_target(network: Network, target: str) -> None:
    """Accept the id of a process. Raises: UnknownProcess."""
    if network.logs.find_process(target) is None:
        raise UnknownProcess(
            f"no process {target[:80] or '(the item has no target)'} is known here"
        )


def excluded(text: str) -> list[str]:
    """Read the parameter `exclude`: names of fields, with commas between them."""
    return [name for name in text.split(",") if name]
