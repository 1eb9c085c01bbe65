"""The compute unit's routes: results, dry runs, states."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Item, Message, ProcessInfo, Result
from benchpool.ao.shapes import result_json
from benchpool.ao.tags import Tags
from benchpool.errors import ProcessBusy, UnknownProcess
from benchpool.network import Network
from benchpool.server import evaluations
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.context import CU_BODY_BYTES, Context, read_body
from benchpool.server.cursors import read_cursor

BUSY_AFTER_S = 5.0
"""How long a request waits for an evaluation before it is told to ask again."""
LONGEST_WAIT_S = 300.0
RESULTS_LIMIT = 25
CRON_LIMIT = 500
MOST_RESULTS = 1_000

Process = Annotated[str, Query(alias="process-id", max_length=64)]
Limit = Annotated[str, Query(max_length=20)]


Await = Callable[[str, str, float], Awaitable[tuple[Result | None, ProcessInfo]]]


def awaiting(context: Context) -> Await:
    """Make what waits for the result of (message, process) for some seconds.

    It gives None when that time is over, or too many wait already.
    """
    bus, network = context.bus, context.network

    def find(message: str, process: str) -> tuple[Result | None, ProcessInfo]:
        info = network.info(process)
        entry = network.logs.entry(message, info.id)
        if entry is None:
            raise UnknownProcess(f"no message {message[:80]!r} for process {info.id}")
        return entry.result, info

    async def wait(message: str, process: str, seconds: float) -> tuple[Result | None, ProcessInfo]:
        known = context.recent.find(process, message)
        if known is not None:
            return known
        deadline = time.monotonic() + seconds
        while True:
            found = await bus.read(lambda: find(message, process))
            if found[0] is not None or not await context.moved(deadline):
                return found

    return wait


def giving(context: Context) -> Callable[[str, str, str], Awaitable[Response]]:
    """Make what gives a result of (message, process, no-busy): see `app.Shortcuts`."""
    wait = awaiting(context)

    async def give(message: str, process: str, no_busy: str = "") -> Response:
        patient = no_busy in ("1", "true")
        found, info = await wait(message, process, LONGEST_WAIT_S if patient else BUSY_AFTER_S)
        if found is not None:
            return answer(result_json(found, info))
        return answer({"message": f"Evaluation of process {info.id} is in progress."}, 202)

    return give


TryOut = Callable[[str, Callable[[str], Item], str], Awaitable[tuple[Result, ProcessInfo]]]


def trying_out(context: Context, wait_s: float = BUSY_AFTER_S) -> TryOut:
    """Make what evaluates (process, id -> message, to), and keeps nothing of it.

    Of a process that is at a model's answers for longer than `wait_s`, it raises ProcessBusy.
    """
    bus, network = context.bus, context.network

    async def try_out(
        process: str, made: Callable[[str], Item], to: str = ""
    ) -> tuple[Result, ProcessInfo]:
        def prepare() -> tuple[Message, ProcessInfo, bool, int | None]:
            info = network.info(process)
            item = made(info.id)
            network.limits.check_item(item)
            message = network.scheduler.preview(item, info.id)
            position = None
            if to:
                entry = network.logs.entry(to, info.id)
                if entry is None:
                    raise UnknownProcess(f"no message {to[:80]!r} for process {info.id}")
                position = past_only(network, entry.message.position, info.id)
            in_lane = network.live.has_lanes and network.process(info.id).heavy
            return message, info, in_lane, position

        message, info, in_lane, position = await bus.read(prepare)
        if in_lane and position is None:  # it may be at something long, and so may this be
            return await beside(message), info
        return await bus.read(lambda: network.compute.dry_run(message, position)), info

    async def beside(message: Message) -> Result:
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + wait_s
        while True:
            try:
                return await loop.run_in_executor(
                    context.threads, lambda: network.live.evaluate_dry(message, BUSY_AFTER_S)
                )
            except ProcessBusy:
                if not await context.moved(deadline):
                    raise

    return try_out


def past_only(network: Network, position: int, process: str) -> int | None:
    """Return a position of a process's log, or None if it stands there now."""
    return position if position < network.compute.instance(process).position else None


def routes(context: Context) -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["compute unit"])
    bus, network = context.bus, context.network
    give, try_out = giving(context), trying_out(context)

    @router.get("/", responses=documented())
    async def greet() -> Response:
        """Say who computes here."""
        now_ms = await bus.read(network.clock.now)
        return answer({"address": context.assignments.address, "timestamp": now_ms})

    @router.get("/result/{message}", responses=documented(404, 500, 422, ok=RESULT))
    async def result(
        message: str, process: Process, no_busy: Annotated[str, Query(alias="no-busy")] = ""
    ) -> Response:
        """Return the result of a message; of a process's own evaluation by the process's id."""
        return await give(message, process, no_busy)

    @router.get("/results/{process}", responses=documented(404, 500, 422))
    async def results(
        process: str,
        from_: Annotated[str, Query(alias="from")] = "",
        to: str = "",
        limit: Limit = "",
        sort: str = "ASC",
    ) -> Response:
        """List what a process evaluated, failures left out; `from` exclusive, `to` inclusive."""
        page = read_page(from_, to, limit, sort, default=RESULTS_LIMIT)
        return answer(await bus.read(lambda: evaluations.page(network, process, page)))

    @router.get("/cron/{process}", responses=documented(404, 500, 422))
    async def cron(
        process: str,
        from_: Annotated[str, Query(alias="from")] = "",
        to: str = "",
        limit: Limit = "",
        sort: str = "ASC",
    ) -> Response:
        """List what a process evaluated for its cron ticks."""
        page = read_page(from_, to, limit, sort, default=CRON_LIMIT)
        page = page._replace(crons_only=True)
        return answer(await bus.read(lambda: evaluations.page(network, process, page)))

    @router.post("/dry-run", responses=documented(404, 413, 500, 422, ok=RESULT))
    async def dry_run(request: Request, process: Process, to: str = "") -> Response:
        """Evaluate a message, which nobody needs to have signed, and keep nothing of it.

        With `to`, the id of a message, on the process as it was behind that.
        """
        body = read_message(await read_body(request, CU_BODY_BYTES))
        return answer(result_json(*await try_out(process, lambda own: dry_item(body, own), to)))

    @router.get(
        "/state/{process}",
        responses=documented(404, 500, 422, media="application/octet-stream"),
    )
    async def state(process: str, to: str = "") -> Response:
        """Return a process's memory, now or at a time: its state as JSON, as it is checkpointed."""
        moment = read_cursor(to).timestamp if to else None

        def dump() -> tuple[bytes, Message]:
            info = network.info(process)
            network.live.check_idle(info.id)
            position = None
            if moment is not None:
                position = evaluations.position_at(network, info.id, moment)
                if position < 0:
                    raise RefusedRequest(f"process {info.id} was not there yet at {moment}")
                position = past_only(network, position, info.id)
            if position is None:
                found, position = (
                    network.process(info.id),
                    network.compute.instance(info.id).position,
                )
            else:
                found = network.compute.past(info.id, position).process
            return found.dump(), network.logs.entry_at(info.id, position)

        memory, last = await bus.read(dump)
        headers = {
            "Last-Timestamp": str(last.timestamp),
            "Last-Ordinate": str(last.nonce),
            "Last-Block-Height": str(last.block_height),
        }
        return Response(memory, headers=headers, media_type="application/octet-stream")

    return router


RESULT = {200: "The result.", 202: "The evaluation goes on; ask again."}


def read_page(from_: str, to: str, limit: str, sort: str, *, default: int) -> evaluations.Page:
    """Read the parameters of a list. Raises: ConfigError, Refused."""
    start = read_cursor(from_) if from_ else None
    end = read_cursor(to) if to else None
    given = (start.sort if start else "") or sort
    order = given.upper()
    if order not in ("ASC", "DESC"):
        raise RefusedRequest(f"'sort': must be ASC or DESC, not {given[:20]!r}")
    return evaluations.Page(start, end, read_limit(limit, default), order)


def read_limit(text: str, default: int, most: int = MOST_RESULTS) -> int:
    """Read a limit. Raises: Refused."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise RefusedRequest(f"'limit': must be a whole number above 0, not {text[:20]!r}")
    return min(int(text), most)


def read_message(body: bytes) -> dict[str, Any]:
    """Read the JSON of a dry run. Raises: Refused."""
    try:
        message = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RefusedRequest(f"the body must be the JSON of a message: {error}") from None
    if not isinstance(message, dict):
        raise RefusedRequest("the body must be the JSON of a message")
    return message


def dry_item(body: dict[str, Any], process: str) -> Item:
    """Make the message that a dry run evaluates. Raises: Refused."""
    tags = body.get("Tags") or []
    if not isinstance(tags, list) or not all(
        isinstance(tag, dict) and isinstance(tag.get("name"), str) and "value" in tag
        for tag in tags
    ):
        raise RefusedRequest("'Tags': must be a list of objects with name and value")
    pairs = Tags([(tag["name"], str(tag["value"])) for tag in tags])
    owner = str(body.get("Owner") or encode_id(bytes(32)))
    data = body.get("Data")
    text = data if isinstance(data, str) else "" if data is None else msgspec.json.encode(data)
    if isinstance(text, bytes):
        text = text.decode()
    return Item(
        str(body.get("Target") or process),
        owner,
        str(body.get("From") or pairs.get("From-Process") or owner),
        pairs,
        text,
        anchor=str(body.get("Anchor") or ""),
        reference=pairs.get("Reference"),
    )
