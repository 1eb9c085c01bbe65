"""Shown: pages made of views, kept until what they show has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from benchpool.server.dashboard.page import Asked, NoPage, Page
from benchpool.server.dashboard.rendering import Renderer

T = TypeVar("T")

MOST_KEPT: Final = 128
"""Pages in memory."""
KEPT_S: Final = 30.0
"""How long a page is kept that has not changed: it may say how long something takes yet."""


class Place(NamedTuple):
    """A page, and what is asked of it: what a URL stands for."""

    page: Page
    asked: Asked
    url: str
    """Below `/ui`, with the query; without `.json`."""


@dataclass
class Shown:
    """A page at one moment."""

    version: Hashable
    moment: Hashable
    """Of the reader, when the version was looked at."""
    made_s: float
    view: msgspec.Struct
    html: bytes = b""
    json: bytes = b""

    def body(self, place: Place, renderer: Renderer, *, as_json: bool) -> bytes:
        """Return it as JSON or HTML."""
        if as_json:
            self.json = self.json or msgspec.json.format(msgspec.json.encode(self.view), indent=2)
            return self.json
        self.html = self.html or renderer.page(
            place.page.template, self.view, place.url, mark_of(self.version)
        )
        return self.html


class Looks(Protocol):
    """Gives views what they show."""

    @property
    def moment(self) -> Hashable:
        """What changes with everything that pages show."""
        ...

    async def look(self, work: Callable[[Any], T]) -> T:
        """Have it looked at. Raises: what the work raises; Unavailable."""
        ...


class Gallery:
    """Shows pages. Many who look at one page cost little more than one.

    Args:
        reader: looks.
        renderer: writes.
        pages: which there are.
    """

    def __init__(self, reader: Looks, renderer: Renderer, pages: Sequence[Page]) -> None:
        self._reader = reader
        self._renderer = renderer
        self._pages = pages
        self._kept: OrderedDict[str, Shown] = OrderedDict()

    def find(self, path: str, query: Sequence[tuple[str, str]]) -> Place:
        """Return what a URL stands for. Raises: NoPage."""
        given = sorted({name: value for name, value in query if value}.items())
        for page in self._pages:
            parts = page.match(path)
            if parts is not None:
                url = quote(path) + ("?" if given else "") + urlencode(given)
                return Place(page, Asked(parts, dict(given)), url)
        raise NoPage(f"there is no page {path[:80]}")

    async def show(self, place: Place, *, as_json: bool) -> tuple[bytes, str]:
        """Return a page as it stands now, with a tag that changes with it.

        Raises: what the view raises; Unavailable.
        """
        kept = self._kept.get(place.url)
        if kept is not None and self._is_good(kept) and kept.moment == self._reader.moment:
            body = kept.json if as_json else kept.html
            if body:
                return body, _tag(body)
        body = await self._reader.look(lambda content: self._make(content, place, as_json=as_json))
        return body, _tag(body)

    def version(self, content: Any, place: Place) -> Hashable:
        """Return what a page changes with; on the reader's thread."""
        return place.page.follows(content, place.asked)

    def _is_good(self, kept: Shown) -> bool:
        return monotonic() - kept.made_s < KEPT_S

    def _make(self, content: Any, place: Place, *, as_json: bool) -> bytes:
        moment = self._reader.moment
        version = self.version(content, place)
        kept = self._kept.get(place.url)
        if kept is None or kept.version != version or not self._is_good(kept):
            view = place.page.view(content, place.asked)
            kept = Shown(version, moment, monotonic(), view)
            self._kept[place.url] = kept
        kept.moment = moment
        self._kept.move_to_end(place.url)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept.body(place, self._renderer, as_json=as_json)


def mark_of(version: Hashable) -> str:
    """Write what a page changes with, short."""
    return sha256(repr(version).encode()).hexdigest()[:16]


def _tag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:20]}"'
