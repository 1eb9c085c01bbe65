"""How a settled pool would have been settled by other terms, from the answers in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from benchpool.audit.audit import find_pool
from benchpool.audit.dataset import DatasetRecount
from benchpool.audit.pool_facts import RecountedEntry, RecountedPool, SentPayment
from benchpool.audit.pools import BenchmarkRecount
from benchpool.audit.recounts import Recounts
from benchpool.audit.scores import Count, Score
from benchpool.errors import PoolError
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.scorers import score_cloze
from benchpool.pools.copies import Answer, Contender
from benchpool.pools.decision import forfeits
from benchpool.pools.ranking import Standing
from benchpool.pools.settlement import Settlement, give_back, settle
from benchpool.pools.terms import PayoutTerms
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.home import open_run

_Found = tuple[bool, tuple[float, ...]]
"""Whether an answer is right, and the log-likelihoods of the choices."""


class OtherEntry(NamedTuple):
    """What an entry was paid, and what it would be."""

    model: str
    name: str
    participant: str
    place_paid: int
    """The first of the places that it was paid for; 0 for none."""
    place: int
    fate: str
    correct: int
    evaluated: int
    total: int
    paid: int
    """In winston, with its bond if that came back."""
    would_get: int
    why: Sequence[str]


class OtherRefund(NamedTuple):
    """What a contributor got back, and what it would."""

    contributor: str
    paid: int
    would_get: int


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A pool, settled another way."""

    pool: RecountedPool
    terms: PayoutTerms
    protocol: str
    per_character: bool
    entries: Sequence[OtherEntry]
    contributors: Sequence[OtherRefund]
    missing: Mapping[str, int]
    """By entry, how many questions have no answer in the log."""

    @property
    def differences(self) -> dict[str, int]:
        """By account, what it would gain or lose; those that would do neither are left out."""
        sums: dict[str, int] = {}
        for entry in self.entries:
            gain = entry.would_get - entry.paid
            sums[entry.participant] = sums.get(entry.participant, 0) + gain
        for each in self.contributors:
            sums[each.contributor] = sums.get(each.contributor, 0) + each.would_get - each.paid
        return {account: gain for account, gain in sums.items() if gain}

    @property
    def tags(self) -> dict[str, str]:
        """The conditions, as a funder would have written them."""
        places = "" if self.terms.places is None else str(self.terms.places)
        return {
            "X-Eligible": self.terms.eligible,
            "X-Near-Copies": self.terms.near_copies,
            "X-Ties": self.terms.ties,
            "X-Places": places,
        }

    def view(self) -> dict[str, Any]:
        """Show it as JSON: amounts as decimal strings of winston."""

        def shown(row: OtherEntry | OtherRefund) -> dict[str, Any]:
            gain = row.would_get - row.paid
            money = {"paid": row.paid, "would_get": row.would_get, "difference": gain}
            return {**row._asdict(), **{name: str(each) for name, each in money.items()}}

        terms = self.terms
        return {
            "pool": self.pool.id,
            "protocol": self.protocol,
            "per_character": self.per_character,
            "allocation": terms.rule,
            "eligible": terms.eligible,
            "copies": "one entry" if terms.distinct else "entries of their own",
            "near_copies": terms.near_copies,
            "ties": terms.ties,
            "places": terms.places,
            "entries": [shown(each) for each in self.entries],
            "contributors": [shown(each) for each in self.contributors],
            "differences": {account: str(gain) for account, gain in self.differences.items()},
            "missing": dict(self.missing),
        }


def counterfactual_home(
    folder: Path, pool: str, changes: Mapping[str, str], **how: Any
) -> Counterfactual:
    """Settle a pool of a home another way; see `counterfactual`. Raises: PoolError, StoreError."""
    with open_run(folder) as run:
        return counterfactual(run.store, run.data, pool, changes, **how)


def counterfactual(
    store: Store,
    data: DataStore,
    pool: str,
    changes: Mapping[str, str],
    *,
    protocol: str = "",
    per_character: bool = False,
    registry: Registry | None = None,
) -> Counterfactual:
    """Settle a pool another way.

    Args:
        store: The log.
        data: Questions.
        pool: Its id or the beginning of it, or its title.
        changes: Tags that a funder could have written, X-Allocation and so on; the others stay.
        protocol: By which protocol's answers; empty for the pool's own.
        per_character: Whether the choice is what is likeliest for its length, as `acc_norm` is.
        registry: The modules that there are; by default those installed.

    Raises:
        PoolError: There is no such pool, it is not settled, or the log has no such answers.
        AmbiguousId: Several are meant.
    """
    recounts = Recounts(store, data, registry or Registry())
    pools, found = find_pool(recounts, pool)
    if found.settled < 0:
        raise PoolError(
            f"pool {found.id} is not settled; what would be decided now: benchpool pool explain"
        )
    named = str(Protocol.parse(protocol)) if protocol else found.protocol
    answers = _Answers(pools, found, recounts.dataset(found.dataset), named, per_character)
    contenders = [answers.contender(entry) for entry in found.entries.values()]
    terms = _terms(found, changes)
    settled = settle(contenders, found.contributions(), terms)
    entries, contributors = _compare(found, settled, answers, contenders)
    missing = {
        each.entry: gap
        for each in contenders
        if (gap := each.standing.total - each.standing.evaluated)
    }
    return Counterfactual(found, terms, named, per_character, entries, contributors, missing)


def _terms(pool: RecountedPool, changes: Mapping[str, str]) -> PayoutTerms:
    chance = Fraction(pool.chance)
    if not pool.first:
        return PayoutTerms.read({**pool.tags, **changes}, chance)
    # Pools of the first edition count copies, unless it is asked what becomes of these.
    own = {"X-Allocation": pool.allocation, "X-Eligible": "all"}
    read = PayoutTerms.read({**own, **changes}, chance)
    return replace(read, distinct="X-Near-Copies" in changes)


class _Answers:
    """What the log tells of the answers under one protocol."""

    def __init__(
        self,
        pools: BenchmarkRecount,
        pool: RecountedPool,
        dataset: DatasetRecount,
        protocol: str,
        per_character: bool,
    ) -> None:
        self._benchmark = pools.info.id
        self._pool = pool
        self._dataset = dataset
        self._protocol = protocol
        self._per_character = per_character
        self.unscored: dict[str, int] = {}

    def contender(self, entry: RecountedEntry) -> Contender:
        """Return an entry with its answers. Raises: PoolError if the log has none of these."""
        score = self._dataset.scores.get((self._benchmark, entry.answered))
        if self._protocol == self._pool.protocol:
            count = (score and score.counted) or Count(0, 0, 0, 0)
            found = score.answers if score and score.answers else self._rows(entry, score)
        else:
            found = self._rows(entry, None)
            rows = self._dataset.rows(entry.model, self._protocol, self._most)
            count = Count(0, 0, sum(row.status == "unscored" for row in rows), len(rows))
        answers = {n: self._judge(n, *answer) for n, answer in found.items()}
        right = sum(answer.right for answer in answers.values())
        self.unscored[entry.model] = count.unscored
        standing = Standing(
            entry.model, right, len(answers), count.total, entry.joined_ms, entry.order
        )
        return Contender(standing, answers, entry.held, entry.weights)

    @property
    def _most(self) -> int | None:
        return self._dataset.known.get(self._pool.samples_hash)

    def _rows(self, entry: RecountedEntry, score: Score | None) -> dict[int, _Found]:
        """Return what was answered, before a score was asked for if one is given."""
        answered = self._dataset.answered(entry.model, self._protocol, self._most)
        if not answered and self._protocol != self._pool.protocol:
            there = ", ".join(self._dataset.protocols(entry.model)) or "none"
            raise PoolError(
                f"the log has no answers of {entry.name} by {self._protocol}, only by {there}:"
                " nothing says what it would have answered"
            )
        return {
            number: (row.correct, row.nats)
            for number, row in answered
            if score is None or row.answered_at < score.position
        }

    def _judge(self, number: int, right: bool, nats: tuple[float, ...]) -> Answer:
        if self._per_character:
            if not nats:
                raise PoolError(
                    f"answers by {self._protocol} have no log-likelihoods, so none per character"
                )
            sample = self._dataset.samples[number - 1]
            right = score_cloze(nats, sample.choices).prediction_per_character == sample.gold
        return Answer(right, nats)


def _compare(
    pool: RecountedPool, settled: Settlement, answers: _Answers, contenders: Sequence[Contender]
) -> tuple[list[OtherEntry], list[OtherRefund]]:
    """Set what would be paid, bonds too, beside what was."""
    first = [each for each in pool.payments if each.position == pool.settled]
    standings = {each.entry: each.standing for each in contenders}
    entries, lost = [], 0
    for decision in settled.decisions:
        entry, standing = pool.entries[decision.entry], standings[decision.entry]
        paid = [each for each in first if each.model == entry.model]
        forfeit = forfeits(decision.fate, answers.unscored[entry.model])
        lost += entry.bond if forfeit else 0
        entries.append(
            OtherEntry(
                entry.model,
                entry.name,
                entry.participant,
                max((each.rank for each in paid), default=0),
                decision.rank,
                decision.fate,
                standing.correct,
                standing.evaluated,
                standing.total,
                sum(each.quantity for each in paid),
                decision.winston + (0 if forfeit else entry.bond),
                decision.why,
            )
        )
    gifts = pool.contributions()
    back = give_back(lost, gifts)
    refunds = {each: sum(p.quantity for p in first if _refunds(p, each)) for each in gifts}
    return entries, [
        OtherRefund(giver, paid, settled.refunds.get(giver, 0) + back.get(giver, 0))
        for giver, paid in refunds.items()
    ]


def _refunds(payment: SentPayment, contributor: str) -> bool:
    return not payment.model and payment.recipient == contributor
