"""What an audit knows of pools, as the log of a Benchmark tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from benchpool.ao.clock import DAY_MS

PATIENCE_MS: Final = 7 * DAY_MS
"""How long after its end a pool waits for entries that are not evaluated."""


class KnownDataset(NamedTuple):
    """What a data set said of itself."""

    name: str
    chance: str
    router: str
    module: str
    """As the messenger wrote it."""
    owner: str
    samples: str
    samples_hash: str
    seal: str


class Deposit(NamedTuple):
    """Money that came into a pool."""

    notice: str
    """The id of the Credit-Notice."""
    time_ms: int
    sender: str
    quantity: int
    reference: str
    """The notice's place in the token's outbox."""
    root: str


@dataclass(slots=True)
class RecountedEntry:
    """A model that joined."""

    model: str
    name: str
    participant: str
    weights: str
    joined_ms: int
    order: int
    asked: str = ""
    """Reference of the Score that is open."""
    answered: str = ""
    """Reference of the Score whose answer came last: the one that ranks go by."""
    final: bool = False
    held: int = 0
    """The message of the Benchmark's log by which it committed to its weights, or else joined."""
    bond: int = 0
    runtime: str = ""
    """What it is computed on, if that was said."""


class SentPayment(NamedTuple):
    """A Transfer that the Benchmark sent for a pool."""

    reference: str
    recipient: str
    quantity: int
    model: str
    rank: int
    position: int
    bond: bool
    """Whether it gives a bond back."""


@dataclass(slots=True)
class RecountedPool:
    """A pool as the log tells of it."""

    id: str
    title: str
    funder: str
    dataset: str
    dataset_name: str
    allocation: str
    protocol: str
    chance: str
    start_ms: int
    end_ms: int
    deposits: list[Deposit] = field(default_factory=list)
    entries: dict[str, RecountedEntry] = field(default_factory=dict)
    status: str = "open"
    awaited: int = 0
    final_asks: int = 0
    """Ticks at which final scores were asked for."""
    ticked_ms: int = 0
    """When Allocate-Rewards was last evaluated while it was due."""
    passed_over: bool = False
    """Whether that had no room for it."""
    failed: str = ""
    """What failed since, where it should have been settled; empty if nothing did."""
    settled: int = -1
    """Position of the message that settled it."""
    given_back: str = ""
    """Why everything was given back, whatever was answered; empty if it was not."""
    tags: dict[str, str] = field(default_factory=dict)
    """How it is paid out, as the funder wrote it. Empty in the first edition."""
    binding: dict[str, str] = field(default_factory=dict)
    """What it is bound to, as Pool-Created must name it."""
    bond: int = 0
    join_until_ms: int = 0
    sealed: str = ""
    samples_hash: str = ""
    router: str = ""
    bonds: list[Deposit] = field(default_factory=list)
    """Money that came with entries."""
    payments: list[SentPayment] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    """References, in the token's outbox, of the Debit-Notices that came for its payments."""
    terms: list[str] = field(default_factory=list)
    """What is wrong with the terms and deposits."""
    joins: list[str] = field(default_factory=list)
    """What is wrong with the joins."""
    asks: list[str] = field(default_factory=list)
    """What is wrong with the scores that were asked for."""

    @property
    def funds(self) -> int:
        """All that came in, in winston."""
        return sum(deposit.quantity for deposit in self.deposits)

    @property
    def first(self) -> bool:
        """Whether it goes by the rules of the first edition."""
        return not self.tags

    @property
    def is_sealed(self) -> bool:
        """Whether its questions are a secret still."""
        return bool(self.sealed and not self.samples_hash)

    @property
    def size(self) -> int:
        """Entries and contributors."""
        return len(self.entries) + len(self.contributions())

    @property
    def due_ms(self) -> int:
        """When it is to be settled; while its questions are sealed, when it is given back."""
        return self.end_ms if self.is_sealed else self.join_until_ms or self.end_ms

    def admits(self, now_ms: int) -> bool:
        """Tell whether models may still come."""
        return self.takes_part(now_ms) and now_ms < (self.join_until_ms or self.end_ms)

    def admits_where(self, able: str, runtime: str) -> bool:
        """Tell whether a model may come by where it is computed.

        Args:
            able: What the model server that runs it can be asked for; empty if none runs it.
            runtime: Else what it is computed on; empty if that is not said.
        """
        if able:
            likelihoods = self.protocol.partition("/")[0] in ("cloze", "likelihood")
            return bool(self.binding.get("Remote")) and (able == "choices" or not likelihoods)
        named = self.binding.get("Runtime", "")
        said = (entry.runtime for entry in self.entries.values() if entry.runtime)
        admitted = named or next(said, "")
        return self.first or runtime == admitted or not (admitted and (runtime or named))

    def takes_part(self, now_ms: int) -> bool:
        """Tell whether models and money may still come."""
        return self.status == "open" and now_ms < self.end_ms

    def contributions(self) -> dict[str, int]:
        """Return who gave how much."""
        given: dict[str, int] = {}
        for deposit in self.deposits:
            given[deposit.sender] = given.get(deposit.sender, 0) + deposit.quantity
        return given


class AskedJoin(NamedTuple):
    """A wish to join that waits for the router."""

    pool: str
    model: str
    participant: str
    router: str
    asked_ms: int
    salt: str = ""
    bond: Deposit | None = None
