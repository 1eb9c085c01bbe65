"""A store in memory: for tests, scripts and simulations that nobody wants to keep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from benchpool.ao.ids import encode_id
from benchpool.ao.message import (
    Message,
    ProcessInfo,
    Result,
    decode_message,
    decode_result,
    encode,
    encode_result,
)
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SignedAssignment
from benchpool.store.base import (
    MAIL,
    Checkpoint,
    Line,
    LogEntry,
    OnDamage,
    Placed,
    Search,
    Sifted,
    WriteFailure,
    ignore,
)


class _Log:
    """The log of one process or wallet, and what came of each message."""

    __slots__ = ("messages", "results")

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.results: list[bytes | None] = []


class MemoryStore:
    """Keeps the log as encoded bytes: small, and invisible to Python's garbage collector."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, _Log] = defaultdict(_Log)
        self._order: list[str] = []
        self._places: dict[str, tuple[str, int]] = {}
        self._processes: dict[str, ProcessInfo] = {}
        self._names: dict[str, str] = {}
        self._wallets: list[Wallet] = []
        self._facts: dict[str, str] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._items: dict[str, tuple[bytes, str]] = {}
        self._marks: dict[str, str] = {}
        self._assignments: dict[tuple[str, int], SignedAssignment] = {}
        self._assigned: dict[str, tuple[str, int]] = {}
        self.uncommitted = 0
        self.failure = WriteFailure()

    def append(self, message: Message, *, mail: bool) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        process = message.process
        log = self._logs[process]
        log.messages.append(encode(message))
        log.results.append(MAIL if mail else None)
        self._order.append(process)
        self._places.setdefault(message.id, (process, message.position))

    def record(self, message: Message, result: Result) -> None:
        """See `Store`."""
        if self.failure.why:
            self.failure.check()
        self._logs[message.process].results[message.position] = encode_result(result)

    def commit(self, now_ms: int) -> None:
        """See `Store`. Memory is never durable; only the time is noted."""
        self.failure.check()
        self._facts["clock"] = str(now_ms)

    def last_scheduled(self, process: str, until: int | None = None) -> Message | None:
        """See `Store`."""
        messages = self._messages(process)
        end = len(messages) if until is None else min(len(messages), until + 1)
        read = (decode_message(messages[place]) for place in reversed(range(end)))
        return next((message for message in read if not message.cron), None)

    def _messages(self, process: str) -> Sequence[bytes]:
        log = self._logs.get(process)
        return () if log is None else log.messages

    def newest(self) -> Message | None:
        """See `Store`."""
        return decode_message(self._messages(self._order[-1])[-1]) if self._order else None

    def end(self) -> int:
        """See `Store`."""
        return len(self._order)

    def last_position(self, process: str) -> int:
        """See `Store`."""
        return len(self._messages(process)) - 1

    def entries(
        self, process: str, *, after: int = -1, limit: int | None = None
    ) -> Iterator[LogEntry]:
        """See `Store`."""
        self.failure.check()
        end = len(self._messages(process))
        if limit is not None:
            end = min(end, after + 1 + limit)
        for place in range(after + 1, end):
            yield self._entry(process, place)

    def lines(self, process: str | None = None) -> Iterator[Line]:
        """See `Store`."""
        next_place: dict[str, int] = {}
        for party in self._order:
            if process is None or process == party:
                place = next_place.get(party, 0)
                next_place[party] = place + 1
                log = self._logs[party]
                yield Line(party, place, None, None, log.messages[place], log.results[place])

    def find(self, message_id: str, process: str | None = None) -> LogEntry | None:
        """See `Store`."""
        self.failure.check()
        place = self._places.get(message_id)
        if place is None:
            return None
        if process is None or process == place[0]:
            return self._entry(*place)
        return next((e for e in self.entries(process) if e.message.id == message_id), None)

    def beginning(self, text: str) -> Iterator[str]:
        """See `Store`."""
        return (message_id for message_id in self._places if message_id.startswith(text))

    def search(
        self,
        wanted: Search,
        on_damage: OnDamage = ignore,  # noqa: ARG002 - memory is not damaged
    ) -> Iterator[tuple[int, Message]]:
        """See `Store`."""
        self.failure.check()
        any_of = [[text.encode() for text in texts] for texts in wanted.texts]
        found = list(enumerate(self.lines(), start=1))
        for sequence, line in reversed(found) if wanted.descending else found:
            if wanted.after is not None and (
                sequence >= wanted.after if wanted.descending else sequence <= wanted.after
            ):
                continue
            if wanted.targets and line.process not in wanted.targets:
                continue
            if wanted.spawns and not (line.position == 0 and line.process in self._processes):
                continue
            if all(any(text in line.message for text in texts) for texts in any_of):
                message = decode_message(line.message)
                if message.target == line.process and not message.cron:
                    yield sequence, message

    def part(
        self,
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> list[Placed]:
        """See `Store`."""
        first = 1 if process is None else 0
        lines = list(enumerate(self.lines(process), start=first))
        if descending:
            lines.reverse()
        if beyond is not None:
            lines = [(n, x) for n, x in lines if (n < beyond if descending else n > beyond)]
        return [Placed(place, decode_message(line.message)) for place, line in lines[:limit]]

    def sift(
        self,
        texts: Sequence[frozenset[str]],
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> Sifted:
        """See `Store`."""
        looked = self.part(process, beyond=beyond, limit=limit, descending=descending)
        any_of = [[text.encode() for text in each] for each in texts]
        found = []
        for place, message in looked:
            raw = self._messages(message.process)[message.position]
            if all(any(text in raw for text in each) for each in any_of):
                found.append((place, self._entry(message.process, message.position)))
        return Sifted(found, len(looked), looked[-1].place if looked else None)

    def _entry(self, process: str, place: int) -> LogEntry:
        log = self._logs[process]
        result = log.results[place]
        return LogEntry(
            decode_message(log.messages[place]), decode_result(result) if result else None
        )

    def pending(self) -> list[Message]:
        """See `Store`."""
        return [decode_message(line.message) for line in self.lines() if line.result is None]

    def count(self) -> int:
        """See `Store`."""
        return len(self._order)

    def add_item(self, message_id: str, head: bytes, mark: str = "") -> None:
        """See `Store`."""
        self._items[message_id] = (head, mark)
        if mark:
            self._marks[mark] = message_id

    def item_head(self, message_id: str) -> bytes | None:
        """See `Store`."""
        return self._items.get(message_id, (None, ""))[0]

    def item_mark(self, message_id: str) -> str:
        """See `Store`."""
        return self._items.get(message_id, (None, ""))[1]

    def marked(self, mark: str) -> str | None:
        """See `Store`."""
        return self._marks.get(mark)

    def has_items(self) -> bool:
        """See `Store`."""
        return bool(self._items)

    def add_signed_assignment(self, process: str, position: int, made: SignedAssignment) -> None:
        """See `Store`."""
        self._assignments[process, position] = made
        self._assigned[encode_id(made.id)] = (process, position)

    def signed_assignment(self, process: str, position: int) -> SignedAssignment | None:
        """See `Store`."""
        return self._assignments.get((process, position))

    def assigned(self, assignment_id: str) -> Message | None:
        """See `Store`."""
        place = self._assigned.get(assignment_id)
        return None if place is None else self._entry(*place).message

    def add_process(self, info: ProcessInfo) -> None:
        """See `Store`."""
        self._processes[info.id] = info

    def process(self, process_id: str) -> ProcessInfo | None:
        """See `Store`."""
        return self._processes.get(process_id)

    def processes(self) -> list[ProcessInfo]:
        """See `Store`."""
        return list(self._processes.values())

    def set_name(self, name: str, identity: str) -> None:
        """See `Store`."""
        self._names[name] = identity

    def remove_name(self, name: str) -> None:
        """See `Store`."""
        del self._names[name]

    def names(self) -> dict[str, str]:
        """See `Store`."""
        return dict(self._names)

    def add_wallet(self, wallet: Wallet) -> None:
        """See `Store`."""
        self._wallets.append(wallet)

    def wallets(self) -> list[Wallet]:
        """See `Store`."""
        return list(self._wallets)

    def set_fact(self, name: str, value: str) -> None:
        """See `Store`."""
        self._facts[name] = value

    def fact(self, name: str) -> str | None:
        """See `Store`."""
        return self._facts.get(name)

    def facts(self) -> dict[str, str]:
        """See `Store`."""
        return dict(self._facts)

    def add_checkpoint(self, process: str, checkpoint: Checkpoint) -> None:
        """See `Store`."""
        self._checkpoints[process] = checkpoint

    def checkpoint(self, process: str) -> Checkpoint | None:
        """See `Store`."""
        return self._checkpoints.get(process)

    def checkpointed(self) -> dict[str, int]:
        """See `Store`."""
        return {process: made.position for process, made in self._checkpoints.items()}

    def interrupt_when(self, over: Callable[[], bool]) -> None:
        """See `Store`."""

    def refresh(self) -> None:
        """See `Store`."""

    def close(self) -> None:
        """See `Store`."""
