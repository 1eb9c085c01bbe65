"""The scheduler unit's routes: logs with their assignments. It refuses with status 400."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from benchpool.ao.clock import block_height
from benchpool.ao.message import Message
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.assignments import message_json
from benchpool.server.context import MU_BODY_BYTES, Context, read_body
from benchpool.server.cursors import Cursor
from benchpool.server.evaluations import PAGE_BYTES, backwards, forwards
from benchpool.server.intake import check, excluded, schedule
from benchpool.server.messenger import ITEM_BODY

LIMIT = 100
MOST = 1_000

OptionalProcess = Annotated[str, Query(alias="process-id", max_length=64)]


def routes(context: Context) -> APIRouter:
    """Make the router; its root is `/`."""
    router = APIRouter(tags=["scheduler unit"])
    bus, network = context.bus, context.network

    @router.post(
        "/", responses=documented(400, 413, ok={200: "Scheduled."}), openapi_extra=ITEM_BODY
    )
    async def post(
        request: Request,
        process_id: OptionalProcess = "",
        assign: str = "",
        exclude: str = "",
    ) -> Response:
        """Schedule a signed data item, or assign a message."""
        if process_id and assign:

            def put() -> Message:
                known(process_id)
                fields = excluded(exclude)
                return network.post_assignment(assign, [process_id], exclude=fields)[0]

            message = await bus.write(put)
            return answer(
                {"timestamp": message.timestamp, "id": context.assignments.id_of(message)}
            )
        checked = await check(context, await read_body(request, MU_BODY_BYTES))
        message = await bus.write(lambda: schedule(network, checked))
        return answer({"timestamp": message.timestamp, "id": checked.item.id})

    @router.get("/", responses=documented(400))
    async def location(process_id: OptionalProcess = "") -> Response:
        """Say who schedules a process."""

        def work() -> dict[str, Any]:
            if process_id:
                known(process_id)
            return {"timestamp": network.clock.now(), "address": context.assignments.address}

        return answer(await bus.read(work))

    @router.get("/timestamp", responses=documented(400))
    async def timestamp(process_id: OptionalProcess = "") -> Response:  # noqa: ARG001 - of AO
        """Say what time it is."""
        now_ms = await bus.read(network.clock.now)
        return answer({"timestamp": str(now_ms), "block_height": f"{block_height(now_ms):012d}"})

    @router.get("/processes/{process}", responses=documented(400))
    async def process_facts(process: str) -> Response:
        """Show a process."""

        def work() -> dict[str, Any]:
            first = first_of(process)
            shown = message_json(network, first)
            return {
                "process_id": first.process,
                "block": f"{first.block_height:012d}",
                "timestamp": first.timestamp,
                **{name: value for name, value in shown.items() if name != "id"},
            }

        return answer(await bus.read(work))

    @router.get("/{process}/latest", responses=documented(400))
    async def latest(process: str) -> Response:
        """Show the newest message of a process."""

        def work() -> dict[str, Any]:
            known(process)
            last = next(m for m, _ in backwards(network, process) if not m.cron)
            return context.assignments.node(last)

        return answer(await bus.read(work))

    @router.get("/{id}", responses=documented(400))
    async def look(
        id: str,  # noqa: A002 - AO's name
        process_id: OptionalProcess = "",
        from_: Annotated[str, Query(alias="from")] = "",
        to: str = "",
        from_nonce: Annotated[str, Query(alias="from-nonce")] = "",
        to_nonce: Annotated[str, Query(alias="to-nonce")] = "",
        limit: str = "",
    ) -> Response:
        """List a process's messages, or show the one of this id or assignment id."""

        def work() -> dict[str, Any]:
            if network.logs.find_process(id) is not None and process_id in ("", id):
                by_nonce = bool(from_nonce or to_nonce)
                start = number(from_nonce or from_, "from")
                end = number(to_nonce or to, "to")
                count = min(number(limit, "limit") or LIMIT, MOST)
                return messages(id, start, end, count, by_nonce=by_nonce)
            if not process_id:
                raise RefusedRequest("'process-id': which process's log is meant?", 400)
            known(process_id)
            return context.assignments.node(find(id, process_id))

        return answer(await bus.read(work))

    def messages(
        process: str, start: int | None, end: int | None, limit: int, *, by_nonce: bool
    ) -> dict[str, Any]:
        """List messages behind `start` up to and with `end`.

        By time, messages of one millisecond stay on one page, whatever the limit: the next page
        begins behind their time, and would leave out those that are not on this one.
        """
        edges: list[dict[str, Any]] = []
        size, more = 0, False
        for message in scheduled(process, start, by_nonce=by_nonce):
            key = message.nonce if by_nonce else message.timestamp
            if start is not None and key <= start:
                continue
            if end is not None and key > end:
                break
            full = len(edges) >= limit or size > PAGE_BYTES
            if full and edges[-1]["cursor"] != str(key):
                more = True
                break
            size += len(message.data)
            edges.append({"cursor": str(key), "node": context.assignments.node(message)})
        return {"page_info": {"has_next_page": more}, "edges": edges}

    def scheduled(process: str, start: int | None, *, by_nonce: bool) -> Iterator[Message]:
        cursor = None
        if start is not None:
            cursor = Cursor(0, start) if by_nonce else Cursor(start)
        return (m for m, _ in forwards(network, process, cursor) if not m.cron)

    def find(id_: str, process: str) -> Message:
        entry = network.logs.entry(id_, process)
        if entry is not None:
            return entry.message
        message = network.logs.assigned(id_)
        if message is not None and message.process == process:
            return message
        raise RefusedRequest("Message or Process not found", 400)

    def first_of(process: str) -> Message:
        known(process)
        return network.logs.entry_at(process, 0)

    def known(process: str) -> None:
        if network.logs.find_process(process) is None:
            raise RefusedRequest("Message or Process not found", 400)

    return router


def number(text: str, name: str) -> int | None:
    """Read a bound or limit. Raises: Refused."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise RefusedRequest(f"'{name}': must be a whole number, not {text[:20]!r}", 400)
    return int(text)
