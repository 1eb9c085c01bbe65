"""The routes of the dashboard: every page as HTML and as JSON, what pages load, and events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.routing import Match, Route
from starlette.types import Scope

from benchpool.errors import (
    AmbiguousId,
    BenchpoolError,
    DatasetError,
    PoolError,
    Unavailable,
    UnknownProcess,
)
from benchpool.server.answers import answer, without_folders
from benchpool.server.dashboard.acting import routes as acting
from benchpool.server.dashboard.dashboard import Dashboard
from benchpool.server.dashboard.page import NoPage
from benchpool.server.dashboard.pages.finding import find_pool
from benchpool.server.dashboard.rendering import Asset, Renderer
from benchpool.server.dashboard.shown import Gallery

if TYPE_CHECKING:
    from benchpool.server.context import Context

log = logging.getLogger("benchpool.server")

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, a form's Origin would be null
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Nothing is loaded from elsewhere, and no script or style stands in a page."""
TOLD: Final = "x-told"
"""Sent by a page that was told that it changed: what was made then, or since, will do."""
_STATUS: Final = (
    (Unavailable, 503),
    ((NoPage, PoolError, UnknownProcess, AmbiguousId, DatasetError), 404),
)


class Refused(msgspec.Struct):
    """Why there is nothing to show."""

    status: int
    error: str


class _ForBrowsers(Route):
    """A route for those alone who ask for a page: programs find the gateway at the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        accepts = b",".join(value for name, value in scope["headers"] if name == b"accept")
        return super().matches(scope) if b"text/html" in accepts else (Match.NONE, {})


def dock(app: FastAPI, context: Context) -> None:
    """Put the pages in an application, below `/ui`, and at the root for browsers alone."""
    app.router.routes.append(_ForBrowsers("/", _home, methods=["GET"]))
    app.include_router(acting.routes(context, HEADERS))
    app.include_router(_routes(context.dashboard))


async def _home(_request: Request) -> Response:
    return RedirectResponse("/ui/pools", 307, HEADERS)


def _routes(dashboard: Dashboard) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    router.add_route("/ui", _home, methods=["GET"])
    router.add_route("/ui/", _home, methods=["GET"])

    @router.get("/ui/assets/{name}")
    async def asset(name: str) -> Response:
        """Give a file that pages load."""
        return asset_of(dashboard.assets, name)

    @router.get("/ui/events")
    async def events(request: Request) -> Response:
        """Tell a page that what it shows has changed."""
        try:
            place = dashboard.place_of(request.query_params.get("of", ""))
            stream = dashboard.events.follow(place, request.query_params.get("seen", ""))
            first = await anext(stream)
        except BenchpoolError as error:
            return refused(dashboard.renderer, request, error)

        async def lines() -> AsyncIterator[bytes]:
            yield first
            async for line in stream:
                yield line

        return StreamingResponse(lines(), media_type="text/event-stream", headers=HEADERS | _FRESH)

    @router.post("/ui/pools/{pool}/audit")
    async def audit(request: Request, pool: str) -> Response:
        """Begin to audit a pool."""
        try:
            found, end = await dashboard.reader.look(
                lambda network: (find_pool(network, pool)[1].id, network.store.end())
            )
            dashboard.audits.begin(found, end)
        except Exception as error:
            return refused(dashboard.renderer, request, error)
        return RedirectResponse(f"/ui/pools/{found}/audit", 303, HEADERS)

    @router.get("/ui/{path:path}")
    async def page(request: Request, path: str) -> Response:
        """Show a page, or its JSON."""
        return await page_of(dashboard.gallery, dashboard.renderer, request, path)

    return router


def asset_of(assets: Mapping[str, Asset], name: str) -> Response:
    """Answer with a file that pages load."""
    found = assets.get(name)
    if found is None:
        return answer({"error": f"no file {name[:80]}"}, 404, HEADERS)
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(found.body, media_type=found.media_type, headers=HEADERS | kept)


async def page_of(gallery: Gallery, renderer: Renderer, request: Request, path: str) -> Response:
    """Answer with a page, or its JSON: `path` is below `/ui/`."""
    as_json = path.endswith(".json") or _wants_json(request)
    try:
        asked = request.query_params.multi_items()
        place = gallery.find(f"/{path.removesuffix('.json')}", asked)
        told = TOLD in request.headers
        body, tag = await gallery.show(place, as_json=as_json, told=told)
    except Exception as error:
        return refused(renderer, request, error)
    headers = HEADERS | _FRESH | {"ETag": tag, "Vary": "Accept"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    media_type = "application/json" if as_json else "text/html"
    return Response(body, media_type=media_type, headers=headers)


def refused(renderer: Renderer, request: Request, error: Exception) -> Response:
    """Answer why there is nothing to show."""
    status = next((code for kinds, code in _STATUS if isinstance(error, kinds)), 500)
    said = without_folders(str(error))
    if not isinstance(error, BenchpoolError):
        log.error("a page failed", exc_info=error)
        said = f"{type(error).__name__}: {said}"
    if request.url.path.endswith((".json", "/events")) or _wants_json(request):
        return answer({"error": said}, status, HEADERS | _FRESH)
    body = renderer.page("refused.html", Refused(status, said), "")
    return Response(body, status, HEADERS | _FRESH, media_type="text/html")


_FRESH: Final = {"Cache-Control": "no-cache"}


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept
