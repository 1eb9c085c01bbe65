"""ComputeUnit: evaluates messages into state and results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from operator import attrgetter

from benchpool.ao.message import Message, ProcessInfo, Result, decode_result, encode_result
from benchpool.ao.tags import NO_TAGS, Tags
from benchpool.errors import (
    HandlerError,
    LimitExceeded,
    PrerequisiteError,
    StoreError,
    UnknownModule,
)
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.kept_states import note_databases
from benchpool.extensions.outside import OutOfTime
from benchpool.process.module import Module, ModuleProcess
from benchpool.process.registry import Registry
from benchpool.store import Checkpoint, Store
from benchpool.units.budget import TimeBudget, TimeBudgetExceeded, Watch
from benchpool.units.folding import Instance, ended, fold
from benchpool.units.following import Following
from benchpool.units.limits import DEFAULT_LIMITS, Limits
from benchpool.units.making import Maker
from benchpool.units.taking_up import save_database

CHECKPOINT_EVERY = 5_000
"""Messages between two checkpoints of a process with a small state; see `_checkpoint_due`."""

_HEAVY_THREADS = 64
"""They mostly wait for their models, which share the cores; slow models must not hold them all."""


class ComputeUnit:
    """Holds the processes and folds their logs.

    State is a fold over the log: a process is loaded from its last checkpoint and the messages
    evaluated since, whose recorded answers stand in for anything outside.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        host: ExtensionHost,
        *,
        threads: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._registry = registry
        self._host = host
        self._instances: dict[str, Instance] = {}
        self._moved: dict[str, None] = {}
        """Processes that may be due for a checkpoint: the others stand as they stood before."""
        self._maker = Maker(store, registry, host, self._instances)
        self.following = Following(store, self._maker, self._instances)
        """What it has in memory, where another program writes, or reads, the same logs."""
        self._checked: set[Module] = set()
        """Modules that are known to make processes."""
        self.threads = threads or _HEAVY_THREADS
        self._executor: ThreadPoolExecutor | None = None
        self._limits = limits
        self._budget = TimeBudget(limits.evaluation_seconds)
        self.guard: AbstractContextManager[object] = nullcontext()
        """Held while the store is read on a lane's thread."""

    def process(self, process_id: str) -> ModuleProcess:
        """Return a process as it stands. Raises: UnknownProcess, StoreError."""
        self._store.failure.check()
        return self.instance(process_id).process

    def instance(self, process_id: str) -> Instance:
        """Return a process with its position, loading it if need be. Raises: UnknownProcess."""
        return self._instances.get(process_id) or self._load(process_id)

    def check_module(self, name: str) -> str:
        """Make sure that a module can be spawned.

        Returns: what a process keeps of it, see `Registry.pin`.

        Raises: UnknownModule, also of one whose bytes are not here any more; PrerequisiteError.
        """
        name = self._registry.pin(name)
        try:
            module = self._registry.find(name)
        except StoreError as error:
            raise UnknownModule(str(error)) from error
        if module in self._checked:
            return name
        try:
            process = module(_trial(name))
        except PrerequisiteError:
            raise
        except Exception as error:
            raise UnknownModule(f"module {name!r} has no usable first state: {error}") from error
        if not isinstance(process, ModuleProcess):
            raise UnknownModule(f"module {name!r} makes a {type(process).__name__}, no process")
        for extension in process.extensions:
            self._host.check(extension)
        self._checked.add(module)
        return name

    def evaluated(self, process_id: str) -> int:
        """Return the last position of a log that has a result, -1 if there is none."""
        return self._maker.evaluated(process_id)

    def check_fork(self, tags: Tags, module: str) -> None:
        """Accept the tags of a process to be spawned. Raises: see `forks.check_fork`."""
        self._maker.check_fork(tags, module)

    def why_missing(self, process_id: str) -> str:
        """Say why a process cannot be loaded: its module was data, which is not here any more.

        Empty if it can. Messages that it has are not evaluated then, and wait.
        """
        if process_id in self._instances:
            return ""
        info = self._store.process(process_id)
        return "" if info is None else self._registry.why_missing(info.module)

    def is_data(self, module: str) -> bool:
        """Tell whether a module is data of this network, and no code."""
        return self._registry.is_data(module)

    def past(self, process_id: str, position: int) -> Instance:
        """Make a process anew as it was behind a position of its log; it is not kept.

        Raises: UnknownProcess; LimitExceeded if it uses an extension, which cannot be taken back to
            that time, or if more than `MOST_FOLDED` would have to be folded again.
        """
        extensions = self.instance(process_id).extensions
        if extensions and not any(each.timeless for each in extensions):
            raise LimitExceeded(
                f"process {process_id} uses extensions; it is shown as it stands now only"
            )
        return self._maker.past(process_id, position)

    # -- evaluating --------------------------------------------------------------------------

    def evaluate_round(self, batch: Sequence[Message]) -> list[Result]:
        """Evaluate a round: heavy processes at the same time as each other, the others in turn.

        Returns: results in the order of the batch, whatever was completed first.
        """
        self._store.failure.check()
        processes = dict.fromkeys(map(attrgetter("process"), batch))
        self._moved.update(processes)
        heavy: dict[str, list[Message]] = {
            process: [] for process in processes if self.instance(process).process.heavy
        }
        if not heavy:
            return self._evaluate_in_turn(batch)
        light: list[Message] = []
        for message in batch:
            heavy.get(message.process, light).append(message)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="benchpool")
        futures: dict[str, Future[list[Result]]] = {
            process: self._executor.submit(self.evaluate_heavy, messages)
            for process, messages in heavy.items()
        }
        in_turn = iter(self._evaluate_in_turn(light))
        done = {process: iter(future.result()) for process, future in futures.items()}
        return [next(done.get(message.process, in_turn)) for message in batch]

    def evaluate_heavy(self, messages: list[Message]) -> list[Result]:
        """Evaluate messages of one heavy process, which sees them all at once before."""
        instance = self.instance(messages[0].process)
        self._moved[instance.process.id] = None
        with suppress(Exception):  # it only saves time: a fault shows where a handler meets it
            instance.process.look_ahead(messages)
        return self._evaluate_in_turn(messages)

    def _evaluate_in_turn(self, batch: Sequence[Message]) -> list[Result]:
        results: list[Result] = []
        watch = self._budget.enter()
        try:
            for message in batch:
                instance = self._instances.get(message.process) or self._load(message.process)
                try:
                    result = self._evaluate(instance, message, watch)
                except TimeBudgetExceeded:
                    result = self._give_up(message, watch, zip(batch, results, strict=False))
                results.append(result)
        finally:
            self._budget.leave(watch)
        return results

    def _evaluate(self, instance: Instance, message: Message, watch: Watch | None) -> Result:
        if instance.adopted and message.position in instance.adopted:
            kept = instance.adopted.pop(message.position)
            instance.fresh.append((message.position, kept))  # the log may still lose it
            return decode_result(kept)
        result = fold(instance, message, watch=watch, limits=self._limits)
        self._note(instance, message, result)
        return result

    def _give_up(
        self, message: Message, watch: Watch | None, before: Iterable[tuple[Message, Result]]
    ) -> Result:
        """Make the result of a handler that was ended, and its process anew as it was before it.

        The interruption may have come in the middle of a write, so nothing of the process in memory
        can be used: it is folded from the log, and from what it did before in this round.
        """
        if watch is not None:
            watch.settle()
        self.following.let_go(message.process)
        instance = self._load(message.process)
        for earlier, result in before:
            if earlier.process == message.process and earlier.position > instance.position:
                if not result.error:
                    fold(instance, earlier, recorded=result.recorded)
                self._note(instance, earlier, result)
        result = ended(message, OutOfTime(self._budget.seconds))
        self._note(instance, message, result)
        return result

    @staticmethod
    def _note(instance: Instance, message: Message, result: Result) -> None:
        instance.position = message.position
        if instance.database is not None:
            instance.fresh.append((message.position, encode_result(result)))

    def dry_run(self, message: Message, position: int | None = None) -> Result:
        """Evaluate a message and take back all that it did.

        Args:
            message: see `SchedulerUnit.preview`.
            position: of the log behind which it is evaluated; None takes the process as it stands.

        Raises: UnknownProcess, LimitExceeded, see `past`.
        """
        self._store.failure.check()
        if position is None:
            return self._try(self.instance(message.process), message)
        instance = self.past(message.process, position)
        try:
            return self._try(instance, message)
        finally:
            instance.close()

    @contextmanager
    def rehearsed(self, info: ProcessInfo, first: Message) -> Iterator[Callable[[str], None]]:
        """Make sure that a process which is not there yet takes its first message.

        Gives what hands the models that it loaded over to the process that is spawned in the block,
        so that it need not wait for them again. May be called from any thread.

        Raises: HandlerError with what it says against the message.
        """
        engines = self._host.engines
        instance = self._maker.make(info, kept=False)
        try:
            error = self._try(instance, first).error
            if error:
                raise HandlerError(f"{info.module} refused its tags, and was not spawned: {error}")
            yield partial(engines.pass_on, info.id)
        finally:
            instance.close()
            engines.pass_on(info.id, None)

    def _try(self, instance: Instance, message: Message) -> Result:
        """Evaluate a message on an instance and take back all that it did."""
        watch = self._budget.enter()
        try:
            return fold(instance, message, keep=False, watch=watch, limits=self._limits)
        except TimeBudgetExceeded:
            if watch is not None:
                watch.settle()
            self.following.let_go(message.process)
            return ended(message, OutOfTime(self._budget.seconds))
        finally:
            self._budget.leave(watch)

    # -- keeping -----------------------------------------------------------------------------

    def uses_database(self, process_id: str) -> bool:
        """Tell whether a process writes to a database that must be saved with the log."""
        return self.instance(process_id).database is not None

    def save_databases(self, busy: Collection[str] = ()) -> None:
        """Commit the databases of the processes that evaluated something since the last save.

        Their messages must be committed in the log before, and their results after. Those that are
        busy evaluating are left for later.
        """
        saved = set()
        for process_id, instance in list(self._instances.items()):
            if instance.database is not None and instance.fresh and process_id not in busy:
                save_database(self._store, instance, instance.database)
                saved.add(process_id)
        note_databases(self._store, saved)

    def checkpoint(self, busy: Collection[str] = (), *, all_processes: bool = False) -> None:
        """Write checkpoints of the processes that went far since their last one, or of all.

        Those that are busy evaluating are left for later.
        """
        for process_id in list(self._instances if all_processes else self._moved):
            if process_id in busy:
                continue
            self._moved.pop(process_id, None)
            instance = self._instances.get(process_id)
            if instance is None or instance.database is not None:
                continue
            behind = instance.position - instance.saved_position
            if behind > 0 and (all_processes or _checkpoint_due(instance, behind)):
                memory = instance.process.dump()
                self._store.add_checkpoint(process_id, Checkpoint(instance.position, memory))
                instance.saved_position = instance.position
                instance.memory_bytes = len(memory)

    def forget(self, processes: Iterable[str]) -> None:
        """Let go of processes whose evaluation was interrupted; the log has them as they were."""
        if self._executor is not None:
            with self._host.engines.stopped():
                self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        for process in processes:
            self.following.let_go(process)

    def stop_engines(self) -> None:
        """End the engines for good, so that whoever waits for their answers is let go."""
        self._host.engines.stop()

    def close(self) -> None:
        """End the executor, the engines and the extensions."""
        self.forget(())
        self.following.let_all_go()
        self._host.close()
        self._budget.close()

    # -- loading -----------------------------------------------------------------------------

    def _load(self, process_id: str) -> Instance:
        with self.guard:
            instance = self._instances.get(process_id)
            if instance is None:
                instance = self.following.take_up(process_id)
                self._moved[process_id] = None
            return instance

    def fresh_instance(self, process_id: str) -> Instance:
        """Make a process as it was before its first message, see `Maker.fresh`."""
        return self._maker.fresh(process_id)


def _trial(module: str) -> ProcessInfo:
    return ProcessInfo(
        id="", module=module, owner="", tags=NO_TAGS, created_ms=0, created_height=0, order=0
    )


def _checkpoint_due(instance: Instance, behind: int) -> bool:
    # A large state costs as much to write as many messages cost to fold again.
    return behind >= max(CHECKPOINT_EVERY, instance.memory_bytes // 100)
