"""Chains and families: how much a message, or a process, has brought forth, and what ends it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from benchpool.ao.message import ProcessInfo, Result
from benchpool.errors import LimitExceeded
from benchpool.units.limits import Limits


class Chains:
    """Counts what evaluations bring into their chains, by the message that started each.

    The messenger unit asks it before it pushes; a replay asks it again, to tell a chain that was
    stopped from a log that lacks a message.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.messages: dict[str, int] = {}
        self.data_bytes: dict[str, int] = {}

    def excess(self, result: Result, root: str, depth: int, waiting: Mapping[str, int]) -> str:
        """Count what a result brings into its chain; say which limit that breaks, if any.

        Args:
            result: what was evaluated; if a limit is broken, nothing of it is pushed.
            root: the message that started the chain.
            depth: pushes between that message and what the result puts out.
            waiting: how many messages wait for each process, of those pushed in this round.
        """
        limits, messages = self._limits, result.messages
        count, most = len(messages) + len(result.spawns), limits.pending_per_process
        for assign in result.assignments:
            count += len(assign.processes)
        pushed = self.messages[root] = self.messages.get(root, 0) + count
        size = self.data_bytes.get(root, 0)
        for outgoing in messages:
            size += len(outgoing.data)
            if waiting.get(outgoing.target, 0) >= most:
                return (
                    f"{most:,} messages wait for process {outgoing.target}"
                    " (limit pending_per_process)"
                )
        self.data_bytes[root] = size
        if depth > limits.push_depth:
            return f"{depth} pushes deep (limit {limits.push_depth})"
        if pushed > limits.pushed_messages:
            return f"{pushed} messages (limit {limits.pushed_messages})"
        if size > limits.pushed_bytes:
            return f"{size:,} bytes of Data (limit {limits.pushed_bytes:,})"
        return ""

    def clear(self) -> None:
        """Begin anew: all chains have come to their ends."""
        self.messages.clear()
        self.data_bytes.clear()

    def keep(self, roots: Collection[str]) -> None:
        """Forget all chains but these: the others have come to their ends."""
        for counts in (self.messages, self.data_bytes):
            for root in [each for each in counts if each not in roots]:
                del counts[root]


class Families:
    """Counts the processes that each process of a wallet brought forth, in any generation."""

    def __init__(self, processes: Iterable[ProcessInfo]) -> None:
        self._ancestors: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        for info in processes:
            self.add(info)

    def add(self, info: ProcessInfo) -> None:
        """Count a new process."""
        ancestor = self._ancestors.get(info.owner)
        if ancestor is None:
            self._ancestors[info.id] = info.id
        else:
            self._ancestors[info.id] = ancestor
            self._sizes[ancestor] = self._sizes.get(ancestor, 0) + 1

    def check(self, process: str, most: int) -> None:
        """Allow a process one more. Raises: LimitExceeded."""
        ancestor = self._ancestors[process]
        if self._sizes.get(ancestor, 0) >= most:
            raise LimitExceeded(
                f"process {ancestor} and those that it spawned have brought forth {most:,}"
                " processes already (spawns_per_process)"
            )
