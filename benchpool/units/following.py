"""Following: processes in memory, beside another program, or thread, that goes on writing the logs.

Who follows folds a log again only if a page, or whoever else looks, asks for that process; and if
much is behind, the one who has folded it already writes its memory, which is taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchpool.store import Checkpoint, Store
from benchpool.units.folding import Instance
from benchpool.units.making import Maker
from benchpool.units.taking_up import fold_log

MOST_FOLLOWED = 256
"""Processes that are kept in memory, at most, by who looks at what another program writes."""
FEW: Final = 32
"""Messages that are folded again rather than that a memory is written for them."""
MESSAGE_BYTES: Final = 1_000
"""So many bytes of a memory are written and read in the time in which a message is folded."""


class Following:
    """What a compute unit has in memory, seen as something that others may have gone beyond.

    Args:
        store: the logs.
        maker: makes instances.
        instances: those that are at the end of their logs, or at what was seen of it.
    """

    def __init__(self, store: Store, maker: Maker, instances: dict[str, Instance]) -> None:
        self._store = store
        self._maker = maker
        self._instances = instances
        self._behind: dict[str, Instance] = {}

    # -- who looks ---------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Take note that there may be more in the logs.

        A process that is in memory is brought to the end of its log when it is asked for, and not
        before. Those with a private database, and all if they are many, are loaded again.
        """
        self.forget_databases()
        self._behind |= self._instances
        self._instances.clear()
        if len(self._behind) > MOST_FOLLOWED:
            for process in list(self._behind):
                self.let_go(process)

    def forget_databases(self) -> None:
        """Let go of the processes with a private database, so that no moment of it is kept."""
        for process, instance in list(self._instances.items()):
            if instance.database is not None:
                self.let_go(process)

    def take_up(self, process: str) -> Instance:
        """Return a process at the end of its log. Raises: as `Maker.newest`."""
        instance = self._behind.get(process)
        if instance is not None:
            if self._store.checkpointed().get(process, -1) <= instance.position:
                fold_log(self._store, instance)
                del self._behind[process]
            else:
                self.let_go(process)
                instance = None
        instance = instance or self._maker.newest(process)
        self._instances[process] = instance
        return instance

    def take_over(self, memories: Mapping[str, Checkpoint]) -> None:
        """Go on from memories that another compute unit wrote of the same logs."""
        for process, (position, memory, _) in memories.items():
            instance = self._maker.make(self._maker.info(process))
            instance.process.load(memory)
            instance.position = instance.saved_position = position
            self.let_go(process)
            self._behind[process] = instance

    def asked_for(self) -> frozenset[str]:
        """Return the processes that were asked for since `catch_up`."""
        return frozenset(self._instances)

    def positions(self) -> dict[str, int]:
        """Return how far the processes in memory are in their logs."""
        known = self._behind | self._instances
        return {process: instance.position for process, instance in known.items()}

    def let_go(self, process: str) -> None:
        """Have a process in memory no more."""
        for instances in (self._instances, self._behind):
            instance = instances.pop(process, None)
            if instance is not None:
                instance.close()

    def let_all_go(self) -> None:
        """Have nothing in memory any more."""
        for process in [*self._instances, *self._behind]:
            self.let_go(process)

    # -- who writes --------------------------------------------------------------------------

    def memories(self, known: Mapping[str, int]) -> dict[str, Checkpoint]:
        """Write the memories of processes, for somebody who would have to fold much otherwise.

        Call it when nothing is pending: what it says must be in the log.

        Args:
            known: how far that somebody is with each, -1 at the beginning.

        Returns: those that are further by more messages than it costs to write them. There is none
            with a private database, which is a memory for all, and none that may be evaluating
            beside everything else.
        """
        found = {}
        for process, position in known.items():
            instance = self._instances.get(process)
            if instance is None or instance.database is not None or instance.process.heavy:
                continue
            if instance.position - position > max(FEW, instance.memory_bytes // MESSAGE_BYTES):
                memory = instance.process.dump()
                instance.memory_bytes = len(memory)
                found[process] = Checkpoint(instance.position, memory)
        return found
