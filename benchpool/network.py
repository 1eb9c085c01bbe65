"""Network: the three units on one store and one clock. The public Python API.

with Network() as network:
    alice = network.new_wallet("alice")
    token = network.spawn("WrappedAR", sender=alice)
    network.send(token, "Mint", {"Quantity": "1000"}, sender=alice)
    print(network.send(token, "Balance", sender=alice).reply().data)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from benchpool.clock import Clock, VirtualClock, WallClock, parse_duration
from benchpool.dataitem import DataItem, Signer
from benchpool.directory import DEFAULT_WALLET, Directory, Party
from benchpool.errors import (
    ConfigError,
    HandlerError,
    ProcessBusy,
    StoreError,
    Unavailable,
    UnknownProcess,
)
from benchpool.extensions.host import ExtensionHost, LlamaCppEngines, default_engine
from benchpool.extensions.llama import EngineFactory, InferenceProgress
from benchpool.home import Home, open_store
from benchpool.inference.engine import EngineStats
from benchpool.message import (
    Data,
    Item,
    Message,
    Pair,
    ProcessInfo,
    Result,
    Tags,
    TagsInput,
    decode_message,
)
from benchpool.process import Process
from benchpool.reception import Reception
from benchpool.registry import Registry
from benchpool.sent import Sent
from benchpool.signers import to_base64url
from benchpool.store import DataStore, Entry, Store
from benchpool.trace import Trace, trace
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import CronEntry, CronSchedule
from benchpool.units.lanes import Lanes
from benchpool.units.limits import Limits, find_limits
from benchpool.units.messenger import MessengerUnit, Observe
from benchpool.units.scheduler import SchedulerUnit
from benchpool.wallet import ED25519, Wallet
from benchpool.wire import SCHEDULER_KEY_FACT, SIGNED_FACT, Wire

__all__ = ["DEFAULT_WALLET", "Network", "Party", "Sent"]

_NAMING = "naming"
"""The fact that keeps the names of processes that have not taken their first message yet."""
_MESSENGER = "messenger unit"
_SCHEDULER = "scheduler unit"


class Network:
    """An AO network in one program.

    Args:
        home: the folder in which the network lives; None keeps it in memory. A folder that holds no
            network yet becomes a new one.
        clock: by default virtual time, which only `advance` moves.
        seed: what the keys of the wallets are made from. The same seed and the same calls give the
            same ids and the same log. A new home without a seed gets a random one.
        registry: modules beside the installed ones.
        engine_factory: how a GGUF file becomes an engine; by default llama.cpp in a child process.
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
        engine_factory: EngineFactory = default_engine,
        limits: Limits | None = None,
        threads: int | None = None,
        read_only: bool = False,
        signed: bool = False,
    ) -> None:
        self.home = None if home is None else Home(Path(home))
        self.read_only = read_only
        self._store = open_store(self.home, read_only=read_only)
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
        engine_factory: EngineFactory,
        limits: Limits,
        threads: int | None,
        signed: bool,
    ) -> None:
        self.clock: Clock = clock or VirtualClock(
            *map(int, filter(None, [self._store.fact("clock")]))
        )
        if isinstance(self.clock, WallClock):
            self.clock.go_on_from(int(self._store.fact("clock") or 0))
        self.data = DataStore(None if self.home is None else self.home.data)
        self.registry = registry or Registry()
        self._host = ExtensionHost(
            self.data,
            None if self.home is None else self.home.databases,
            engine_factory=self._engines(engine_factory, limits),
            read_only=self.read_only,
        )
        self._directory = Directory(self._store, _take_seed(self._store, seed, self.home))
        self._sent = int(self._store.fact("sent") or 0)
        self._lock = RLock()
        self._cron = CronSchedule()
        self._limits = self.limits = limits
        self._compute = ComputeUnit(
            self._store, self.registry, self._host, threads=threads, limits=limits
        )
        address = self._unit_address("messenger", _MESSENGER)
        self._wire = Wire(address, self._unit_address("scheduler", _SCHEDULER))
        if signed and not self.read_only and self._store.fact(SIGNED_FACT) is None:
            self._store.set_fact(SIGNED_FACT, str(self._store.count()))
        self.signed = self._store.fact(SIGNED_FACT) is not None
        """Whether everything that is sent or pushed is a signed data item."""
        signer = self._unit_signer(_MESSENGER, address)
        self._scheduler = SchedulerUnit(self._store, self.clock, self._scheduler_signer())
        self._messenger = MessengerUnit(
            address=address,
            store=self._store,
            clock=self.clock,
            scheduler=self._scheduler,
            compute=self._compute,
            limits=limits,
            on_spawn=self._spawned,
            wire=self._wire,
            signer=signer,
        )
        self._reception = Reception(
            store=self._store,
            messenger=self._messenger,
            compute=self._compute,
            directory=self._directory,
            limits=limits,
            wire=self._wire,
            signed=self.signed,
        )
        since_ms = self.clock.now()
        if isinstance(self.clock, WallClock):
            since_ms = int(self._store.fact("clock") or since_ms)
        for info in self._store.processes():
            self._cron.add(info, since_ms)
        self._cron.coalesce(self.clock.now())
        self.resumed = 0 if self.read_only else self._messenger.resume()
        self._interrupted = self.resumed > 0
        self._naming: list[str] = json.loads(self._store.fact(_NAMING) or "[]")
        if not (self.read_only or self._interrupted):
            self._settle_names()
        if not self.read_only:
            self._store.commit(self.clock.now())

    def _engines(self, factory: EngineFactory, limits: Limits) -> EngineFactory:
        if factory is not default_engine:
            return factory
        answers = None if self.home is None or self.read_only else self.home.answers
        return LlamaCppEngines(
            answers,
            workers=limits.workers or None,
            models_memory_bytes=limits.models_memory_bytes or None,
            memory_bytes=limits.worker_memory_bytes or None,
        )

    def _unit_address(self, fact: str, wallet: str) -> str:
        kept = self._store.fact(fact)
        if kept is None:
            kept = self._directory.derive(wallet).address
            if not self.read_only:
                self._store.set_fact(fact, kept)
        return kept

    def _scheduler_signer(self) -> Signer | None:
        signer = self._unit_signer(_SCHEDULER, self._wire.scheduler)
        if signer is not None:
            # The address is a hash of it: without the key nobody could verify an assignment.
            self._store.set_fact(SCHEDULER_KEY_FACT, to_base64url(signer.owner))
        return signer

    def _unit_signer(self, name: str, address: str) -> Signer | None:
        if not self.signed or self.read_only:
            return None
        wallet = self._directory.derive(name)
        if wallet.address != address:
            raise StoreError(
                "this home holds a signed network and not its keys: it can be looked at and"
                " replayed, and not go on; export it again with --with-keys"
            )
        return wallet.signer()

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
        return self._directory.derive(_SCHEDULER)

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
        self._store.set_fact("sent", str(self._sent))  # of messages posted and not run yet
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
            owner = wallet.address
            item = Item("", owner, owner, Tags(pairs), data, type="Process")
            self._limits.check_item(item)
            info = self._reception.spawn(replace(item, anchor=self._next_anchor()), wallet)
            if name is not None:
                self._directory.set_name(name, info.id)
                self._naming.append(name)
                self._store.set_fact(_NAMING, json.dumps(self._naming))
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
            item = self._item(target_id, action, tags, data, wallet.address)
            message = self._reception.post(item, wallet)
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
            entry = self._store.find(message_id)
            if entry is None:
                raise UnknownProcess(f"no message with id {message_id}")
            targets = [self.info(process).id for process in processes]
            self._messenger.assign(entry.message, targets, exclude=exclude)
            found = [self._store.find(message_id, target) for target in targets]
            return [entry.message for entry in found if entry is not None]

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
                owner = self._directory.derive(DEFAULT_WALLET).address
            else:
                owner = self._sender(sender).address
            item = self._item(target_id, action, tags, data, owner, keep=False)
            return self._compute.dry_run(self.preview(item, target_id))

    def preview(self, item: Item, process: str) -> Message:
        """Make the message that a dry run evaluates.

        Raises: MessageError if it is too large, or text that is no Unicode.
        """
        self._limits.check_item(item)
        return self._scheduler.preview(item, process)

    def evaluate_dry(self, message: Message) -> Result:
        """Evaluate what `preview` made, and keep nothing of it."""
        return self._compute.dry_run(message)

    def evaluate_dry_beside(self, message: Message, timeout_s: float) -> Result:
        """Evaluate what `preview` made for a heavy process of a live network, from any thread.

        Raises: ProcessBusy if the process is at something else for so long.
        """
        lanes = self._messenger.lanes
        if lanes is None:
            raise Unavailable("the network is stopping")
        with lanes.gate(message.process, timeout_s):
            return self._compute.dry_run(message)

    def check_idle(self, process: str) -> None:
        """Accept a process whose state does not move now. Raises: ProcessBusy."""
        lanes = self._messenger.lanes
        if lanes is not None and process in lanes.busy():
            raise ProcessBusy(f"Evaluation of process {process} is in progress.")

    def run(self) -> None:
        """Evaluate and push until nothing is pending, and commit.

        Raises: PushLimitExceeded for the first chain that had to be stopped; all else went on.
        """
        with self._lock:
            self._interrupted = False
            self._store.set_fact("sent", str(self._sent))
            self._messenger.run()
            self._settle_names()
            if self._messenger.problems:
                raise self._messenger.problems[0]

    def _settle_names(self) -> None:
        """Take the names of processes back that refused their first message."""
        if not self._naming:
            return
        waiting = []
        for name in self._naming:
            process = self._directory.resolve(name)
            entry = self._store.find(process, process)
            if entry is None or entry.result is None:
                waiting.append(name)  # it thinks on, in a lane of its own
            elif entry.result.error:
                self._directory.remove_name(name)
        if waiting != self._naming:
            self._naming = waiting
            self._store.set_fact(_NAMING, json.dumps(waiting))
            self._store.commit(self.clock.now())

    def _finish_interrupted(self) -> None:
        # What an interrupted run left comes before anything new, or the log would depend on when
        # the interruption came.
        if self._interrupted:
            self.run()

    @property
    def pending(self) -> int:
        """How many messages wait for `run`."""
        return self._messenger.pending

    def _item(
        self,
        target: str,
        action: str,
        tags: TagsInput,
        data: Data,
        owner: str,
        *,
        keep: bool = True,
    ) -> Item:
        given = Tags(tags)
        if action:
            given = Tags([("Action", action), *given.pairs])
        # As on AO, a From-Process tag changes From and never the owner, so it earns no trust.
        sender = given.get("From-Process") or owner
        item = Item(target, owner, sender, given, data)
        self._limits.check_item(item)
        return replace(item, anchor=self._next_anchor()) if keep else item

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
        return self._reception.item(message_id)

    def assignment(self, message_id: str, process: str | None = None) -> DataItem | None:
        """Return the scheduler's assignment of a message; None if there is none, or no signed one.

        Args:
            message_id: the message's.
            process: in whose log; by default where the message came first.
        """
        entry = self._store.find(message_id, process)
        return None if entry is None else self._reception.assignment(entry.message)

    def assigned(self, assignment_id: str) -> Message | None:
        """Return the message that a signed assignment put into a log; None if there is none."""
        return self._store.assigned(assignment_id)

    def _next_anchor(self) -> str:
        self._sent += 1
        return f"{self._sent:032d}"

    # -- time --------------------------------------------------------------------------------

    def check_advance(self) -> None:
        """Accept that time be advanced. Raises: ConfigError if the clock is not virtual."""
        if not isinstance(self.clock, VirtualClock):
            raise ConfigError("this network runs on the wall clock, which cannot be advanced")

    def advance(self, duration: int | str, on_tick: Callable[[int], None] | None = None) -> int:
        """Move virtual time on, running every cron tick that falls due.

        Args:
            duration: milliseconds, or a text such as `24h`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Returns: how many ticks ran.

        Raises: ConfigError if the clock is not virtual, or for a bad duration.
        """
        self.check_advance()
        assert isinstance(self.clock, VirtualClock), "checked"
        length_ms = parse_duration(duration) if isinstance(duration, str) else duration
        with self._lock:
            if self._messenger.pending:
                self.run()
            until_ms = self.clock.now() + length_ms
            count = 0
            while (due_ms := self._cron.next_due()) is not None and due_ms <= until_ms:
                self.clock.set(due_ms)
                count += self._fire()
                if on_tick is not None:
                    on_tick(due_ms)
            self.clock.set(until_ms)
            self._store.commit(until_ms)
            return count

    def tick(self) -> int:
        """Run the cron ticks that are due by the clock; return how many."""
        with self._lock:
            count = 0
            while fired := self._fire():
                count += fired
            return count

    def live(
        self, submit: Callable[[Callable[[], object]], object] | None = None
    ) -> Callable[[], None]:
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
            return self._cron.start_live(self.tick)
        messenger = self._messenger
        self._compute.guard = self._lock
        messenger.lanes = lanes = Lanes(
            self._compute,
            threads=self._compute.threads,
            on_finish=lambda *finished: submit(lambda: messenger.finish(*finished)),
        )
        stop_cron = self._cron.start_live(lambda: submit(self.tick))

        def stop() -> None:
            stop_cron()
            self._compute.forget(lanes.stop())
            messenger.lanes = None

        return stop

    def refresh(self) -> None:
        """Look at the home as it is now: a network that only looks sees one moment of it."""
        self._store.refresh()
        if isinstance(self.clock, VirtualClock):
            self.clock = VirtualClock(int(self._store.fact("clock") or self.clock.now()))
        self._directory = Directory(self._store, _take_seed(self._store, None, self.home))
        self._scheduler = SchedulerUnit(self._store, self.clock)
        self._compute.forget_all()

    def on_evaluated(self, callback: Observe | None) -> None:
        """Be told of each round: "light" or "heavy", messages, results, seconds."""
        self._messenger.observe = callback

    def inference(self) -> EngineStats:
        """Return what the models of this network have done so far."""
        return self._host.engines.stats()

    def unfinished(self) -> set[str]:
        """Return the messages whose chains have not come to their end."""
        with self._lock:
            return self._messenger.roots()

    def _fire(self) -> int:
        ticks = self._cron.take(self.clock.now())
        for tick in ticks:
            self._messenger.tick(tick)
        if ticks:
            self.run()
        return len(ticks)

    def cron(self, process: Party) -> list[tuple[CronEntry, int]]:
        """Return a process's cron entries, each with its next due time in milliseconds."""
        return self._cron.entries(self.resolve(process))

    def _spawned(self, info: ProcessInfo) -> None:
        self._cron.add(info, self.clock.now())

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

    def process(self, process: Party) -> Process:
        """Return a process as it stands, to look at and not to change. Raises: UnknownProcess."""
        return self._compute.process(self.info(process).id)

    def result(self, message_id: str, process: str | None = None) -> Result:
        """Return what the evaluation of a message gave. Raises: UnknownProcess."""
        entry = self._store.find(message_id, process)
        if entry is None:
            raise UnknownProcess(f"no message with id {message_id}")
        return entry.result or Result()

    def find_message(self, message_id: str) -> Message | None:
        """Return a message by its id alone; None if there is none such."""
        entry = self._store.find(message_id)
        return None if entry is None else entry.message

    def messages(self) -> Iterator[Message]:
        """Go through all messages in the order in which they were scheduled, ticks left out."""
        for line in self._store.lines():
            message = decode_message(line.message)
            if not message.cron:
                yield message

    def find_process(self, process_id: str) -> ProcessInfo | None:
        """Return the facts of a process by its id alone; None if there is none such."""
        return self._store.process(process_id)

    def entry(self, message_id: str, process: str) -> Entry | None:
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

    def position(self, process: str) -> int:
        """Return the position of the message that a process evaluated last."""
        return self._compute.instance(process).position

    def sent(self, message_id: str, process: str, sender: str) -> Sent:
        """Look at a message of the log as its sender does after `send`."""
        return Sent(message_id, process, sender, self._store, self.messenger)

    def trace(self, message_id: str, process: str | None = None) -> Trace:
        """Return all that came of a message, as a tree. Raises: UnknownProcess."""
        return trace(self._store, self.messenger, message_id, process)

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
        self._host.admit(path)

    def on_inference(self, callback: InferenceProgress | None) -> None:
        """Be told how inference goes on: (process id, answered, asked), from a worker's thread."""
        self._host.engines.on_progress = callback

    # -- the end -----------------------------------------------------------------------------

    def close(self, *, abort: bool = False) -> None:
        """Commit, write checkpoints and let go of the home.

        Args:
            abort: leave the home as it was at the last commit. What is pending is taken up by the
                next network that opens it.
        """
        try:
            if not (abort or self.read_only or self._store.failure.why):
                self._store.set_fact("sent", str(self._sent))
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


def _take_seed(store: Store, seed: str | int | None, home: Home | None) -> bytes:
    """Return the seed that a network was made with, or give a new one its own."""
    kept = store.fact("seed")
    digest = None if seed is None else _seed_digest(seed)
    if kept is None:
        kept = digest or _seed_digest("memory" if home is None else os.urandom(32).hex())
        store.set_fact("seed", kept)
    elif digest not in (None, kept):
        raise ConfigError("this home was made with another seed; name a new home")
    return bytes.fromhex(kept)


def _seed_digest(seed: str | int) -> str:
    return sha256(f"benchpool seed {seed}".encode()).hexdigest()
