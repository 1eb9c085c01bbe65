"""What a store must do, in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from benchpool.ao.message import Message, ProcessInfo, Result
from benchpool.ao.wallet import Wallet
from benchpool.ao.wire import SignedAssignment
from benchpool.errors import StoreError

MAIL = b""
"""Stands in place of a result on a message that went to a wallet and is never evaluated."""

Durability = Literal["power", "process"]
"""What a commit survives: the loss of power too, or the end of this program alone."""

OnDamage = Callable[[str, Exception], None]
"""Is told what is damaged, and how."""


def ignore(_what: str, _error: Exception) -> None:
    """Do nothing about what is damaged."""


class LogEntry(NamedTuple):
    """One line of a process's log; `result` is None while it is pending."""

    message: Message
    result: Result | None


class Line(NamedTuple):
    """One line of a log as it is kept, not read yet; `result` is None while it is pending."""

    process: str
    position: int
    id_key: int | None
    """What the index of ids has for it; None where there is no index."""
    cron: bool | None
    """What the index of ticks has for it; None where there is no index."""
    message: bytes
    result: bytes | None


class Search(NamedTuple):
    """Which messages are wanted: those that came to where they were sent, cron ticks left out."""

    texts: tuple[frozenset[str], ...] = ()
    """Of each set, one text at least stands in the bytes of a message."""
    targets: frozenset[str] = frozenset()
    """Processes and wallets; none is all."""
    spawns: bool = False
    """The first messages of processes alone."""
    after: int | None = None
    """The sequence behind which to begin."""
    descending: bool = False


class Placed(NamedTuple):
    """A message with its place: in the log of all, or in that of one process."""

    place: int
    message: Message


class Sifted(NamedTuple):
    """What was found among neighbours in a log."""

    found: list[tuple[int, LogEntry]]
    """Each with its place."""
    looked_at: int
    """How many were looked at; 0 if there are no more."""
    last: int | None
    """The place of the last of them: where to go on."""


MOST_SIFTED_BYTES: Final = 32 << 20
"""Behind so many bytes of what was found, or came with it, no further neighbour is looked at."""


class Checkpoint(NamedTuple):
    """A process's memory after it evaluated the message at `position`."""

    position: int
    memory: bytes
    link: str = ""
    """What binds it to the log that it was made of, see `link_at`; empty in the log's own file."""


class WriteFailure:
    """Whether a store can still be used. After a write that failed, memory is ahead of the log.

    What would be evaluated or written then follows from messages that the log does not hold, so
    everything is refused until the home is opened again, which gives the state of the last commit.
    """

    __slots__ = ("why",)

    def __init__(self) -> None:
        self.why = ""

    def note(self, error: BaseException) -> None:
        """Keep the first failure."""
        if not self.why:
            said = str(getattr(error, "orig", error)).strip()
            self.why = (said or type(error).__name__).splitlines()[0]

    def check(self) -> None:
        """Do nothing while all writes went well. Raises: StoreError after one that did not."""
        if self.why:
            raise StoreError(
                f"the last write failed ({self.why}); close this network and open it again"
            )


class Store(Protocol):
    """The log and all else that a network keeps. Writes stand from the next `commit` on.

    A message in a wallet's log is mail: it is kept, and never pending.

    Once a write has failed, every method but `close` raises StoreError.
    """

    @property
    def failure(self) -> WriteFailure:
        """Whether a write failed; whoever leaves memory ahead of the log notes it here."""
        ...

    @property
    def uncommitted(self) -> int:
        """How many log entries wait for the next commit."""
        ...

    def append(self, message: Message, *, mail: bool) -> None:
        """Add a message at the end of the log of `message.process`."""
        ...

    def record(self, message: Message, result: Result) -> None:
        """Keep what the evaluation of a logged message gave."""
        ...

    def commit(self, now_ms: int) -> None:
        """Make everything since the last commit durable, all of it or nothing, with the time."""
        ...

    def last_scheduled(self, process: str, until: int | None = None) -> Message | None:
        """Return the newest message of a log that has a nonce of its own (cron ticks have none).

        Args:
            process: whose log.
            until: the last position that counts; None is the end of the log.
        """
        ...

    def end(self) -> int:
        """Return the sequence of the newest entry of all logs, 0 if there is none."""
        ...

    def newest(self) -> Message | None:
        """Return the newest message of all logs."""
        ...

    def last_position(self, process: str) -> int:
        """Return the position of a log's newest entry, -1 if it is empty."""
        ...

    def entries(
        self, process: str, *, after: int = -1, limit: int | None = None
    ) -> Iterator[LogEntry]:
        """Go through a log from the position behind `after`."""
        ...

    def lines(self, process: str | None = None) -> Iterator[Line]:
        """Go through all logs in the order in which they were written, or through one of them.

        Raises: StoreError if the file is damaged.
        """
        ...

    def find(self, message_id: str, process: str | None = None) -> LogEntry | None:
        """Look a message up, in one log or, with assignments, where it came first."""
        ...

    def beginning(self, text: str) -> Iterator[str]:
        """Go through the ids of messages that begin with a text."""
        ...

    def search(self, wanted: Search, on_damage: OnDamage = ignore) -> Iterator[tuple[int, Message]]:
        """Go through the messages that are wanted in the order in which they were logged.

        Args:
            wanted: which.
            on_damage: is told what cannot be read, and is left out.

        Returns: each with its sequence, above 0. Texts may stand anywhere in its bytes, so what it
            says has to be compared exactly.
        """
        ...

    def part(
        self,
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> list[Placed]:
        """Return neighbours in a log, whatever stands in them, in the time that so many take.

        Args:
            process: whose log, by its positions; None is that of all, by sequence.
            beyond: begin at the next place beyond this one; None is at the end.
            limit: how many at most.
            descending: go towards the oldest.
        """
        ...

    def sift(
        self,
        texts: Sequence[frozenset[str]],
        process: str | None = None,
        *,
        beyond: int | None = None,
        limit: int,
        descending: bool = False,
    ) -> Sifted:
        """Find messages among neighbours in a log, in a small part of the time to read them all.

        Args:
            texts: of each set, one text at least stands in the bytes of a message; as in `search`.
            process: see `part`, as the others.
            beyond: where to begin.
            limit: how many are looked at, at most.
            descending: go towards the oldest.
        """
        ...

    def pending(self) -> list[Message]:
        """Return the messages without a result, in the order in which they were scheduled."""
        ...

    def count(self) -> int:
        """Return how many messages all logs hold."""
        ...

    def add_item(self, message_id: str, head: bytes, mark: str = "") -> None:
        """Keep what a signed message's data item has before its data.

        Args:
            message_id: the message's, and the item's.
            head: its bytes up to the data.
            mark: what else it can be found by.
        """
        ...

    def item_head(self, message_id: str) -> bytes | None:
        """Return what is kept of a signed message's item; None if it was not signed."""
        ...

    def item_mark(self, message_id: str) -> str:
        """Return the mark of a signed message; empty if it has none."""
        ...

    def marked(self, mark: str) -> str | None:
        """Return the id of the signed message with this mark."""
        ...

    def has_items(self) -> bool:
        """Tell whether any message is signed."""
        ...

    def add_signed_assignment(self, process: str, position: int, made: SignedAssignment) -> None:
        """Keep the scheduler's signature of the assignment at this place of a log."""
        ...

    def signed_assignment(self, process: str, position: int) -> SignedAssignment | None:
        """Return what the scheduler signed of this place; None if it signed nothing."""
        ...

    def assigned(self, assignment_id: str) -> Message | None:
        """Return the message that a signed assignment put into a log."""
        ...

    def add_process(self, info: ProcessInfo) -> None:
        """Keep the facts of a new process."""
        ...

    def process(self, process_id: str) -> ProcessInfo | None:
        """Return the facts of a process."""
        ...

    def processes(self) -> list[ProcessInfo]:
        """Return all processes in the order in which they were spawned."""
        ...

    def set_name(self, name: str, identity: str) -> None:
        """Give a process or wallet a name; a name that was given before moves to it."""
        ...

    def remove_name(self, name: str) -> None:
        """Take a name back."""
        ...

    def names(self) -> dict[str, str]:
        """Return every name with the id or address that it stands for."""
        ...

    def add_wallet(self, wallet: Wallet) -> None:
        """Keep a wallet."""
        ...

    def wallets(self) -> list[Wallet]:
        """Return the wallets in the order in which they were made."""
        ...

    def set_fact(self, name: str, value: str) -> None:
        """Keep a fact about the network itself."""
        ...

    def fact(self, name: str) -> str | None:
        """Return a fact about the network itself."""
        ...

    def facts(self) -> dict[str, str]:
        """Return all facts about the network itself."""
        ...

    def add_checkpoint(self, process: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the process's last one."""
        ...

    def checkpoint(self, process: str) -> Checkpoint | None:
        """Return the process's last checkpoint."""
        ...

    def checkpointed(self) -> dict[str, int]:
        """Return the positions of the checkpoints that there are, by process."""
        ...

    def interrupt_when(self, over: Callable[[], bool]) -> None:
        """Have a read that takes long end with an error once this says so; it is asked often."""
        ...

    def refresh(self) -> None:
        """See what others committed since the first look. For a store that is only read."""
        ...

    def close(self) -> None:
        """Let go of the files. What was not committed is lost."""
        ...


def link_at(store: Store, process: str, position: int) -> str | None:
    """Return what a log says up to a position in one text; None if it does not reach so far.

    The hash chain leaves cron ticks out, and the newest message: both ids are told beside it.
    """
    if position < 0:
        return ""
    for entry in store.entries(process, after=position - 1, limit=1):
        message = entry.message
        last = store.last_scheduled(process, position) if message.cron else message
        chain = "" if last is None else f"{last.hash_chain} {last.id}"
        return f"{chain} {message.id}" if message.cron else chain
    return None
