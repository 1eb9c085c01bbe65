"""Assignments: the scheduler unit's signed statements of which message stands where in a log."""

from __future__ import annotations

from typing import Any

from benchpool.ao.dataitem import DataItem
from benchpool.ao.message import Message
from benchpool.ao.shapes import PROTOCOL, tags_json, text_of
from benchpool.ao.signers import to_base64url
from benchpool.ao.tags import Pair
from benchpool.ao.wire import anchor_text, assignment_item
from benchpool.network import Network


class Assignments:
    """Shows what the scheduler signed; what was logged before the network was signed, it signs now.

    Ed25519 is deterministic, so an assignment has one id for ever.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        wallet = network.keys.scheduler_wallet()
        self._signer = wallet.signer()
        self.address = wallet.address

    def item(self, message: Message) -> DataItem:
        """Return the assignment of a message of a log."""
        kept = self._network.logs.assignment(message.id, message.process)
        return kept or assignment_item(message, self._signer)

    def id_of(self, message: Message) -> str:
        """Return the id of a message's assignment."""
        return self.item(message).id

    def node(self, message: Message) -> dict[str, Any]:
        """Show a message with its assignment, as the scheduler unit does."""
        item = self.item(message)
        pure = message.process not in (message.target, message.id)
        return {
            "message": None if pure else message_json(self._network, message),
            "assignment": {
                "id": item.id,
                "owner": {"address": item.address, "key": to_base64url(item.owner)},
                "tags": tags_json(item.tags),
                "signature": to_base64url(item.signature),
                "anchor": None,
                "target": "",
            },
        }


def message_json(network: Network, message: Message) -> dict[str, Any]:
    """Show a message as it was signed."""
    item = network.logs.item(message.id)
    if item is None:  # written before networks kept signatures
        return {
            "id": message.id,
            "owner": {"address": message.owner, "key": ""},
            "data": text_of(message.data),
            "tags": tags_json(message_tags(message)),
            "signature": "",
            "anchor": message.anchor or None,
            "target": "" if message.type == "Process" else message.target,
        }
    return {
        "id": item.id,
        "owner": {"address": item.owner_address, "key": to_base64url(item.owner)},
        "data": item.data.decode(errors="replace"),
        "tags": tags_json(item.tags),
        "signature": to_base64url(item.signature),
        "anchor": anchor_text(item.anchor) or None,
        "target": item.target,
    }


def message_tags(message: Message) -> list[Pair]:
    """Return the tags that a message bears on the wire, where nobody kept them."""
    pairs = list(message.tags)
    names = {name for name, _ in pairs}
    own = [*PROTOCOL, ("Type", message.type)]
    if message.sender != message.owner:
        own.append(("From-Process", message.sender))
    for name, value in (("Reference", message.reference), ("Pushed-For", message.pushed_for)):
        if value:
            own.append((name, value))
    return [*(pair for pair in own if pair[0] not in names), *pairs]
