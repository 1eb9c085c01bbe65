"""The control routes: what the command line asks of a running server, with its token.

A served home is locked, so commands that write have the server do it; see
`benchpool.client.served`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from asyncio import get_running_loop, to_thread
from contextlib import ExitStack
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request, Response

from benchpool.ao.clock import parse_duration
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.errors import ConfigError, HandlerError
from benchpool.server.answers import RefusedRequest, answer, documented
from benchpool.server.context import MU_BODY_BYTES, Context, read_body

BODY_BYTES = 2 * MU_BODY_BYTES
LONGEST_WAIT_S = 30.0


class Said(msgspec.Struct):
    """What somebody wants to be sent or spawned."""

    sender: str
    target: str = ""
    action: str = ""
    module: str = ""
    name: str | None = None
    given_id: str | None = None
    tags: list[tuple[str, str]] = []
    text: str = ""
    base64: str | None = None
    """Data that is no text."""
    processes: list[str] = []
    message: str = ""
    exclude: list[str] = []

    @property
    def data(self) -> str | bytes:
        """The Data. Raises: ConfigError."""
        if self.base64 is None:
            return self.text
        try:
            return base64.b64decode(self.base64, validate=True)
        except binascii.Error:
            raise ConfigError("'base64': is none") from None


class WantedModule(msgspec.Struct):
    """Data of the home that is a module."""

    data: str
    name: str
    ids: list[str] = []
    compute_limit: int | None = None
    memory_limit: int | None = None


class WantedPackage(msgspec.Struct):
    """A Lua package."""

    name: str
    source: str


class WantedWallet(msgspec.Struct):
    """A wallet to be made, or taken in by its key."""

    name: str
    kind: str = ED25519
    jwk: dict[str, Any] | None = None


class WantedTime(msgspec.Struct):
    """How far time shall be moved on, such as `24h`."""

    duration: str


def routes(context: Context) -> APIRouter:
    """Make the router."""
    bus, network = context.bus, context.network

    async def allowed(authorization: Annotated[str, Header()] = "") -> None:
        given = authorization.removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, context.token.encode()):
            raise RefusedRequest("the token of this server's server.json is missing", 401)

    router = APIRouter(tags=["control"], dependencies=[Depends(allowed)], include_in_schema=False)

    async def read(request: Request, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode(await read_body(request, BODY_BYTES), type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise RefusedRequest(str(error), 400) from None

    @router.post("/messages", responses=documented(400))
    async def send(request: Request) -> Response:
        """Post a message of one of the network's wallets."""
        said: Said = await read(request, Said)

        def work() -> dict[str, str]:
            sent = network.post(
                said.target, said.action, said.tags, data=said.data, sender=said.sender
            )
            return {"id": sent.id, "process": sent.process, "sender": sent.sender}

        return answer(await bus.write(work))

    @router.post("/processes", responses=documented(400))
    async def spawn(request: Request) -> Response:
        """Spawn a process for one of the network's wallets, and wait for its first evaluation."""
        said: Said = await read(request, Said)
        owner = network.wallet(said.sender)
        trial = network.dispatch.rehearsed(said.module, said.tags, said.name, said.data, owner)
        with ExitStack() as rehearsal:
            # Beside the network's own thread: a process may load a model.
            hand_over = await get_running_loop().run_in_executor(
                context.threads, rehearsal.enter_context, trial
            )

            def work() -> str:
                process = network.post_spawn(
                    said.module,
                    said.tags,
                    name=said.name,
                    data=said.data,
                    sender=owner,
                    given_id=said.given_id,
                )
                hand_over(process)
                return process

            process = await bus.write(work)
        while not await bus.finished(process, LONGEST_WAIT_S):
            pass
        stopped = bus.stopped(process)
        if stopped is not None:
            raise stopped
        error = (await bus.read(lambda: network.result(process, process))).error
        if error:  # of a heavy process, which is evaluated beside everything else
            raise HandlerError(f"{said.module} {process} was spawned but refused its tags: {error}")
        return answer({"id": process})

    @router.post("/assignments", responses=documented(400))
    async def assign(request: Request) -> Response:
        """Assign a message to further processes."""
        said: Said = await read(request, Said)
        await bus.write(
            lambda: network.post_assignment(said.message, said.processes, exclude=said.exclude)
        )
        return answer({})

    @router.post("/modules", responses=documented(400))
    async def add_module(request: Request) -> Response:
        """Take a module in."""
        wanted: WantedModule = await read(request, WantedModule)
        bounds = {"compute_limit": wanted.compute_limit, "memory_limit": wanted.memory_limit}
        # Compiled beside the network's own thread first, which takes long; then it is known.
        code = network.data.path(wanted.data)
        await get_running_loop().run_in_executor(context.threads, network.modules.describe, code)
        added = await bus.write(
            lambda: network.add_module(code, name=wanted.name, ids=wanted.ids, **bounds)
        )
        return answer(msgspec.to_builtins(added))

    @router.post("/packages", responses=documented(400))
    async def add_package(request: Request) -> Response:
        """Keep a Lua package."""
        wanted: WantedPackage = await read(request, WantedPackage)
        added = await bus.write(lambda: network.add_package(wanted.name, wanted.source))
        return answer(msgspec.to_builtins(added))

    @router.post("/wallets", responses=documented(400))
    async def new_wallet(request: Request) -> Response:
        """Make a wallet, or take one in."""
        wanted: WantedWallet = await read(request, WantedWallet)

        def work() -> Wallet:
            if wanted.jwk is None:
                return network.new_wallet(wanted.name, wanted.kind)
            return network.add_wallet(Wallet.of_jwk(wanted.name, wanted.jwk))

        return answer({"address": (await bus.write(work)).address})

    @router.get("/workers")
    async def workers() -> Response:
        """Tell which workers of a cluster there are, and how many requests wait for one."""
        backend = network.host.backend
        there = [
            {**msgspec.to_builtins(each), "tokens_per_second": each.tokens_per_second}
            for each in await to_thread(backend.workers)
        ]
        return answer({"waiting": await to_thread(backend.waiting), "workers": there})

    @router.post("/time", responses=documented(400))
    async def move_on(request: Request) -> Response:
        """Move virtual time on."""
        wanted: WantedTime = await read(request, WantedTime)
        ticks, now_ms = await context.time.advance(parse_duration(wanted.duration))
        return answer({"ticks": ticks, "time": now_ms})

    @router.get("/finished/{message}", responses=documented(400))
    async def finished(message: str, seconds: float = LONGEST_WAIT_S) -> Response:
        """Wait for a while until nothing that came of a message is pending.

        Answers whether that is so, why its chain was stopped (empty if it was not), and how far
        the models are with what they are at: process -> (answered, asked).
        """
        finished = await bus.finished(message, min(seconds, LONGEST_WAIT_S))
        stopped = bus.stopped(message)
        return answer(
            {
                "finished": finished,
                "stopped": "" if stopped is None else str(stopped),
                "inference": context.progress.batches(),
            }
        )

    return router
