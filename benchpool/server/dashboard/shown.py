"""Shown: pages made of views, kept until what they show has changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from benchpool.server.dashboard.page import Asked, NoPage, Page, Seen
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
    asks: frozenset[str]
    """The processes that the view asked."""
    seen: Seen
    """When it was last looked at whether this is its version still."""
    made_s: float
    view: msgspec.Struct
    html: bytes = b""
    json: bytes = b""

    def __post_init__(self) -> None:
        self.mark = mark_of(self.version)

    def is_good(self) -> bool:
        """Tell whether it was made lately enough to be shown, if nothing has changed."""
        return monotonic() - self.made_s < KEPT_S

    def body(self, place: Place, renderer: Renderer, *, as_json: bool) -> bytes:
        """Return it as JSON or HTML."""
        if as_json:
            self.json = self.json or msgspec.json.format(msgspec.json.encode(self.view), indent=2)
            return self.json
        self.html = self.html or renderer.page(place.page.template, self.view, place.url, self.mark)
        return self.html


class Looks(Protocol):
    """Gives views what they show."""

    @property
    def moment(self) -> Hashable:
        """What changes with everything that pages show."""
        ...

    @property
    def seen(self) -> Seen:
        """What is being looked at; for work that `look` does."""
        ...

    def note(self, work: Callable[[Any], T]) -> tuple[T, frozenset[str]]:
        """Return what work gives, and the processes that it asked; for work that `look` does."""
        ...

    async def look(self, work: Callable[[Any], T], asks: Collection[str] = ()) -> T:
        """Have it looked at by work that is likely to ask some processes.

        Raises: what the work raises; Unavailable.
        """
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

    async def show(self, place: Place, *, as_json: bool, told: bool = False) -> tuple[bytes, str]:
        """Return a page as it stands now, with a tag that changes with it.

        Args:
            place: which.
            as_json: rather than HTML.
            told: whether it is asked for because `renew` has made it: that one will do.

        Raises: what the view raises; Unavailable.
        """
        kept = self._kept.get(place.url)
        if kept is not None and (self._is_newest(kept) or (told and kept.is_good())):
            body = kept.json if as_json else kept.html
            if body:
                return body, _tag(body)
        body = await self._look(place, as_json=as_json, give=lambda _shown, body: body)
        return body, _tag(body)

    async def renew(self, place: Place) -> str:
        """Have a page ready as it stands now, for all who will ask for it; return its mark.

        Raises: as `show`.
        """
        kept = self._kept.get(place.url)
        if kept is not None and kept.html and self._is_newest(kept):
            return kept.mark
        return await self._look(place, as_json=False, give=lambda shown, _body: shown.mark)

    def _is_newest(self, kept: Shown) -> bool:
        return kept.is_good() and kept.seen.moment == self._reader.moment

    async def _look(self, place: Place, *, as_json: bool, give: Callable[[Shown, bytes], T]) -> T:
        asked_s = monotonic()
        kept = self._kept.get(place.url)

        def work(content: Any) -> T:
            shown = self._newest(content, place, asked_s)
            return give(shown, shown.body(place, self._renderer, as_json=as_json))

        return await self._reader.look(work, kept.asks if kept else ())

    def _newest(self, content: Any, place: Place, asked_s: float) -> Shown:
        """Return a page as it stood at `asked_s` or later; on the reader's thread."""
        kept = self._kept.get(place.url)
        if kept is None or not kept.is_good():
            kept = self._made(content, place)
        elif kept.seen.since_s < asked_s:  # else it was made while this one waited for its turn
            if kept.version != _version(content, place, kept.asks):
                kept = self._made(content, place)
            kept.seen = self._reader.seen
        self._kept[place.url] = kept
        self._kept.move_to_end(place.url)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    def _made(self, content: Any, place: Place) -> Shown:
        # Before the view: what is no log may change meanwhile.
        follows = place.page.follows(content, place.asked)
        made_s = monotonic()
        view, asks = self._reader.note(lambda content: place.page.view(content, place.asked))
        version = (follows, _ends(content, place, asks))
        return Shown(version, asks, self._reader.seen, made_s, view)


def _version(content: Any, place: Place, asks: Iterable[str]) -> Hashable:
    return (place.page.follows(content, place.asked), _ends(content, place, asks))


def _ends(content: Any, place: Place, asks: Iterable[str]) -> Hashable:
    if not place.page.follows_asked:
        return ()
    return tuple((each, content.store.last_position(each)) for each in sorted(asks))


def mark_of(version: Hashable) -> str:
    """Write what a page changes with, short."""
    return sha256(repr(version).encode()).hexdigest()[:16]


def _tag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:20]}"'
