"""What the messenger and the scheduler unit do with a data item that somebody sends them."""

from __future__ import annotations

from benchpool.dataitem import DataItem, decode, verify
from benchpool.errors import (
    DataItemError,
    DuplicateMessage,
    MessageError,
    UnknownModule,
    UnknownProcess,
)
from benchpool.message import Item, Message
from benchpool.network import Network
from benchpool.server.answers import Refused
from benchpool.tags import Tags

NO_ITEM = "'body': A valid and signed data item must be provided as the body."


def read_item(raw: bytes) -> DataItem:
    """Read and verify an item of type Message or Process. Raises: Refused."""
    try:
        item = decode(raw)
        verify(item)
    except DataItemError as error:
        raise Refused(f"{NO_ITEM} {error}") from None
    tags = item.tags
    if ("Data-Protocol", "ao") not in tags:
        raise Refused("Tag 'Data-Protocol': must contain 'ao'")
    kind = tag(item, "Type")
    if kind not in ("Message", "Process"):
        raise Refused("Tag 'Type': must be either 'Process' or 'Message'")
    for pair in tags:
        if any(text.endswith("+link") for text in pair):
            raise Refused("no name or value of a tag may end in '+link'")
    if kind == "Process":
        for name in ("Module", "Scheduler"):
            if not tag(item, name):
                raise Refused(f"Tag '{name}': a process needs one")
    return item


def tag(item: DataItem, name: str) -> str:
    """Return the first value of a tag by its exact name."""
    return next((value for key, value in item.tags if key == name), "")


def schedule(network: Network, item: DataItem) -> Message:
    """Give an item its place in a log. Raises: Refused with what the scheduler says."""
    if tag(item, "Type") == "Message":
        check_target(network, item.target)
    try:
        return accept(network, item)
    except UnknownModule as error:
        raise Refused(f"Tag 'Module': {error}") from None
    except MessageError as error:
        raise Refused(f'400: {{"error":"{error}"}}') from None


def check_target(network: Network, target: str) -> None:
    """Accept the id of a process. Raises: UnknownProcess."""
    if network.find_process(target) is None:
        raise UnknownProcess(f"no process {target or '(the item has no target)'} is known here")


def accept(network: Network, item: DataItem) -> Message:
    """Interim, until networks take data items themselves."""
    kind = tag(item, "Type")
    tags = Tags([pair for pair in item.tags if pair[0].lower() not in ("from", "owner")])
    try:
        data: str | bytes = item.data.decode()
    except UnicodeDecodeError:
        data = item.data
    said = Item(
        item.target,
        item.address,
        tag(item, "From-Process") or item.address,
        tags,
        data,
        type=kind,
    )
    messenger = network._messenger
    if kind == "Process":
        network._compute.check_module(tags.get("Module"))
        info = messenger.spawn(said, process_id=item.id)
        first = network.entry(info.id, info.id)
        assert first is not None
        return first.message
    if network.entry(item.id, item.target) is not None:
        raise DuplicateMessage(f"message {item.id} was scheduled for this process before")
    return messenger.post(said, message_id=item.id)
