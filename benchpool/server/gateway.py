"""The Arweave gateway's routes: GraphQL, raw data by id, and what network this is."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from benchpool.ao.clock import block_height
from benchpool.server import base_layer
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.blocks import block_id
from benchpool.server.context import CU_BODY_BYTES, Context, read_body
from benchpool.server.graphql import execute
from benchpool.server.lookups import View
from benchpool.server.transactions import Transactions, transaction_json

STRANGERS = {"Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}
"""What anybody may have put here is shown by a browser as a page of nobody, without scripts."""
GRAPHQL_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "query": {"type": "string"},
                        "variables": {"type": ["object", "null"]},
                    },
                    "required": ["query"],
                }
            }
        },
    }
}


def routes(context: Context) -> APIRouter:
    """Make the router; its root is `/`."""
    router = APIRouter(tags=["gateway"])
    bus, network = context.bus, context.network
    transactions = Transactions(context)

    def newest_block() -> int:
        return block_height(network.clock.now())

    router.include_router(base_layer.routes(context, transactions))

    @router.get("/", responses=documented())
    @router.get("/info", responses=documented())
    async def info() -> Response:
        """Say which network this is and how high it stands."""

        def work() -> dict[str, Any]:
            height = newest_block()
            return {
                "network": "benchpool",
                "version": 1,
                "release": 1,
                "height": height,
                "current": block_id(height),
                "blocks": height + 1,
                "peers": 0,
                "queue_length": bus.waiting,
            }

        return answer(await bus.read(work))

    @router.post("/graphql", responses=documented(400, 413), openapi_extra=GRAPHQL_BODY)
    async def graphql(request: Request) -> Response:
        """Find transactions; see docs/server.md for the part of Arweave's schema that is here."""
        try:
            asked = msgspec.json.decode(await read_body(request, CU_BODY_BYTES))
            query, variables = asked["query"], asked.get("variables") or {}
        except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
            raise RefusedRequest("the body must be JSON with a GraphQL query", 400) from None
        if not isinstance(query, str) or not isinstance(variables, dict):
            raise RefusedRequest("'query' must be a text and 'variables' an object", 400)
        newest = await bus.read(newest_block) if "block" in query else 0

        def work(view: View) -> dict[str, Any]:
            return execute(transactions, view, query, variables, newest)

        return answer(await context.lookups.search(request, work))

    @router.get("/tx/{txid}", responses=documented(404))
    async def header(request: Request, txid: str) -> Response:
        """Describe a transaction, its tags in base64url as Arweave's nodes write them."""
        found = await context.lookups.find(request, lambda view: transactions.at(view).find(txid))
        if found is None:
            raise RefusedRequest("Not Found", 404)
        return answer(transaction_json(found))

    @router.get("/raw/{txid}", responses=documented(404, media="application/octet-stream"))
    @router.get("/{txid}", responses=documented(404, media="application/octet-stream"))
    @router.head("/raw/{txid}", include_in_schema=False)
    @router.head("/{txid}", include_in_schema=False)
    async def raw(request: Request, txid: str) -> Response:
        """Return the data of a transaction: a module, a data item, or stored data."""
        found = await context.lookups.find(request, lambda view: transactions.at(view).raw(txid))
        if found is None:
            raise RefusedRequest("Not Found", 404)
        data, kind = found
        if isinstance(data, bytes):
            return Response(data, media_type=kind, headers=STRANGERS)
        # A large file is hashed before it is first given, which takes its time.
        loop = asyncio.get_running_loop()
        path = await loop.run_in_executor(context.threads, network.data.path, data)
        return FileResponse(path, media_type=kind, headers=STRANGERS)

    return router
