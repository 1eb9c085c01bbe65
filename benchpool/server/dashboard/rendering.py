"""Rendering: templates, what they may call, and the files that pages load.

Whatever a view holds is text: every value is escaped, and what is no text is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchpool.ao.clock import format_moment
from benchpool.server.dashboard import drawings
from benchpool.winston import format_war

_HERE: Final = Path(__file__).parent
NAVIGATION: Final = (
    ("Pools", "/ui/pools"),
    ("Messages", "/ui/messages"),
    ("Processes", "/ui/processes"),
    ("Models", "/ui/models"),
    ("Act", "/ui/act"),
)
"""What stands in the head of every page."""
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file that pages load."""

    body: bytes
    media_type: str
    mark: str
    """Changes with its content."""


def load_assets() -> dict[str, Asset]:
    """Read the files that pages load, by name."""
    found = {}
    for path in sorted((_HERE / "assets").iterdir()):
        if path.suffix in _KINDS:
            body = path.read_bytes()
            mark = sha256(body).hexdigest()[:12]
            found[path.name] = Asset(body, _KINDS[path.suffix], mark)
    return found


class Renderer:
    """Writes pages.

    Args:
        assets: what they load, by name.
        navigation: what stands in the head of each, as (name, URL).
    """

    def __init__(
        self, assets: Mapping[str, Asset], navigation: Sequence[tuple[str, str]] = NAVIGATION
    ) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= FILTERS
        self._environment.globals |= {
            "navigation": navigation,
            "charts": drawings,
            "asset": lambda name: f"/ui/assets/{name}?v={assets[name].mark}",
        }

    def page(
        self, template: str, view: msgspec.Struct, url: str, version: str = "", **more: object
    ) -> bytes:
        """Write a page.

        Args:
            template: shows it.
            view: what it shows.
            url: where it is, below `/ui`.
            version: changes with what it shows.
            more: what else the template gets.
        """
        path, _, query = f"/ui{url}".partition("?")
        named = {
            "url": f"/ui{url}",
            "version": version,
            "json_url": f"{path}.json" + (f"?{query}" if query else ""),
        }
        text = self._environment.get_template(template).render(view=view, **named, **more)
        return text.encode(errors="replace")


# -- what templates call -------------------------------------------------------------------------


def war(winston: str | int) -> str:
    """Write an amount in wAR."""
    return format_war(int(winston))


def percent(fraction: float | None, digits: int = 1) -> str:
    """Write a fraction as a percentage; a dash if there is none."""
    return "–" if fraction is None else f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


def moment(ms: int) -> str:
    """Write a time for people: a day and a minute, UTC."""
    return format_moment(ms)[:16].replace("T", " ") + " UTC"


def clock(ms: int) -> str:
    """Write a time for people: a day and a second, UTC."""
    return format_moment(ms)[:19].replace("T", " ")


def iso(ms: int) -> str:
    """Write a time for programs."""
    return format_moment(ms)


def short(identity: str) -> str:
    """Shorten an id; a name stays."""
    return f"{identity[:8]}…" if len(identity) == 43 else identity


def number(value: int | float | None, digits: int = 0) -> str:
    """Write a number with its thousands apart; a dash if there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def megabytes(size: int | None) -> str:
    """Write a size in millions of bytes; a dash if it is not known."""
    return "–" if size is None else f"{size / 1e6:,.0f}\N{NO-BREAK SPACE}MB"


def span(length_ms: int) -> str:
    """Write a length of time by its largest unit or two."""
    minutes = max(0, length_ms) // 60_000
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def sentence(text: str) -> str:
    """Write what went wrong, or was found, as a sentence that stands alone."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


FILTERS: Final = {
    each.__name__: each
    for each in (
        war,
        percent,
        moment,
        clock,
        iso,
        short,
        number,
        megabytes,
        span,
        counted,
        sentence,
    )
}
