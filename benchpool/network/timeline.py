"""Timeline: the clock of a network, and the cron ticks that fall due by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchpool.ao.clock import GENESIS_MS, Clock, VirtualClock, WallClock
from benchpool.ao.message import ProcessInfo
from benchpool.errors import ConfigError
from benchpool.store import Store
from benchpool.units.cron import CronEntry, CronSchedule, Tick

Fire = Callable[[Sequence[Tick]], None]
"""Runs the ticks of one moment, and all that comes of them."""


class Timeline:
    """Goes on from where the network's time was when it was last committed."""

    def __init__(self, store: Store, clock: Clock | None) -> None:
        self._store = store
        kept = store.fact("clock")
        self._kept_ms = None if kept is None else int(kept)
        self.clock: Clock = clock or VirtualClock(GENESIS_MS if kept is None else int(kept))
        if isinstance(self.clock, WallClock):
            self.clock.go_on_from(self._kept_ms or 0)
        self._cron = CronSchedule()

    def refresh(self) -> None:
        """Read the time again that another program moves."""
        if isinstance(self.clock, VirtualClock):
            self.clock = VirtualClock(int(self._store.fact("clock") or self.clock.now()))

    def now(self) -> int:
        """Return the present moment, in milliseconds since 1970."""
        return self.clock.now()

    # -- cron --------------------------------------------------------------------------------

    def follow_all(self, processes: Iterable[ProcessInfo]) -> None:
        """Follow the cron of the processes of a home.

        Ticks that a wall clock missed while nobody ran the home are not made up for one by one:
        the last one of each entry falls due.
        """
        since_ms = self.now()
        if isinstance(self.clock, WallClock) and self._kept_ms is not None:
            since_ms = self._kept_ms
        for info in processes:
            self._cron.add(info, since_ms)
        self._cron.coalesce(self.now())

    def follow(self, info: ProcessInfo) -> None:
        """Follow the cron of a new process."""
        self._cron.add(info, self.now())

    def entries(self, process_id: str) -> list[tuple[CronEntry, int]]:
        """Return a process's cron entries, each with its next due time in milliseconds."""
        return self._cron.entries(process_id)

    def start_live(self, fire: Callable[[], object]) -> Callable[[], None]:
        """Have `fire` called whenever a tick is due by the wall clock, see `CronSchedule`."""
        return self._cron.start_live(fire)

    def tick(self, fire: Fire) -> int:
        """Run the ticks that are due by now, moment by moment; return how many."""
        count = 0
        while ticks := self._cron.take(self.now()):
            fire(ticks)
            count += len(ticks)
        return count

    def advance(
        self, length_ms: int, fire: Fire, on_tick: Callable[[int], None] | None = None
    ) -> int:
        """Move virtual time on, running every tick that falls due; return how many ran.

        Args:
            length_ms: how far, in milliseconds.
            fire: see `Fire`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Raises: ConfigError if the clock is not virtual.
        """
        clock = self.virtual()
        until_ms = clock.now() + length_ms
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
