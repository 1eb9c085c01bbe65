"""Messages as they come, newest first: of all, or of one process; leafed through by place."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from benchpool.ao.message import Message
from benchpool.errors import AmbiguousId, UnknownProcess
from benchpool.network import Network
from benchpool.server.dashboard.page import Asked, NoPage, Page
from benchpool.server.dashboard.pages.parties import Known, Names, outcome
from benchpool.store import LogEntry, Store

PAGE: Final = 50
"""Messages on a page."""
MOST_LOOKED_AT: Final = 20_000
"""Messages that are looked at for one page; then it is said how to go on."""
_PROBE: Final = 16
"""Entries among which one that is no cron tick tells the time."""


class Row(msgspec.Struct):
    """A message in short."""

    place: int
    """Among all messages, or in the log of the process that was asked for."""
    id: str
    process: Known
    """Whose log it is in."""
    position: int
    sender: Known
    action: str
    """Empty if it has none; `Process` for the first message of a process."""
    cron: bool
    time: int
    size: int
    """Of its Data, in bytes or characters."""
    outcome: str
    """`done`, `error`, `pending`, or `mail`, which is never evaluated."""
    error: str


class MessagesView(msgspec.Struct):
    """A page of messages. Places, and with them `before` and `after`, grow with time."""

    now: int
    process: str
    """As it was asked for."""
    action: str
    sender: str
    since: str
    until: str
    trouble: str
    """What is wrong with what was asked for; empty if nothing is."""
    party: Known | None
    """The process that was asked for."""
    messages: list[Row]
    newer: int | None
    """What to ask for as `after`; None if there is nothing newer."""
    older: int | None
    """What to ask for as `before`; None if there is nothing older."""
    looked_at: int
    """How many messages were looked at."""
    cut: bool
    """Whether there was no time to look at more."""


class Found(NamedTuple):
    """What was found beyond a place."""

    entries: list[tuple[int, LogEntry]]
    last: int | None
    """Where to go on; None if there is no more."""
    looked_at: int
    cut: bool


def view(network: Network, asked: Asked) -> MessagesView:
    """Show a page of messages."""
    given = {name: asked.text(name)[:200] for name in ("process", "action", "sender")}
    given |= {name: asked.text(name)[:40] for name in ("since", "until")}
    names = Names(network)
    shown = MessagesView(
        network.clock.now(), **given, trouble="", party=None, messages=[], newer=None, older=None,
        looked_at=0, cut=False,
    )  # fmt: skip
    try:
        process = network.resolve(given["process"]) if given["process"] else None
        sender = network.resolve(given["sender"]) if given["sender"] else None
        since_ms, until_ms = read_moment(given["since"]), read_moment(given["until"])
    except (UnknownProcess, AmbiguousId, NoPage) as error:
        shown.trouble = str(error)
        return shown
    if process is not None:
        shown.party = names.of(process)
    action = given["action"]

    def wanted(message: Message) -> bool:
        return (
            (not action or message.action == action)
            and (sender is None or sender in (message.sender, message.owner))
            and (since_ms is None or message.timestamp >= since_ms)
            and (until_ms is None or message.timestamp <= until_ms)
        )

    store = network.store
    look = Look(store, process, wanted, [frozenset({each}) for each in (action, sender) if each])
    begin = None if since_ms is None else place_behind(store, process, since_ms - 1)
    end = None if until_ms is None else place_behind(store, process, until_ms)
    if asked.text("after"):
        after = asked.number("after", 0)
        found = look.newer(after if begin is None else max(after, begin - 1), end)
        entries = found.entries[::-1]
        shown.newer, shown.older = found.last, after + 1
    else:
        before = asked.number("before", 0) if asked.text("before") else None
        beyond = [each for each in (before, end) if each is not None]
        found = look.older(min(beyond, default=None), begin)
        entries = found.entries
        shown.older, shown.newer = found.last, None if before is None else before - 1
    shown.messages = [_row(names, place, entry) for place, entry in entries]
    shown.looked_at, shown.cut = found.looked_at, found.cut
    return shown


def read_moment(text: str) -> int | None:
    """Read a time, in milliseconds or as forms write it, UTC. Raises: NoPage if it is none."""
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise NoPage(f"no time: {text!r}; write it like 2026-01-31T18:30") from None


class Look:
    """Looks for pages of messages, at `MOST_LOOKED_AT` messages at most for each.

    Args:
        store: the logs.
        process: whose log; None is that of all.
        wanted: which messages.
        texts: what stands in the bytes of these, see `Store.sift`.
    """

    def __init__(
        self,
        store: Store,
        process: str | None,
        wanted: Callable[[Message], bool],
        texts: Sequence[frozenset[str]],
    ) -> None:
        self._store = store
        self._process = process
        self._wanted = wanted
        self._texts = texts

    def older(self, beyond: int | None, begin: int | None) -> Found:
        """Find the newest before a place, down to another one."""
        return self._find(beyond, begin, descending=True)

    def newer(self, beyond: int, end: int | None) -> Found:
        """Find the oldest behind a place, and before another one."""
        return self._find(beyond, end, descending=False)

    def _find(self, beyond: int | None, stop: int | None, *, descending: bool) -> Found:
        found: list[tuple[int, LogEntry]] = []
        looked_at, size, last = 0, PAGE + 1, beyond
        while looked_at < MOST_LOOKED_AT:
            part = self._store.sift(
                self._texts, self._process, beyond=last, limit=size, descending=descending
            )
            for place, entry in part.found:
                if stop is not None and (place < stop if descending else place >= stop):
                    break
                if not self._wanted(entry.message):
                    continue
                if len(found) == PAGE:
                    return Found(found, found[-1][0], looked_at + part.looked_at, cut=False)
                found.append((place, entry))
            looked_at, last = looked_at + part.looked_at, part.last
            if last is None or (
                stop is not None and (last <= stop if descending else last >= stop - 1)
            ):
                return Found(found, None, looked_at, cut=False)
            size = min(4 * size, MOST_LOOKED_AT - looked_at)
        return Found(found, last, looked_at, cut=True)


def place_behind(store: Store, process: str | None, until_ms: int) -> int:
    """Return the first place with a later time; or one behind the end.

    Time never goes back but for cron ticks, which bear the time when they were due: others count.
    """
    last = store.end() if process is None else store.last_position(process)
    low, high = (1 if process is None else 0), last + 1
    while low < high:
        middle = (low + high) // 2
        part = store.part(process, beyond=middle - 1, limit=_PROBE)
        known = next((each for each in part if not each.message.cron), part[-1] if part else None)
        if known is not None and known.message.timestamp <= until_ms:
            low = known.place + 1
        else:
            high = middle
    return low


def _row(names: Names, place: int, entry: LogEntry) -> Row:
    message, process = entry.message, names.of(entry.message.process)
    came, error = outcome(entry, process.kind)
    return Row(
        place=place,
        id=message.id,
        process=process,
        position=message.position,
        sender=names.of(message.sender),
        action="Process" if message.type == "Process" else message.action,
        cron=message.cron,
        time=message.timestamp,
        size=len(message.data),
        outcome=came,
        error=error[:200],
    )


def follows(network: Network, asked: Asked) -> Hashable:
    """Follow the newest messages; an older page stands still."""
    if asked.text("before") or asked.text("after"):
        return "still"
    process = network.names().get(asked.text("process"), asked.text("process"))
    return network.store.last_position(process) if process else network.store.end()


PAGES: Final = (Page("/messages", "messages.html", view, follows),)
