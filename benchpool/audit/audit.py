"""Audit: check one pool from the logs alone, and state what became of its money.

No state is read. Deposits, joins, scores, ranks and payouts are worked out again from the messages
and results in the logs of the token, the Benchmark and the data set, by rules written a second
time (`recounts` and what it counts) and the pure functions of `benchpool.evaluation` and
`benchpool.pools`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from benchpool.ao.ids import find_titled
from benchpool.audit.expected import Payments, expected_payments, key_of
from benchpool.audit.ledger import Transfer
from benchpool.audit.overdue import settled_in_time
from benchpool.audit.pool_facts import RecountedEntry, RecountedPool
from benchpool.audit.pools import BenchmarkRecount
from benchpool.audit.recompute import Again, recompute
from benchpool.audit.recounts import Recounts
from benchpool.audit.scores import Count, Score
from benchpool.audit.statement import Check, Paid, Statement, StatementRow, check, due
from benchpool.errors import PoolError, ReplayDivergence
from benchpool.evaluation.metrics import accuracy, standard_error
from benchpool.evaluation.pairs import RankSet, rank_sets
from benchpool.evaluation.statistics import wilson
from benchpool.pools.ranking import Ranked, Standing, rank
from benchpool.process.registry import Registry
from benchpool.store import DataStore, Store
from benchpool.store.home import open_run


def audit_home(
    folder: Path, pool: str, *, registry: Registry | None = None, again: Again | None = None
) -> Statement:
    """Check a pool of a home, by its id or the beginning of it, or by its title.

    Raises: PoolError if there is no such pool; AmbiguousId if several are meant; StoreError.
    """
    with open_run(folder) as run:
        return audit(run.store, run.data, pool, registry=registry, again=again)


def audit(
    store: Store,
    data: DataStore,
    pool: str,
    *,
    registry: Registry | None = None,
    again: Again | None = None,
) -> Statement:
    """Check a pool.

    Args:
        store: The log.
        data: Questions, and the files of models.
        pool: Its id or the beginning of it, or its title.
        registry: The modules that there are; by default those installed.
        again: How models are asked again; by default none is.

    Raises:
        PoolError: There is no such pool.
        AmbiguousId: Several are meant.
    """
    recounts = Recounts(store, data, registry or Registry())
    pools, found = find_pool(recounts, pool)
    statement = audit_pool(recounts, pools, found)
    if again is not None:
        done = statement.recomputed = recompute(recounts, pools, found, again)
        name = "the models give the drawn answers again"
        statement.checks.append(Check(name, done.passed, done.detail))
    return statement


def audit_pool(recounts: Recounts, pools: BenchmarkRecount, pool: RecountedPool) -> Statement:
    """Check a pool of a Benchmark, from logs that may have been read for another one already.

    Raises: PoolError if its token or data set is not in this run.
    """
    return _Audit(recounts, pools, pool).run()


def find_pool(recounts: Recounts, text: str) -> tuple[BenchmarkRecount, RecountedPool]:
    """Find a pool in any Benchmark's log. Raises: PoolError if none; AmbiguousId."""
    holders = {pool.id: pools for pools in recounts.benchmarks() for pool in pools.pools.values()}
    titles = {pool: pools.pools[pool].title for pool, pools in holders.items()}
    wanted = find_titled(text, titles, "pools")
    if wanted in holders:
        return holders[wanted], holders[wanted].pools[wanted]
    for reading in recounts.readings.values():
        for fault in reading.faults:
            raise ReplayDivergence(f"no pool {text[:60]!r} can be read: {fault}")
    raise PoolError(f"there is no pool {text[:60]!r}; see them with: benchpool pool list")


class _Audit:
    """The checks of one pool."""

    def __init__(self, recounts: Recounts, pools: BenchmarkRecount, pool: RecountedPool) -> None:
        self._store = recounts.store
        self._pools = pools
        self._pool = pool
        self._ledger = recounts.token(pools.token)
        self._dataset = recounts.dataset(pool.dataset)
        logs = dict.fromkeys((pools.info.id, pools.token, pool.dataset))
        self._readings = [recounts.readings[process] for process in logs]
        names = {identity: name for name, identity in self._store.names().items()}
        self._statement = Statement(pool, pools.token, pools.info.id, names)

    def run(self) -> Statement:
        statement, pool = self._statement, self._pool
        ranked, counts = self._rank()
        scores = {entry.model: self._score(entry) for entry in pool.entries.values()}
        answers = {model: score.answers for model, score in scores.items() if score}
        expected = expected_payments(pool, counts, answers)
        moved = [each for each in self._ledger.transfers.get(pool.id, []) if self._is_ours(each)]
        models = {each.reference: each.model for each in pool.payments}
        statement.paid = [
            Paid(
                each.time_ms,
                each.recipient,
                each.quantity,
                models.get(each.reference, ""),
                each.id,
            )
            for each in moved
        ]
        statement.supply = None if self._ledger.own else self._ledger.supply
        statement.status = self._status(moved)
        statement.rows = self._rows(ranked, counts, expected)
        add = statement.checks.append
        add(self._whole())
        add(check("every deposit is a transfer of the token", self._deposits(), self._came_in()))
        add(check("the terms are those that the funder asked for", pool.terms, ""))
        if not pool.first:
            add(self._bound())
        entries = f"{len(pool.entries)} {'entry' if len(pool.entries) == 1 else 'entries'}"
        add(check("every entry joined by the rules", pool.joins, entries))
        add(self._scores())
        add(self._once(counts))
        if not pool.first:
            add(settled_in_time(pool, self._pools.info, self._now_ms))
        settled = pool.settled >= 0
        add(due(settled, check("ranks and shares are those of the rule", *self._shares(expected))))
        add(due(settled, check("each was transferred and confirmed once", *self._transfers(moved))))
        add(due(settled, check("payouts and refunds add up to the funds", *self._sum(moved))))
        add(self._supply())
        return statement

    # -- working out -------------------------------------------------------------------------

    def _count(self, entry: RecountedEntry) -> Count:
        """Return the numbers that the Benchmark ranks an entry by, counted again."""
        score = self._score(entry)
        nothing = Count(0, 0, 0, 0)
        return (score.counted or nothing) if score is not None else nothing

    def _score(self, entry: RecountedEntry) -> Score | None:
        return self._dataset.scores.get((self._pools.info.id, entry.answered))

    def _rank(self) -> tuple[list[Ranked], dict[str, Count]]:
        counts = {model: self._count(entry) for model, entry in self._pool.entries.items()}
        standings = [
            Standing(
                entry.model,
                counts[entry.model].correct,
                counts[entry.model].evaluated,
                counts[entry.model].total,
                entry.joined_ms,
                entry.order,
            )
            for entry in self._pool.entries.values()
        ]
        return rank(standings), counts

    def _rows(
        self,
        ranked: list[Ranked],
        counts: dict[str, Count],
        expected: Payments,
    ) -> list[StatementRow]:
        ranks, settled = self._rank_sets(), self._statement.settled
        rows = []
        for place in ranked:
            entry, count = self._pool.entries[place.entry], counts[place.entry]
            n = count.total if settled else count.evaluated + count.unscored
            rows.append(
                StatementRow(
                    place.rank,
                    entry.model,
                    entry.name,
                    entry.participant,
                    entry.joined_ms,
                    *count,
                    standard_error=self._standard_error(count),
                    n=n,
                    accuracy=accuracy(count.correct, n),
                    interval=wilson(count.correct, n) if n else None,
                    rank_set=ranks[entry.model],
                    reward=expected.get((entry.participant, entry.model, ""), (0, 0))[0],
                )
            )
        return rows

    def _standard_error(self, count: Count) -> float | None:
        """Return that of the score: of all questions, in the first edition of those answered."""
        n = count.evaluated if self._pool.first or count.evaluated < 2 else count.total
        return standard_error(count.correct, n)

    @property
    def _now_ms(self) -> int:
        return int(self._store.fact("clock") or 0)

    @property
    def _questions(self) -> int | None:
        """How many questions the pool has; None for all that its data set has."""
        return self._dataset.known.get(self._pool.samples_hash)

    def _rank_sets(self) -> dict[str, RankSet]:
        sheets = {
            entry.model: self._dataset.sheet(
                entry.model,
                self._pool.protocol,
                score.position if (score := self._score(entry)) else 0,
                whole=self._statement.settled,
                most=self._questions,
            )
            for entry in self._pool.entries.values()
        }
        right = {model: sheet.right for model, sheet in sheets.items()}
        return rank_sets(right, met={model: sheet.met for model, sheet in sheets.items()})

    def _is_ours(self, transfer: Transfer) -> bool:
        return transfer.moved and transfer.sender == self._pools.info.id

    def _status(self, moved: list[Transfer]) -> str:
        pool = self._pool
        if pool.settled < 0:
            return (
                "settling"
                if pool.status != "open"
                else "closed"
                if (self._now_ms >= pool.end_ms)
                else "open"
            )
        if not moved or not all(each.debit in pool.confirmed for each in moved):
            return "settling"
        return "paid" if any(each.model and not each.bond for each in pool.payments) else "refunded"

    # -- checks ------------------------------------------------------------------------------

    def _whole(self) -> Check:
        faults = [fault for reading in self._readings for fault in reading.faults]
        read = sum(reading.entries for reading in self._readings)
        detail = f"{read:,} messages of token, Benchmark and data set"
        return check("the logs are whole: nonces, hash chains, ids", faults, detail)

    def _came_in(self) -> str:
        pool = self._pool
        count, bonds = len(pool.deposits), sum(each.quantity for each in pool.bonds)
        more = f", and {bonds} of bonds" if bonds else ""
        return f"{count} deposit{'s' * (count != 1)}, {pool.funds} winston{more}"

    def _deposits(self) -> list[str]:
        problems = []
        seen: set[str] = set()
        for deposit in (*self._pool.deposits, *self._pool.bonds):
            credit = self._ledger.credits.get(deposit.reference)
            said = (self._pools.info.id, deposit.sender, deposit.quantity, deposit.root)
            if credit is None or tuple(credit) != said or deposit.reference in seen:
                problems.append(f"the token did not send Credit-Notice {deposit.notice}")
            seen.add(deposit.reference)
        return problems

    def _bound(self) -> Check:
        """Check that data set and questions are those that the pool is bound to."""
        pool, dataset = self._pool, self._dataset
        problems = list(self._pools.problems)
        if pool.samples_hash and pool.samples_hash not in dataset.known:
            problems.append("the data set never had the questions of the pool")
        if pool.sealed and pool.samples_hash and dataset.seal != pool.sealed:
            problems.append("the questions that were revealed are not those that were sealed")
        chance = dataset.judge.chance(dataset.samples)
        # One of longer numbers than a pool reads is rounded up, by less than a millionth.
        if chance is not None and not 0 <= Fraction(pool.chance) - chance < Fraction(1, 10**6):
            problems.append(f"the pool's chance is {pool.chance}, and its questions give {chance}")
        questions = f"questions {pool.samples_hash[:16] or 'sealed'}"
        detail = f"{pool.binding['Dataset-Module']} {pool.dataset[:8]}, {questions}"
        router = self._store.process(pool.router)
        if router is not None:
            workers = router.tags.get("Worker-Modules") or "LlamaWorker"
            detail += f", {router.module} {router.id[:8]} with workers of {workers}"
        return check("data set and questions are those of the pool", problems, detail)

    def _scores(self) -> Check:
        problems = [*self._dataset.problems, *self._pool.asks]
        asked = 0
        for (asker, _), score in self._dataset.scores.items():
            if asker != self._pools.info.id or score.protocol != self._pool.protocol:
                continue
            if score.model not in self._pool.entries:
                continue
            asked += 1
            if score.wrong:
                problems.append(f"position {score.position} of the data set: {score.wrong}")
            if score.said != score.counted:
                problems.append(
                    f"position {score.position} of the data set: it said {_numbers(score.said)} of"
                    f" {score.model}, the answers give {_numbers(score.counted)}"
                )
        detail = f"{asked} score{'s' * (asked != 1)}, judged again from the answers"
        return check("every score is what the answers give", problems, detail)

    def _once(self, counts: dict[str, Count]) -> Check:
        questions = self._questions or len(self._dataset.samples)
        problems = [
            f"{model} has {count.total} rows for {questions} questions"
            for model, count in counts.items()
            if count.total > questions or count.evaluated + count.unscored > count.total
        ]
        counted = sum(count.evaluated for count in counts.values())
        detail = f"{counted:,} answer{'s' * (counted != 1)} counted"
        if self._dataset.repeated:
            detail += f"; {self._dataset.repeated:,} that nobody waited for were not"
        return check("one answer counts for each question and entry", problems, detail)

    def _shares(self, expected: Payments) -> tuple[list[str], str]:
        """Compare what the Benchmark settled with what the rules give."""
        pool = self._pool
        first = [each for each in pool.payments if each.position == pool.settled]
        sent: Payments = {key_of(each): (each.quantity, each.rank) for each in first}
        problems = [
            f"{key[0]} was given {sent.get(key, (0, 0))[0]} winston"
            f"{f' for {key[1]}' if key[1] else ''}, the rule gives {expected.get(key, (0, 0))[0]}"
            for key in sorted({*sent, *expected})
            if sent.get(key) != expected.get(key)
        ]
        if len(first) != len(sent):
            problems.append("somebody was paid twice for the same entry")
        return problems, pool.allocation

    def _transfers(self, moved: list[Transfer]) -> tuple[list[str], str]:
        pool = self._pool
        problems = []
        settled = {
            key_of(each): each.quantity for each in pool.payments if each.position == pool.settled
        }
        by_reference = {each.reference: each for each in pool.payments}
        done: dict[tuple[str, str, str], int] = {}
        for transfer in moved:
            payment = by_reference.get(transfer.reference)
            said = (transfer.recipient, transfer.quantity)
            if payment is None or (payment.recipient, payment.quantity) != said:
                problems.append(f"transfer {transfer.id} is no payment that the Benchmark decided")
                continue
            key = key_of(payment)
            done[key] = done.get(key, 0) + 1
            confirmed = pool.confirmed.count(transfer.debit)
            if confirmed != 1:
                problems.append(f"transfer {transfer.id} was confirmed {confirmed} times")
        for key in sorted({*settled, *done}):
            if done.get(key, 0) != 1:
                who = f"{key[0]} for {key[1]}" if key[1] else key[0]
                problems.append(f"{who} was paid {done.get(key, 0)} times")
        return problems, f"{len(moved)} transfer{'s' * (len(moved) != 1)}"

    def _sum(self, moved: list[Transfer]) -> tuple[list[str], str]:
        bonds = sum(each.quantity for each in self._pool.bonds)
        total, funds = sum(each.quantity for each in moved), self._pool.funds + bonds
        text = f"{total} of {funds} winston"
        return ([] if total == funds else [text]), text

    def _supply(self) -> Check:
        if self._ledger.own:
            token = self._store.process(self._pools.token)
            code = "" if token is None else f"module {token.module}, which a replay runs again"
            name = "the token's notices agree; its ledger is its own"
            return check(name, self._ledger.problems, code)
        problems = list(self._ledger.problems)
        held = sum(self._ledger.balances.values())
        if held != self._ledger.supply:
            problems.append(f"the supply is {self._ledger.supply}, the balances add up to {held}")
        holders = sum(1 for amount in self._ledger.balances.values() if amount)
        detail = f"supply {held} winston, {holders} account{'s' * (holders != 1)}"
        return check("no winston was made or lost in the token", problems, detail)


def _numbers(count: Count | None) -> str:
    if count is None:
        return "nothing"
    return f"{count.correct} correct of {count.evaluated} evaluated, {count.total} in all"
