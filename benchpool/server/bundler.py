"""The bundler's routes: data that is no message comes as one signed item, and is kept.

Source of the paths and of the answer: the upload service that @ardrive/turbo-sdk speaks to
(`POST /v1/tx/{token}`). Nothing is paid here, so every token does.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from benchpool.ao.dataitem import DataItem
from benchpool.ao.tags import Tags
from benchpool.ao.wire import MESSAGE, PROCESS, PROTOCOL
from benchpool.errors import DataItemError
from benchpool.inference.files.gguf_header import MAGIC
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.context import Context
from benchpool.server.messenger import ITEM_BODY
from benchpool.server.reserves import FULL
from benchpool.store.uploads import Incoming, Upload
from benchpool.units.modules import is_module

BLOCK_BYTES = 1 << 20
"""What is hashed and written at a time, on a thread."""
PATHS = ("/tx", "/tx/{token}", "/v1/tx", "/v1/tx/{token}")


def routes(context: Context) -> APIRouter:
    """Make the router; its root is `/`."""
    router = APIRouter(tags=["bundler"])
    data = context.network.data
    most = context.network.limits.upload_bytes
    one_trial = asyncio.Lock()

    async def aside(work: Callable[..., Any], *given: Any) -> Any:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(context.threads, work, *given)
        except DataItemError as error:
            raise RefusedRequest(f"Invalid Data Item! {error}", 400) from None
        except OSError as error:
            status = FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else 503
            why = f"the upload cannot be written: {error.strerror}"
            raise RefusedRequest(why, status) from None

    too_large = RefusedRequest(f"the data item is larger than {most:,} bytes (upload_bytes)", 413)

    def declared(request: Request) -> int:
        """Return how many bytes a body will have, 0 if it is not said. Raises: RefusedRequest."""
        length = request.headers.get("content-length", "")
        size = int(length[:20]) if length.isdigit() else 0
        if size > most:
            raise too_large
        return size

    async def take(
        request: Request, incoming: Incoming, about_to_write: Callable[[int], None]
    ) -> DataItem:
        """Take the body in. Raises: RefusedRequest; ClientDisconnect if it was cut off."""
        size, block = 0, bytearray()
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_large
            about_to_write(len(part))
            block += part
            if len(block) >= BLOCK_BYTES:
                await aside(incoming.feed, bytes(block))
                block.clear()
        await aside(incoming.feed, bytes(block))
        item: DataItem = await aside(incoming.finish)
        return item

    async def post(request: Request, token: str = "") -> Response:  # noqa: ARG001 - all do
        """Keep the data of a signed item; it is durable when this answers."""
        try:
            with (
                context.reserves.upload(declared(request)) as about_to_write,
                await aside(data.incoming) as incoming,
            ):
                item = await take(request, incoming, about_to_write)
                check(item)
                known = data.uploads.find(item.id)
                if known is None:
                    if incoming.starts_with(MAGIC):
                        async with one_trial:
                            await aside(context.network.host.backend.admit, incoming.path)
                    if is_module(Tags(item.tags)):
                        async with one_trial:  # to compile it takes long, and is done once
                            await aside(context.network.modules.try_upload, incoming.path)
                    now_ms = await context.bus.read(context.network.clock.now)
                    kept = await aside(data.put_item, incoming, now_ms)
                    return answer(receipt(context, kept))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        return answer(receipt(context, known), 202)

    for path in PATHS:
        router.add_api_route(
            path,
            post,
            methods=["POST"],
            include_in_schema=not path.startswith("/v1"),
            responses=documented(400, 413, 507, ok={200: "Kept.", 202: "It was here before."}),
            openapi_extra=ITEM_BODY,
        )
    return router


def check(item: DataItem) -> None:
    """Accept an item that is no message, which nobody would get. Raises: Refused."""
    tags = Tags(item.tags)
    if PROTOCOL in tags.all("Data-Protocol") and tags.get("Type") in {MESSAGE, PROCESS}:
        raise RefusedRequest("a message or process goes to the messenger unit: POST /mu", 400)


def receipt(context: Context, upload: Upload) -> dict[str, object]:
    """Write what an uploader is told."""
    here = [urlsplit(context.url).netloc]
    return {
        "id": upload.id,
        "owner": upload.item.address,
        "winc": "0",
        "dataCaches": here,
        "fastFinalityIndexes": here,
        "timestamp": upload.record.timestamp,
    }
