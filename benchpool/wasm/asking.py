"""Requests: what a module is given, as AO's compute unit gives it to the loader.

Source: permaweb/ao, servers/cu: ao-su.js, evaluate.js.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from benchpool.ao.message import Item, Message, ProcessInfo
from benchpool.ao.shapes import tags_json, text_of
from benchpool.ao.tags import Pair, Tags
from benchpool.ao.wire import PROCESS, sent_tags

_NOT_TAGS: Final = frozenset({"From", "Owner"})
"""Tags that the compute unit takes away, since the message itself says so."""


def message_request(message: Message, module: str, scheduler: str) -> bytes:
    """Write a message as JSON, its fields in AO's order."""
    said: dict[str, Any] = {
        "Id": message.id,
        "From": message.sender,
        "Owner": message.owner,
        "Target": message.target,
        "Tags": tags_json(
            pair for pair in sent_tags(message, scheduler) if pair[0] not in _NOT_TAGS
        ),
        "Data": text_of(message.data),
        "Timestamp": message.timestamp,
        "Block-Height": message.block_height,
        "Nonce": message.nonce,
        "Epoch": message.epoch,
        "Hash-Chain": message.hash_chain,
        "Module": module,
        "Cron": message.cron,
        "Anchor": message.anchor or (message.reference and message.reference.zfill(32)),
    }
    if message.read_only:
        said["Read-Only"] = True
    return msgspec.json.encode(said)


def environment(
    info: ProcessInfo, *, module_owner: str, module_tags: Tags, authority: str, scheduler: str
) -> bytes:
    """Write what a module learns of its process and of itself as JSON.

    Args:
        info: the process.
        module_owner: who published the module.
        module_tags: its tags.
        authority: the address of the local messenger, whom the process must trust.
        scheduler: the address of the local scheduler.
    """
    item = Item("", "", info.owner, info.tags, "", type=PROCESS)
    tags: Iterable[Pair] = sent_tags(item, scheduler)
    if authority and authority not in info.authorities:
        tags = [*tags, ("Authority", authority)]
    process = {"Id": info.id, "Owner": info.owner, "Tags": tags_json(tags)}
    module = {"Id": info.module, "Owner": module_owner, "Tags": tags_json(module_tags)}
    return msgspec.json.encode({"Process": process, "Module": module})
