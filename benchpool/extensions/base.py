"""What the compute unit asks of an extension, and how answers from outside are recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from benchpool.errors import BenchpoolError, ReplayDivergence
from benchpool.extensions.outside import Absence, encode_fact, read_fact, reason

T = TypeVar("T")


class Extension:
    """Base of the extensions. By default an extension has nothing to undo or to keep."""

    timeless: ClassVar[bool] = False
    """Whether a process that has it is all in its memory, and can be shown as it was."""

    def begin(self) -> None:
        """A message's evaluation starts."""

    def commit(self) -> None:
        """The message succeeded: what it did through this extension stands."""

    def rollback(self) -> None:
        """The message failed, or was a dry run: take back what it did."""

    def close(self) -> None:
        """Let go of files and child processes."""


class Timekeeper(Protocol):
    """Counts the time of a handler."""

    def pause(self) -> None:
        """Stop counting."""
        ...

    def resume(self) -> None:
        """Start counting anew."""
        ...


class Recorder:
    """Keeps the answers that an evaluation got from outside, so that a replay needs no outside.

    Live, `ask` runs the question and keeps its answer; when an earlier evaluation's answers are
    given to `start`, `ask` returns those, in order, and runs nothing.
    """

    def __init__(self) -> None:
        self._given: deque[bytes] | None = None
        self._taken: list[bytes] = []
        self._timekeeper: Timekeeper | None = None
        self.given = b""
        """What a WASM module answered, see `Result.given`."""

    def start(self, recorded: Sequence[bytes] | None, timekeeper: Timekeeper | None = None) -> None:
        """Begin an evaluation: live if `recorded` is None. Waiting for an answer is not counted."""
        self._timekeeper = timekeeper
        self._given = None if recorded is None else deque(recorded)
        self._taken = []
        self.given = b""

    def ask(self, question: Callable[[], Any], *, failure: type[BenchpoolError]) -> Any:
        """Get an answer (anything that MessagePack holds), live or recorded.

        Whatever fails outside is recorded too, and raised as a `failure` now and in a replay.

        Raises: the failure; ReplayDivergence if the record holds fewer answers than are asked for.
        """
        if self._given is not None:
            if not self._given:
                raise ReplayDivergence("this evaluation asks for an answer that was not recorded")
            raw = self._given.popleft()
        else:
            if self._timekeeper is not None:
                self._timekeeper.pause()
            try:
                raw = _encode((True, question()))
            except Exception as error:
                raw = _encode((False, reason(error)))
            if self._timekeeper is not None:
                self._timekeeper.resume()
        self._taken.append(raw)
        succeeded, value = msgspec.msgpack.decode(raw)
        if not succeeded:
            raise failure(value)
        return value

    def fetch(self, what: str, question: Callable[[], T], *, failure: type[BenchpoolError]) -> T:
        """Get what is the same for ever once it is there: only a failure is recorded.

        Raises: the failure.
        """
        fact = read_fact(self._given[0]) if self._given else None
        if self._given and isinstance(fact, Absence) and fact.what == what:
            self._taken.append(self._given.popleft())
            raise failure(fact.why)
        try:
            return question()
        except Exception as error:
            why = reason(error)
            self._taken.append(encode_fact(Absence(what, why)))
            raise failure(why) from error  # a failure of the machine is known by its cause

    @property
    def replaying(self) -> bool:
        """Whether the answers are those of an earlier evaluation."""
        return self._given is not None

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Stop counting the time in a block that is bounded otherwise. Raises: as the time does."""
        timekeeper, self._timekeeper = self._timekeeper, None
        if timekeeper is not None:
            timekeeper.pause()
        try:
            yield
        finally:
            self._timekeeper = timekeeper
            if timekeeper is not None:
                timekeeper.resume()

    def finish(self) -> tuple[bytes, ...]:
        """End the evaluation and return its answers."""
        return tuple(self._taken)


_encode = msgspec.msgpack.Encoder().encode
