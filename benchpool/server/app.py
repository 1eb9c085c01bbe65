"""The web application: the units under their paths, or one unit at the root of a port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchpool.ao.ids import is_id
from benchpool.errors import BenchpoolError
from benchpool.server import bundler, compute, control, gateway, health, messenger, scheduler
from benchpool.server.answers import answer, refusal
from benchpool.server.context import Context
from benchpool.version import VERSION

UNITS: dict[str, Callable[[Context], APIRouter]] = {
    "mu": messenger.routes,
    "su": scheduler.routes,
    "cu": compute.routes,
    "gateway": gateway.routes,
    "api": control.routes,
}
REFUSED_WITH = {"mu": 500, "cu": 500}
"""The status of what a unit refuses, as on AO; 400 for the others."""


def make_app(context: Context, unit: str | None = None) -> FastAPI:
    """Make the application.

    Args:
        context: the server.
        unit: put this one at the root, for a port of its own; by default all, under their names.
    """
    app = FastAPI(
        title="benchpool",
        version=VERSION,
        description="A local AO network: messenger, scheduler and compute unit, and a gateway.",
    )
    if unit is None:
        for name, routes in UNITS.items():
            app.include_router(routes(context), prefix=f"/{name}")
        app.include_router(bundler.routes(context), prefix="/gateway", include_in_schema=False)
        app.include_router(bundler.routes(context))
        app.include_router(health.routes(context))
        # Last, since it takes any path; clients ask for it at the root.
        app.include_router(gateway.routes(context), include_in_schema=False)
    else:
        app.include_router(UNITS[unit](context))

    async def refuse(request: Request, error: Exception) -> Response:
        name = unit or unit_of(request.scope["path"])
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            return answer({"error": f"'{where}': {first['msg']}"}, 400)
        if isinstance(error, HTTPException):
            return answer({"error": str(error.detail)}, error.status_code, error.headers)
        response = refusal(error, REFUSED_WITH.get(name, 400))
        if name == "api":
            response.headers["X-Error-Kind"] = type(error).__name__
        return response

    for kind in (BenchpoolError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
    shortcuts = Shortcuts(context, unit, refuse)
    app.add_middleware(Edge, context=context, unit=unit, shortcuts=shortcuts)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def unit_of(path: str) -> str:
    """Say which unit a path belongs to; whatever is at the root is the gateway's."""
    name = path.split("/", 2)[1] if path.startswith("/") else ""
    return name if name in UNITS else "gateway"


class Edge:
    """What every request passes: counting, telling, `Access-Control-*`, and `/mu` for `/mu/`."""

    def __init__(
        self, app: ASGIApp, context: Context, unit: str | None, shortcuts: Shortcuts
    ) -> None:
        self._app = app
        self._shortcuts = shortcuts
        self._metrics = context.metrics
        self._on_request = context.on_request
        self._unit = unit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if self._unit is None and path[1:] in UNITS:
            scope["path"] = path + "/"
        unit = self._unit or unit_of(path)
        began_s = perf_counter()

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                if unit != "api":
                    headers = MutableHeaders(scope=message)
                    headers["Access-Control-Allow-Origin"] = "*"
                    headers["Access-Control-Expose-Headers"] = "*"
                self._metrics.requests.labels(unit, scope["method"], message["status"]).inc()
                if self._on_request is not None:
                    asked = f"{path}?{query}" if (query := scope["query_string"].decode()) else path
                    spent_s = perf_counter() - began_s
                    self._on_request(scope["method"], asked, message["status"], spent_s)
            await send(message)

        if scope["method"] == "OPTIONS" and unit != "api":
            allowed = {
                "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE, OPTIONS",
                "Access-Control-Allow-Headers": "*",
                "Access-Control-Max-Age": "86400",
            }
            await Response(status_code=204, headers=allowed)(scope, receive, send_on)
            return
        work = self._shortcuts.find(scope)
        if work is None:
            await self._app(scope, receive, send_on)
        else:
            await self._shortcuts.serve(work, scope, receive, send_on)


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
        self._items = {None: frozenset({"/mu", "/mu/"}), "mu": frozenset({"/"})}.get(unit, ())
        self._results = {None: "/cu/result/", "cu": "/result/"}.get(unit)

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


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document; parameters are refused with 400 here, not with 422."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = document
    return app.openapi_schema
