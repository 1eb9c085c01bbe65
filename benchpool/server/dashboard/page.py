"""A page: what is asked for, the view that answers it, and what the view changes with."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from benchpool.errors import BenchpoolError
from benchpool.network import Network


class NoPage(BenchpoolError):
    """There is no such page, or nothing to show on it."""


class Asked(NamedTuple):
    """What somebody asks of a page."""

    parts: Mapping[str, str]
    """What stands in its path."""
    query: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """Return a value of the query, without blanks around it."""
        return self.query.get(name, default).strip()

    def number(self, name: str, default: int) -> int:
        """Return a whole number of the query. Raises: NoPage if it is none."""
        text = self.text(name) or str(default)
        if not (text.isascii() and text.removeprefix("-").isdecimal() and len(text) < 19):
            raise NoPage(f"{name} is a whole number, not {text[:40]!r}")
        return int(text)

    def choice(self, name: str, known: Mapping[str, object]) -> str:
        """Return a word of the query that is known; by default the first. Raises: NoPage."""
        text = self.text(name) or next(iter(known))
        if text not in known:
            raise NoPage(f"{name} is one of {', '.join(known)}, not {text[:40]!r}")
        return text


class Seen(NamedTuple):
    """A moment at which something was looked at."""

    moment: Hashable
    """Changes with everything that pages show."""
    since_s: float
    """Of `time.monotonic`: whatever was before that is seen."""


View = Callable[[Any, Asked], msgspec.Struct]
"""Makes what a page shows of a network, or of what else its gallery looks at.

It is called on the reader's thread. Its struct is the page's JSON: amounts are decimal strings of
winston, times milliseconds since 1970.
"""
Follow = Callable[[Any, Asked], Hashable]
"""Says what the view changes with, in less time than the view takes; called as `View` is."""


def end_of_logs(network: Network, _asked: Asked) -> Hashable:
    """Follow every message."""
    return network.store.end()


def nothing(_content: object, _asked: Asked) -> Hashable:
    """Follow nothing: the view never changes."""
    return 0


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        path: below `/ui`, such as `/pools/{pool}`.
        template: shows the view, which it gets as `view`, beside what `Pages` gives to all.
        view: see `View`.
        follows: see `Follow`.
        follows_asked: whether it changes with the logs of the processes that the view asked, too.
    """

    path: str
    template: str
    view: View
    follows: Follow = end_of_logs
    follows_asked: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """Return the parts of a path that is this page's; None if it is another's."""
        form = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(form, path)
        return None if found is None else found.groupdict()
