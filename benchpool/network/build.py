"""Build: a network's units and what stands around them, each made once and wired together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from benchpool.ao.clock import Clock
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.kept_states import open_checked
from benchpool.extensions.outside import note_old_positions
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.engines import EngineFactory, Engines
from benchpool.inference.files.folders import default_cache
from benchpool.inference.ray.engines import ray_engines
from benchpool.inference.remote import RemoteEngines
from benchpool.network.directory import Directory, take_seed
from benchpool.network.dispatch import Dispatch
from benchpool.network.live_mode import LiveMode
from benchpool.network.logs import Logs
from benchpool.network.reception import Reception
from benchpool.network.timeline import Timeline
from benchpool.network.unit_keys import UnitKeys
from benchpool.process.registry import Registry
from benchpool.store import DataStore
from benchpool.store.home import Home
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import Tick
from benchpool.units.limits import Limits, find_limits
from benchpool.units.messenger import MessengerUnit
from benchpool.units.modules import ModuleShelf
from benchpool.units.pace import Pace
from benchpool.units.scheduler import SchedulerUnit


def engines(limits: Limits, answers: Path | None = None) -> Engines:
    """Return engines within limits; without a folder for answers, each is computed anew.

    Raises: PrerequisiteError if models are to run on a Ray cluster, and Ray is not installed.
    """
    local: Engines
    if isinstance(limits.workers, str):
        local = ray_engines(
            limits.workers,
            answers=answers,
            node_memory_bytes=limits.models_memory_bytes or None,
            child_memory_bytes=limits.worker_memory_bytes or None,
            seconds=limits.inference_seconds,
        )
    else:
        local = EnginePool(
            answers=answers,
            workers=limits.workers or None,
            models_memory_bytes=limits.models_memory_bytes or None,
            child_memory_bytes=limits.worker_memory_bytes or None,
            seconds=limits.inference_seconds,
        )
    return RemoteEngines(local, default_cache(), seconds=limits.inference_seconds)


class Parts:
    """The parts of a network, on one store and one clock. For the arguments see `Network`."""

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        clock: Clock | None = None,
        seed: str | int | None = None,
        registry: Registry | None = None,
        engines: Engines | None = None,
        engine_factory: Engines | EngineFactory | None = None,
        limits: Limits | None = None,
        threads: int | None = None,
        read_only: bool = False,
        signed: bool = False,
    ) -> None:
        self.home = None if home is None else Home(Path(home))
        self.limits = limits or find_limits(None if self.home is None else self.home.folder)
        self._read_only = read_only
        self._lock = RLock()
        durability = self.limits.durability
        self.store = open_checked(self.home, read_only=read_only, durability=durability)
        try:
            if not read_only:
                note_old_positions(self.store)
            self._make_registers(clock, seed, signed=signed)
            self.modules = ModuleShelf(self.store, self.data, self.limits, read_only=read_only)
            """Modules that are data of this network."""
            self.registry = (registry or Registry()).with_data(self.modules)
            self._make_compute(engines or engine_factory, threads)
            self._make_exchange()
            self._begin()
        except BaseException:
            self._let_go()
            raise

    def _make_registers(self, clock: Clock | None, seed: str | int | None, *, signed: bool) -> None:
        """Make what a network knows by itself: the time, the names, the keys, the data."""
        store, home = self.store, self.home
        where = "the network" if home is None else str(home.folder)
        self.timeline = Timeline(store, clock, where)
        self.data = DataStore(None if home is None else home.data)
        self._directory = Directory(store, take_seed(store, seed, random=home is not None))
        self.keys = UnitKeys(store, self._directory, signed=signed, read_only=self._read_only)
        self.logs = Logs(store, self.keys.wire.messenger)
        """What the logs say, by id."""

    def _make_compute(
        self, engine_factory: Engines | EngineFactory | None, threads: int | None
    ) -> None:
        """Make what evaluates messages."""
        answers = None if self.home is None or self._read_only else self.home.answers
        limits = self.limits.of_this_machine() if self._read_only else self.limits
        self.host = ExtensionHost(
            self.data,
            None if self.home is None else self.home.databases,
            engine_factory=engine_factory or engines(limits, answers),
            registry=self.registry,
            read_only=self._read_only,
            inference_seconds=self.limits.inference_seconds,
            wasm_fuel=self.limits.wasm_fuel_per_message,
            wasm_memory_bytes=self.limits.wasm_memory_bytes,
            durability=self.limits.durability,
        )
        self.compute = ComputeUnit(
            self.store, self.registry, self.host, threads=threads, limits=self.limits
        )

    def _make_exchange(self) -> None:
        """Make what orders messages, pushes them on and takes them in."""
        store, keys, timeline = self.store, self.keys, self.timeline
        self.scheduler = SchedulerUnit(store, timeline.clock, keys.scheduler)
        self.messenger = MessengerUnit(
            address=keys.wire.messenger,
            store=store,
            clock=timeline.clock,
            scheduler=self.scheduler,
            compute=self.compute,
            limits=self.limits,
            on_spawn=timeline.follow,
            wire=keys.wire,
            signer=keys.messenger,
        )
        self.dispatch = Dispatch(
            store=store,
            directory=self._directory,
            compute=self.compute,
            scheduler=self.scheduler,
            messenger=self.messenger,
            limits=self.limits,
            wire=keys.wire,
            signed=keys.signed,
        )
        self.reception = Reception(
            store=store,
            logs=self.logs,
            messenger=self.messenger,
            directory=self._directory,
            limits=self.limits,
            wire=keys.wire,
        )
        self.live = LiveMode(
            compute=self.compute,
            messenger=self.messenger,
            timeline=timeline,
            lock=self._lock,
            fire=self._fire,
            pace=Pace(self.limits.ticks_per_second),
        )

    def _begin(self) -> None:
        """Go on from where the network was left."""
        self.timeline.follow_all(self.store.processes())
        self.resumed = 0 if self._read_only else self.messenger.resume()
        """How many messages an interrupted run left pending."""
        self._interrupted = self.resumed > 0
        if not self._read_only:
            if not self._interrupted:
                self._directory.settle()
            self.store.commit(self.timeline.now())

    def _fire(self, ticks: Sequence[Tick]) -> None:
        """Run cron ticks, and all that comes of them."""
        raise NotImplementedError

    def close(self, *, abort: bool = False) -> None:
        """Commit, write checkpoints and let go of the home.

        Args:
            abort: leave the home as it was at the last commit. What is pending is taken up by the
                next network that opens it.
        """
        try:
            if not (abort or self._read_only or self.store.failure.why):
                self.dispatch.keep_count()
                self.compute.checkpoint(all_processes=True)
                self.store.commit(self.timeline.now())
        finally:
            self.compute.close()
            self.data.close()
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(abort=error is not None)

    def _let_go(self) -> None:
        self.store.close()
        if self.home is not None:
            self.home.unlock()
