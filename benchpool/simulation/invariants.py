"""Invariants: what holds after every simulated run, whatever went wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final, NamedTuple

from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Message
from benchpool.audit.replay import Replayer
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.simulation.faults import Faults
from benchpool.simulation.faulty_modules import RAISED
from benchpool.simulation.ledger_check import (
    check_payouts,
    check_ranks,
    check_settled,
    check_supply,
)
from benchpool.simulation.plan import Plan
from benchpool.simulation.record import Record, differences, rows_of
from benchpool.simulation.scoring_check import check_board, check_counted_once
from benchpool.units.scheduler import assignment_digest

_MOST_SHOWN: Final = 5


class Violation(NamedTuple):
    """An invariant that does not hold."""

    invariant: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the invariants look at."""

    plan: Plan
    record: Record
    whole: Record
    """Of the run of the same plan that was never interrupted."""
    acknowledged: list[tuple[str, str]]
    network: Network
    """At rest, on the home that the run left."""
    registry: Registry


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
        yield from broken_links(party, [entry.message for entry in log])


def broken_links(party: str, log: list[Message]) -> Iterator[str]:
    """Say where a log has a gap or its hash chain is broken."""
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
            chain = sha256(assignment_digest(last, before) + before).digest()
        if message.hash_chain != encode_id(chain):
            yield f"{party[:8]}: the hash chain breaks at nonce {message.nonce}"
        last = message


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


def _settled(evidence: Evidence) -> Iterator[str]:
    # A notice whose handler raised is gone for good: then a pool may wait for ever.
    if not evidence.plan.rates.get("raise"):
        yield from check_settled(evidence.record)


INVARIANTS: Final[dict[str, Callable[[Evidence], Iterator[str]]]] = {
    "supply conserved": lambda e: check_supply(e.record),
    "payouts are the funds, once": lambda e: check_payouts(e.record),
    "every pool is settled": _settled,
    "each evaluation counts once": lambda e: check_counted_once(e.record, e.plan.samples),
    "board follows from the log": lambda e: check_board(e.record, e.plan.samples),
    "ranks follow from the board": lambda e: check_ranks(e.record),
    "replay verifies": _replays,
    "every message is evaluated": _evaluated,
    "every failure is explained": _explained,
    "nonces and hash chain": _linked,
    "nothing acknowledged is lost": _acknowledged,
    "crash equivalence": lambda e: differences(e.record, e.whole),
}
