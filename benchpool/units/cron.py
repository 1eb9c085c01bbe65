"""Cron: when a process's ticks are due. APScheduler's triggers serve both clocks.

Source: AO's compute unit. A process spawned with `Cron-Interval=24-hours` and, after it,
`Cron-Tag-Action=Settle` gets a message `Action=Settle` from its owner at every whole multiple of
the interval after its own timestamp.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

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
_Order = tuple[int, bool, int, int, int]


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

    def order(self) -> _Order:
        return (
            self.next_ms,
            not self.entry.blocks,
            self.entry.interval_ms,
            self.process.order,
            self.place,
        )

    def tick(self) -> Tick:
        return Tick(self.next_ms, self.process, self.entry)

    def step(self) -> None:
        """Find the next due time behind the present one."""
        last = _moment(self.next_ms)
        self.next_ms = _ms(self.trigger.get_next_fire_time(last, last + timedelta(milliseconds=1)))

    def coalesce(self, now_ms: int) -> None:
        """Of the ticks that were missed up to now, leave the last one alone due."""
        missed = (now_ms - self.next_ms) // self.entry.interval_ms
        self.next_ms += max(0, missed) * self.entry.interval_ms


class CronSchedule:
    """The due ticks of all processes, in one order for everybody.

    Of ticks that fall together, those counted in blocks come first, then short intervals before
    long ones, then processes as they were spawned.
    """

    def __init__(self) -> None:
        self._processes: dict[str, list[_Due]] = {}
        self._heap: list[tuple[_Order, _Due]] = []
        self._turns: dict[str, deque[_Due]] = {}
        """What `take_in_turn` found due and did not take yet, by process; the next in turn first.
        It is not in the heap meanwhile."""

    def add(
        self,
        process: ProcessInfo,
        now_ms: int,
        was_missed: Callable[[Tick], bool] = lambda _tick: False,
    ) -> None:
        """Follow a process's cron entries.

        Args:
            process: whose tags say them.
            now_ms: ticks up to and including this time are past.
            was_missed: asked of the last of those of each entry, whether it is due nevertheless.
        """
        origin_ms = process.created_ms - process.created_ms % SECOND_MS
        dues = self._processes[process.id] = []
        for place, entry in enumerate(parse_cron(process.tags)):
            trigger = IntervalTrigger(
                seconds=entry.interval_ms // SECOND_MS,
                start_date=_moment(origin_ms + entry.interval_ms),
                timezone=UTC,
            )
            first_ms = _ms(trigger.get_next_fire_time(None, _moment(now_ms + 1)))
            due = _Due(process, entry, place, trigger, first_ms - entry.interval_ms)
            if due.next_ms == origin_ms or not was_missed(due.tick()):
                due.next_ms = first_ms
            dues.append(due)
            self._push(due)

    def next_due(self) -> int | None:
        """Return when the next tick is due, in milliseconds; None if there is no cron."""
        if self._turns:
            return next(iter(self._turns.values()))[0].next_ms
        return self._heap[0][1].next_ms if self._heap else None

    def take(self, now_ms: int) -> list[Tick]:
        """Return the ticks of the earliest due moment, if it is not after `now_ms`."""
        ticks: list[Tick] = []
        while self._heap and self._heap[0][1].next_ms <= now_ms:
            _, due = self._heap[0]
            if ticks and due.next_ms > ticks[0].due_ms:
                break
            ticks.append(due.tick())
            due.step()
            heapreplace(self._heap, (due.order(), due))
        return ticks

    def take_in_turn(
        self, now_ms: int, most: int = sys.maxsize, busy: Collection[str] = ()
    ) -> list[Tick]:
        """Return ticks that are due, one of each process in turn.

        Of the ticks of one entry that were missed, the last one alone is due. A tick is missed as
        soon as the next one of its entry is due too.

        Args:
            now_ms: the time.
            most: how many; the others keep their turns.
            busy: processes that take none now.
        """
        while self._heap and self._heap[0][1].next_ms <= now_ms:
            _, due = heappop(self._heap)
            self._turns.setdefault(due.process.id, deque()).append(due)
        taken: list[_Due] = []
        while len(taken) < most:
            process = next((each for each in self._turns if each not in busy), None)
            if process is None:
                break
            waiting = self._turns.pop(process)
            taken.append(waiting.popleft())
            if waiting:
                self._turns[process] = waiting  # behind all others
        for due in taken:
            due.coalesce(now_ms)
        taken.sort(key=_Due.order)
        ticks = [due.tick() for due in taken]
        for due in taken:
            due.step()
            self._push(due)
        return ticks

    @property
    def waiting(self) -> int:
        """How many processes wait for their turn, see `take_in_turn`."""
        return len(self._turns)

    def entries(self, process_id: str) -> list[tuple[CronEntry, int]]:
        """Return a process's entries, each with its next due time in milliseconds."""
        return [(due.entry, due.next_ms) for due in self._processes.get(process_id, ())]

    def _push(self, due: _Due) -> None:
        heappush(self._heap, (due.order(), due))


def _moment(ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(moment: datetime | None) -> int:
    assert moment is not None, "an interval trigger without an end always fires again"
    return (moment - _EPOCH) // timedelta(milliseconds=1)
