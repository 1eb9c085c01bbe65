"""The web application: the units under their paths, or one unit at the root of a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from benchpool.errors import BenchpoolError
from benchpool.server import bundler, compute, control, gateway, health, messenger, scheduler
from benchpool.server.answers import answer, refusal
from benchpool.server.context import Context
from benchpool.server.dashboard import routes as pages
from benchpool.server.edge import Edge, Shortcuts, unit_of
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
        openapi_url=None,  # it would be written anew for each who asks
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
    )
    if unit is None:
        for name, routes in UNITS.items():
            app.include_router(routes(context), prefix=f"/{name}")
        app.include_router(bundler.routes(context), prefix="/gateway", include_in_schema=False)
        app.include_router(bundler.routes(context))
        app.include_router(health.routes(context))
        pages.dock(app, context)
        # Last, since it takes any path; clients ask for it at the root.
        app.include_router(gateway.routes(context), include_in_schema=False)
    else:
        app.include_router(UNITS[unit](context))

    async def refuse(request: Request, error: Exception) -> Response:
        name = unit or unit_of(request.scope["path"])
        if isinstance(error, ClientDisconnect):
            return Response(status_code=400)  # nobody reads it
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            return answer({"error": f"'{where}': {first['msg']}"}, 400)
        if isinstance(error, HTTPException):
            return answer({"error": str(error.detail)}, error.status_code, error.headers)
        response = refusal(error, REFUSED_WITH.get(name, 400), own=name == "api")
        if name == "api":
            response.headers["X-Error-Kind"] = type(error).__name__
        return response

    for kind in (BenchpoolError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
    shortcuts = Shortcuts(context, unit, refuse)
    app.add_middleware(Edge, context=context, unit=unit, shortcuts=shortcuts)
    document = msgspec.json.encode(_openapi(app))

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    # First, since the gateway takes any path.
    app.router.routes.insert(0, Route("/openapi.json", openapi))
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Write the OpenAPI document; parameters are refused with 400 here, not with 422."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    return document
