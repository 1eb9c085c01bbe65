"""Shapes: messages, results and tags as JSON, under AO's names.

Source: the reference units' answers, as the AO protocol's clients read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from benchpool.ao.ids import is_id, module_id
from benchpool.ao.message import Data, Message, Outgoing, ProcessInfo, Result, SpawnRequest
from benchpool.ao.tags import Pair

PROTOCOL: tuple[Pair, ...] = (("Data-Protocol", "ao"), ("Variant", "ao.TN.1"))


def tags_json(pairs: Iterable[Pair]) -> list[dict[str, str]]:
    """Write tags as a list of names and values."""
    return [{"name": name, "value": value} for name, value in pairs]


def text_of(data: Data) -> str:
    """Write Data as the text that JSON can hold."""
    return data if isinstance(data, str) else data.decode(errors="replace")


def shown_data(data: Data) -> str:
    """Write Data for people, who want no bytes."""
    return data if isinstance(data, str) else f"({len(data)} bytes)"


def message_json(message: Message) -> dict[str, Any]:
    """Write a message of a log, for people and their scripts."""
    shown: dict[str, Any] = {
        "Id": message.id,
        "From": message.sender,
        "Owner": message.owner,
        "Target": message.target,
        "Tags": tags_json(message.tags),
        "Data": shown_data(message.data),
        "Timestamp": message.timestamp,
        "Block-Height": message.block_height,
        "Nonce": message.nonce,
        "Epoch": message.epoch,
        "Hash-Chain": message.hash_chain,
        "Cron": message.cron,
    }
    if message.reference:
        shown["Reference"] = message.reference
    if message.pushed_for:
        shown["Pushed-For"] = message.pushed_for
    return shown


def result_json(result: Result, info: ProcessInfo | None = None) -> dict[str, Any]:
    """Write a result. Error is absent when there is none.

    Args:
        result: what a process put out.
        info: the process: then the result is written as a compute unit does for AO's clients, with
            the tags of the protocol; without it, as people read it.
    """
    if info is not None and result.given:
        return _given_json(result)
    output: Any = result.output
    if info is not None:
        output = {"data": output, "prompt": f"{info.name or info.id[:8]}> ", "print": True}
    shown: dict[str, Any] = {
        "Messages": [_message(each, info) for each in result.messages],
        "Spawns": [_spawn(each, info) for each in result.spawns],
        "Assignments": [
            {"Message": each.message, "Processes": list(each.processes)}
            for each in result.assignments
        ],
        "Output": output,
    }
    if info is not None:
        shown["GasUsed"] = 0
    if result.error:
        shown["Error"] = result.error
    return shown


def _given_json(result: Result) -> dict[str, Any]:
    """Write what a module gave as it gave it: its messages, its own output, its order of tags."""
    given = msgspec.json.decode(result.given)
    if not isinstance(given, dict):
        given = {}
    shown = {
        "Messages": given.get("Messages") or [],
        "Spawns": given.get("Spawns") or [],
        "Assignments": given.get("Assignments") or [],
        "Output": given.get("Output", ""),
        "GasUsed": 0,
    }
    if result.error:
        shown["Error"] = given.get("Error") or result.error
    return shown


def _message(message: Outgoing, info: ProcessInfo | None) -> dict[str, Any]:
    own: list[Pair] = []
    if info is not None:
        own = [*PROTOCOL, ("Type", "Message"), ("Reference", str(message.reference))]
    return {
        "Target": message.target,
        "Tags": tags_json([*own, *message.tags]),
        "Data": shown_data(message.data) if info is None else text_of(message.data),
        "Anchor": f"{message.reference:032d}",
    }


def _spawn(spawn: SpawnRequest, info: ProcessInfo | None) -> dict[str, Any]:
    anchor = f"{spawn.reference:032d}"
    if info is None:
        return {"Module": spawn.module, "Tags": tags_json(spawn.tags), "Anchor": anchor}
    own = [
        *PROTOCOL,
        ("Type", "Process"),
        ("From-Process", info.id),
        ("From-Module", wire_module(info)),
        ("Module", spawn.module),
        ("Reference", str(spawn.reference)),
    ]
    return {
        "Data": text_of(spawn.data) or "NODATA",
        "Anchor": anchor,
        "Tags": tags_json([*own, *spawn.tags]),
    }


def wire_module(info: ProcessInfo) -> str:
    """Return the id of a process's module."""
    return info.module if is_id(info.module) else module_id(info.module)
