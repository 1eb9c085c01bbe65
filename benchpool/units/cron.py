"""Cron: when a process's ticks are due. APScheduler's triggers serve both clocks.

Source: AO's compute unit. A process spawned with `Cron-Interval=24-hours` and, after it,
`Cron-Tag-Action=Settle` gets a message `Action=Settle` from its owner at every whole multiple of
the interval after its own timestamp.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger
from msgspec.structs import replace

from benchpool.ao.clock import BLOCK_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from benchpool.ao.message import Item, ProcessInfo
from benchpool.ao.tags import Pair, Tags
from benchpool.errors import ConfigError

_UNITS_MS = {
    "millisecond": 1,
    "second": SECOND_MS,
    "minute": MINUTE_MS,
    "hour": HOUR_MS,
    "day": DAY_MS,
    "week": 7 * DAY_MS,
    "month": 30 * DAY_MS,
    "year": 365 * DAY_MS,
    "block": BLOCK_MS,
}
_LONGEST_MS = 100 * _UNITS_MS["year"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CronEntry(NamedTuple):
    """One `Cron-Interval` of a process and the tags of its ticks."""

    interval_ms: int
    blocks: bool
    """Counted in blocks: of two ticks that fall together, this one comes first."""
    text: str
    tags: Tags


class Tick(NamedTuple):
    """A cron message that is due."""

    due_ms: int
    process: ProcessInfo
    entry: CronEntry

    def item(self) -> Item:
        """Return the message: From and Owner are the process's owner, tags those of the entry."""
        owner = self.process.owner
        return Item(self.process.id, owner, owner, self.entry.tags, "")

    def id(self) -> str:
        """Return an id for this tick: which process, when, which interval."""
        named = replace(
            self.item(),
            type="Cron",
            anchor=f"{self.due_ms}-{self.entry.text}",
            reference=self.process.id,
        )
        return named.id()


def parse_interval(text: str) -> tuple[int, bool]:
    """Read `24-hours` as (milliseconds, counted in blocks). Parts of a second are cut off.

    Raises: ConfigError if it has another form, or is under a second or over a hundred years.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,8})-([a-z]+?)s?", text.strip().lower())
    if match is None or match[2] not in _UNITS_MS:
        raise ConfigError(
            f"not a cron interval: {text!r}; write a number, a dash and a unit: 24-hours,"
            " 5-minutes, 10-blocks"
        )
    interval_ms = int(match[1]) * _UNITS_MS[match[2]]
    if interval_ms < SECOND_MS:
        raise ConfigError(f"cron interval {text!r} is under one second")
    if interval_ms > _LONGEST_MS:
        raise ConfigError(f"cron interval {text!r} is over a hundred years")
    return interval_ms - interval_ms % SECOND_MS, match[2] == "block"


def parse_cron(tags: Tags) -> list[CronEntry]:
    """Read the cron entries out of a process's tags.

    Raises: ConfigError for a bad interval, or a Cron-Tag- before any Cron-Interval.
    """
    found: list[tuple[str, list[Pair]]] = []
    for name, value in tags:
        lower = name.lower()
        if lower == "cron-interval":
            found.append((value, []))
        elif lower.startswith("cron-tag-"):
            if not found:
                raise ConfigError(f"tag {name} stands before any Cron-Interval")
            found[-1][1].append((name[len("Cron-Tag-") :], value))
    return [CronEntry(*parse_interval(text), text=text, tags=Tags(pairs)) for text, pairs in found]


@dataclass(slots=True)
class _Due:
    """An entry of one process with its trigger and next due time."""

    process: ProcessInfo
    entry: CronEntry
    place: int
    trigger: IntervalTrigger
    next_ms: int

    def order(self) -> tuple[int, bool, int, int, int]:
        return (
            self.next_ms,
            not self.entry.blocks,
            self.entry.interval_ms,
            self.process.order,
            self.place,
        )

    def step(self) -> None:
        """Find the next due time behind the present one."""
        last = _moment(self.next_ms)
        self.next_ms = _ms(self.trigger.get_next_fire_time(last, last + timedelta(milliseconds=1)))


class CronSchedule:
    """The due ticks of all processes, in one order for everybody.

    Of ticks that fall together, those counted in blocks come first, then short intervals before
    long ones, then processes as they were spawned.
    """

    def __init__(self) -> None:
        self._dues: list[_Due] = []
        self._live: tuple[BackgroundScheduler, Callable[[], object]] | None = None

    def add(self, process: ProcessInfo, now_ms: int) -> None:
        """Follow a process's cron entries; ticks up to and including `now_ms` are past."""
        origin_ms = process.created_ms - process.created_ms % SECOND_MS
        for place, entry in enumerate(parse_cron(process.tags)):
            trigger = IntervalTrigger(
                seconds=entry.interval_ms // SECOND_MS,
                start_date=_moment(origin_ms + entry.interval_ms),
                timezone=UTC,
            )
            first = trigger.get_next_fire_time(None, _moment(now_ms + 1))
            due = _Due(process, entry, place, trigger, _ms(first))
            self._dues.append(due)
            self._follow_live(due)

    def next_due(self) -> int | None:
        """Return when the next tick is due, in milliseconds; None if there is no cron."""
        return min((due.next_ms for due in self._dues), default=None)

    def take(self, now_ms: int) -> list[Tick]:
        """Return the ticks of the earliest due moment, if it is not after `now_ms`."""
        moment = self.next_due()
        if moment is None or moment > now_ms:
            return []
        dues = sorted((d for d in self._dues if d.next_ms == moment), key=_Due.order)
        ticks = [Tick(moment, due.process, due.entry) for due in dues]
        for due in dues:
            due.step()
        return ticks

    def coalesce(self, now_ms: int) -> None:
        """Of the ticks of each entry that were missed up to now, leave the last one alone due."""
        for due in self._dues:
            missed = (now_ms - due.next_ms) // due.entry.interval_ms
            if missed > 0:
                due.next_ms += missed * due.entry.interval_ms

    def entries(self, process_id: str) -> list[tuple[CronEntry, int]]:
        """Return a process's entries, each with its next due time in milliseconds."""
        return [(due.entry, due.next_ms) for due in self._dues if due.process.id == process_id]

    def start_live(self, fire: Callable[[], object]) -> Callable[[], None]:
        """Call `fire` from a background thread now, and whenever a tick is due by the wall clock.

        Now, because ticks that were missed may be due. `fire` must take the due ticks itself, so
        that a late or double call does no harm.

        Returns: what stops it.
        """
        live = BackgroundScheduler(timezone=UTC)
        self._live = (live, fire)
        live.add_job(fire, misfire_grace_time=None)
        for due in self._dues:
            self._follow_live(due)
        live.start()

        def stop() -> None:
            self._live = None
            live.shutdown(wait=True)

        return stop

    def _follow_live(self, due: _Due) -> None:
        if self._live is not None:
            live, fire = self._live
            live.add_job(fire, due.trigger, coalesce=True, misfire_grace_time=None)


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(moment: datetime | None) -> int:
    assert moment is not None, "an interval trigger without an end always fires again"
    return (moment - _EPOCH) // timedelta(milliseconds=1)
