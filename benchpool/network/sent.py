"""Sent: a message that was sent, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchpool.ao.message import Message, Result
from benchpool.errors import HandlerError
from benchpool.network.trace import Trace, trace
from benchpool.store import Store


@dataclass(frozen=True, slots=True)
class Sent:
    """A message in the log, looked at by who sent it. What came of it is read when asked for."""

    id: str
    process: str
    """The process or wallet it went to."""
    sender: str
    _store: Store = field(repr=False)
    _messenger: str = field(repr=False)

    @property
    def result(self) -> Result:
        """The result of its own evaluation; empty if it went to a wallet."""
        entry = self._store.find(self.id, self.process)
        return (entry and entry.result) or Result()

    @property
    def error(self) -> str:
        """Why its evaluation failed; empty if it did not."""
        return self.result.error

    @property
    def trace(self) -> Trace:
        """All that came of it."""
        return trace(self._store, self._messenger, self.id, self.process)

    @property
    def replies(self) -> list[Message]:
        """The messages that came back to the sender, nearest first."""
        return self.trace.replies(self.sender)

    def reply(self, action: str | None = None) -> Message:
        """Return the first message that came back, or the first of that action.

        Raises: HandlerError with the reason if the message failed, or if nothing came back.
        """
        for message in self.replies:
            if action is None or message.action == action:
                return message
        wanted = "no reply" if action is None else f"no {action}"
        raise HandlerError(f"{wanted} came back: {self.error or 'the process sent none'}")
