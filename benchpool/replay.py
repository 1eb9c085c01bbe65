"""Replay: fold the logs again from their first message, and compare with what is recorded.

A replay needs no model: recorded answers stand in for inference. It starts every process afresh,
with a private database of its own in memory, so nothing that it compares comes from the state it
checks.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchpool.errors import (
    BenchpoolError,
    HandlerError,
    InferenceError,
    ReplayDivergence,
    UnknownProcess,
)
from benchpool.extensions.base import Extension, Recorder
from benchpool.extensions.host import ExtensionHost
from benchpool.extensions.weavedrive import WeaveDrive
from benchpool.home import Home, open_store
from benchpool.inference.engine import Engine, Precision
from benchpool.log_checks import Causes, Links, id_key, missing
from benchpool.message import (
    Message,
    ProcessInfo,
    Result,
    decode_message,
    decode_result,
    encode_result,
)
from benchpool.registry import Registry
from benchpool.store import Checkpoint, DataStore, Line, Store
from benchpool.units.compute import ComputeUnit, Instance, fold
from benchpool.units.limits import DEFAULT_LIMITS, Limits, find_limits

if TYPE_CHECKING:
    from benchpool.network import Network

REPORT_EVERY: Final = 5_000
_ABSENT: Final = "no data with id "
_OUT_OF_TIME: Final = "exceeded its time budget of"
_OUT_OF_TIME_BYTES: Final = _OUT_OF_TIME.encode()
_SHOWN: Final = 160


class Difference(NamedTuple):
    """Where a replay and the record part."""

    process: str
    name: str
    """The name of the process or wallet, or an empty text."""
    position: int
    nonce: int
    """-1 where the message cannot be read."""
    message: str
    """The message's id, as far as it can be read."""
    what: str

    def __str__(self) -> str:
        named = f"{self.name} ({self.process})" if self.name else self.process
        nonce = f"nonce {self.nonce}, " if self.nonce >= 0 else ""
        return f"{named}, {nonce}position {self.position}: {self.what}"


class Memory(NamedTuple):
    """The hashes of a process's state at one position of its log."""

    position: int
    state: str
    """SHA-256 of what `Process.dump` writes."""
    tables: dict[str, str]
    """SHA-256 of each table of its private database."""

    @property
    def digest(self) -> str:
        """One hash of it all."""
        parts = [self.state, *(f"{name} {value}" for name, value in sorted(self.tables.items()))]
        return self.state if not self.tables else sha256("\n".join(parts).encode()).hexdigest()


KeptMemory = Callable[[str], Memory | None]
"""From a process's id to what is kept of its state; None if nothing is."""


@dataclass(slots=True)
class Folded:
    """One process of a replay."""

    info: ProcessInfo
    name: str
    instance: Instance
    kept: Memory | None
    messages: int = 0
    nonce: int = -1
    compared: bool = False
    """Whether its state was found to be the one that is kept."""
    memory: Memory | None = None
    """Its state at the end of the log."""


@dataclass(slots=True)
class Replay:
    """What came of a replay."""

    verified: bool
    """Whether everything was compared, or only folded."""
    processes: list[Folded] = field(default_factory=list)
    messages: int = 0
    """Evaluated again."""
    mail: int = 0
    pending: int = 0
    signatures: int = 0
    """Of messages, verified."""
    assignments: int = 0
    """Of the scheduler, verified."""
    seconds: float = 0.0
    difference: Difference | None = None

    @property
    def digest(self) -> str:
        """One hash of the states of all processes."""
        parts = [f"{each.info.id} {each.memory.digest}" for each in self.processes if each.memory]
        return sha256("\n".join(sorted(parts)).encode()).hexdigest()

    def check(self) -> None:
        """Do nothing if the replay agrees. Raises: ReplayDivergence naming the difference."""
        if self.difference is not None:
            raise ReplayDivergence(f"the replay differs from the record: {self.difference}")


class Replayer:
    """Folds the logs of one store.

    Args:
        store: the log.
        data: data transactions that the processes read.
        registry: their modules.
        kept: what is kept of their states, to compare with.
        host: the extensions of the fresh processes; by default private databases in memory.
        limits: those of the network that wrote the log.
    """

    def __init__(
        self,
        store: Store,
        data: DataStore,
        *,
        registry: Registry | None = None,
        kept: KeptMemory = lambda _process: None,
        host: ReplayHost | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._kept = kept
        self._host = host or ReplayHost(data, None)
        self._compute = ComputeUnit(store, registry or Registry(), self._host, limits=limits)
        self._limits = limits
        self._names = {identity: name for name, identity in store.names().items()}
        self._causes = Causes(store, store.fact("messenger") or "", limits)
        self._links: dict[str, Links] = {}
        self._folded: dict[str, Folded | None] = {}
        self._waiting: dict[str, Folded] = {}

    def run(
        self,
        process: str | None = None,
        *,
        verify: bool = True,
        on_progress: Callable[[int], None] = lambda _count: None,
    ) -> Replay:
        """Fold every log, or that of one process.

        Causes lie in the logs of other processes, so one process alone is folded without them.
        """
        replay = Replay(verified=verify)
        started = perf_counter()
        with _fewer_collections():
            self._go(replay, process, on_progress)
        replay.processes = [each for each in self._folded.values() if each is not None]
        replay.signatures = sum(links.signatures for links in self._links.values())
        replay.assignments = sum(links.assignments for links in self._links.values())
        for each in replay.processes:
            each.memory = memory_of(each.instance)
        replay.seconds = perf_counter() - started
        return replay

    def _go(self, replay: Replay, process: str | None, on_progress: Callable[[int], None]) -> None:
        verify = replay.verified
        step = self._verify if verify else self._fold_only
        for count, line in enumerate(self._store.lines(process)):
            what = step(line, replay, whole=process is None)
            if what is not None:
                replay.difference = self._difference(line, what)
                break
            if count % REPORT_EVERY == 0:
                on_progress(count)
        else:
            if verify and process is None:
                replay.difference = self._end()

    # -- one line of a log -------------------------------------------------------------------

    def _fold_only(self, line: Line, replay: Replay, *, whole: bool) -> str | None:  # noqa: ARG002
        folded = self._find(line.process)
        if folded is None:
            replay.mail += 1
        elif line.result is None:
            replay.pending += 1
        else:
            message, result = decode_message(line.message), decode_result(line.result)
            if not result.error:
                fold(folded.instance, message, recorded=result.recorded)
            self._done(folded, message, replay)
        return None

    def _verify(  # noqa: PLR0911 - one a check
        self, line: Line, replay: Replay, *, whole: bool
    ) -> str | None:
        message = _read(decode_message, line.message)
        if isinstance(message, str):
            return f"the message cannot be read: {message}"
        what = self._wrong_place(line, message)
        if what is None and whole:
            what = self._causes.receive(message)
        if what is not None:
            return what
        folded = self._find(line.process)
        if folded is None:
            replay.mail += 1
            return "mail bears a result" if line.result else None
        if line.result is None:
            replay.pending += 1
            self._waiting[line.process] = folded
            return None
        if self._waiting and line.process in self._waiting:
            return "it was evaluated before the message that stands before it"
        if not isinstance(line.result, bytes) or not line.result:
            return "its result is no result"
        result = self._evaluate(folded, message, line.result)
        if isinstance(result, str):
            return result
        if whole and (result.messages or result.spawns or result.assignments):
            self._causes.emit(message, result, folded.info)
        self._done(folded, message, replay)
        return self._wrong_state(folded) if folded.kept is not None else None

    def _wrong_place(self, line: Line, message: Message) -> str | None:
        links = self._links.get(line.process)
        if links is None:
            links = self._links[line.process] = Links(self._store, line.process)
        what = links.follow(message)
        if what is not None:
            return what
        if line.position != message.position:
            return f"the message stands at position {line.position} and says {message.position}"
        if line.cron is not None and bool(line.cron) != message.cron:
            return "the index of cron ticks differs from the message"
        if line.id_key is not None and line.id_key != id_key(message.id):
            return "the index of ids differs from the message"
        return None

    def _evaluate(self, folded: Folded, message: Message, kept: bytes) -> Result | str:
        """Fold a message; return its result, or what differs."""
        recorded: tuple[bytes, ...] = ()
        if folded.instance.extensions or _OUT_OF_TIME_BYTES in kept:
            record: Result | str = _read(decode_result, kept)
            if isinstance(record, str):
                return f"the result cannot be read: {record}"
            if _OUT_OF_TIME in record.error:
                return record  # how long it took is a fact from outside, and the state stayed
            recorded = record.recorded
            self._host.failure = record.error
        try:
            result = fold(folded.instance, message, recorded=recorded, limits=self._limits)
        except ReplayDivergence as error:
            return str(error)
        if encode_result(result) != kept:
            record = _read(decode_result, kept)
            if isinstance(record, str):
                return f"the result cannot be read: {record}"
            if record != result:  # else it was written by an older version, in other bytes
                return compare(record, result)
        return result

    def _done(self, folded: Folded, message: Message, replay: Replay) -> None:
        folded.instance.position = message.position
        folded.nonce = message.nonce
        folded.messages += 1
        replay.messages += 1

    def _wrong_state(self, folded: Folded) -> str | None:
        kept = folded.kept
        if kept is None or kept.position != folded.instance.position:
            return None
        found = memory_of(folded.instance)
        if found.state != kept.state:
            return f"the state that is kept has hash {kept.state}, the replay gives {found.state}"
        for name in sorted({*found.tables, *kept.tables}):
            if found.tables.get(name) != kept.tables.get(name):
                return f"table {name} of its private database differs from what the replay gives"
        folded.compared = True
        return None

    # -- the rest ----------------------------------------------------------------------------

    def _find(self, process: str) -> Folded | None:
        """Return a process as far as it is folded; None for a wallet."""
        try:
            return self._folded[process]
        except KeyError:
            info = self._store.process(process)
            folded = None
            if info is not None:
                instance = self._compute.fresh_instance(process)
                kept = self._kept(process)
                folded = Folded(info, self._names.get(process, info.name), instance, kept)
            self._folded[process] = folded
            return folded

    def _end(self) -> Difference | None:
        """Look for what is missing when all that is there agrees."""
        for cause in self._causes.left():
            name = self._names.get(cause.process, "")
            at = (cause.position, cause.nonce)
            return Difference(cause.process, name, *at, "", missing(cause))
        for info in self._store.processes():
            name = self._names.get(info.id, info.name)
            folded = self._folded.get(info.id)
            if folded is None:
                return Difference(info.id, name, 0, 0, info.id, "its log does not begin")
            kept = folded.kept
            if kept is not None and not folded.compared and info.id not in self._waiting:
                what = "a state is kept of a position that its log does not reach"
                return Difference(info.id, name, kept.position, folded.nonce, "", what)
        return None

    def _difference(self, line: Line, what: str) -> Difference:
        message = _read(decode_message, line.message)
        nonce, message_id = (-1, "") if isinstance(message, str) else (message.nonce, message.id)
        party = str(line.process)
        name = self._names.get(party, "")
        return Difference(party, name, line.position, nonce, message_id, what)

    def close(self) -> None:
        """Let go of the fresh processes."""
        for folded in self._folded.values():
            for extension in folded.instance.extensions if folded is not None else ():
                extension.close()
        self._compute.close()


class ReplayHost(ExtensionHost):
    """Extensions that reach nothing outside: answers are recorded, or were never given."""

    def __init__(self, data: DataStore, folder: Path | None) -> None:
        super().__init__(data, folder, engine_factory=_no_engine)
        self.failure = ""
        """Why the message being folded failed, as recorded."""

    def build(self, name: str, process: str, recorder: Recorder) -> Extension:
        """See `ExtensionHost`."""
        if name == "WeaveDrive":
            return _RecordedDrive(self.data, self)
        return super().build(name, process, recorder)


class _RecordedDrive(WeaveDrive):
    """Data that was missing when a message was evaluated is missing in its replay."""

    def __init__(self, data: DataStore, host: ReplayHost) -> None:
        super().__init__(data)
        self._replay = host

    def path(self, data_id: str) -> Path:
        failure = self._replay.failure
        if f"{_ABSENT}{data_id}" in failure:
            raise HandlerError(failure[failure.index(_ABSENT) :])
        return super().path(data_id)


@contextmanager
def _fewer_collections() -> Iterator[None]:
    # What waits for its message is alive: to look at it again and again takes a fifth of the time.
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _no_engine(_path: Path, _precision: Precision) -> Engine:
    raise InferenceError("a replay asks no model")


def memory_of(instance: Instance) -> Memory:
    """Hash a process as it stands."""
    state = sha256(instance.process.dump()).hexdigest()
    tables = instance.database.digests() if instance.database is not None else {}
    return Memory(instance.position, state, tables)


def kept_in(home: Home, store: Store) -> KeptMemory:
    """Return what a home keeps of the states of its processes: checkpoints, private databases."""

    def kept(process: str) -> Memory | None:
        from benchpool.extensions.database import Database  # noqa: PLC0415 - slow to import

        path = home.databases / f"{process}.sqlite"
        if not path.exists():
            return _memory(store.checkpoint(process), {})
        database = Database(path, read_only=True)
        try:
            checkpoint, _ = database.saved()
            return _memory(checkpoint, database.digests())
        finally:
            database.close()

    return kept


def _memory(checkpoint: Checkpoint | None, tables: dict[str, str]) -> Memory | None:
    if checkpoint is None:
        return None
    return Memory(checkpoint.position, sha256(checkpoint.memory).hexdigest(), tables)


class Run(NamedTuple):
    """What a home holds, opened to look."""

    home: Home
    store: Store
    data: DataStore


@contextmanager
def open_run(folder: Path) -> Iterator[Run]:
    """Open a home to look, without loading any process. Raises: StoreError if there is none."""
    home = Home(folder)
    store = open_store(home, read_only=True)
    try:
        yield Run(home, store, DataStore(home.data))
    finally:
        store.close()


def replay_home(
    folder: Path,
    process: str | None = None,
    *,
    verify: bool = True,
    registry: Registry | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Replay:
    """Fold the logs of a home, or of one of its processes by id or name.

    Raises: StoreError if there is no home, or it is damaged; UnknownProcess.
    """
    with open_run(folder) as run:
        replayer = Replayer(
            run.store,
            run.data,
            registry=registry,
            kept=kept_in(run.home, run.store),
            limits=limits or find_limits(folder),
        )
        try:
            process_id = None if process is None else run.store.names().get(process, process)
            if process_id is not None and run.store.process(process_id) is None:
                raise UnknownProcess(f"no process named {process_id[:80]!r}")
            return replayer.run(process_id, verify=verify, on_progress=on_progress)
        finally:
            replayer.close()


def replay_network(network: Network, *, limits: Limits = DEFAULT_LIMITS) -> Replay:
    """Fold the logs of an open network and compare with its processes as they stand."""
    compute = network._compute
    replayer = Replayer(
        network._store,
        network.data,
        registry=network.registry,
        kept=lambda process: memory_of(compute.instance(process)),
        limits=limits,
    )
    try:
        return replayer.run()
    finally:
        replayer.close()


def compare(recorded: Result, found: Result) -> str:
    """Say in which part a recorded result differs from the one that a replay gives."""
    for part in ("error", "messages", "spawns", "assignments", "output", "recorded"):
        was, now = getattr(recorded, part), getattr(found, part)
        if was == now:
            continue
        if isinstance(was, str):
            return f"{part} is recorded as {_shown(was)}, the replay gives {_shown(now)}"
        if len(was) != len(now):
            return f"{len(was)} {part} are recorded, the replay gives {len(now)}"
        number = next(i for i, pair in enumerate(zip(was, now, strict=True)) if pair[0] != pair[1])
        one, other = was[number], now[number]
        for name in getattr(one, "__struct_fields__", ()):
            before, after = getattr(one, name), getattr(other, name)
            if before != after:
                return (
                    f"{part} {number + 1} has {name} {_shown(before)} in the record, the replay"
                    f" gives {_shown(after)}"
                )
        return f"{part} {number + 1} differs"
    return "the result differs"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _read(decode: Callable[[bytes], Any], raw: object) -> Any:
    """Decode bytes of the log; return why they cannot be read as a text."""
    if not isinstance(raw, bytes):
        return f"it is kept as {type(raw).__name__}"
    try:
        return decode(raw)
    except (ValueError, TypeError, RecursionError, BenchpoolError) as error:
        return str(error) or type(error).__name__
