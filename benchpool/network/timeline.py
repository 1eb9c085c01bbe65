"""Timeline: the clock of a network, and the cron ticks that fall due by it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from benchpool.ao.clock import (
    GENESIS_MS,
    SECOND_MS,
    Clock,
    VirtualClock,
    WallClock,
    format_moment,
)
from benchpool.ao.message import ProcessInfo
from benchpool.errors import ConfigError
from benchpool.store import Store
from benchpool.units.cron import CronEntry, CronSchedule, Tick

Fire = Callable[[Sequence[Tick]], None]
"""Runs ticks, and all that comes of them."""
LAST_MS: Final = 221_845_392_000_000
"""Where virtual time ends: 9000-01-01T00:00:00Z, so that every tick has a next one."""


class Timeline:
    """Goes on from where the network's time was when it was last committed."""

    def __init__(self, store: Store, clock: Clock | None, where: str) -> None:
        self._store = store
        kept = store.fact("clock")
        self.clock: Clock = clock or VirtualClock(GENESIS_MS if kept is None else int(kept))
        if isinstance(self.clock, WallClock) and kept is not None:
            self.clock.go_on_from(int(kept), where)
        self._cron = CronSchedule()
        self._looking = False
        """Whether another program runs the ticks, so that the schedule here stands still."""

    def refresh(self) -> None:
        """Read the time again that another program moves."""
        self._looking = True
        if isinstance(self.clock, VirtualClock):
            self.clock = VirtualClock(int(self._store.fact("clock") or self.clock.now()))

    def now(self) -> int:
        """Return the present moment, in milliseconds since 1970."""
        return self.clock.now()

    # -- cron --------------------------------------------------------------------------------

    def follow_all(self, processes: Iterable[ProcessInfo]) -> None:
        """Follow the cron of the processes of a home.

        Ticks that a wall clock missed while nobody ran the home are not made up for one by one:
        the last one of each entry falls due, unless the log has it.
        """
        now_ms, on_the_wall = self.now(), isinstance(self.clock, WallClock)
        for info in processes:
            self._cron.add(info, now_ms, lambda tick: on_the_wall and not self._is_logged(tick))

    def _is_logged(self, tick: Tick) -> bool:
        return self._store.find(tick.id(), tick.process.id) is not None

    def follow(self, info: ProcessInfo) -> None:
        """Follow the cron of a new process."""
        self._cron.add(info, self.now())

    def entries(self, process_id: str) -> list[tuple[CronEntry, int]]:
        """Return a process's cron entries, each with its next due time in milliseconds."""
        if not self._looking:
            return self._cron.entries(process_id)
        info, now = self._store.process(process_id), CronSchedule()
        if info is not None:
            now.add(info, self.now())
        return now.entries(process_id)

    def wait_s(self) -> float | None:
        """Return how long it is until the next tick is due, in seconds; None without cron."""
        due_ms, now_ms = self._cron.next_due(), self.now()
        return None if due_ms is None else max(0, due_ms - now_ms) / SECOND_MS

    @property
    def waiting(self) -> int:
        """How many processes wait for their turn to tick."""
        return self._cron.waiting

    def trouble(self) -> str:
        """Say what is wrong with the machine's clock; empty if nothing is known to be."""
        return self.clock.trouble() if isinstance(self.clock, WallClock) else ""

    @property
    def off_ms(self) -> int:
        """How far the machine's clock is ahead of this time, in milliseconds."""
        return self.clock.off_ms if isinstance(self.clock, WallClock) else 0

    def tick(self, fire: Fire, most: int = sys.maxsize, busy: Collection[str] = ()) -> int:
        """Run ticks that are due by now, see `CronSchedule.take_in_turn`; return how many."""
        ticks = self._cron.take_in_turn(self.now(), most, busy)
        if ticks:
            fire(ticks)
        return len(ticks)

    def advance(
        self, length_ms: int, fire: Fire, on_tick: Callable[[int], None] | None = None
    ) -> int:
        """Move virtual time on, running every tick that falls due; return how many ran.

        Args:
            length_ms: how far, in milliseconds.
            fire: see `Fire`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Raises: ConfigError if the clock is not virtual, or would go beyond `LAST_MS`.
        """
        clock = self.virtual()
        until_ms = clock.now() + length_ms
        if until_ms > LAST_MS:
            last, now = format_moment(LAST_MS), format_moment(clock.now())
            raise ConfigError(f"time cannot go beyond {last}; it is {now}")
        count = 0
        while (due_ms := self._cron.next_due()) is not None and due_ms <= until_ms:
            clock.set(due_ms)
            ticks = self._cron.take(due_ms)
            fire(ticks)
            count += len(ticks)
            if on_tick is not None:
                on_tick(due_ms)
        clock.set(until_ms)
        return count

    def virtual(self) -> VirtualClock:
        """Return the clock if it can be advanced. Raises: ConfigError if it is no virtual one."""
        if not isinstance(self.clock, VirtualClock):
            raise ConfigError("this network runs on the wall clock, which cannot be advanced")
        return self.clock
