"""Invariants: what holds after every simulated run, whatever went wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Message
from benchpool.ao.wire import SignedAssignment
from benchpool.audit.audit import audit_pool
from benchpool.audit.links import said_by
from benchpool.audit.overdue import NAME
from benchpool.audit.recounts import Recounts
from benchpool.audit.replay import Replayer
from benchpool.audit.statement import Statement
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.simulation.faults import Faults
from benchpool.simulation.faulty_modules import RAISED
from benchpool.simulation.plan import Plan
from benchpool.simulation.record import Record, differences, rows_of
from benchpool.units.scheduler import assignment_digest

_MOST_SHOWN: Final = 5
SETTLED: Final = ("paid", "refunded")
OF_SETTLING: Final = (
    NAME,
    "each was transferred and confirmed once",
    "payouts and refunds add up to the funds",
)


class Violation(NamedTuple):
    """An invariant that does not hold."""

    invariant: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that the invariants look at."""

    plan: Plan
    record: Record
    whole: Record
    """Of the run of the same plan that must end like this one."""
    acknowledged: list[tuple[str, str]]
    network: Network
    """At rest, on the home that the run left."""
    registry: Registry

    @cached_property
    def recounts(self) -> Recounts:
        """What the logs give."""
        return Recounts(self.network.store, self.network.data, self.registry)

    @cached_property
    def audits(self) -> list[Statement]:
        """The statement of every pool."""
        return [
            audit_pool(self.recounts, pools, pool)
            for pools in self.recounts.benchmarks()
            for pool in pools.pools.values()
        ]

    def pool(self, statement: Statement) -> Any:
        """Return what the Benchmark itself holds of a pool."""
        return self.record.resolved[statement.benchmark].state.pools[statement.pool.id]


def violations(evidence: Evidence) -> list[Violation]:
    """Check every invariant; return what does not hold."""
    found = []
    for name, check in INVARIANTS.items():
        found += [Violation(name, text) for text in islice(check(evidence), _MOST_SHOWN)]
    return found


def _evaluated(evidence: Evidence) -> Iterator[str]:
    record = evidence.record
    if record.pending:
        yield f"{record.pending} messages are pending"
    for info in record.processes:
        for message, result in record.logs[info.id]:
            if result is None:
                yield f"{message.action} {message.id[:8]} in {info.module} was never evaluated"


def _explained(evidence: Evidence) -> Iterator[str]:
    """Every message whose handler failed says why, and has left nothing behind."""
    plan = evidence.plan
    faults = Faults(str(plan.seed), plan.rates)
    refused = ("is not trusted!",)
    for info in evidence.record.processes:
        for message, result in evidence.record.logs[info.id]:
            if result is None:
                continue
            if result.error and (result.messages or result.spawns or result.assignments):
                yield f"{message.action} {message.id[:8]} failed and sent something all the same"
            handled = message.type != "Process" and not any(
                text in result.output for text in refused
            )
            if handled and faults.strikes("raise", message.id) and not result.error:
                yield f"{message.action} {message.id[:8]} failed ({RAISED}) and does not say so"


def _linked(evidence: Evidence) -> Iterator[str]:
    for party, log in evidence.record.logs.items():
        yield from broken_links(
            party, [entry.message for entry in log], evidence.network.store.signed_assignment
        )


def broken_links(
    party: str,
    log: list[Message],
    signed: Callable[[str, int], SignedAssignment | None] = lambda _party, _position: None,
) -> Iterator[str]:
    """Say where a log has a gap or its hash chain is broken.

    Args:
        party: whose log it is.
        log: what it holds.
        signed: what the scheduler signed of a place in it, see `Store.signed_assignment`.
    """
    last: Message | None = None
    for place, message in enumerate(log):
        if message.position != place:
            yield f"{party[:8]}: position {message.position} stands at {place}"
        if message.cron:
            continue
        nonce = -1 if last is None else last.nonce
        if message.nonce != nonce + 1:
            yield f"{party[:8]}: nonce {message.nonce} follows {nonce}"
        if last is None:
            chain = sha256(decode_id(party)).digest()
        else:
            before = decode_id(last.hash_chain)
            made = signed(party, last.position)
            assignment = assignment_digest(last, before) if made is None else made.id
            chain = sha256(assignment + before).digest()
        if message.hash_chain != encode_id(chain):
            yield f"{party[:8]}: the hash chain breaks at nonce {message.nonce}"
        last = message


def _ordered(evidence: Evidence) -> Iterator[str]:
    """What one process says to another comes to it in the order in which it was said."""
    for party, log in evidence.record.logs.items():
        latest: dict[str, int] = {}
        for message, _ in log:
            if not message.from_module or message.type == "Process" or message.target != party:
                continue
            last, number = latest.get(message.sender, -1), int(message.reference)
            if number <= last:
                yield (
                    f"{message.action} {message.id[:8]} of {message.from_module}, its message"
                    f" {number}, comes after its message {last}"
                )
            latest[message.sender] = number


def _identified(evidence: Evidence) -> Iterator[str]:
    """An id stands for one message, wherever it is logged, and once in a log."""
    said: dict[str, tuple[object, ...]] = {}
    for party, log in evidence.record.logs.items():
        here: set[str] = set()
        for message, _ in log:
            if message.id in here:
                yield f"{party[:8]}: {message.action} {message.id[:8]} is logged twice"
            if said.setdefault(message.id, said_by(message)) != said_by(message):
                yield f"{message.action} {message.id[:8]} is the id of two messages"
            here.add(message.id)


def _acknowledged(evidence: Evidence) -> Iterator[str]:
    kept = {
        (party, entry.message.id) for party, log in evidence.record.logs.items() for entry in log
    }
    for party, message_id in evidence.acknowledged:
        if (party, message_id) not in kept:
            yield f"message {message_id[:8]} to {party[:8]} was acknowledged and is lost"


def _replays(evidence: Evidence) -> Iterator[str]:
    """Fold every log again from its first message, without a model."""
    network, record = evidence.network, evidence.record
    replay = Replayer(network.store, network.data, registry=evidence.registry).run()
    if replay.difference is not None:
        yield str(replay.difference)
        return
    for folded in replay.processes:
        identity, process = folded.info.id, folded.instance.process
        if process.dump() != record.memories[identity]:
            yield f"{folded.name or identity}: the log folds to another state"
        if rows_of(process) != record.tables[identity]:
            yield f"{folded.name or identity}: the log folds to other rows"
        for extension in folded.instance.extensions:
            extension.close()


def _audited(evidence: Evidence) -> Iterator[str]:
    """Every pool passes its audit, and the Benchmark knows of no other."""
    # A notice whose handler raised is gone for good: then a payment may be unconfirmed for ever.
    # A tick whose handler raised settles nothing before the next one.
    raises = bool(evidence.plan.rates.get("raise"))
    for statement in evidence.audits:
        settled = evidence.pool(statement).status in SETTLED
        for check in statement.checks:
            excused = raises and not settled and check.name in OF_SETTLING
            if check.passed is False and not excused:
                yield f"pool {statement.pool.id[:8]}: {check.name}: {check.detail}"
    for pools in evidence.recounts.benchmarks():
        held = evidence.record.resolved[pools.info.id].state.pools
        if list(held) != list(pools.pools):
            yield f"the Benchmark has {len(held)} pools, its log tells of {len(pools.pools)}"


def _settled(evidence: Evidence) -> Iterator[str]:
    """Every pool is settled some days after its end, if no handler failed on the way."""
    if not evidence.plan.rates.get("raise"):
        for statement in evidence.audits:
            if statement.status not in SETTLED:
                yield f"pool {statement.pool.id[:8]} is still {statement.status} after its end"


def _supplied(evidence: Evidence) -> Iterator[str]:
    """What the token holds is what its log adds up to."""
    for token in evidence.record.modules("WrappedAR"):
        state = evidence.record.state(token)
        ledger = evidence.recounts.token(evidence.record.names[token])
        held = {account: amount for account, amount in state.balances.items() if amount}
        told = {account: amount for account, amount in ledger.balances.items() if amount}
        if not state.supply == ledger.supply == sum(held.values()):
            yield (
                f"the supply is {state.supply}, the balances sum to {sum(held.values())}, and the"
                f" log tells of {ledger.supply}"
            )
        for account in sorted({*held, *told}):
            if held.get(account) != told.get(account):
                yield f"the balance of {account} is {held.get(account)}, not {told.get(account)}"
        yield from ledger.problems


def _accounted(evidence: Evidence) -> Iterator[str]:
    """A Benchmark holds what came in and has not gone out, if no handler failed on the way."""
    if evidence.plan.rates.get("raise"):
        return
    for pools in evidence.recounts.benchmarks():
        state = evidence.record.resolved[pools.info.id].state
        payments = [each for each in state.payments.values() if each.status != "resent"]
        came = state.kept + sum(pool.funds for pool in state.pools.values())
        entries = (entry for pool in state.pools.values() for entry in pool.models.values())
        came += sum(entry.bond for entry in entries)
        came += sum(join.bond for join in state.joins.values())
        came += sum(each.quantity for each in payments if not each.pool)
        went = sum(each.quantity for each in payments if each.status == "paid")
        held = evidence.recounts.token(pools.token).balances.get(pools.info.id, 0)
        if held != came - went:
            yield f"the Benchmark holds {held}; {came} came in, and {went} went out"


def _counted_once(evidence: Evidence) -> Iterator[str]:
    """Every score, whoever asked for it, and every row of a data set is what its log gives."""
    for name in evidence.record.modules("SiqaDataset"):
        identity = evidence.record.names[name]
        recount = evidence.recounts.dataset(identity)
        yield from recount.problems
        for score in recount.scores.values():
            if score.said is not None and score.said != score.counted:
                yield f"a score of {score.model[:8]} says {score.said}, not {score.counted}"
        rows = [row for row in evidence.record.tables[identity] if row[0] == "evaluations"]
        if len({(row[2], row[3]) for row in rows}) != len(rows):
            yield "a sample has two rows for one model"
        done = sum("done" in row for row in rows)
        if done != recount.done:
            yield f"{done} evaluations are done, and the log tells of {recount.done}"


def _boarded(evidence: Evidence) -> Iterator[str]:
    """Numbers, ranks and rewards that the Benchmark holds are those of the audit."""
    for statement in evidence.audits:
        pool = evidence.pool(statement)
        if pool.funds != statement.pool.funds:
            yield f"pool {pool.id[:8]} holds {pool.funds}, and {statement.pool.funds} came in"
        for row in statement.rows:
            entry = pool.models[row.model]
            numbers = (entry.correct, entry.evaluated, entry.unscored, entry.total)
            counted = (row.correct, row.evaluated, row.unscored, row.total)
            if numbers != counted and row.evaluated:
                yield f"pool {pool.id[:8]}, {row.name}: the board says {numbers}, not {counted}"
            place = (entry.rank, entry.reward)
            if statement.pool.settled >= 0 and place != (row.rank, row.reward):
                yield (
                    f"pool {pool.id[:8]}, {row.name}: rank and reward {place}, not"
                    f" {(row.rank, row.reward)}"
                )


INVARIANTS: Final[dict[str, Callable[[Evidence], Iterator[str]]]] = {
    "every pool passes its audit": _audited,
    "every pool is settled": _settled,
    "supply conserved": _supplied,
    "a Benchmark's balance is accounted for": _accounted,
    "each evaluation counts once": _counted_once,
    "board follows from the log": _boarded,
    "replay verifies": _replays,
    "every message is evaluated": _evaluated,
    "every failure is explained": _explained,
    "nonces and hash chain": _linked,
    "an id stands for one message": _identified,
    "messages keep their order": _ordered,
    "nothing acknowledged is lost": _acknowledged,
    "crash equivalence": lambda e: differences(e.record, e.whole),
}
