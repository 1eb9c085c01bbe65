"""What the units see of modules and their processes, whatever these are written in.

A module makes processes; `Process` classes are modules written in Python. How a process judges
whom to trust, reads JSON, boots and evaluates Lua is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from benchpool.ao.message import Message, ProcessInfo
from benchpool.process.outbox import PutOut


@runtime_checkable
class ModuleProcess(Protocol):
    """A process in memory. Its extensions are set as attributes of their names in lower case."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def extensions(self) -> tuple[str, ...]:
        """The names of the extensions that it needs."""
        ...

    @property
    def heavy(self) -> bool:
        """Whether it is evaluated on an executor beside other heavy processes."""
        ...

    @property
    def inbox(self) -> Sequence[Message]:
        """The messages that no handler took, oldest first, as far as it shows them."""
        ...

    @property
    def state(self) -> Any:
        """What it remembers, as far as it shows it, to look at and not to change."""
        ...

    def look_ahead(self, batch: Sequence[Message]) -> None:
        """Look at what is pending for a heavy process, before each message is handled in turn."""
        ...

    def handle(self, message: Message, most: int) -> PutOut:
        """Evaluate a message, its own first one included.

        Args:
            message: may be from anybody.
            most: how many messages, spawns, assignments or lines it may put out.

        Returns: what it put out.

        Raises: anything; the message has failed then.
        """
        ...

    def commit(self) -> None:
        """Let what the last message did stand."""
        ...

    def undo(self) -> None:
        """Take back what the last message did, whole or in part."""
        ...

    def dump(self) -> bytes:
        """Write its whole memory."""
        ...

    def load(self, memory: bytes) -> None:
        """Take over a memory written by `dump`."""
        ...

    def inspect(self) -> dict[str, Any]:
        """Show what it is made of, as JSON holds it; what it remembers is its `state`.

        Returns: `handlers` (name, action, pattern, max_runs, and `requires`, the tags that it asks
            for, where that is known), and `description`.
        """
        ...


Module = Callable[[ProcessInfo], ModuleProcess]
"""Makes a process as it is before its first message."""
