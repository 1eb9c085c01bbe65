"""TimeBudget: ends handlers that do not end, at no cost to those that do.

A handler runs in this program, so nothing outside can stop it but an exception that is raised in
its thread. A watchdog looks a few times a second which evaluation each thread is at; one that it
finds there for too long gets the exception. The evaluating thread only counts its turns.

What the exception interrupts may be the engine's own code that the handler called, so nothing in
memory can be trusted afterwards: the compute unit folds the process again from the log.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Final

_QUIET: Final = 0
_DECIDING: Final = 1
_FIRED: Final = 2
_LOOKS: Final = 20
_LONGEST_PAUSE_S: Final = 0.25
_IDLE_S: Final = 2.0


class TimeBudgetExceeded(BaseException):
    """Raised inside a handler that runs for too long. No `except Exception` holds it."""


class Watch:
    """One thread that evaluates, as the watchdog sees it.

    Around a handler: count `turn` up and set `inside`; afterwards clear `inside` and, if `alarm` is
    not 0, call `settle`. Either the watchdog sees that the handler has left, or the handler sees
    that the watchdog is at it: there is no lock to take.
    """

    __slots__ = ("alarm", "fired_turn", "inside", "seen_at", "seen_turn", "thread", "turn")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.turn = 0
        self.inside = False
        self.alarm = _QUIET
        self.fired_turn = -1
        self.seen_turn = -1
        self.seen_at = 0.0

    def pause(self) -> None:
        """Stop counting: the handler waits for something outside. Raises: TimeBudgetExceeded."""
        self.inside = False
        if self.alarm and self.settle():
            raise TimeBudgetExceeded

    def resume(self) -> None:
        """Start counting anew."""
        self.turn += 1
        self.inside = True

    def settle(self) -> bool:
        """Take back an exception that is under way; return whether this turn's budget ran out."""
        while True:
            try:
                self.inside = False
                while self.alarm == _DECIDING:
                    time.sleep(0)
                if self.alarm == _FIRED:
                    _raise_in(self.thread, None)
                    self.alarm = _QUIET
            except TimeBudgetExceeded:
                continue
            return self.fired_turn == self.turn

    def look(self, now: float, budget_s: float) -> None:
        """Be the watchdog: raise the exception in a handler that was here for too long.

        One that catches it and goes on gets it again, at every look.
        """
        if not self.inside or self.turn != self.seen_turn:
            self.seen_turn, self.seen_at = self.turn, now
        elif now - self.seen_at >= budget_s:
            self.alarm = _DECIDING
            if self.inside and self.turn == self.seen_turn:
                self.fired_turn = self.turn
                _raise_in(self.thread, TimeBudgetExceeded)
                self.alarm = _FIRED
            else:
                self.alarm = _QUIET


class TimeBudget:
    """The watchdog of a network. Its thread runs while there is something to watch."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._watches: list[Watch] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def enter(self) -> Watch | None:
        """Watch the calling thread until `leave`; None if there is no budget."""
        if not self.seconds:
            return None
        watch = Watch()
        with self._lock:
            self._watches.append(watch)
            if self._thread is None or not self._thread.is_alive():
                self._stop = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="benchpool-watchdog", daemon=True
                )
                self._thread.start()
        return watch

    def leave(self, watch: Watch | None) -> None:
        """End watching."""
        if watch is not None:
            with self._lock:
                self._watches.remove(watch)

    def close(self) -> None:
        """End the watchdog's thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None and thread.is_alive():
            thread.join()

    def _run(self, stop: threading.Event) -> None:
        pause_s = min(self.seconds / _LOOKS, _LONGEST_PAUSE_S)
        idle_since = time.monotonic()
        while not stop.wait(pause_s):
            now = time.monotonic()
            with self._lock:
                if self._watches:
                    idle_since = now
                elif now - idle_since > _IDLE_S:
                    self._thread = None
                    return
                for watch in self._watches:
                    watch.look(now, self.seconds)


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
