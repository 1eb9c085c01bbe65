"""Dashboard: what stands behind the pages of one server."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from benchpool.server.bus import Bus
from benchpool.server.dashboard.audits import Audits
from benchpool.server.dashboard.events import Events
from benchpool.server.dashboard.page import NoPage, Page
from benchpool.server.dashboard.pages import (
    audit,
    board,
    entry,
    life,
    message,
    messages,
    models,
    pools,
    process,
)
from benchpool.server.dashboard.reader import Reader
from benchpool.server.dashboard.rendering import Renderer, load_assets
from benchpool.server.dashboard.shown import Gallery, Place
from benchpool.server.progress import Progress

PAGES: Final[tuple[Page, ...]] = (
    *pools.PAGES,
    *entry.PAGES,
    *life.PAGES,
    *messages.PAGES,
    *message.PAGES,
    *process.PAGES,
)
"""Every page that needs nothing but the network; the first that a path fits is meant."""


class Dashboard:
    """The pages of a server.

    Args:
        bus: of the served network, which has a home.
        progress: how far its models are.
    """

    def __init__(self, bus: Bus, progress: Progress) -> None:
        network = bus.network
        assert network.home is not None, "the context has looked"
        self.assets = load_assets()
        self.renderer = Renderer(self.assets)
        self.audits = Audits(network.home.folder)
        following = network.compute.following
        self.reader = Reader(
            network.home.folder,
            registry=network.registry,
            limits=network.limits,
            moment=lambda: (bus.commits, self.audits.changes, progress.changes),
            memories=lambda known: bus.read(lambda: following.memories(known)),
            now_ms=network.clock.now,
        )
        self.gallery = Gallery(
            self.reader,
            self.renderer,
            (
                *PAGES,
                *board.pages(self.audits),
                *audit.pages(self.audits),
                *models.pages(progress),
            ),
        )
        self.events = Events(self.reader, self.gallery)

    def place_of(self, url: str) -> Place:
        """Return what a URL of this server stands for, without its origin. Raises: NoPage."""
        parts = urlsplit(url)
        if not parts.path.startswith("/ui/"):
            raise NoPage(f"there is no page {url[:80]}")
        return self.gallery.find(
            unquote(parts.path.removeprefix("/ui")), parse_qsl(parts.query, max_num_fields=50)
        )

    async def end(self) -> None:
        """End what is under way, and take no more."""
        self.reader.refuse()
        await self.events.end()
        await self.audits.end()

    def close(self) -> None:
        """Let go of the home."""
        self.reader.close()
