"""The node: what HyperBEAM answers at its root, for AO's clients in their main-network mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request, Response

from benchpool.ao.clock import block_height
from benchpool.ao.dataitem import DataItem, decode
from benchpool.ao.ids import encode_id, is_id
from benchpool.ao.message import Item, Message
from benchpool.ao.tags import Pair, Tags
from benchpool.ao.wire import PROCESS
from benchpool.errors import (
    DataItemError,
    DuplicateMessage,
    ProcessBusy,
    Unavailable,
    UnknownProcess,
)
from benchpool.server.answers import RefusedRequest
from benchpool.server.compute import BUSY_AFTER_S, LONGEST_WAIT_S, awaiting, trying_out
from benchpool.server.context import CU_BODY_BYTES, MU_BODY_BYTES, Context, read_body
from benchpool.server.hyperbeam import slots
from benchpool.server.hyperbeam.codecs import AOS2, parameter, wants_json, write
from benchpool.server.hyperbeam.paths import Asked
from benchpool.server.hyperbeam.states import States
from benchpool.server.hyperbeam.values import find, plain
from benchpool.server.intake import Checked, check, schedule
from benchpool.version import VERSION

EXECUTION: Final = ("", "genesis-wasm@1.0", "genesis-wasm")
"""Devices that a process may name: what they compute is what this compute unit computes."""
_ASKED_OF_THE_SERVER: Final = frozenset(
    {"require-codec", "accept-codec", "accept-bundle", "accept", "signing-format", "async", "slot"}
)
Work = Callable[[Request], Awaitable[Response]]


class Node:
    """Serves what paths of HyperBEAM ask for."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._states = States(context)
        self._wait = awaiting(context)
        # Its clients take an error for the end of the matter.
        self._try_out = trying_out(context, LONGEST_WAIT_S)

    def serving(self, asked: Asked) -> Work:
        """Return what serves requests with this path."""

        async def serve(request: Request) -> Response:
            reads = request.method in ("GET", "HEAD", "POST")
            if not reads or (asked.schedules and request.method != "POST" and not _lists(asked)):
                raise RefusedRequest(f"{request.method} is not done here", 405)
            if asked.bad:
                raise RefusedRequest(asked.bad, 404)
            try:
                if asked.schedules and request.method == "POST":
                    return await self._push(request, asked)
                item = await _item_of(request)
                return await self._read(request, await self._named(asked), item)
            except UnknownProcess as error:
                raise RefusedRequest(str(error), 404) from None

        return serve

    # -- what is scheduled -------------------------------------------------------------------

    async def _push(self, request: Request, asked: Asked) -> Response:
        if "signature-input" in request.headers:
            raise RefusedRequest(
                "HTTP message signatures are not read here; sign an ANS-104 data item"
                " (aoconnect: signing-format 'ans104')",
                415,
            )
        checked = await check(self._context, await read_body(request, MU_BODY_BYTES))
        item, said = checked.item, checked.said
        json = wants_json(request, item)
        if said.type == PROCESS:
            _check_spawn(asked, Tags(item.tags))
        elif asked.process not in ("", item.target):
            raise RefusedRequest(
                f"the path names process {asked.process}, and the item is for {item.target}", 400
            )
        message = await self._context.bus.write(lambda: self._schedule(checked))
        shown: dict[str, Any] = {
            "process": message.process,
            "slot": message.nonce,
            "id": item.id,
            "status": 200,
        }
        extra = {name: str(value) for name, value in shown.items() if name != "status"}
        if said.type == PROCESS:
            shown |= slots.assignment_json(self._context.network, message)
        elif parameter("async", request, item) != "true":
            shown = {**await self._outcome(message), **shown}
        return write(shown, json=json, extra=extra)

    def _schedule(self, checked: Checked) -> Message:
        """Give an item its place, or say which it has; the bus's thread calls this."""
        network, item = self._context.network, checked.item
        spawns = checked.said.type == PROCESS
        try:
            message = schedule(network, checked)
        except DuplicateMessage:
            entry = network.logs.entry(item.id, item.id if spawns else item.target)
            if entry is None:  # its content came before, under another signature
                raise
            return entry.message
        if spawns and item.target and network.logs.find_process(item.target) is not None:
            network.post_assignment(item.id, [item.target])
        return message

    async def _outcome(self, message: Message) -> dict[str, Any]:
        """Return what came of a message, if that is known soon."""
        if self._context.network.logs.find_process(message.process) is None:
            return {}  # mail of a wallet is not evaluated
        result, info = await self._wait(message.id, message.process, BUSY_AFTER_S)
        return {} if result is None else slots.results_json(result, info)

    # -- what is read ------------------------------------------------------------------------

    async def _named(self, asked: Asked) -> Asked:
        """Put the process's id in place of its name. Raises: UnknownProcess."""
        if not asked.process or is_id(asked.process):
            return asked
        network = self._context.network
        process = await self._context.bus.read(lambda: network.resolve(asked.process))
        return asked._replace(process=process)

    async def _read(self, request: Request, asked: Asked, item: DataItem | None) -> Response:
        json = wants_json(request, item)
        if asked.tags is not None:
            return write(await self._dry_run(request, asked, item), json=json)
        keys = [each.key for each in asked.steps]
        if not asked.process:
            value = find(await self._about(), keys[2:]) if keys[1:2] == ["info"] else None
            if value is None:
                raise RefusedRequest("this is not here", 404)
            return write(value, json=json)
        scalars = request.method == "HEAD"
        match keys:
            case []:
                return write(await self._spawned_as(asked.process), json=json)
            case ["slot", *more]:
                process = asked.process
                slot = await self._context.bus.read(
                    lambda: slots.current(self._context.network, process)
                )
                return write(find({"current": slot, "process": process}, more), json=json)
            case ["schedule", *more]:
                found = await self._schedule_of(request, asked, item)
                return write(plain(find(found, more)) if more else found, json=json or not more)
            case ["now" | "compute", *_]:
                value = await self._states.look(request, asked, scalars=scalars)
                return write(value, json=json)
        raise RefusedRequest(f"there is no key {'/'.join(keys)[:80]!r} here", 404)

    async def _spawned_as(self, process: str) -> dict[str, Any]:
        """Return the message that made a process."""
        network = self._context.network

        def work() -> dict[str, Any]:
            first = slots.message_at(network, process, "0")
            said: dict[str, Any] = slots.assignment_json(network, first)["body"]
            return said

        return await self._context.bus.read(work)

    async def _about(self) -> dict[str, Any]:
        network = self._context.network
        now_ms = await self._context.bus.read(network.clock.now)
        return {
            "address": network.messenger.address,
            "scheduler": self._context.assignments.address,
            "initialized": "permanent",
            "node": "benchpool",
            "version": VERSION,
            "timestamp": now_ms,
            "block-height": block_height(now_ms),
        }

    async def _schedule_of(
        self, request: Request, asked: Asked, item: DataItem | None
    ) -> dict[str, Any]:
        first = asked.steps[0]
        low, high = (
            first.get(name) or request.query_params.get(name) or None for name in ("from", "to")
        )
        aos2 = parameter("accept", request, item) == AOS2 or first.get("accept") == AOS2
        context = self._context
        return await context.bus.read(
            lambda: slots.schedule(
                context.network, context.assignments, asked.process, bounds=(low, high), aos2=aos2
            )
        )

    async def _dry_run(
        self, request: Request, asked: Asked, item: DataItem | None
    ) -> dict[str, Any]:
        given = [*(asked.tags or ()), *request.query_params.multi_items()]
        pairs = [pair for pair in given if pair[0].lower() not in _ASKED_OF_THE_SERVER]
        try:
            result, info = await self._try_out(
                asked.process, lambda process: _dry_item(process, pairs, item), ""
            )
        except ProcessBusy as error:  # 202 would be read as a result, an empty one
            raise Unavailable(str(error)) from None
        return slots.results_json(result, info)


def _lists(asked: Asked) -> bool:
    """Tell whether a path of what schedules can be read too."""
    return bool(asked.process) and asked.steps[0].key == "schedule"


async def _item_of(request: Request) -> DataItem | None:
    """Read the item that a read may carry; what it says counts, and not who signed it."""
    if request.method != "POST":
        return None
    try:
        return decode(await read_body(request, CU_BODY_BYTES))
    except DataItemError:
        return None  # a client without a wallet sends a text


def _dry_item(process: str, pairs: list[Pair], item: DataItem | None) -> Item:
    """Make the message that a dry run evaluates."""
    tags = Tags(pairs)
    owner = encode_id(bytes(32)) if item is None else item.address
    data = b"" if item is None else item.data
    try:
        text: str | bytes = data.decode()
    except UnicodeDecodeError:
        text = data
    sender = tags.get("From-Process") or owner
    return Item(process, owner, sender, tags, text, reference=tags.get("Reference"))


def _check_spawn(asked: Asked, tags: Tags) -> None:
    """Accept a process that can run here. Raises: RefusedRequest."""
    if asked.process:
        raise RefusedRequest("a process is spawned at /push, not at another one's", 400)
    device = tags.get("Execution-Device") or ""
    if device.startswith("lua@"):
        raise RefusedRequest(
            f"the device {device[:40]} is not here: name a module with"
            " execution-device=genesis-wasm@1.0",
            400,
        )
    if device not in EXECUTION:
        raise RefusedRequest(f"the device {device[:80]!r} is not here; genesis-wasm@1.0 is", 400)
