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
        trouble = context.network.timeline.trouble()
        clock = {"clock": trouble} if trouble else {}
        return answer({"status": "ok", "waiting": context.bus.waiting, **clock})

    @router.get("/metrics", responses=documented(media="text/plain"))
    async def metrics() -> Response:
        """Show the counters for Prometheus."""
        return Response(context.metrics.text(), media_type=CONTENT_TYPE)

    return router
