"""The edge: what every request passes before anybody looks at what it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchpool.ao.ids import is_id
from benchpool.errors import BenchpoolError
from benchpool.server import compute, messenger
from benchpool.server.access import origin_of, writes
from benchpool.server.answers import RefusedRequest, refusal
from benchpool.server.context import Context, Held
from benchpool.server.hyperbeam.node import Node
from benchpool.server.hyperbeam.paths import Asked, asked_of

HYPERBEAM: Final = "hyperbeam"
"""What serves the paths of AO's main network."""
UNITS: Final = frozenset({"mu", "su", "cu", "gateway", "api", "ui"})
OWN: Final = frozenset({"api", "ui"})
"""What no page of another origin may see: the command line's, and the dashboard."""
_SHOWN: Final = 200
_ALLOWED: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


def unit_of(path: str) -> str:
    """Say which unit a path belongs to; whatever is at the root is the gateway's."""
    name = path.split("/", 2)[1] if path.startswith("/") else ""
    return name if name in UNITS else "gateway"


class Edge:
    """Checks who asks, counts and tells, writes `Access-Control-*`, and takes `/mu` for `/mu/`.

    Anybody may read from a page in a browser; only pages that are allowed may write.
    """

    def __init__(
        self, app: ASGIApp, context: Context, unit: str | None, shortcuts: Shortcuts
    ) -> None:
        self._app = app
        self._shortcuts = shortcuts
        self._context = context
        self._unit = unit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return  # there are no sockets of the web here
        path = scope["path"]
        if self._unit is None and path[1:] in UNITS:
            scope["path"] = path + "/"
        asked = self._shortcuts.asked_of(scope)
        unit = self._unit or (unit_of(path) if asked is None else HYPERBEAM)
        method = scope["method"]
        tried = method if method != "OPTIONS" else _preflighted(scope)
        writing = writes(tried, unit, path) and (asked is None or asked.schedules)
        page = self._page(scope, writing=writing)
        began_s = perf_counter()

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                if unit not in OWN and page is not None:
                    headers = MutableHeaders(scope=message)
                    headers["Access-Control-Allow-Origin"] = page
                    headers["Access-Control-Expose-Headers"] = "*"
                    if page != "*":
                        headers["Vary"] = "Origin"
                self._tell(scope, path, unit, message["status"], perf_counter() - began_s)
            else:
                self._context.connections.sent(len(message.get("body", b"")))
            await send(message)

        response = self._refused(scope, page)
        if response is None and writing and unit != "gateway" and method != "OPTIONS":
            response = self._short()
        if response is None and method == "OPTIONS" and unit not in OWN:
            response = Response(status_code=204, headers=_ALLOWED)
        if response is not None:
            await response(scope, receive, send_on)
            return
        scope["held"] = held = Held(self._context.connections)
        try:
            work = self._shortcuts.find(scope) if asked is None else self._shortcuts.node(asked)
            if work is None:
                await self._app(scope, receive, send_on)
            else:
                await self._shortcuts.serve(work, scope, receive, send_on)
        finally:
            held.release()

    def _page(self, scope: Scope, *, writing: bool) -> str | None:
        """Return which pages may see the answer; None if the page that asks may not do so."""
        if not writing:
            return "*"
        origin = origin_of(scope["headers"])
        if not self._context.access.allowed_origin(scope["headers"]):
            return None
        return origin or "*"

    def _refused(self, scope: Scope, page: str | None) -> Response | None:
        """Answer who may not ask this."""
        why = self._context.access.refused_host(scope["headers"])
        if why is not None:
            return refusal(RefusedRequest(why, 421))
        if page is None:
            origin = origin_of(scope["headers"])[:_SHOWN]
            return refusal(
                RefusedRequest(
                    f"pages of {origin!a} may read here and not write; let them with:"
                    " benchpool up --allow-origin ORIGIN",
                    403,
                )
            )
        return None

    def _short(self) -> Response | None:
        """Answer who may not write now."""
        try:
            self._context.reserves.check_message()
        except BenchpoolError as error:
            return refusal(error)
        return None

    def _tell(self, scope: Scope, path: str, unit: str, status: int, spent_s: float) -> None:
        context = self._context
        context.metrics.requests.labels(unit, scope["method"], status).inc()
        if context.on_request is not None:
            query = scope["query_string"].decode("latin-1")
            context.on_request(
                scope["method"], f"{path}?{query}" if query else path, status, spent_s
            )


def _preflighted(scope: Scope) -> str:
    """Return the method that a browser asks about before it is used."""
    wanted = b"access-control-request-method"
    return next(
        (value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "GET"
    )


Work = Callable[[Request], Awaitable[Response]]


class Shortcuts:
    """What nearly all requests are, messages and their results, served without looking for a route.

    To find a route among all of them takes longer than the rest of such a request. The routes are
    there all the same, for the OpenAPI document and for the rarer forms of these requests.

    Args:
        context: the server.
        unit: the one at the root, None if all are served under their names.
        refuse: writes what became of a request that failed.
    """

    def __init__(
        self,
        context: Context,
        unit: str | None,
        refuse: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._refuse = refuse
        self._take = messenger.taking(context)
        self._give = compute.giving(context)
        self.node = Node(context).serving
        self._unit = unit
        self._items = {None: frozenset({"/mu", "/mu/"}), "mu": frozenset({"/"})}.get(unit, ())
        self._results = {None: "/cu/result/", "cu": "/result/"}.get(unit)

    def asked_of(self, scope: Scope) -> Asked | None:
        """Read a path of AO's main network; None if it is none, or another unit is served."""
        return asked_of(scope) if self._unit is None else None

    def find(self, scope: Scope) -> Work | None:
        """Return what serves a request, if it is one of these."""
        path, query = scope["path"], scope["query_string"]
        if scope["method"] == "POST":
            return self._take if path in self._items and not query else None
        if scope["method"] != "GET" or self._results is None or not path.startswith(self._results):
            return None
        message = path[len(self._results) :]
        process = query.removeprefix(b"process-id=").decode("latin-1")
        if not (is_id(message) and is_id(process) and query.startswith(b"process-id=")):
            return None
        return lambda _request: self._give(message, process, "")

    async def serve(self, work: Work, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request = Request(scope, receive)
        try:
            response = await work(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = await self._refuse(request, error)
        await response(scope, receive, send)
