"""Logs: what the logs of a network say, by id. Names are the directory's."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from benchpool.ao.dataitem import DataItem, decode
from benchpool.ao.ids import complete_id
from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.signers import from_base64url
from benchpool.ao.wire import SCHEDULER_KEY_FACT, data_of, kept_assignment
from benchpool.errors import UnknownProcess
from benchpool.network.sent import Sent, Trace, trace
from benchpool.store import LogEntry, Store


class Logs:
    """Looks at a store and changes nothing.

    Args:
        messenger: the messenger unit's address, by which pushed messages are known.
    """

    def __init__(self, store: Store, messenger: str) -> None:
        self._store = store
        self._messenger = messenger

    # -- messages and results ----------------------------------------------------------------

    def resolve(self, text: str) -> str:
        """Return the id of the message that has it, or whose id begins with it.

        Raises: UnknownProcess if there is none such; AmbiguousId.
        """
        if self._store.find(text) is not None:
            return text
        found = complete_id(text, self._store.beginning(text.removesuffix("…")), "messages")
        if found is None:
            raise UnknownProcess(f"no message with id {text[:80]}")
        return found

    def message(self, message_id: str) -> Message:
        """Return a message by its id alone. Raises: UnknownProcess if there is none such."""
        return self._existing(message_id, None).message

    def result(self, message_id: str, process: str | None = None) -> Result:
        """Return what the evaluation of a message gave. Raises: UnknownProcess."""
        return self._existing(message_id, process).result or Result()

    def _existing(self, message_id: str, process: str | None) -> LogEntry:
        entry = self._store.find(message_id, process)
        if entry is None:
            raise UnknownProcess(f"no message with id {message_id}")
        return entry

    def sent(self, message_id: str, process: str, sender: str) -> Sent:
        """Look at a message as its sender does after `Network.send`."""
        return Sent(message_id, process, sender, self._store, self._messenger)

    def trace(self, message_id: str, process: str | None = None, most: int = sys.maxsize) -> Trace:
        """Return what came of a message, as a tree of so many at most. Raises: UnknownProcess."""
        return trace(self._store, self._messenger, message_id, process, most)

    def copies(self, message_id: str, processes: Iterable[str]) -> list[Message]:
        """Return a message as it stands in the logs of processes, where it does."""
        found = [self._store.find(message_id, process) for process in processes]
        return [entry.message for entry in found if entry is not None]

    # -- the log of one process --------------------------------------------------------------

    def find_process(self, process_id: str) -> ProcessInfo | None:
        """Return the facts of a process by its id alone; None if there is none such."""
        return self._store.process(process_id)

    def entry(self, message_id: str, process: str) -> LogEntry | None:
        """Return a message of a process's log with its result; None if there is none such."""
        return self._store.find(message_id, process)

    def entry_at(self, process: str, position: int) -> Message:
        """Return the message at a position of a log. Raises: UnknownProcess if there is none."""
        for entry in self._store.entries(process, after=position - 1, limit=1):
            return entry.message
        raise UnknownProcess(f"process {process} has no message at position {position}")

    def last_position(self, process: str) -> int:
        """Return the position of a log's newest message; -1 if it is empty."""
        return self._store.last_position(process)

    # -- what was signed ---------------------------------------------------------------------

    def item(self, message_id: str) -> DataItem | None:
        """Return the data item that a message came or was pushed as; None if it is not signed."""
        head = self._store.item_head(message_id)
        entry = self._store.find(message_id) if head is not None else None
        if head is None or entry is None:
            return None
        return decode(head + data_of(entry.message))

    def assignment(self, message_id: str, process: str | None = None) -> DataItem | None:
        """Return the scheduler's assignment of a message; None if there is none, or no signed one.

        Args:
            message_id: the message's.
            process: in whose log; by default where the message came first.
        """
        entry = self._store.find(message_id, process)
        key = self._store.fact(SCHEDULER_KEY_FACT)
        if entry is None or key is None:
            return None
        signed = self._store.signed_assignment(entry.message.process, entry.message.position)
        if signed is None:
            return None
        return kept_assignment(entry.message, signed, from_base64url(key))

    def assigned(self, assignment_id: str) -> Message | None:
        """Return the message that a signed assignment put into a log; None if there is none."""
        return self._store.assigned(assignment_id)
