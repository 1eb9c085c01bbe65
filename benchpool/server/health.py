"""Health and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response

from benchpool.errors import Unavailable
from benchpool.server.answers import answer, documented
from benchpool.server.context import Context
from benchpool.server.metrics import CONTENT_TYPE


def routes(context: Context) -> APIRouter:
    """Make the router."""
    router = APIRouter(tags=["health"])

    @router.get("/health", responses=documented())
    async def health() -> Response:
        """Say whether the network takes messages, and what is wrong with the clock, if it is."""
        if context.bus.failure is not None:
            raise Unavailable(f"the network cannot go on: {context.bus.failure}")
        shown = {"status": "ok", "waiting": context.bus.waiting}
        more = {"damaged": context.damage.items, "clock": context.network.timeline.trouble()}
        return answer({**shown, **{name: what for name, what in more.items() if what}})

    @router.get("/metrics", responses=documented(media="text/plain"))
    async def metrics() -> Response:
        """Show the counters for Prometheus."""
        return Response(context.metrics.text(), media_type=CONTENT_TYPE)

    return router
