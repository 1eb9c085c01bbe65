"""Network: the three units on one store and one clock, and the one facade to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from benchpool.ao.clock import Clock, parse_duration
from benchpool.ao.dataitem import DataItem
from benchpool.ao.message import Data, Item, Message, ProcessInfo, Result
from benchpool.ao.tags import Pair, Tags, TagsInput
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.errors import HandlerError, PushLimitExceeded, UnknownProcess
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.llama import InferenceProgress
from benchpool.extensions.outside import note_old_positions
from benchpool.inference.engine import EngineStats
from benchpool.inference.engines import EngineFactory, Engines, LlamaCppEngines
from benchpool.network.directory import DEFAULT_WALLET, Directory, Party, take_seed
from benchpool.network.dispatch import Dispatch
from benchpool.network.live_mode import LiveMode, Submit
from benchpool.network.logs import Logs
from benchpool.network.reception import Reception
from benchpool.network.sent import Sent
from benchpool.network.timeline import Timeline
from benchpool.network.trace import Trace
from benchpool.network.unit_keys import UnitKeys
from benchpool.process.module import ModuleProcess
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Entry
from benchpool.store.home import Home, open_home
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import CronEntry, Tick
from benchpool.units.limits import Limits, find_limits
from benchpool.units.messenger import MessengerUnit, Observe
from benchpool.units.scheduler import SchedulerUnit


class Network:
    """An AO network in one program.

    Args:
        home: the folder in which the network lives; None keeps it in memory. A folder that holds no
            network yet becomes a new one.
        clock: by default virtual time, which only `advance` moves.
        seed: what the keys of the wallets are made from. The same seed and the same calls give the
            same ids and the same log. A new home without a seed gets a random one.
        registry: modules beside the installed ones.
        engine_factory: what opens GGUF files, or a function that opens one; by default llama.cpp
            in child processes.
        limits: bounds on messages and on what they cause; by default as `find_limits` reads them.
        threads: how many heavy processes are evaluated, or wait for their models, at a time.
        read_only: look only. Nothing is locked, so another process may be writing.
        signed: make it a signed network, which it then stays: every message that is sent or pushed
            is a real signed data item, and its id is that of the signature.

    Raises:
        HomeLocked: another process writes to this home.
        StoreError: the home cannot be opened.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        *,
        clock: Clock | None = None,
        seed: str | int | None = None,
        registry: Registry | None = None,
        engine_factory: Engines | EngineFactory | None = None,
        limits: Limits | None = None,
        threads: int | None = None,
        read_only: bool = False,
        signed: bool = False,
    ) -> None:
        self.home = None if home is None else Home(Path(home))
        self.read_only = read_only
        self._store = open_home(self.home, read_only=read_only)
        try:
            self._set_up(
                clock=clock,
                seed=seed,
                registry=registry,
                engine_factory=engine_factory,
                limits=limits or find_limits(None if self.home is None else self.home.folder),
                threads=threads,
                signed=signed,
            )
        except BaseException:
            self._store.close()
            if self.home is not None:
                self.home.unlock()
            raise

    def _set_up(
        self,
        *,
        clock: Clock | None,
        seed: str | int | None,
        registry: Registry | None,
        engine_factory: Engines | EngineFactory | None,
        limits: Limits,
        threads: int | None,
        signed: bool,
    ) -> None:
        store, home, read_only = self._store, self.home, self.read_only
        self._lock = RLock()
        self.limits = limits
        if not read_only:
            note_old_positions(store)
        self._timeline = Timeline(store, clock)
        self.data = DataStore(None if home is None else home.data)
        self.registry = registry or Registry()
        self._host = ExtensionHost(
            self.data,
            None if home is None else home.databases,
            engine_factory=engine_factory or self._engines(),
            read_only=read_only,
        )
        self._directory = Directory(store, take_seed(store, seed, random=home is not None))
        self._compute = ComputeUnit(
            store, self.registry, self._host, threads=threads, limits=limits
        )
        self._keys = keys = UnitKeys(store, self._directory, signed=signed, read_only=read_only)
        self.signed = keys.signed
        """Whether everything that is sent or pushed is a signed data item."""
        self._scheduler = SchedulerUnit(store, self.clock, keys.scheduler)
        self._messenger = MessengerUnit(
            address=keys.wire.messenger,
            store=store,
            clock=self.clock,
            scheduler=self._scheduler,
            compute=self._compute,
            limits=limits,
            on_spawn=self._timeline.follow,
            wire=keys.wire,
            signer=keys.messenger,
        )
        self._dispatch = Dispatch(
            store=store,
            messenger=self._messenger,
            limits=limits,
            wire=keys.wire,
            signed=keys.signed,
        )
        self.logs = Logs(store, keys.wire.messenger)
        self._reception = Reception(
            store=store,
            logs=self.logs,
            messenger=self._messenger,
            compute=self._compute,
            directory=self._directory,
            limits=limits,
            wire=keys.wire,
        )
        self._live = LiveMode(
            compute=self._compute,
            messenger=self._messenger,
            timeline=self._timeline,
            lock=self._lock,
        )
        """What the logs say, by id."""
        self._timeline.follow_all(store.processes())
        self.resumed = 0 if read_only else self._messenger.resume()
        """How many messages an interrupted run left pending."""
        self._interrupted = self.resumed > 0
        if not read_only:
            if not self._interrupted:
                self._directory.settle()
            store.commit(self.clock.now())

    def _engines(self) -> Engines:
        return LlamaCppEngines(
            None if self.home is None or self.read_only else self.home.answers,
            workers=self.limits.workers or None,
            models_memory_bytes=self.limits.models_memory_bytes or None,
            memory_bytes=self.limits.worker_memory_bytes or None,
        )

    # -- wallets and names -------------------------------------------------------------------

    def note(self, name: str) -> str:
        """Return what `set_note` kept; an empty text if nothing."""
        return self._store.fact(f"note {name}") or ""

    def set_note(self, name: str, value: str) -> None:
        """Keep a text with the network, from the next commit on; it is no part of the log."""
        self._store.set_fact(f"note {name}", value)

    @property
    def messenger(self) -> str:
        """The messenger unit's address, which every process spawned here has as Authority."""
        return self._messenger.address

    @property
    def scheduler(self) -> Wallet:
        """The scheduler unit's wallet, which signs assignments."""
        return self._keys.scheduler_wallet()

    def new_wallet(self, name: str, kind: str = ED25519) -> Wallet:
        """Make a wallet of type ed25519, arweave or ethereum.

        Raises: ConfigError for a bad name or one that is taken, or another type.
        """
        return self._keep_wallet(self._directory.new_wallet(name, kind))

    def add_wallet(self, wallet: Wallet) -> Wallet:
        """Take a wallet in that was made elsewhere.

        Raises: ConfigError if its name is bad or taken, or its key is here already.
        """
        return self._keep_wallet(self._directory.add_wallet(wallet))

    def _keep_wallet(self, wallet: Wallet) -> Wallet:
        self._dispatch.keep_count()  # of messages posted and not run yet
        self._store.commit(self.clock.now())
        return wallet

    def wallets(self) -> list[Wallet]:
        """Return the wallets in the order in which they were made."""
        return self._directory.wallets()

    def wallet(self, name: str = DEFAULT_WALLET) -> Wallet:
        """Return a wallet by name or address; the default one is made when first asked for.

        Raises: UnknownProcess if there is none.
        """
        if name == DEFAULT_WALLET and name not in self._directory.names():
            return self.new_wallet(name)
        return self._directory.wallet(name)

    def names(self) -> dict[str, str]:
        """Return every name of a process or wallet with the id that it stands for."""
        return self._directory.names()

    def resolve(self, party: Party) -> str:
        """Return the id of a process or wallet. Raises: UnknownProcess with the nearest names."""
        return self._directory.resolve(party)

    def name_of(self, identity: str) -> str:
        """Return the name of an id, or the id itself if it has none."""
        return self._directory.name_of(identity)

    # -- messages ----------------------------------------------------------------------------

    def spawn(
        self,
        module: str,
        tags: TagsInput = (),
        *,
        name: str | None = None,
        data: Data = "",
        sender: Party | None = None,
    ) -> str:
        """Create a process and run until nothing is pending.

        Args:
            module: the name of a module.
            tags: what the module wants to know, and `Cron-Interval`, `Cron-Tag-*`.
            name: a name by which the process can be addressed in this network.
            data: kept as the data of the process's first message.
            sender: the owner; by default the default wallet.

        Returns: the process's id.

        Raises:
            UnknownModule: no such module.
            ConfigError: a bad name or cron tag, or a name that is taken.
            HandlerError: the process refused its first message: its tags are not what it needs.
        """
        self._compute.check_module(module)
        pairs: list[Pair] = [("Module", module), *Tags(tags).pairs]
        if name is not None:
            self._directory.check_free(name)
            if not Tags(pairs).get("Name"):
                pairs.append(("Name", name))
        pairs.append(("Authority", self.messenger))
        with self._lock:
            self._finish_interrupted()
            wallet = self._sender(sender)
            info = self._dispatch.spawn(self._dispatch.process(pairs, data, wallet), wallet)
            if name is not None:
                self._directory.name_newborn(name, info.id)
            self.run()
        error = self.result(info.id, info.id).error
        if error:
            raise HandlerError(f"{module} {info.id} was spawned but refused its tags: {error}")
        return info.id

    def post(
        self,
        target: Party,
        action: str = "",
        tags: TagsInput = (),
        *,
        data: Data = "",
        sender: Party | None = None,
    ) -> Sent:
        """Schedule a message and leave it pending for `run`.

        Raises:
            UnknownProcess: the target or sender is not known here.
            MessageError: too large (LimitExceeded), or text that is no Unicode; nothing is logged.
        """
        with self._lock:
            self._finish_interrupted()
            target_id = self.resolve(target)
            wallet = self._sender(sender)
            item = self._dispatch.message(target_id, action, tags, data, wallet)
            message = self._dispatch.post(item, wallet)
            return self.sent(message.id, target_id, message.sender)

    def send(
        self,
        target: Party,
        action: str = "",
        tags: TagsInput = (),
        *,
        data: Data = "",
        sender: Party | None = None,
    ) -> Sent:
        """Send a message and run until nothing is pending.

        When this returns, the message and all that came of it are committed.

        Args:
            target: a process or wallet, by name or id.
            action: becomes the first tag.
            tags: further tags.
            data: text or bytes.
            sender: a wallet; by default the default wallet.

        Raises:
            UnknownProcess: the target or sender is not known here.
            PushLimitExceeded: the message led to a chain without end, which was stopped.
        """
        sent = self.post(target, action, tags, data=data, sender=sender)
        self.run()
        return sent

    def assign(self, message_id: str, processes: list[str]) -> None:
        """Assign an existing message to further processes, and run.

        Raises: UnknownProcess.
        """
        with self._lock:
            self.post_assignment(message_id, processes)
            self.run()

    def post_assignment(
        self, message_id: str, processes: list[str], *, exclude: Sequence[str] = ()
    ) -> list[Message]:
        """Assign an existing message to further processes, and leave it pending for `run`.

        Args:
            message_id: the message's.
            processes: by name or id.
            exclude: fields that a signed assignment names; the evaluation sees them all.

        Returns: the message as it stands in the log of each process.

        Raises: UnknownProcess; DataItemError for a field that is empty or holds a comma.
        """
        with self._lock:
            message = self.logs.message(message_id)
            targets = [self.info(process).id for process in processes]
            self._messenger.assign(message, targets, exclude=exclude)
            return self.logs.copies(message_id, targets)

    def push_again(self, message_id: str, process: str, number: int) -> bool:
        """Push a message of a result, if a limit kept it back; leave it pending for `run`.

        Args:
            message_id: the message that was evaluated.
            process: by whom.
            number: which message of its result, from 0.

        Returns: whether it is pushed now: what was pushed before is not pushed twice.

        Raises: UnknownProcess if there is no such message or result; LimitExceeded.
        """
        with self._lock:
            entry = self._store.find(message_id, process)
            messages = () if entry is None or entry.result is None else entry.result.messages
            if entry is None or not 0 <= number < len(messages):
                raise UnknownProcess("Message number does not exist in the result.")
            self._finish_interrupted()
            return self._messenger.push_again(entry.message, messages[number]) is not None

    def dry_run(
        self,
        target: Party,
        action: str = "",
        tags: TagsInput = (),
        *,
        data: Data = "",
        sender: Party | None = None,
    ) -> Result:
        """Evaluate a message as if it were sent, and keep nothing of it.

        Raises: UnknownProcess.
        """
        with self._lock:
            target_id = self.resolve(target)
            if sender is None and DEFAULT_WALLET not in self._directory.names():
                wallet = self._directory.derive(DEFAULT_WALLET)
            else:
                wallet = self._sender(sender)
            item = self._dispatch.message(target_id, action, tags, data, wallet)
            return self._compute.dry_run(self.preview(item, target_id))

    def preview(self, item: Item, process: str) -> Message:
        """Make the message that a dry run evaluates.

        Raises: MessageError if it is too large, or text that is no Unicode.
        """
        self.limits.check_item(item)
        return self._scheduler.preview(item, process)

    def evaluate_dry(self, message: Message, position: int | None = None) -> Result:
        """Evaluate what `preview` made, and keep nothing of it.

        Args:
            message: what `preview` made.
            position: of the log behind which it is evaluated; None takes the process as it stands.

        Raises: LimitExceeded, see `ComputeUnit.past`.
        """
        return self._compute.dry_run(message, position)

    def evaluate_dry_beside(self, message: Message, timeout_s: float) -> Result:
        """Evaluate what `preview` made for a heavy process of a live network, from any thread.

        Raises: ProcessBusy if the process is at something else for so long.
        """
        return self._live.evaluate_dry(message, timeout_s)

    def check_idle(self, process: str) -> None:
        """Accept a process whose state does not move now. Raises: ProcessBusy."""
        self._live.check_idle(process)

    def run(self) -> None:
        """Evaluate and push until nothing is pending, and commit.

        Raises: PushLimitExceeded for the first chain that had to be stopped; all else went on. A
            live network, where many wait for one run, raises none and keeps them: `take_stopped`.
        """
        with self._lock:
            self._interrupted = False
            self._dispatch.keep_count()
            self._messenger.run()
            if self._directory.settle():
                self._store.commit(self.clock.now())
            if self._messenger.lanes is None and (stopped := self.take_stopped()):
                raise stopped[0]

    def take_stopped(self) -> list[PushLimitExceeded]:
        """Return the chains of a live network that had to be stopped since this was last asked."""
        return self._messenger.take_stopped()

    def _finish_interrupted(self) -> None:
        # What an interrupted run left comes before anything new, or the log would depend on when
        # the interruption came.
        if self._interrupted:
            self.run()

    @property
    def pending(self) -> int:
        """How many messages wait for `run`."""
        return self._messenger.pending

    def _sender(self, sender: Party | None) -> Wallet:
        if isinstance(sender, Wallet):
            return sender
        return self.wallet(sender or DEFAULT_WALLET)

    def check(self, item: DataItem) -> Item:
        """Return what an item from outside says, if it may be said; may be called from any thread.

        Raises: as `Reception.check`.
        """
        return self._reception.check(item)

    def accept(self, item: DataItem, said: Item | None = None) -> Message:
        """Schedule a signed data item from outside, and leave it pending for `run`.

        Its id is the message's or process's id. From is its first From-Process tag, which earns no
        trust, else its signer. Like all that is pending, it is durable once `run` has returned.

        Args:
            item: the item.
            said: what `check` returned, if it was checked.

        Returns: the message of the log; for an item of type Process, the process's first.

        Raises: as `Reception.check` and `Reception.accept`; nothing is logged then.
        """
        # Before the lock: to verify a signature takes longer than all the rest.
        said = said or self._reception.check(item)
        with self._lock:
            self._finish_interrupted()
            return self._reception.accept(item, said)

    def item(self, message_id: str) -> DataItem | None:
        """Return the data item that a message came or was pushed as; None if it is not signed."""
        return self.logs.item(message_id)

    def assignment(self, message_id: str, process: str | None = None) -> DataItem | None:
        """Return the scheduler's assignment of a message, see `Logs.assignment`."""
        return self.logs.assignment(message_id, process)

    def assigned(self, assignment_id: str) -> Message | None:
        """Return the message that a signed assignment put into a log; None if there is none."""
        return self.logs.assigned(assignment_id)

    # -- time --------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """Where the time is read."""
        return self._timeline.clock

    def check_advance(self) -> None:
        """Accept that time be advanced. Raises: ConfigError if the clock is not virtual."""
        self._timeline.virtual()

    def advance(self, duration: int | str, on_tick: Callable[[int], None] | None = None) -> int:
        """Move virtual time on, running every cron tick that falls due.

        Args:
            duration: milliseconds, or a text such as `24h`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Returns: how many ticks ran.

        Raises: ConfigError if the clock is not virtual, or for a bad duration.
        """
        self.check_advance()
        length_ms = parse_duration(duration) if isinstance(duration, str) else duration
        with self._lock:
            if self._messenger.pending:
                self.run()
            count = self._timeline.advance(length_ms, self._fire, on_tick)
            self._store.commit(self.clock.now())
            return count

    def tick(self) -> int:
        """Run the cron ticks that are due by the clock; return how many."""
        with self._lock:
            return self._timeline.tick(self._fire)

    def _fire(self, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            self._messenger.tick(tick)
        self.run()

    def live(self, submit: Submit | None = None) -> Callable[[], None]:
        """Run cron by the wall clock, and heavy processes beside everything else.

        Then `run` returns when nothing is pending but what heavy processes are at. What they put
        out is pushed by the next `run` after they are done, so the log records the order that came
        about. A replay of it is as exact as of any other.

        Args:
            submit: has a function called soon, and `run` after it, by the thread that uses this
                network, and is called from any thread. Without it, cron alone runs, from a thread
                of its own.

        Returns: what stops it; call it before `close`, from the thread that uses this network.
        """
        if submit is None:
            return self._timeline.start_live(self.tick)
        return self._live.start(submit, self.tick)

    def refresh(self) -> None:
        """Look at the home as it is now: a network that only looks sees one moment of it."""
        self._store.refresh()
        self._timeline.refresh()
        self._directory.refresh()
        self._scheduler = SchedulerUnit(self._store, self.clock)
        self._compute.forget_all()

    def on_evaluated(self, callback: Observe | None) -> None:
        """Be told of each round: "light" or "heavy", messages, results, seconds."""
        self._messenger.observe = callback

    def inference(self) -> EngineStats:
        """Return what the models of this network have done so far."""
        return self._host.backend.stats()

    def unfinished(self) -> set[str]:
        """Return the messages whose chains have not come to their end."""
        with self._lock:
            return self._messenger.roots()

    def cron(self, process: Party) -> list[tuple[CronEntry, int]]:
        """Return a process's cron entries, each with its next due time in milliseconds."""
        return self._timeline.entries(self.resolve(process))

    # -- looking -----------------------------------------------------------------------------

    def processes(self) -> list[ProcessInfo]:
        """Return all processes in the order in which they were spawned."""
        return self._store.processes()

    def info(self, process: Party) -> ProcessInfo:
        """Return the facts of a process. Raises: UnknownProcess if it is none."""
        process_id = self.resolve(process)
        info = self._store.process(process_id)
        if info is None:
            raise UnknownProcess(f"{process} is a wallet, not a process")
        return info

    def process(self, process: Party) -> ModuleProcess:
        """Return a process as it stands, to look at and not to change. Raises: UnknownProcess."""
        return self._compute.process(self.info(process).id)

    def past(self, process: str, position: int) -> ModuleProcess:
        """Return a process as it was behind a position of its log.

        Raises: UnknownProcess; LimitExceeded, see `ComputeUnit.past`.
        """
        return self._compute.past(process, position).process

    def result(self, message_id: str, process: str | None = None) -> Result:
        """Return what the evaluation of a message gave. Raises: UnknownProcess."""
        return self.logs.result(message_id, process)

    def find_process(self, process_id: str) -> ProcessInfo | None:
        """Return the facts of a process by its id alone; None if there is none such."""
        return self.logs.find_process(process_id)

    def entry(self, message_id: str, process: str) -> Entry | None:
        """Return a message of a process's log with its result; None if there is none such."""
        return self.logs.entry(message_id, process)

    def entry_at(self, process: str, position: int) -> Message:
        """Return the message at a position of a log. Raises: UnknownProcess if there is none."""
        return self.logs.entry_at(process, position)

    def last_position(self, process: str) -> int:
        """Return the position of a log's newest message; -1 if it is empty."""
        return self.logs.last_position(process)

    def position(self, process: str) -> int:
        """Return the position of the message that a process evaluated last."""
        return self._compute.instance(process).position

    def sent(self, message_id: str, process: str, sender: str) -> Sent:
        """Look at a message of the log as its sender does after `send`."""
        return self.logs.sent(message_id, process, sender)

    def trace(self, message_id: str, process: str | None = None) -> Trace:
        """Return all that came of a message, as a tree. Raises: UnknownProcess."""
        return self.logs.trace(message_id, process)

    def log(
        self, party: Party, *, after: int = -1, limit: int | None = None
    ) -> list[tuple[Message, Result | None]]:
        """Return a process's log, or a wallet's mail, from the position behind `after`."""
        return list(self._store.entries(self.resolve(party), after=after, limit=limit))

    def inbox(self, party: Party) -> list[Message]:
        """Return a wallet's mail, or the messages of a process that no handler took."""
        identity = self.resolve(party)
        if self._store.process(identity) is not None:
            return list(self.process(identity).inbox)
        return [entry.message for entry in self._store.entries(identity)]

    def count(self) -> int:
        """Return how many messages all logs hold."""
        return self._store.count()

    def add_model(self, path: Path) -> str:
        """Try a GGUF file in a process of its own, then keep it as data; return its data id.

        Raises:
            InferenceError: it is no model that computes numbers; nothing is kept of it.
            OSError: it cannot be read.
        """
        self.try_model(path)
        return self.data.put_file(path)

    def try_model(self, path: Path) -> None:
        """Try a GGUF file in a process of its own; may be called from any thread.

        Raises: InferenceError if it is no model that computes numbers.
        """
        self._host.backend.admit(path)

    def on_inference(self, listener: InferenceProgress) -> Callable[[], None]:
        """Tell a listener how inference goes on: (process id, answered, asked), from any thread.

        Returns: what ends that.
        """
        return self._host.engines.on_progress(listener)

    # -- the end -----------------------------------------------------------------------------

    def close(self, *, abort: bool = False) -> None:
        """Commit, write checkpoints and let go of the home.

        Args:
            abort: leave the home as it was at the last commit. What is pending is taken up by the
                next network that opens it.
        """
        try:
            if not (abort or self.read_only or self._store.failure.why):
                self._dispatch.keep_count()
                self._compute.checkpoint(all_processes=True)
                self._store.commit(self.clock.now())
        finally:
            self._compute.close()
            self._store.close()
            self.data.close()
            if self.home is not None:
                self.home.unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(abort=error is not None)
