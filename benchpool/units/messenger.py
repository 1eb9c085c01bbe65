"""MessengerUnit: pushes outboxes on, round by round, until nothing is pending."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from operator import attrgetter
from time import perf_counter

from msgspec.structs import replace

from benchpool.ao.clock import Clock
from benchpool.ao.message import (
    EMPTY_RESULT,
    Item,
    Message,
    Outgoing,
    ProcessInfo,
    Result,
    SpawnRequest,
)
from benchpool.ao.signers import Signer
from benchpool.ao.wire import MESSAGE, NOTICE, PROCESS, Wire, head_of, mark_of
from benchpool.errors import (
    BenchpoolError,
    DataItemError,
    LimitExceeded,
    PushLimitExceeded,
    StoreError,
)
from benchpool.store import Store
from benchpool.units.chains import Chains, Families
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import Tick, parse_cron
from benchpool.units.garbage import A_PUSH, fewer_collections
from benchpool.units.lanes import Lanes
from benchpool.units.limits import Limits
from benchpool.units.pushing import (
    is_patch,
    pushed_item,
    pushed_messages,
    root_of,
    spawn_error_notice,
    spawn_item,
    spawned_notice,
    stopped_chain,
)
from benchpool.units.scheduler import SchedulerUnit
from benchpool.units.stranded import Stranded

PUSHED_FACT = "pushed"
"""The fact that keeps how much each unfinished chain has pushed."""
Observe = Callable[[str, Sequence[Message], Sequence[Result], float], None]
"""Told of each round or batch: "light" or "heavy", the messages, their results, the seconds."""
COMMIT_EVERY = 100_000
"""Log entries that one transaction takes at most while a push goes on."""


class MessengerUnit:
    """Works in rounds. A round is all that is pending, in the order in which it was scheduled.

    Outboxes are pushed in the order of the messages that caused them, never in the order of
    completion, so a run is a function of its inputs however many cores work on it.
    """

    def __init__(
        self,
        *,
        address: str,
        store: Store,
        clock: Clock,
        scheduler: SchedulerUnit,
        compute: ComputeUnit,
        limits: Limits,
        on_spawn: Callable[[ProcessInfo], None],
        wire: Wire,
        signer: Signer | None = None,
    ) -> None:
        self.address = address
        self._wire = wire
        self._signer = signer
        """The key of a signed network; without it, an item's id is the hash of its content."""
        self._store = store
        self._clock = clock
        self._scheduler = scheduler
        self._compute = compute
        self._limits = limits
        self._on_spawn = on_spawn
        self._pending: list[Message] = []
        self._chains = Chains(limits)
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._evaluated = 0
        """How many messages were evaluated since checkpoints were looked at."""
        self._processes = {info.id: info for info in store.processes()}
        self._families = Families(self._processes.values())
        self.stranded = Stranded(compute, self._processes.values())
        self.lanes: Lanes | None = None
        """Where heavy processes are evaluated in a live network; None: in the rounds."""
        self._listeners: list[Observe] = []
        self._stopped: list[PushLimitExceeded] = []

    def observe(self, listener: Observe) -> Callable[[], None]:
        """Tell a listener of what is evaluated, beside the others; return what ends that."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    @property
    def pending(self) -> int:
        """How many messages wait for evaluation."""
        return len(self._pending)

    def resume(self) -> int:
        """Take up the messages that a crash or an interruption left pending; return how many."""
        self._pending = self._store.pending()
        self._waiting = defaultdict(int, Counter(message.process for message in self._pending))
        counts = json.loads(self._store.fact(PUSHED_FACT) or "[{}, {}]")
        if self._pending:
            self._chains.messages, self._chains.data_bytes = counts
        return len(self._pending)

    # -- scheduling --------------------------------------------------------------------------

    def post(self, item: Item, message_id: str | None = None) -> Message:
        """Schedule a message from outside for its target; a signed one has an id already.

        Raises: LimitExceeded if too much waits for it already; nothing is logged then.
        """
        self._check_waiting(item.target)
        return self._deliver(item, message_id or item.id(), item.target, depth=0)

    def _check_waiting(self, target: str) -> None:
        self.stranded.check(target)
        most = self._limits.pending_per_process
        if self._waiting.get(target, 0) >= most:
            raise LimitExceeded(
                f"{most:,} messages wait for process {target} already (pending_per_process);"
                " run them first"
            )

    def spawn(self, item: Item, process_id: str | None = None, *, depth: int = 0) -> ProcessInfo:
        """Create the process that an item of type Process describes and schedule its first message.

        Raises: ConfigError for bad cron tags; LimitExceeded for too many; as `check_module`.
        """
        module = self._compute.check_module(item.tags.get("Module"))
        self._compute.check_fork(item.tags, module)
        self._limits.check_crons(len(parse_cron(item.tags)))
        process_id = process_id or item.id()
        first = replace(item, target=process_id)
        message = self._scheduler.schedule(first, process_id, process_id, depth=depth)
        info = ProcessInfo(
            id=process_id,
            module=module,
            owner=item.sender,
            tags=item.tags,
            created_ms=message.timestamp,  # a wall clock has gone on since it was last asked
            created_height=message.block_height,
            order=len(self._processes),
        )
        self._processes[process_id] = info
        self._families.add(info)
        self.stranded.add(info)
        self._store.add_process(info)
        self._wait(message)
        self._on_spawn(info)
        return info

    def tick(self, tick: Tick) -> Message:
        """Put a cron tick into its process's log."""
        item = tick.item()
        message = self._scheduler.tick(item, tick.id(), item.target, tick.due_ms)
        self._wait(message)
        return message

    def _deliver(self, item: Item, message_id: str, process: str, *, depth: int) -> Message:
        mail = process not in self._processes
        message = self._scheduler.schedule(item, message_id, process, mail=mail, depth=depth)
        if not mail:
            self._wait(message)
        return message

    def _wait(self, message: Message) -> None:
        self._pending.append(message)
        self._waiting[message.process] += 1

    # -- pushing -----------------------------------------------------------------------------

    def run(self) -> None:
        """Evaluate and push until nothing is pending, and commit."""
        with fewer_collections(A_PUSH):
            while self._pending:
                self._round()
        if self._chains.messages:
            self._chains.keep(self.roots())
            self._keep_counts()
        if self._evaluated >= COMMIT_EVERY:
            self._checkpoint(self.lanes.busy() if self.lanes is not None else frozenset())
        self._store.commit(self._clock.now())
        if self.lanes is not None:
            self.lanes.start()

    def take_stopped(self) -> list[PushLimitExceeded]:
        """Return the chains that had to be stopped since this was last asked."""
        stopped, self._stopped = self._stopped, []
        return stopped

    def roots(self) -> set[str]:
        """Return the messages whose chains have not come to their end."""
        waiting = [*self._pending, *(self.lanes.messages() if self.lanes is not None else ())]
        return {root_of(message) for message in waiting}

    def finish(
        self, batch: list[Message], outcome: list[Result] | BaseException, seconds: float
    ) -> None:
        """Take what came of a batch in a lane, in the order in which lanes are done.

        Raises: what kept the batch from being evaluated, such as a full disk.
        """
        assert self.lanes is not None, "only lanes finish"
        if isinstance(outcome, BaseException):
            raise outcome
        process = batch[0].process
        for listener in tuple(self._listeners):
            listener("heavy", batch, outcome, seconds)
        try:
            for message, result in zip(batch, outcome, strict=True):
                self._store.record(message, result)
                self._push(message, result)
            self.lanes.leave(process)
            self._evaluated += len(batch)
            self._waiting[process] -= len(batch)
            self._compute.save_databases(self.lanes.busy())
        except BaseException as error:
            self._store.failure.note(error)  # the processes are ahead of the log
            raise

    def _checkpoint(self, busy: frozenset[str]) -> None:
        self._evaluated = 0
        self._compute.checkpoint(busy)

    def _commit(self) -> None:
        # With the counts, or a chain without end would end later after a crash.
        self._keep_counts()
        self._store.commit(self._clock.now())

    def _keep_counts(self) -> None:
        counts = [self._chains.messages, self._chains.data_bytes]
        self._store.set_fact(PUSHED_FACT, json.dumps(counts))

    def _round(self) -> None:
        batch, self._pending = self._pending, []
        waiting, self._waiting = self._waiting, defaultdict(int)
        batch = self.stranded.divert(batch)
        busy: frozenset[str] = frozenset()
        if self.lanes is not None:
            batch = self.lanes.divert(batch)
            self._waiting.update(self.lanes.counts())
            busy = self.lanes.busy()
        self.stranded.count_into(self._waiting)
        started = perf_counter()
        try:
            results, careful = self._evaluate(batch)
        except BaseException:
            # Nothing of this round is in the log yet, so nothing of it may stay in memory.
            self._compute.forget({message.process for message in batch})
            self._pending, self._waiting = batch, waiting
            raise
        seconds = perf_counter() - started
        for listener in tuple(self._listeners) if batch else ():
            listener("light", batch, results, seconds)
        try:
            for message, result in zip(batch, results, strict=True):
                self._store.record(message, result)
                if result is not EMPTY_RESULT:
                    self._push(message, result)
            if careful:
                self._compute.save_databases(busy)
            self._evaluated += len(batch)
            if careful or self._store.uncommitted >= COMMIT_EVERY:
                self._checkpoint(busy)
                self._commit()
        except BaseException as error:
            self._store.failure.note(error)  # the processes are ahead of the log
            raise

    def _evaluate(self, batch: list[Message]) -> tuple[list[Result], bool]:
        # A database commits by itself, and inference takes long: what they work on must be in the
        # log first, or a crash would leave an effect without its cause.
        careful = any(
            self._compute.uses_database(process) or self._compute.process(process).heavy
            for process in dict.fromkeys(map(attrgetter("process"), batch))
        )
        if careful and self._store.uncommitted:
            self._commit()
        return self._compute.evaluate_round(batch), careful

    def _push(self, message: Message, result: Result) -> None:
        if not (result.messages or result.spawns or result.assignments):
            return
        emitter = self._processes[message.process]
        root = root_of(message)
        depth = message.depth + 1
        why = self._chains.excess(result, root, depth, self._waiting)
        if why:
            self._stopped.append(stopped_chain(message, why))
            return
        for spawn in result.spawns:
            self._push_spawn(emitter, spawn, root, depth)
        for outgoing in pushed_messages(result):
            item = pushed_item(outgoing, emitter, self.address, root)
            if self._signer is None:
                self._deliver(item, item.id(), outgoing.target, depth=depth)
                continue
            # As on AO, what no data item can hold stays in the result and goes nowhere.
            with suppress(DataItemError):
                signed, message_id = self._sign(item, MESSAGE)
                self._deliver(signed, message_id, outgoing.target, depth=depth)
        for assign in result.assignments:
            entry = self._store.find(assign.message)
            if entry is not None:
                self.assign(entry.message, assign.processes, depth=depth)

    def push_again(self, message: Message, outgoing: Outgoing) -> Message | None:
        """Push a message of a result that a limit kept back, at the head of a chain of its own.

        As on AO, it is pushed for the message whose result holds it.

        Returns: it as it is scheduled; None if it was pushed before, is not pushed at all, or no
            data item can hold it.

        Raises: LimitExceeded if too much waits for its target; nothing is logged then.
        """
        if is_patch(outgoing.tags.pairs):
            return None
        emitter = self._processes[message.process]
        item = pushed_item(outgoing, emitter, self.address, message.id)
        before = pushed_item(outgoing, emitter, self.address, root_of(message))
        marked = self._store.marked(mark_of(MESSAGE, item.sender, item.reference))
        known = (self._store.find(each.id(), item.target) for each in (before, item))
        if marked is not None or any(entry is not None for entry in known):
            return None
        self._check_waiting(item.target)
        try:
            signed, message_id = self._sign(item, MESSAGE)
        except DataItemError:
            return None
        return self._deliver(signed, message_id, item.target, depth=0)

    def _push_spawn(self, emitter: ProcessInfo, spawn: SpawnRequest, root: str, depth: int) -> None:
        item = spawn_item(spawn, emitter, self.address, root)
        try:
            self._families.check(emitter.id, self._limits.spawns_per_process)
            self._compute.check_module(spawn.module)
            signed, process_id = self._sign(item, PROCESS)
            child = self.spawn(signed, process_id, depth=depth)
            answer = spawned_notice(item, child.id)
        except StoreError:
            raise  # a full disk is not the spawn's fault
        except BenchpoolError as error:
            answer = spawn_error_notice(item, str(error))
        answer, answer_id = self._sign(answer, NOTICE)
        self._deliver(answer, answer_id, emitter.id, depth=depth)

    def _sign(self, item: Item, kind: str) -> tuple[Item, str]:
        """Return an item as it travels in this network, with its id. Raises: DataItemError."""
        if self._signer is None:
            return item, item.id()
        made = self._wire.sign(item, self._signer)
        mark = mark_of(kind, item.sender, item.reference)
        self._store.add_item(made.id, head_of(made), mark)
        return self._wire.read(made), made.id

    def assign(
        self,
        message: Message,
        processes: Iterable[str],
        *,
        depth: int = 0,
        exclude: Sequence[str] = (),
    ) -> None:
        """Give an existing message a further place in the logs of other processes.

        A process that has it already gets no second one. A signed assignment names the fields that
        it excludes; the evaluation sees them all, as on AO.

        Raises: DataItemError for `exclude`, see `wire.assignment_item`.
        """
        item = Item.of(message, type=MESSAGE)
        for process in processes:
            if process in self._processes and self._store.find(message.id, process) is None:
                copy = self._scheduler.schedule(
                    item, message.id, process, depth=depth, exclude=exclude
                )
                self._wait(copy)
