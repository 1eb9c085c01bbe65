"""Network: the public face of the three units, on one store and one clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchpool.ao.clock import Clock, parse_duration
from benchpool.ao.dataitem import DataItem
from benchpool.ao.message import Data, Item, Message, ProcessInfo, Result
from benchpool.ao.tags import TagsInput
from benchpool.ao.wallet import ED25519, Wallet
from benchpool.errors import HandlerError, UnknownProcess
from benchpool.network.directory import DEFAULT_WALLET, Party
from benchpool.network.forking import fork_of
from benchpool.network.sent import Sent
from benchpool.network.supplies import Supplies
from benchpool.process.module import ModuleProcess
from benchpool.units.cron import Tick
from benchpool.units.scheduler import SchedulerUnit


class Network(Supplies):
    """An AO network in one program.

    Here is what most programs need. The rest is reached through the parts: `logs`, `store`,
    `compute`, `scheduler`, `messenger`, `live` (a network on the wall clock), `timeline` (cron),
    `keys`, `dispatch`, `reception`, `host` (inference), `data`, `registry`, `limits`, `home`.

    Args:
        home: the folder in which the network lives; None keeps it in memory. A folder that holds no
            network yet becomes a new one.
        clock: by default virtual time, which only `advance` moves.
        seed: what the keys of the wallets are made from. The same seed and the same calls give the
            same ids and the same log. A new home without a seed gets a random one.
        registry: modules beside the installed ones.
        engines: where models run; by default where the limits say, else in child processes here.
        engine_factory: in their place, a function that opens a GGUF file.
        limits: by default as `find_limits` reads them.
        threads: how many heavy processes are evaluated, or wait for their models, at a time.
        read_only: look only. Nothing is locked, so another process may be writing.
        signed: make it a signed network, which it then stays: every message that is sent or pushed
            is a real signed data item, and its id is that of the signature.

    Raises:
        HomeLocked: another process writes to this home.
        StoreError: the home cannot be opened.
    """

    # -- wallets and names -------------------------------------------------------------------

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
        self.dispatch.keep_count()  # of messages posted and not run yet
        self.store.commit(self.clock.now())
        return wallet

    def wallets(self) -> list[Wallet]:
        """Return the wallets in the order in which they were made."""
        return self._directory.wallets()

    def wallet(self, name: Party = DEFAULT_WALLET) -> Wallet:
        """Return a wallet by name or address; the default one is made when first asked for.

        Raises: UnknownProcess if there is none.
        """
        if isinstance(name, Wallet):
            return name
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
        given_id: str | None = None,
    ) -> str:
        """Create a process and run until nothing is pending.

        The process tries its first message before: one that refuses it is never created.

        Args:
            module: the name or id of a module.
            tags: what the module wants to know, and `Cron-Interval`, `Cron-Tag-*`.
            name: a name by which the process can be addressed in this network.
            data: kept as the data of the process's first message.
            sender: the owner; by default the default wallet.
            given_id: what its id shall be, for sources that name it; in an unsigned network.

        Returns: the process's id.

        Raises:
            UnknownModule: no such module.
            ConfigError: a bad name, id or cron tag, or a name or id that is taken.
            HandlerError: the process refused its first message: its tags are not what it needs.
        """
        with self._lock:
            owner = self.wallet(sender or DEFAULT_WALLET)
            with self.dispatch.rehearsed(module, tags, name, data, owner) as hand_over:
                process = self.post_spawn(
                    module, tags, name=name, data=data, sender=owner, given_id=given_id
                )
                hand_over(process)
            self.run()
        error = self.result(process, process).error
        if error:
            raise HandlerError(f"{module} {process} was spawned but refused its tags: {error}")
        return process

    def fork(self, process: Party, name: str | None = None, *, at: str | None = None) -> str:
        """Spawn what goes on from what a process has become, see `fork_of`; return its id.

        Its owner is the other's, if that wallet is here. Raises: as `fork_of` and `spawn`.
        """
        said = fork_of(self, process, at)
        return self.spawn(said.module, said.tags, name=name, sender=said.owner or None)

    def post_spawn(
        self,
        module: str,
        tags: TagsInput,
        *,
        name: str | None,
        data: Data,
        sender: Party,
        given_id: str | None = None,
    ) -> str:
        """Create a process and leave its first message pending for `run`; return its id.

        Raises: UnknownModule, ConfigError, as `spawn`.
        """
        with self._lock:
            self._finish_interrupted()
            wallet = self.wallet(sender or DEFAULT_WALLET)
            item = self.dispatch.process(module, tags, name, data, wallet)
            return self.dispatch.spawn(item, wallet, name, given_id).id

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
            wallet = self.wallet(sender or DEFAULT_WALLET)
            item = self.dispatch.message(target_id, action, tags, data, wallet)
            message = self.dispatch.post(item, wallet)
            return self.logs.sent(message.id, target_id, message.sender)

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
            self.messenger.assign(message, targets, exclude=exclude)
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
            entry = self.store.find(message_id, process)
            messages = () if entry is None or entry.result is None else entry.result.messages
            if entry is None or not 0 <= number < len(messages):
                raise UnknownProcess("Message number does not exist in the result.")
            self._finish_interrupted()
            return self.messenger.push_again(entry.message, messages[number]) is not None

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
                wallet = self.wallet(sender or DEFAULT_WALLET)
            item = self.dispatch.message(target_id, action, tags, data, wallet)
            return self.compute.dry_run(self.scheduler.preview(item, target_id))

    def run(self) -> None:
        """Evaluate and push until nothing is pending, and commit.

        Raises: PushLimitExceeded for the first chain that had to be stopped; all else went on. A
            live network, where many wait for one run, raises none; see `live.take_stopped`.
        """
        with self._lock:
            self._interrupted = False
            self.dispatch.keep_count()
            self.messenger.run()
            if self._directory.settle():
                self.store.commit(self.clock.now())
            if self.messenger.lanes is None and (stopped := self.messenger.take_stopped()):
                raise stopped[0]

    def _finish_interrupted(self) -> None:
        # It comes before anything new, or the log would depend on when the interruption came.
        if self._interrupted:
            self.run()

    @property
    def pending(self) -> int:
        """How many messages wait for `run`."""
        return self.messenger.pending

    def accept(self, item: DataItem, said: Item | None = None) -> Message:
        """Schedule a signed data item from outside, and leave it pending for `run`.

        Its id is the message's or process's id. From is its first From-Process tag, which earns no
        trust, else its signer. Like all that is pending, it is durable once `run` has returned.

        Args:
            item: the item.
            said: what `reception.check` returned, if it was checked.

        Returns: the message of the log; for an item of type Process, the process's first.

        Raises: as `Reception.check` and `Reception.accept`; nothing is logged then.
        """
        # Before the lock: to verify a signature takes longer than all the rest.
        said = said or self.reception.check(item)
        with self._lock:
            self._finish_interrupted()
            return self.reception.accept(item, said)

    # -- time --------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """Where the time is read."""
        return self.timeline.clock

    def advance(self, duration: int | str, on_tick: Callable[[int], None] | None = None) -> int:
        """Move virtual time on, running every cron tick that falls due.

        Args:
            duration: milliseconds, or a text such as `24h`.
            on_tick: called with the time (ms) after the ticks of each moment have been run.

        Returns: how many ticks ran.

        Raises: ConfigError if the clock is not virtual, or for a bad duration.
        """
        self.timeline.virtual()
        length_ms = parse_duration(duration) if isinstance(duration, str) else duration
        with self._lock:
            if self.messenger.pending:
                self.run()
            count = self.timeline.advance(length_ms, self._fire, on_tick)
            self.store.commit(self.clock.now())
            return count

    def _fire(self, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            self.messenger.tick(tick)
        self.run()

    def refresh(self) -> None:
        """Look at the home as it is now: a network that only looks sees one moment of it."""
        self.store.refresh()
        self.timeline.refresh()
        self._directory.refresh()
        self.scheduler = SchedulerUnit(self.store, self.clock)
        self.compute.following.catch_up()

    # -- looking -----------------------------------------------------------------------------

    def processes(self) -> list[ProcessInfo]:
        """Return all processes in the order in which they were spawned."""
        return self.store.processes()

    def info(self, process: Party) -> ProcessInfo:
        """Return the facts of a process. Raises: UnknownProcess if it is none."""
        process_id = self.resolve(process)
        info = self.store.process(process_id)
        if info is None:
            raise UnknownProcess(f"{process} is a wallet, not a process")
        return info

    def process(self, process: Party) -> ModuleProcess:
        """Return a process as it stands, to look at and not to change. Raises: UnknownProcess."""
        return self.compute.process(self.info(process).id)

    def result(self, message_id: str, process: str | None = None) -> Result:
        """Return what the evaluation of a message gave. Raises: UnknownProcess."""
        return self.logs.result(message_id, process)

    def log(
        self, party: Party, *, after: int = -1, limit: int | None = None
    ) -> list[tuple[Message, Result | None]]:
        """Return a process's log, or a wallet's mail, from the position behind `after`."""
        return list(self.store.entries(self.resolve(party), after=after, limit=limit))

    def inbox(self, party: Party) -> list[Message]:
        """Return a wallet's mail, or the messages of a process that no handler took."""
        identity = self.resolve(party)
        if self.store.process(identity) is not None:
            return list(self.process(identity).inbox)
        return [entry.message for entry in self.store.entries(identity)]
