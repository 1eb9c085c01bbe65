"""Slots: places in a process's log as AO's main network counts them. A tick of a cron has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchpool.ao.clock import block_height
from benchpool.ao.ids import encode_id, is_id
from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.shapes import result_json, tags_json, text_of
from benchpool.ao.signers import to_base64url
from benchpool.errors import UnknownProcess
from benchpool.network import Network
from benchpool.server.answers import RefusedRequest
from benchpool.server.assignments import Assignments, message_json
from benchpool.server.cursors import Cursor
from benchpool.server.evaluations import PAGE_BYTES, forwards

VARIANT: Final = "ao.N.1"
MOST_ASSIGNMENTS: Final = 1_000
_LONGEST: Final = 15


def number(text: str, name: str) -> int:
    """Read a slot. Raises: RefusedRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST):
        raise RefusedRequest(f"'{name}': must be a whole number, not {text[:50]!r}", 400)
    return int(text)


def info_of(network: Network, process: str) -> ProcessInfo:
    """Return the facts of a process. Raises: UnknownProcess."""
    info = network.logs.find_process(process)
    if info is None:
        raise UnknownProcess(f"no process {process} is known here")
    return info


def current(network: Network, process: str) -> int:
    """Return the newest slot of a process. Raises: UnknownProcess."""
    info_of(network, process)
    return network.logs.entry_at(process, network.logs.last_position(process)).nonce


def message_at(network: Network, process: str, said: str) -> Message:
    """Find the message of a slot, or the one of this id. Raises: RefusedRequest; UnknownProcess."""
    info_of(network, process)
    if is_id(said):
        entry = network.logs.entry(said, process)
        if entry is not None:
            return entry.message
        raise RefusedRequest(f"process {process} has no message {said}", 404)
    slot = number(said, "slot")
    low, high = 0, network.logs.last_position(process)
    while low < high:  # ticks bear the nonce of the message before them
        middle = (low + high) // 2
        if network.logs.entry_at(process, middle).nonce < slot:
            low = middle + 1
        else:
            high = middle
    found = network.logs.entry_at(process, low)
    if found.nonce != slot:
        raise RefusedRequest(f"process {process} has no slot {slot}", 404)
    return found


def results_json(result: Result, info: ProcessInfo) -> dict[str, Any]:
    """Write what an evaluation gave: `outbox`, `data`, and the legacy network's result as `raw`."""
    raw = result_json(result, info)
    outbox = {
        str(place): {
            **{name.lower(): value for name, value in _pairs(message)},
            "target": message.get("Target", ""),
            "data": message.get("Data", ""),
            "anchor": message.get("Anchor", ""),
        }
        for place, message in enumerate(raw["Messages"], 1)
        if isinstance(message, dict)
    }
    shown: dict[str, Any] = {"outbox": outbox, "data": result.output, "raw": raw}
    if result.error:
        shown["error"] = result.error
    return shown


def _pairs(message: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for tag in message.get("Tags") or ():
        if isinstance(tag, dict) and isinstance(tag.get("name"), str):
            yield tag["name"], tag.get("value", "")


# -- the schedule -----------------------------------------------------------------------------


def schedule(
    network: Network,
    assignments: Assignments,
    process: str,
    *,
    bounds: tuple[str | None, str | None],
    aos2: bool,
) -> dict[str, Any]:
    """List a process's slots, both bounds inclusive. Raises: RefusedRequest; UnknownProcess."""
    info_of(network, process)
    low, high = bounds
    first = number(low, "from") if low else 0
    last = number(high, "to") if high else None
    found: list[Message] = []
    size, more = 0, False
    for message, _ in forwards(network, process, Cursor(0, first) if first else None):
        if message.cron or message.nonce < first:
            continue
        if last is not None and message.nonce > last:
            break
        if len(found) >= MOST_ASSIGNMENTS or size > PAGE_BYTES:
            more = True
            break
        size += len(message.data)
        found.append(message)
    now_ms = network.clock.now()
    height = block_height(now_ms)
    if aos2:
        page = {
            "process": process,
            "has_next_page": more,
            "timestamp": str(now_ms),
            "block-height": str(height),
            "block-hash": _block(height),
        }
        edges = [
            {"cursor": each.nonce, "node": _node(network, assignments, each)} for each in found
        ]
        return {"page_info": page, "edges": edges}
    return {
        "type": "schedule",
        "process": process,
        "continues": more,
        "timestamp": now_ms,
        "block-height": height,
        "block-hash": _block(height),
        "assignments": {str(each.nonce): assignment_json(network, each) for each in found},
    }


def assignment_json(network: Network, message: Message) -> dict[str, Any]:
    """Write the assignment of a slot."""
    said = message_json(network, message)
    body: dict[str, Any] = {tag["name"].lower(): tag["value"] for tag in said["tags"]}
    body |= {"id": said["id"], "owner": said["owner"]["address"], "data": said["data"]}
    if said["target"]:
        body["target"] = said["target"]
    return {**_assigned(message), "body": body}


def _assigned(message: Message) -> dict[str, Any]:
    return {
        "path": "compute",
        "data-protocol": "ao",
        "variant": VARIANT,
        "type": "Assignment",
        "process": message.process,
        "epoch": message.epoch,
        "slot": message.nonce,
        "block-height": message.block_height,
        "block-hash": _block(message.block_height),
        "block-timestamp": message.timestamp,
        "timestamp": message.timestamp,
        "hash-chain": message.hash_chain,
    }


def _node(network: Network, assignments: Assignments, message: Message) -> dict[str, Any]:
    said = message_json(network, message)
    assigned = assignments.item(message)
    slot = (("Slot", str(message.nonce)), ("Block-Hash", _block(message.block_height)))
    return {
        "message": {
            "Id": message.id,
            "Owner": message.owner,
            "From": message.sender,
            "Tags": said["tags"],
            "Target": said["target"],
            "Data": text_of(message.data),
            "Anchor": said["anchor"] or "",
            "Signature": said["signature"],
        },
        "assignment": {
            "Id": assigned.id,
            "Owner": assigned.address,
            "From": assigned.address,
            "Tags": tags_json([*assigned.tags, *slot]),
            "Target": "",
            "Data": "",
            "Anchor": "",
            "Signature": to_base64url(assigned.signature),
        },
    }


def _block(height: int) -> str:
    return encode_id(max(height, 0).to_bytes(32, "big"))
