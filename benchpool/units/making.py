"""Maker: makes processes of their modules, and brings them to where their logs are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from benchpool.ao.message import ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import LimitExceeded, UnknownProcess
from benchpool.extensions.base import Recorder
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.outside import old_positions
from benchpool.process.forked import ForkedProcess
from benchpool.process.module import ModuleProcess
from benchpool.process.registry import Registry
from benchpool.store import Store
from benchpool.units.folding import Instance
from benchpool.units.forks import MOST_FOLDED, Origin, check_fork, inherit, lineage
from benchpool.units.taking_up import fold_log, take_up

if TYPE_CHECKING:
    from benchpool.extensions.database import Database


class Maker:
    """Makes instances; who asked for one keeps it.

    Args:
        store: the logs.
        registry: the modules.
        host: the extensions.
        instances: the processes that are in memory.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        host: ExtensionHost,
        instances: Mapping[str, Instance],
    ) -> None:
        self._store = store
        self._registry = registry
        self._host = host
        self._instances = instances
        self._first_edition = old_positions(store)

    def info(self, process_id: str) -> ProcessInfo:
        """Return the facts of a process. Raises: UnknownProcess."""
        info = self._store.process(process_id)
        if info is None:
            raise UnknownProcess(f"no process with id {process_id}")
        return info

    def make(self, info: ProcessInfo, *, kept: bool = True) -> Instance:
        """Make a process as its module makes it, without a memory.

        Args:
            info: the process.
            kept: whether its private database is a file.

        Raises: StoreError if it is a fork of what is not here; as its module.
        """
        family = lineage(self._store, info)
        first = family[0]
        if first.id in self._first_edition:
            first = replace(first, edition=1)
        process: ModuleProcess = self._registry.find(first.module)(first)
        recorder = Recorder()
        built = {
            name: self._host.build(name, info.id, recorder, kept=kept)
            for name in process.extensions
        }
        for name, extension in built.items():
            setattr(process, name.lower(), extension)
        for fork in family[1:]:
            process = ForkedProcess(process, fork.id)
        database = cast("Database | None", built.get("Database"))
        return Instance(process, recorder, tuple(built.values()), database)

    def fresh(self, process_id: str) -> Instance:
        """Make a process as it was before its first message, of logs and nothing else.

        Raises: UnknownProcess; see `inherit`.
        """
        instance = self.make(self.info(process_id))
        inherit(self._store, instance, lambda _instance, _position: None)
        return instance

    def newest(self, process_id: str) -> Instance:
        """Make a process as it is at the end of its log. Raises: as `fresh` and `take_up`."""
        instance = self.make(self.info(process_id))
        take_up(self._store, instance, lambda: inherit(self._store, instance, self.come_up))
        return instance

    def past(self, process_id: str, position: int) -> Instance:
        """Make a process anew as it was behind a position of its log, see `ComputeUnit.past`."""
        instance = self.make(self.info(process_id))
        self.come_up(instance, position)
        if instance.position < 0:
            inherit(self._store, instance, self.come_up)
        behind = position - instance.position
        if behind > MOST_FOLDED:
            raise LimitExceeded(
                f"{behind:,} messages of process {process_id} would have to be evaluated again to"
                f" show it at that time, more than {MOST_FOLDED:,}"
            )
        if behind > 0:
            fold_log(self._store, instance, behind)
        return instance

    def come_up(self, instance: Instance, position: int) -> None:
        """Take over a memory that is at a position of a log, or before it."""
        if instance.database is not None:
            return
        known = self._instances.get(instance.process.id)
        if known is not None and known.position == position and not known.process.heavy:
            instance.process.load(known.process.dump())
            instance.position = position
            return
        checkpoint = self._store.checkpoint(instance.process.id)
        if checkpoint is not None and checkpoint.position <= position:
            instance.process.load(checkpoint.memory)
            instance.position = checkpoint.position

    def evaluated(self, process_id: str) -> int:
        """Return the last position of a log that has a result, -1 if there is none."""
        known = self._instances.get(process_id)
        after = -1 if known is None else known.saved_position
        checkpoint = self._store.checkpoint(process_id)
        position = max(-1, after, -1 if checkpoint is None else checkpoint.position)
        for entry in self._store.entries(process_id, after=position):
            if entry.result is None:
                break
            position = entry.message.position
        return position

    def _behind(self, origin: Origin) -> int:
        """Return how many messages a fork of a process must fold."""
        known = self._instances.get(origin.process)
        if known is not None and known.position == origin.position:
            return 0
        checkpoint = self._store.checkpoint(origin.process)
        usable = checkpoint is not None and checkpoint.position <= origin.position
        return origin.position - (checkpoint.position if checkpoint and usable else -1)

    def check_fork(self, tags: Tags, module: str) -> None:
        """Accept the tags of a process to be spawned. Raises: see `forks.check_fork`."""
        check_fork(self._store, tags, module, self._behind)
