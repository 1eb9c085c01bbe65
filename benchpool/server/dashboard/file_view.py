"""Serves a file of samples on this machine alone, with the pages that a pool's entries have."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Hashable
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from benchpool.client.evaluating.samples import read_samples
from benchpool.server.access import Access
from benchpool.server.answers import RefusedRequest, refusal
from benchpool.server.dashboard.page import Seen
from benchpool.server.dashboard.pages import samples_file
from benchpool.server.dashboard.rendering import Renderer, load_assets
from benchpool.server.dashboard.routes import HEADERS, asset_of, page_of
from benchpool.server.dashboard.shown import Gallery
from benchpool.server.sockets import Options, listen, url_of

T = TypeVar("T")


class _Still:
    """Gives views what never changes."""

    moment: Hashable = 0
    seen = Seen(0, 0.0)

    def __init__(self, content: Any) -> None:
        self._content = content

    def note(self, work: Callable[[Any], T]) -> tuple[T, frozenset[str]]:
        """Look at it."""
        return work(self._content), frozenset()

    async def look(self, work: Callable[[Any], T], _asks: Collection[str] = ()) -> T:
        """Have it looked at."""
        return await asyncio.to_thread(work, self._content)


def make_app(path: Path) -> FastAPI:
    """Make the application of a file. Raises: ConfigError, DatasetError if it is none."""
    assets = load_assets()
    renderer = Renderer(assets, navigation=[("Samples", "/ui/samples")])
    gallery = Gallery(_Still(read_samples(path)), renderer, samples_file.PAGES)
    access = Access("127.0.0.1")
    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}")
    async def page(request: Request, path: str) -> Response:
        why = access.refused_host(request.scope["headers"])
        if why is not None:
            return refusal(RefusedRequest(why, 421))
        if path in ("", "ui", "ui/"):
            return RedirectResponse("/ui/samples", 307, HEADERS)
        if path.startswith("ui/assets/"):
            return asset_of(assets, path.removeprefix("ui/assets/"))
        return await page_of(gallery, renderer, request, path.removeprefix("ui/"))

    return app


def serve_samples(path: Path, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        path: the file.
        port: 0 is any that is free.
        on_ready: called with the URL.

    Raises: ConfigError, DatasetError.
    """
    app = make_app(path)
    listening: socket.socket = listen(Options(port=port))["all"]
    on_ready(f"{url_of(listening)}/ui/samples")
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])
