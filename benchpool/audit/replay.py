"""Replay: fold the logs again from their first message, and compare with what is recorded.

A replay needs no model: recorded answers stand in for inference. It starts every process afresh,
with a private database of its own in memory, so nothing that it compares comes from the state it
checks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchpool.ao.ids import complete_id, id_key
from benchpool.ao.message import (
    Message,
    Result,
    decode_message,
    decode_result,
    encode_result,
)
from benchpool.audit.causes import Causes, missing
from benchpool.audit.links import Links
from benchpool.audit.old_logs import OldLog, was_ended
from benchpool.audit.registers import wrong_registers
from benchpool.audit.replay_host import ReplayHost
from benchpool.audit.replay_report import Difference, Folded, Replay, compare
from benchpool.audit.state_hashes import KeptHashes, kept_in, state_hash_of
from benchpool.errors import (
    BenchpoolError,
    ReplayDivergence,
    UnknownProcess,
)
from benchpool.extensions.kept_states import misfit_of, read_databases
from benchpool.extensions.outside import OutOfFuel, OutOfTime, read_fact
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Line, Store
from benchpool.store.connections import check_integrity
from benchpool.store.facts import altered_fact
from benchpool.store.home import open_run
from benchpool.units.compute import ComputeUnit
from benchpool.units.folding import ended, fold
from benchpool.units.garbage import fewer_collections
from benchpool.units.limits import DEFAULT_LIMITS, Limits, find_limits
from benchpool.units.modules import ModuleShelf

REPORT_EVERY: Final = 5_000
_TIME_BUDGET: Final = b" exceeded its time budget of "
"""No result of a handler that was ended is without it; what has it may be another."""


class Replayer:
    """Folds the logs of one store.

    Args:
        store: the log.
        data: data transactions that the processes read.
        registry: their modules.
        kept: what is kept of their states, to compare with.
        rest: says what is wrong beside the logs; asked last.
        host: the extensions of the fresh processes; by default private databases in memory.
        limits: those of the network that wrote the log.
    """

    def __init__(
        self,
        store: Store,
        data: DataStore,
        *,
        registry: Registry | None = None,
        kept: KeptHashes = lambda _process: None,
        rest: Callable[[], str | None] = lambda: None,
        host: ReplayHost | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._store = store
        self._kept = kept
        self._rest = rest
        self._host = host or ReplayHost(data, None)
        shelf = ModuleShelf(store, data, limits)
        modules = (registry or Registry()).with_data(shelf)
        self._compute = ComputeUnit(store, modules, self._host, limits=limits)
        self._limits = limits
        self._old = OldLog(store)
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
        with fewer_collections():
            self._go(replay, process, on_progress)
        replay.processes = [each for each in self._folded.values() if each is not None]
        replay.signatures = sum(links.signatures for links in self._links.values())
        replay.assignments = sum(links.assignments for links in self._links.values())
        for each in replay.processes:
            each.memory = state_hash_of(each.instance)
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
        try:
            folded = self._find(line.process)
        except ReplayDivergence as error:
            return str(error)  # of a fork: its origin's log is damaged
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
        if line.id_key is not None and line.id_key != id_key(message.id, links.digest):
            return "the index of ids differs from the message"
        return None

    def _evaluate(self, folded: Folded, message: Message, kept: bytes) -> Result | str:
        """Fold a message; return its result, or what differs."""
        recorded: tuple[bytes, ...] = ()
        if folded.instance.extensions or _TIME_BUDGET in kept:
            record: Result | str = _read(decode_result, kept)
            if isinstance(record, str):
                return f"the result cannot be read: {record}"
            old = self._old.holds(message, record)
            if was_ended(message, record) if old else _was_ended(message, record):
                return record  # how long it took is a fact from outside, and the state stayed
            recorded = record.recorded
            self._host.old_failure = record.error if old else None
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
        found = state_hash_of(folded.instance)
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
        what_else = self._rest()
        return None if what_else is None else Difference("", "", -1, -1, "", what_else)

    def _difference(self, line: Line, what: str) -> Difference:
        message = _read(decode_message, line.message)
        nonce, message_id = (-1, "") if isinstance(message, str) else (message.nonce, message.id)
        party = str(line.process)
        name = self._names.get(party, "")
        return Difference(party, name, line.position, nonce, message_id, what)

    def close(self) -> None:
        """Let go of the fresh processes."""
        for folded in self._folded.values():
            if folded is not None:
                folded.instance.close()
        self._compute.close()


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
        if verify:
            for path in (run.home.database, *run.home.private().values()):
                check_integrity(path)
            what = altered_fact(run.store)  # a replay goes by them
            if what is not None:
                return Replay(verified=True, difference=Difference("", "", -1, -1, "", what))
        limits = limits or find_limits(folder)
        shelf = ModuleShelf(run.store, run.data, limits)
        replayer = Replayer(
            run.store,
            run.data,
            registry=registry,
            kept=kept_in(run.home, run.store),
            rest=lambda: (
                wrong_registers(run.store)
                or misfit_of(run.store, read_databases(run.home))
                or shelf.damage()
            ),
            limits=limits,
        )
        try:
            process_id = None if process is None else run.store.names().get(process, process)
            if process_id is not None and run.store.process(process_id) is None:
                ids = [info.id for info in run.store.processes()]
                process_id = complete_id(process_id, ids, "processes") or process_id
            if process_id is not None and run.store.process(process_id) is None:
                raise UnknownProcess(f"no process named {process_id[:80]!r}")
            return replayer.run(process_id, verify=verify, on_progress=on_progress)
        finally:
            replayer.close()


def _was_ended(message: Message, record: Result) -> bool:
    """Tell whether a result is that of an evaluation that a bound ended, and no more."""
    fact = read_fact(record.recorded[0]) if record.recorded else None
    return isinstance(fact, OutOfTime | OutOfFuel) and record == ended(message, fact)


def _read(decode: Callable[[bytes], Any], raw: object) -> Any:
    """Decode bytes of the log; return why they cannot be read as a text."""
    if not isinstance(raw, bytes):
        return f"it is kept as {type(raw).__name__}"
    try:
        return decode(raw)
    except (ValueError, TypeError, RecursionError, BenchpoolError) as error:
        return str(error) or type(error).__name__
