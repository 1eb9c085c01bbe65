"""The base layer: what clients ask an Arweave node around an upload. All is free here."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from benchpool.ao.clock import block_height
from benchpool.ao.ids import is_id
from benchpool.ao.signers import to_base64url
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.blocks import block_id
from benchpool.server.context import Context
from benchpool.server.transactions import Transactions
from benchpool.server.wanted import Transaction

MOST_DATA_BYTES: Final = 12 << 20
"""Of `/tx/ID/data`, as at Arweave's nodes; larger data is to be had at `/raw/ID`."""
FREE: Final = {"winc": "0", "adjustments": [], "fees": []}
_LONGEST_NUMBER: Final = 20


def routes(context: Context, transactions: Transactions) -> APIRouter:
    """Make the router; its root is `/`."""
    router = APIRouter(tags=["gateway"])
    network = context.network

    async def height() -> int:
        return await context.bus.read(lambda: block_height(network.clock.now()))

    async def find(request: Request, txid: str) -> Transaction:
        found = await context.lookups.find(request, lambda view: transactions.at(view).find(txid))
        if found is None:
            raise RefusedRequest("Not Found", 404)
        return found

    @router.get("/height", responses=documented(media="text/plain"))
    async def current_height() -> Response:
        """Say how high this network stands."""
        return PlainTextResponse(str(await height()))

    @router.get("/tx_anchor", responses=documented(media="text/plain"))
    async def anchor() -> Response:
        """Give the id of the newest block, which a transaction may name."""
        return PlainTextResponse(block_id(await height()))

    @router.get("/price/{size}", responses=documented(media="text/plain"))
    @router.get("/price/{size}/{target}", responses=documented(media="text/plain"))
    async def price(size: str, target: str = "") -> Response:  # noqa: ARG001 - all are free
        """Say what it costs to keep so many bytes: nothing."""
        check_size(size)
        return PlainTextResponse("0")

    @router.get("/wallet/{address}/balance", responses=documented(media="text/plain"))
    async def balance(address: str) -> Response:
        """Say what an address has on the base layer: nothing; wAR is a process here."""
        if not is_id(address):
            raise RefusedRequest("Invalid address.", 400)
        return PlainTextResponse("0")

    @router.get("/wallet/{address}/last_tx", responses=documented(media="text/plain"))
    async def last_transaction(address: str) -> Response:
        """Name the last transaction of an address on the base layer: there is none."""
        if not is_id(address):
            raise RefusedRequest("Invalid address.", 400)
        return PlainTextResponse("")

    @router.get("/v1/rates", responses=documented())
    async def rates() -> Response:
        """Say what an upload costs in the currencies of upload services: nothing in any."""
        return answer({**FREE, "fiat": {"usd": 0}})

    @router.get("/v1/price/bytes/{size}", responses=documented())
    async def upload_price(size: str) -> Response:
        """Say what an upload of so many bytes costs: nothing."""
        check_size(size)
        return answer(FREE)

    @router.get("/tx/{txid}/status", responses=documented(404))
    async def status(request: Request, txid: str) -> Response:
        """Say in which block a transaction is."""
        found = await find(request, txid)
        now = await height()
        shown: dict[str, Any] = {
            "block_height": found.height,
            "block_indep_hash": block_id(found.height),
            "number_of_confirmations": max(now - found.height, 0) + 1,
        }
        return answer(shown)

    @router.get("/tx/{txid}/offset", responses=documented(404))
    async def offset(request: Request, txid: str) -> Response:
        """Say how large a transaction's data is, as if nothing else were in the weave."""
        size = str((await find(request, txid)).data_size)
        return answer({"size": size, "offset": size})

    @router.get("/tx/{txid}/data", responses=documented(404, media="text/plain"))
    async def data(request: Request, txid: str) -> Response:
        """Return a transaction's data in base64url."""
        found = await context.lookups.find(request, lambda view: transactions.at(view).raw(txid))
        if found is None:
            raise RefusedRequest("Not Found", 404)
        raw = found[0]
        if isinstance(raw, str):
            if (network.data.size(raw) or 0) > MOST_DATA_BYTES:
                raise RefusedRequest("tx_data_too_big", 400)
            loop = asyncio.get_running_loop()
            path = await loop.run_in_executor(context.threads, network.data.path, raw)
            raw = await loop.run_in_executor(context.threads, path.read_bytes)
        if len(raw) > MOST_DATA_BYTES:
            raise RefusedRequest("tx_data_too_big", 400)
        return PlainTextResponse(to_base64url(raw))

    return router


def check_size(text: str) -> None:
    """Accept a number of bytes. Raises: RefusedRequest."""
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise RefusedRequest("size_must_be_an_integer", 400)
