"""The pools of a Benchmark process, followed again through its log."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from benchpool.ao.clock import DAY_MS
from benchpool.ao.ids import module_id
from benchpool.ao.message import Message, Outgoing, ProcessInfo, Result
from benchpool.audit.ledger import trusted
from benchpool.audit.pool_facts import (
    PATIENCE_MS,
    AskedJoin,
    Deposit,
    KnownDataset,
    RecountedEntry,
    RecountedPool,
    SentPayment,
)
from benchpool.audit.pool_terms import read_pool, terms_of, told_terms
from benchpool.audit.scores import is_whole
from benchpool.audit.ticks import LARGEST_SIZE, looked_at, note_failure, tick
from benchpool.winston import parse_quantity

LONGEST_NAME: Final = 200
MOST_FINAL_ASKS: Final = 7
"""Ticks at which final scores are asked for, before the last known ones count."""


@dataclass(slots=True)
class BenchmarkRecount:
    """Goes through the log of a Benchmark process."""

    info: ProcessInfo
    serves: Callable[[str, str], bool] = lambda _module, _role: True
    """Whether a module, by name or id, has a role: of a "dataset", of a "router"."""
    token: str = ""
    problems: list[str] = field(default_factory=list)
    """What is wrong with data sets that registered."""
    pools: dict[str, RecountedPool] = field(default_factory=dict)
    _datasets: dict[str, KnownDataset] = field(default_factory=dict)
    _modules: set[str] = field(default_factory=set)
    _commitments: dict[str, int] = field(default_factory=dict)
    _running: dict[str, bool] = field(default_factory=dict)
    _joins: dict[str, AskedJoin] = field(default_factory=dict)
    _board_asks: dict[str, tuple[str, str]] = field(default_factory=dict)
    _final_asks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, message: Message, result: Result | None) -> None:
        """Take the next entry of the log."""
        if result is None or not trusted(self.info, message):
            return
        if result.error:
            self._failed(message, result.error)
            return
        action, tags = message.action.lower(), message.tags
        if message.type == "Process":
            self.token = tags.get("WrappedAR")
            named = (each.strip() for each in tags.get("Dataset-Modules").split(","))
            self._modules = {either for each in named if each for either in (each, module_id(each))}
        elif action == "register-dataset":
            self._register(message, result)
        elif action == "commit-entry":
            self._commitments.setdefault(tags["Commitment"].lower(), message.nonce)
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

    # -- data sets ---------------------------------------------------------------------------

    def _register(self, message: Message, result: Result) -> None:
        tags, module = message.tags, message.from_module
        facts = KnownDataset(
            tags.get("Name"),
            tags.get("Chance"),
            tags.get("LlamaRouter"),
            module,
            tags.get("Owner"),
            tags.get("Samples"),
            tags.get("Samples-SHA-256"),
            tags.get("Seal"),
        )
        if self.info.edition > 1:
            named = self._modules
            admitted = module in named if named else self.serves(module, "dataset")
            if not (module and admitted):
                self.problems.append(
                    f"{_at(message)}: {message.sender} of module {module or '(none)'} was let in"
                    " as a data set"
                )
        self._datasets[message.sender] = facts
        for pool_id in list(self._running):
            pool = self.pools[pool_id]
            if pool.is_sealed and pool.dataset == message.sender and facts.samples != "0":
                self._reveal(pool, facts, message, result)

    def _reveal(
        self, pool: RecountedPool, facts: KnownDataset, message: Message, result: Result
    ) -> None:
        if message.timestamp < pool.join_until_ms:
            self._give_back(pool, "revealed while models could join", message)
        elif facts.seal != pool.sealed:
            self._give_back(pool, "not what was sealed", message)
        elif facts.router != pool.router:
            self._give_back(pool, "another router", message)
        else:
            pool.samples_hash = facts.samples_hash
            told = [each.tags.get("Model") for each in _all(result, "Benchmark")]
            if any(model not in told for model in pool.entries):
                pool.joins.append(f"{_at(message)}: not every entry was given to the data set")

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
        if "X-Pool" not in tags and "X-Join-Pool" in tags and self.info.edition > 1:
            self._join_paid(message, result, deposit)
            return
        if "X-Pool" in tags:
            pool = self.pools.get(tags["X-Pool"])
            accepted = pool is not None and (
                pool.takes_part(message.timestamp)
                and (
                    pool.size < LARGEST_SIZE or pool.first or deposit.sender in pool.contributions()
                )
            )
            if pool is not None:
                if accepted:
                    pool.deposits.append(deposit)
                said = _first(result, "Pool-Funded")
                funds = str(pool.funds) if accepted else None
                if (said.tags.get("Funds") if said else None) != funds:
                    pool.terms.append(f"{_at(message)}: the top-up was not answered as it must be")
            return
        said = _first(result, "Pool-Created")
        registration = self._datasets.get(tags.get("X-Dataset"))
        pool = read_pool(message, registration, deposit, first=self.info.edition == 1)
        if pool is not None and said is not None:
            self.pools[pool.id] = pool
            self._running[pool.id] = True
            if told_terms(said.tags) != terms_of(pool):
                pool.terms.append(f"{_at(message)}: Pool-Created differs from what was asked for")

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
                    bond=bool(tags.get("X-Bond")),
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
            wish["dataset"],
            wish["model"],
            message.sender,
            asked.target,
            message.timestamp,
            wish.get("salt") or "",
        )

    def _join_paid(self, message: Message, result: Result, deposit: Deposit) -> None:
        asked, tags = _first(result, "Get-Model"), message.tags
        if asked is not None:
            self._joins[str(asked.reference)] = AskedJoin(
                tags["X-Join-Pool"],
                tags["X-Model"],
                deposit.sender,
                asked.target,
                message.timestamp,
                tags.get("X-Salt"),
                deposit,
            )

    def _described(self, message: Message, result: Result) -> None:
        tags = message.tags
        reference = tags.get("X-Reference")
        join = self._joins.get(reference)
        if join is None or (join.router, join.model) != (message.sender, tags.get("Model")):
            return
        del self._joins[reference]
        pool = self.pools[join.pool]
        entry = RecountedEntry(
            join.model,
            (tags.get("Name") or join.model)[: None if pool.first else LONGEST_NAME],
            join.participant,
            tags.get("Weights"),
            message.timestamp,
            len(pool.entries),
            held=message.nonce,
            bond=join.bond.quantity if join.bond else 0,
            runtime="" if tags.get("Remote") else tags.get("Runtime"),
        )
        may = message.action.lower() == "get-model-response" and self._may(
            pool, entry, join, message
        )
        if may is (_first(result, "Joined-Pool") is None):
            pool.joins.append(f"{_at(message)}: model {join.model} was not let in as it must be")
        if may:
            pool.entries[join.model] = entry
            if join.bond:
                pool.bonds.append(join.bond)

    def _may(
        self, pool: RecountedPool, entry: RecountedEntry, join: AskedJoin, message: Message
    ) -> bool:
        """Tell whether a model may join; note by what it holds its weights."""
        if (
            not pool.admits(message.timestamp)
            or entry.model in pool.entries
            or entry.bond != pool.bond
            or not pool.admits_where(message.tags.get("Remote"), entry.runtime)
        ):
            return False
        if self.info.edition == 1:
            return not any(
                entry.weights and entry.weights == e.weights for e in pool.entries.values()
            )
        module = message.from_module
        if not (module and (module in self._modules or self.serves(module, "router"))):
            return False
        said = (join.router, message.tags.get("Owner"))
        if said != (pool.router, join.participant) or pool.size >= LARGEST_SIZE:
            return False
        if join.salt:
            made = sha256(f"{join.salt}:{join.participant}:{entry.weights}".encode()).hexdigest()
            if made not in self._commitments:
                return False
            entry.held = self._commitments[made]
        same = [e for e in pool.entries.values() if entry.weights and e.weights == entry.weights]
        return all(entry.held < each.held for each in same)

    # -- ticks and scores --------------------------------------------------------------------

    def _update(self, message: Message, result: Result) -> None:
        self._board_asks = {}
        asked = deque(_all(result, "Score"))
        running = map(self.pools.__getitem__, self._running)
        open_pools = [pool for pool in running if pool.takes_part(message.timestamp)]
        for pool in looked_at(self.info, open_pools):
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
        for pool in tick(self.info, self._due(message.timestamp), message.timestamp):
            if pool.is_sealed:
                self._give_back(pool, "never revealed", message)
                continue
            if pool.status == "open":
                pool.status, pool.awaited = "settling", len(pool.entries)
            late = message.timestamp >= pool.end_ms + PATIENCE_MS
            if pool.awaited and (pool.final_asks >= MOST_FINAL_ASKS if pool.first else late):
                pool.awaited = 0
                for entry in pool.entries.values():
                    entry.final, entry.asked = True, ""
            pool.final_asks += 1
            for entry in pool.entries.values():
                if not entry.final:
                    self._ask(message, pool, entry, asked, self._final_asks)
            if not pool.awaited:
                self._settle(pool, message)

    def _failed(self, message: Message, error: str) -> None:
        asked_for, _ = self._final_asks.get(message.tags.get("X-Reference"), ("", ""))
        due = self._due(message.timestamp)
        note_failure(
            self.info, message, f"{_at(message)}: {message.action} failed: {error}", due, asked_for
        )

    def _due(self, now_ms: int) -> list[RecountedPool]:
        running = map(self.pools.__getitem__, self._running)
        return [pool for pool in running if pool.due_ms <= now_ms]

    def _ask(
        self,
        message: Message,
        pool: RecountedPool,
        entry: RecountedEntry,
        asked: deque[Outgoing],
        asks: dict[str, tuple[str, str]],
    ) -> None:
        score = asked.popleft() if asked else None
        names = ("Model", "Protocol", "Samples-SHA-256", "Answers")
        answers = "true" if pool.status == "settling" and not pool.first else ""
        wanted = (entry.model, pool.protocol, pool.samples_hash, answers)
        if score is None or (score.target, *map(score.tags.get, names)) != (pool.dataset, *wanted):
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
        known = message.action.lower() == "score-response"
        if known and tags.get("Samples-SHA-256") != pool.samples_hash and not pool.first:
            self._give_back(pool, "other questions", message)
            return
        entry.asked, entry.answered = "", reference
        if pool.status == "settling" and (pool.first or not known or is_whole(tags)):
            entry.final = True
            pool.awaited -= 1
            if not pool.awaited:
                self._settle(pool, message)

    def _give_back(self, pool: RecountedPool, reason: str, message: Message) -> None:
        pool.given_back = reason
        for entry in pool.entries.values():
            entry.final, entry.asked = True, ""
        self._settle(pool, message)

    def _settle(self, pool: RecountedPool, message: Message) -> None:
        pool.status, pool.settled = "settled", message.position
        del self._running[pool.id]


def _all(result: Result, action: str) -> Iterator[Outgoing]:
    return (each for each in result.messages if each.tags.get("Action") == action)


def _first(result: Result, action: str) -> Outgoing | None:
    return next(_all(result, action), None)


def _at(message: Message) -> str:
    return f"position {message.position} of the Benchmark"
