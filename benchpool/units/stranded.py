"""Stranded: processes whose modules are data that is not here any more, or was changed.

Nothing can be said of what their messages would give, so these wait in the log for the bytes, and
everybody else goes on.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchpool.ao.message import Message, ProcessInfo
from benchpool.errors import UnknownModule
from benchpool.units.compute import ComputeUnit


class Stranded:
    """Keeps messages back that nobody can evaluate.

    Args:
        compute: who would.
        processes: those that there are.
    """

    def __init__(self, compute: ComputeUnit, processes: Iterable[ProcessInfo]) -> None:
        self._compute = compute
        self._foreign: set[str] = set()
        """Processes whose modules are data; most networks have none."""
        self._kept: list[Message] = []
        for info in processes:
            self.add(info)

    def add(self, info: ProcessInfo) -> None:
        """Take note of a process."""
        if self._compute.is_data(info.module):
            self._foreign.add(info.id)

    def check(self, process: str) -> None:
        """Accept a message for a process. Raises: UnknownModule if it could not be evaluated."""
        why = self._compute.why_missing(process) if process in self._foreign else ""
        if why:
            raise UnknownModule(f"process {process} cannot be loaded: {why}")

    def divert(self, batch: list[Message]) -> list[Message]:
        """Return what can be evaluated, and keep the rest until the network is opened again."""
        if not self._foreign:
            return batch
        why = {
            process: self._compute.why_missing(process)
            for process in {message.process for message in batch} & self._foreign
        }
        self._kept += [message for message in batch if why.get(message.process)]
        return [message for message in batch if not why.get(message.process)]

    def count_into(self, waiting: dict[str, int]) -> None:
        """Count what is kept among what waits, by process."""
        for message in self._kept:
            waiting[message.process] = waiting.get(message.process, 0) + 1

    def reasons(self) -> dict[str, str]:
        """Say why the messages of which processes wait."""
        return {each.process: self._compute.why_missing(each.process) for each in self._kept}
