"""The messenger unit's routes: messages, assignments, monitors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from benchpool.ao.dataitem import decode, verify
from benchpool.ao.wire import PROCESS
from benchpool.errors import DataItemError, DuplicateMessage
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.context import MU_BODY_BYTES, Context, read_body
from benchpool.server.intake import (
    NO_ITEM,
    as_scheduler_said,
    check,
    check_target,
    excluded,
    schedule,
)

ITEM_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
LONGEST_NUMBER = 9


def taking(context: Context) -> Callable[[Request], Awaitable[Response]]:
    """Make what takes a data item: most requests are this one; see `app.Shortcuts`."""
    bus, network = context.bus, context.network

    async def post_item(request: Request) -> Response:
        checked = await check(context, await read_body(request, MU_BODY_BYTES))
        item = checked.item

        def take() -> None:
            try:
                schedule(network, checked)
            except DuplicateMessage as error:
                raise as_scheduler_said(error) from None
            target = item.target if checked.said.type == PROCESS else ""
            if target and network.logs.find_process(target) is not None:
                network.post_assignment(item.id, [target])

        await bus.write(take)
        return answer({"message": "Processing DataItem", "id": item.id}, 202)

    return post_item


def routes(context: Context) -> APIRouter:
    """Make the router; its root is `/`."""
    router = APIRouter(tags=["messenger unit"])
    bus, network = context.bus, context.network
    post_item = taking(context)

    @router.get("/", responses=documented(media="text/plain"))
    async def greet() -> Response:
        """Say what answers here."""
        return PlainTextResponse("ao messenger unit")

    @router.post(
        "/",
        status_code=202,
        responses=documented(400, 413, 500, 404, ok={202: "Accepted."}),
        openapi_extra=ITEM_BODY,
    )
    async def post(
        request: Request,
        process_id: Annotated[str | None, Query(alias="process-id")] = None,
        assign: str | None = None,
        exclude: str = "",
        base_layer: Annotated[str | None, Query(alias="base-layer")] = None,
    ) -> Response:
        """Take a signed data item, or assign a message; both are committed when this answers."""
        if process_id is not None or assign is not None:
            if not (process_id and assign):
                raise RefusedRequest("'process-id' and 'assign' must both be given", 400)
            if base_layer is not None:
                raise RefusedRequest("'base-layer': there is no base layer here to assign from")
            return await assigned(assign, process_id, excluded(exclude))
        return await post_item(request)

    async def assigned(message: str, process: str, exclude: list[str]) -> Response:
        def work() -> str:
            check_target(network, process)
            placed = network.post_assignment(message, [process], exclude=exclude)
            return context.assignments.id_of(placed[0])

        assignment = await bus.write(work)
        return answer({"message": "Processing Assignment", "id": assignment}, 202)

    @router.post(
        "/monitor/{process}",
        responses=documented(404, 413, 500, media="text/plain"),
        openapi_extra=ITEM_BODY,
    )
    async def monitor(request: Request) -> Response:
        """Note that somebody wants a process's cron pushed; here it always is."""
        target = await monitored(request)

        def work() -> None:
            check_target(network, target)
            known = context.monitors()
            if target in known:
                raise RefusedRequest("Process already being monitored")
            context.set_monitors([*known, target])

        await bus.write(work)
        return PlainTextResponse("Process monitoring initiated")

    @router.delete(
        "/monitor/{process}",
        responses=documented(404, 413, 500, media="text/plain"),
        openapi_extra=ITEM_BODY,
    )
    async def unmonitor(request: Request) -> Response:
        """Take the note back."""
        target = await monitored(request)

        def work() -> None:
            known = context.monitors()
            if target not in known:
                raise RefusedRequest("Process monitor not found")
            context.set_monitors([each for each in known if each != target])

        await bus.write(work)
        return PlainTextResponse("Process monitoring stopped")

    async def monitored(request: Request) -> str:
        # As on AO, the path says nothing: the process is the item's target.
        raw = await read_body(request, MU_BODY_BYTES)
        try:
            item = decode(raw)
            verify(item)
        except DataItemError as error:
            raise RefusedRequest(NO_ITEM, detail=str(error)) from None
        if not item.target:
            raise RefusedRequest("the item has no target, which is the process to be monitored")
        return item.target

    @router.post(
        "/push/{message}/{number}",
        status_code=202,
        responses=documented(400, 404, 500, ok={202: "It is pushed, or was before."}),
    )
    async def push(
        message: str,
        number: str,
        process_id: Annotated[str, Query(alias="process-id", max_length=64)],
    ) -> Response:
        """Push the n-th message of a result again, if it has not been delivered."""
        if not (number.isascii() and number.isdigit() and len(number) <= LONGEST_NUMBER):
            raise RefusedRequest("'number' parameter must be a valid number", 400)

        def work() -> None:
            check_target(network, process_id)
            if network.logs.entry(message, process_id) is None:
                raise RefusedRequest("Message id not found on the scheduler with a valid block.")
            network.push_again(message, process_id, int(number))

        await bus.write(work)
        return answer({"message": "Processing Message Result", "id": message}, 202)

    return router
