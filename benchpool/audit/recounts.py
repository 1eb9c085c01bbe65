"""The logs of a run that have to do with pools, each read and counted again once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from msgspec.structs import replace

from benchpool.ao.message import Message, ProcessInfo, Result, decode_message, decode_result
from benchpool.audit.dataset import DatasetRecount
from benchpool.audit.judges import judge_of
from benchpool.audit.ledger import LedgerRecount, NoticedLedger
from benchpool.audit.links import Links
from benchpool.audit.pools import BenchmarkRecount
from benchpool.errors import BenchpoolError, PoolError
from benchpool.extensions.outside import old_positions
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.units.limits import DEFAULT_LIMITS
from benchpool.units.modules import ModuleShelf

BENCHMARK: Final = "Benchmark"
"""The module whose processes have pools."""

R = TypeVar("R", LedgerRecount, BenchmarkRecount, DatasetRecount)


@dataclass(slots=True)
class Reading:
    """How far a log could be read."""

    entries: int = 0
    faults: list[str] = field(default_factory=list)


class Recounts:
    """Counts tokens, Benchmarks and data sets again from their logs, when they are asked for."""

    def __init__(self, store: Store, data: DataStore, registry: Registry) -> None:
        self.store = store
        self.data = data
        self._registry = registry.with_data(ModuleShelf(store, data, DEFAULT_LIMITS))
        self._first_edition = old_positions(store)
        self.readings: dict[str, Reading] = {}
        """By process, of the logs that were read so far."""
        self._tokens: dict[str, LedgerRecount] = {}
        self._benchmarks: dict[str, BenchmarkRecount] = {}
        self._datasets: dict[str, DatasetRecount] = {}

    def benchmarks(self) -> Iterator[BenchmarkRecount]:
        """Count the processes of the module Benchmark again, whatever others call themselves."""
        for info in self.store.processes():
            if self._registry.name(info.module) == BENCHMARK:
                yield self._recount(self._benchmarks, info.id, self._of_benchmark)

    def token(self, process: str) -> LedgerRecount:
        """Count a token's ledger again. Raises: PoolError if it is not here."""
        return self._recount(self._tokens, process, self._of_token)

    def dataset(self, process: str) -> DatasetRecount:
        """Count a data set's evaluations again. Raises: PoolError if it is not here."""
        return self._recount(self._datasets, process, self._of_dataset)

    def _of_benchmark(self, info: ProcessInfo) -> BenchmarkRecount:
        return BenchmarkRecount(info, self._serves)

    def _serves(self, module: str, role: str) -> bool:
        return role in self._registry.roles(module)

    def _of_token(self, info: ProcessInfo) -> LedgerRecount:
        return NoticedLedger(info) if self._registry.is_data(info.module) else LedgerRecount(info)

    def _of_dataset(self, info: ProcessInfo) -> DatasetRecount:
        return DatasetRecount(info, self.data, judge_of(info, self._registry))

    def _recount(self, kept: dict[str, R], process: str, make: Callable[[ProcessInfo], R]) -> R:
        if process not in kept:
            info = self.store.process(process)
            if info is None:
                raise PoolError(f"process {process}, which the pool depends on, is not in this run")
            info = replace(info, edition=1) if process in self._first_edition else info
            kept[process] = made = make(info)
            self.readings[process] = self._follow(process, made.take)
        return kept[process]

    def _follow(self, process: str, take: Callable[[Message, Result | None], None]) -> Reading:
        """Read a log from its first message; a fault in it ends the reading there."""
        links, reading = Links(self.store, process), Reading()
        for line in self.store.lines(process):
            at = f"position {line.position} of {process}"
            try:
                message = decode_message(line.message)
                what = links.follow(message)
                if what is not None:
                    reading.faults.append(f"{at}: {what}")
                    break
                take(message, decode_result(line.result) if line.result else None)
            except (ValueError, TypeError, KeyError, AttributeError, BenchpoolError) as error:
                reading.faults.append(f"{at} cannot be taken: {error}")
                break
            reading.entries += 1
        return reading
