"""Network: the three units on one store and one clock. The public Python API.

with Network() as network:
    alice = network.new_wallet("alice")
    token = network.spawn("WrappedAR", sender=alice)
    network.send(token, "Mint", {"Quantity": "1000"}, sender=alice)
    print(network.send(token, "Balance", sender=alice).reply().data)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from benchpool.clock import Clock, VirtualClock, parse_duration
from benchpool.dataitem import DataItem, Signer
from benchpool.directory import DEFAULT_WALLET, Directory, Party
from benchpool.errors import ConfigError, HandlerError, StoreError, UnknownProcess
from benchpool.extensions.host import ExtensionHost, LlamaCppEngines, default_engine
from benchpool.extensions.llama import EngineFactory, InferenceProgress
from benchpool.home import Home, open_store
from benchpool.message import (
    Data,
    Item,
    Message,
    Pair,
    ProcessInfo,
    Result,
    Tags,
    TagsInput,
)
from benchpool.process import Process
from benchpool.reception import Reception
from benchpool.registry import Registry
from benchpool.sent import Sent
from benchpool.signers import to_base64url
from benchpool.store import DataStore, Store
from benchpool.trace import Trace, trace
from benchpool.units.compute import ComputeUnit
from benchpool.units.cron import CronEntry, CronSchedule
from benchpool.units.limits import Limits, find_limits
from benchpool.units.messenger import MessengerUnit
from benchpool.units.scheduler import SchedulerUnit
from benchpool.wallet import ED25519, Wallet
from benchpool.wire import SCHEDULER_KEY_FACT, SIGNED_FACT, Wire

__all__ = ["DEFAULT_WALLET", "Network", "Party", "Sent"]

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
        self._limits = limits
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
        for info in self._store.processes():
            self._cron.add(info, self.clock.now())
        self.resumed = 0 if self.read_only else self._messenger.resume()
        self._interrupted = self.resumed > 0
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
            self.run()
        error = self.result(info.id, info.id).error
        if error:
            if name is not None:
                self._directory.remove_name(name)
                self._store.commit(self.clock.now())
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
            entry = self._store.find(message_id)
            if entry is None:
                raise UnknownProcess(f"no message with id {message_id}")
            self._messenger.assign(entry.message, [self.resolve(process) for process in processes])
            self.run()

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
            return self._compute.dry_run(self._scheduler.preview(item, target_id))

    def run(self) -> None:
        """Evaluate and push until nothing is pending, and commit.

        Raises: PushLimitExceeded for the first chain that had to be stopped; all else went on.
        """
        with self._lock:
            self._interrupted = False
            self._store.set_fact("sent", str(self._sent))
            self._messenger.run()
            if self._messenger.problems:
                raise self._messenger.problems[0]

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

    def accept(self, item: DataItem) -> Message:
        """Schedule a signed data item from outside, and leave it pending for `run`.

        Its id is the message's or process's id. From is its first From-Process tag, which earns no
        trust, else its signer. Like all that is pending, it is durable once `run` has returned.

        Returns: the message of the log; for an item of type Process, the process's first.

        Raises: as `Reception.accept`; nothing is logged then.
        """
        # Before the lock: to verify a signature takes longer than all the rest.
        said = self._reception.check(item)
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

    def advance(self, duration: int | str, on_tick: Callable[[int], None] | None = None) -> int:
        """Move virtual time on, running every cron tick that falls due.

        Args:
            duration: milliseconds, or a text such as `24h`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Returns: how many ticks ran.

        Raises: ConfigError if the clock is not virtual, or for a bad duration.
        """
        if not isinstance(self.clock, VirtualClock):
            raise ConfigError("this network runs on the wall clock, which cannot be advanced")
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

    def live(self) -> Callable[[], None]:
        """Run cron by the wall clock from a background thread.

        Returns: what stops it; call it before `close`.
        """
        return self._cron.start_live(self.tick)

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
        self._host.admit(path)
        return self.data.put_file(path)

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
