"""Sandbox: the bounds of a process of WebAssembly, and what it holds while it is in memory.

A module is bounded by fuel, not by time. How much a message takes is the same on every machine, but
not in every version of the runtime. So that it was used up is a fact from outside: a replay takes
it over, and gives all other messages ample.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar, Final, Protocol

from benchpool.extensions.base import Extension, Recorder

FUEL: Final = 50_000_000_000
"""Of a message, by default: some ten seconds of a core."""
MEMORY_BYTES: Final = 2 << 30
"""Of a process, by default."""
_AMPLE: Final = 4
"""How much more than was allowed a replay gives."""


class Closes(Protocol):
    """Something to let go of."""

    def close(self) -> None:
        """Let go."""
        ...


class Sandbox(Extension):
    """The bounds of one process.

    Args:
        recorder: of what it gives.
        fuel: that a message may use.
        memory_bytes: that the process may have.
    """

    timeless: ClassVar[bool] = True

    def __init__(
        self, recorder: Recorder, fuel: int = FUEL, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._recorder = recorder
        self._fuel = fuel
        self.memory_bytes = memory_bytes
        self._held: Closes | None = None

    def allowance(self, own: int | None) -> int:
        """Return the fuel of a message, given what the module itself allows."""
        if self._recorder.replaying:
            return self._fuel * _AMPLE
        return min(self._fuel, own or self._fuel)

    def bounding(self) -> AbstractContextManager[None]:
        """Stop counting the time: what runs in the block is bounded by fuel."""
        return self._recorder.untimed()

    def give(self, response: bytes) -> None:
        """Put what the module answered, as it wrote it, into the result of this message."""
        self._recorder.given = response

    @property
    def given(self) -> bytes:
        """What `give` put into the result of this message."""
        return self._recorder.given

    def hold(self, machine: Closes | None) -> None:
        """Let go of the machine that was held, and hold this one."""
        if self._held is not None:
            self._held.close()
        self._held = machine

    def close(self) -> None:
        """See `Extension`."""
        self.hold(None)
