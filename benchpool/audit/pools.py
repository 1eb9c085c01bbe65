"""The pools of a Benchmark process, followed again through its log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from benchpool.ao.clock import DAY_MS, parse_duration
from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.ao.tags import Tags
from benchpool.audit.ledger import trusted
from benchpool.errors import BenchpoolError
from benchpool.pools.allocation import find_rule
from benchpool.winston import parse_quantity

DEFAULT_DURATION: Final = "30d"
DEFAULT_PROTOCOL: Final = "cloze"
MOST_FINAL_ASKS: Final = 7
"""Ticks at which final scores are asked for, before the last known ones count."""


class KnownDataset(NamedTuple):
    """What a data set said of itself."""

    name: str
    chance: str
    router: str


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


class SentPayment(NamedTuple):
    """A Transfer that the Benchmark sent for a pool."""

    reference: str
    recipient: str
    quantity: int
    model: str
    rank: int
    position: int


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
    settled: int = -1
    """Position of the message that settled it."""
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
    """A Join-Pool that waits for the router."""

    pool: str
    model: str
    participant: str
    router: str
    asked_ms: int


@dataclass(slots=True)
class BenchmarkRecount:
    """Goes through the log of a Benchmark process."""

    info: ProcessInfo
    token: str = ""
    pools: dict[str, RecountedPool] = field(default_factory=dict)
    _datasets: dict[str, KnownDataset] = field(default_factory=dict)
    _running: dict[str, bool] = field(default_factory=dict)
    _joins: dict[str, AskedJoin] = field(default_factory=dict)
    _board_asks: dict[str, tuple[str, str]] = field(default_factory=dict)
    _final_asks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        if result is None or result.error or not trusted(self.info, message):
            return
        action, tags = message.action.lower(), message.tags
        if message.type == "Process":
            self.token = tags.get("WrappedAR")
        elif action == "register-dataset":
            facts = KnownDataset(tags.get("Name"), tags.get("Chance"), tags.get("LlamaRouter"))
            self._datasets[message.sender] = facts
        elif action == "credit-notice":
            self._credit(message, result)
        elif action == "join-pool":
            self._join(message, result)
        elif action in ("get-model-response", "get-model-error"):
            self._described(message, result)
        elif action == "update-leaderboard":
            self._update(message, result)
        elif action == "allocate-rewards":
            self._allocate(message, result)
        elif action in ("score-response", "score-error"):
            self._scored(message)
        elif action == "debit-notice":
            self._confirm(message)
        self._payments(message, result)

    # -- money -------------------------------------------------------------------------------

    def _credit(self, message: Message, result: Result) -> None:
        tags = message.tags
        if message.sender != self.token or "X-Error" in tags or "X-Refund" in tags:
            return
        if tags.get("Sender") in (self.info.id, self.token):
            return
        deposit = Deposit(
            message.id,
            message.timestamp,
            tags.get("Sender"),
            parse_quantity(tags.get("Quantity")),
            message.reference,
            message.pushed_for,
        )
        if "X-Pool" in tags:
            pool = self.pools.get(tags["X-Pool"])
            accepted = pool is not None and pool.takes_part(message.timestamp)
            if pool is not None:
                if accepted:
                    pool.deposits.append(deposit)
                said = _first(result, "Pool-Funded")
                funds = str(pool.funds) if accepted else None
                if (said.tags.get("Funds") if said else None) != funds:
                    pool.terms.append(f"{_at(message)}: the top-up was not answered as it must be")
            return
        pool = self._open(message, deposit)
        said = _first(result, "Pool-Created")
        if pool is not None and said is not None:
            self.pools[pool.id] = pool
            self._running[pool.id] = True
            if _terms(said.tags) != _terms_of(pool):
                pool.terms.append(f"{_at(message)}: Pool-Created differs from what was asked for")

    def _open(self, message: Message, deposit: Deposit) -> RecountedPool | None:
        """Read the terms; None if they make no pool."""
        tags = message.tags
        registration = self._datasets.get(tags.get("X-Dataset"))
        try:
            rule = find_rule(tags.get("X-Allocation")).name
            duration_ms = parse_duration(tags.get("X-Duration") or DEFAULT_DURATION, bare_ms=True)
            start_ms = int(tags.get("X-Start") or message.timestamp)
        except (BenchpoolError, ValueError):
            return None
        if registration is None or start_ms < message.timestamp:
            return None
        return RecountedPool(
            id=message.id,
            title=tags.get("X-Title"),
            funder=deposit.sender,
            dataset=tags["X-Dataset"],
            dataset_name=registration.name,
            allocation=rule,
            protocol=tags.get("X-Protocol") or DEFAULT_PROTOCOL,
            chance=registration.chance,
            start_ms=start_ms,
            end_ms=start_ms + duration_ms,
            deposits=[deposit],
        )

    def _payments(self, message: Message, result: Result) -> None:
        """Note every Transfer that names a pool, whatever led to it."""
        for outgoing in result.messages:
            tags = outgoing.tags
            pool = self.pools.get(tags.get("X-Pool"))
            if pool is None or tags.get("Action") != "Transfer" or outgoing.target != self.token:
                continue
            pool.payments.append(
                SentPayment(
                    str(outgoing.reference),
                    tags.get("Recipient"),
                    int(tags.get("Quantity")),
                    tags.get("X-Model"),
                    int(tags.get("X-Rank", "0")),
                    message.position,
                )
            )

    def _confirm(self, message: Message) -> None:
        tags = message.tags
        pool = self.pools.get(tags.get("X-Pool"))
        if pool is None or message.sender != self.token:
            return
        reference = tags.get("X-Payment") or tags.get("X-Reference")
        if any(payment.reference == reference for payment in pool.payments):
            pool.confirmed.append(message.reference)

    # -- entries -----------------------------------------------------------------------------

    def _join(self, message: Message, result: Result) -> None:
        asked = _first(result, "Get-Model")
        if asked is None:
            return
        wish = message.json()
        self._joins[str(asked.reference)] = AskedJoin(
            wish["dataset"], wish["model"], message.sender, asked.target, message.timestamp
        )

    def _described(self, message: Message, result: Result) -> None:
        tags = message.tags
        reference = tags.get("X-Reference")
        join = self._joins.get(reference)
        if join is None or (join.router, join.model) != (message.sender, tags.get("Model")):
            return
        del self._joins[reference]
        pool = self.pools[join.pool]
        weights = tags.get("Weights")
        taken = join.model in pool.entries or any(
            weights and weights == entry.weights for entry in pool.entries.values()
        )
        may = (
            message.action.lower() == "get-model-response"
            and pool.takes_part(message.timestamp)
            and not taken
            and (self.info.edition == 1 or tags.get("Owner") == join.participant)
        )
        if may is (_first(result, "Joined-Pool") is None):
            pool.joins.append(f"{_at(message)}: model {join.model} was not let in as it must be")
        if may:
            name = tags.get("Name") or join.model
            pool.entries[join.model] = RecountedEntry(
                join.model, name, join.participant, weights, message.timestamp, len(pool.entries)
            )

    # -- ticks and scores --------------------------------------------------------------------

    def _update(self, message: Message, result: Result) -> None:
        self._board_asks = {}
        asked = deque(_all(result, "Score"))
        for pool_id in self._running:
            pool = self.pools[pool_id]
            if pool.takes_part(message.timestamp):
                for entry in pool.entries.values():
                    self._ask(message, pool, entry, asked, self._board_asks)

    def _allocate(self, message: Message, result: Result) -> None:
        self._joins = {
            reference: join
            for reference, join in self._joins.items()
            if join.asked_ms + DAY_MS > message.timestamp
        }
        self._final_asks = {}
        asked = deque(_all(result, "Score"))
        for pool_id in list(self._running):
            pool = self.pools[pool_id]
            if pool.end_ms > message.timestamp:
                continue
            if pool.status == "open":
                pool.status, pool.awaited = "settling", len(pool.entries)
            if pool.awaited and pool.final_asks >= MOST_FINAL_ASKS:
                pool.awaited = 0
                for entry in pool.entries.values():
                    entry.final, entry.asked = True, ""
            pool.final_asks += 1
            for entry in pool.entries.values():
                if not entry.final:
                    self._ask(message, pool, entry, asked, self._final_asks)
            if not pool.awaited:
                self._settle(pool, message)

    def _ask(
        self,
        message: Message,
        pool: RecountedPool,
        entry: RecountedEntry,
        asked: deque[Outgoing],
        asks: dict[str, tuple[str, str]],
    ) -> None:
        score = asked.popleft() if asked else None
        if score is None or (score.target, score.tags.get("Model"), score.tags.get("Protocol")) != (
            pool.dataset,
            entry.model,
            pool.protocol,
        ):
            pool.asks.append(f"{_at(message)}: the score of {entry.model} was not asked for")
            return
        entry.asked = str(score.reference)
        asks[entry.asked] = (pool.id, entry.model)

    def _scored(self, message: Message) -> None:
        tags = message.tags
        reference = tags.get("X-Reference")
        pool_id, model = self._final_asks.get(reference) or self._board_asks.get(
            reference, ("", "")
        )
        pool = self.pools.get(pool_id)
        if pool is None or message.sender != pool.dataset or tags.get("Model") != model:
            return
        entry = pool.entries[model]
        if entry.asked != reference or tags.get("Protocol", pool.protocol) != pool.protocol:
            return
        entry.asked, entry.answered = "", reference
        if pool.status == "settling":
            entry.final = True
            pool.awaited -= 1
            if not pool.awaited:
                self._settle(pool, message)

    def _settle(self, pool: RecountedPool, message: Message) -> None:
        pool.status, pool.settled = "settled", message.position
        del self._running[pool.id]


def _all(result: Result, action: str) -> Iterator[Outgoing]:
    return (each for each in result.messages if each.tags.get("Action") == action)


def _first(result: Result, action: str) -> Outgoing | None:
    return next(_all(result, action), None)


def _terms(tags: Tags) -> tuple[str, ...]:
    names = ("Pool", "Funds", "Allocation", "Dataset", "Start-Time", "End-Time")
    return tuple(tags.get(name) for name in names)


def _terms_of(pool: RecountedPool) -> tuple[str, ...]:
    times = (str(pool.start_ms), str(pool.end_ms))
    return (pool.id, str(pool.funds), pool.allocation, pool.dataset, *times)


def _at(message: Message) -> str:
    return f"position {message.position} of the Benchmark"
