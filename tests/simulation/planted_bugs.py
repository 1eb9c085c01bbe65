"""Bugs put into the engine and the processes one at a time, to see which invariant finds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, select

from benchpool.ao import message as message_module
from benchpool.ao.message import Message
from benchpool.extensions.database import Database
from benchpool.pools import settlement
from benchpool.pools.copies import Copies, find_copies
from benchpool.process.state import Journal
from benchpool.store.sqlite import SqliteStore
from benchpool.units import folding
from benchpool.units.compute import ComputeUnit
from benchpool.units.lanes import Lanes
from benchpool.units.messenger import MessengerUnit
from processes.benchmark import Benchmark
from processes.dataset.evaluations import Evaluations, Statements
from processes.pool.pool import Entry
from processes.workers.workforce import Workforce
from processes.wrapped_ar import WrappedAR


class Bug(NamedTuple):
    """A bug, and invariants that find it."""

    plant: Callable[[pytest.MonkeyPatch], None]
    found_by: set[str]


def _pay_before_recording(patch: pytest.MonkeyPatch) -> None:
    """What a round sends is committed before its results are."""

    def round_(self: Any) -> None:
        batch, self._pending = self._pending, []
        results, careful = self._evaluate(batch)
        for message, result in zip(batch, results, strict=True):
            self._push(message, result)
        self._store.commit(self._clock.now())
        for message, result in zip(batch, results, strict=True):
            self._store.record(message, result)
        if careful:
            self._compute.save_databases()
        self._store.commit(self._clock.now())

    patch.setattr(MessengerUnit, "_round", round_)


def _database_before_log(patch: pytest.MonkeyPatch) -> None:
    """A private database is committed before the messages that it wrote for are in the log."""

    def evaluate(self: Any, batch: Any) -> tuple[Any, bool]:
        careful = any(self._compute.uses_database(message.process) for message in batch)
        return self._compute.evaluate_round(batch), careful

    patch.setattr(MessengerUnit, "_evaluate", evaluate)


def _drop_a_retry(patch: pytest.MonkeyPatch) -> None:
    """A payment that the token refused is forgotten."""

    def pay_due(self: Any) -> None:
        self.state.due = []

    patch.setattr(Benchmark, "_pay_due", pay_due)


def _count_twice(patch: pytest.MonkeyPatch) -> None:
    """A second answer to a question is passed on, and counts for a question that has none."""
    answered, finish = Workforce.answered, Evaluations.finish

    def answered_again(self: Any, message: Message) -> None:
        reference = message.tags.get("X-Reference")
        worker = self.state.workers.get(message.sender)
        work = None if worker is None else worker.open.get(reference)
        answered(self, message)
        if work is not None:
            worker.open[reference] = work

    def by_reference(self: Statements) -> Any:
        reference = self.tables.evaluations.c.inference_reference
        return self._task().where(reference == bindparam("reference"))

    def finish_again(self: Evaluations, task: Any, values: Any, now_ms: int) -> None:
        rows = self._tables.evaluations.c
        status, model = self._session.execute(
            select(rows.status, rows.model_id).where(rows.id == task.id)
        ).one()
        if status == "done":
            other = select(rows.id).where(rows.model_id == model, rows.status != "done")
            task = task._replace(id=self._session.scalar(other.limit(1)) or task.id)
        finish(self, task, values, now_ms)

    answered_again.__dict__.update(answered.__dict__)
    patch.setattr(Workforce, "answered", answered_again)
    patch.setattr(Statements, "by_reference", property(by_reference))
    patch.setattr(Evaluations, "finish", finish_again)


def _lose_a_round(patch: pytest.MonkeyPatch) -> None:
    """What was pending when the program died is not taken up again."""
    patch.setattr(MessengerUnit, "resume", lambda self: 0)


def _forget_the_counter(patch: pytest.MonkeyPatch) -> None:
    """The number of messages sent is written when the home is closed, and not with the messages."""
    set_fact = SqliteStore.set_fact

    def sparing(self: SqliteStore, name: str, value: str) -> None:
        if name != "sent":
            set_fact(self, name, value)

    patch.setattr(SqliteStore, "set_fact", sparing)


def _double(patch: pytest.MonkeyPatch) -> None:
    """A transfer to oneself reads the balance before it is written."""

    def transfer(self: Any, message: Message) -> None:
        before = self.state.balances.get(message.sender, 0)
        original(self, message)
        if message.tags.get("Recipient") == message.sender:
            quantity = message.tags.get("Quantity")
            if self.state.balances.get(message.sender, 0) == before and before >= int(quantity):
                self.state.balances[message.sender] = before + int(quantity)

    original = WrappedAR.transfer
    transfer.__dict__.update(original.__dict__)
    patch.setattr(WrappedAR, "transfer", transfer)


def _keep_what_failed(patch: pytest.MonkeyPatch) -> None:
    """The state keeps what a handler wrote before it raised."""
    patch.setattr(Journal, "rollback", lambda self: self.steps.clear())


def _write_twice(patch: pytest.MonkeyPatch) -> None:
    """Results that a private database has and the log has not are not looked at."""
    load = ComputeUnit._load

    def forgetful(self: Any, process_id: str) -> Any:
        instance = load(self, process_id)
        instance.adopted.clear()
        return instance

    patch.setattr(ComputeUnit, "_load", forgetful)


def _refund_twice(patch: pytest.MonkeyPatch) -> None:
    """What made no pool is sent back twice."""

    def pay(self: Any, payment: Any) -> None:
        original(self, payment)
        if not payment.pool:
            self.send(self.state.token, "Transfer", payment.tags(self.next_reference))

    original = Benchmark._pay
    patch.setattr(Benchmark, "_pay", pay)


def _blame_the_message(patch: pytest.MonkeyPatch) -> None:
    """A disk that is full in a handler is recorded as the message's own failure."""
    patch.setattr(folding, "is_outage", lambda _error: False)


def _keep_the_lock(patch: pytest.MonkeyPatch) -> None:
    """A private database that could not be made is not closed."""
    made, close = Database.__init__, Database.close

    def init(self: Any, *args: Any, **settings: Any) -> None:
        self._making = True
        made(self, *args, **settings)
        self._making = False

    def close_if_made(self: Any) -> None:
        if self._making:
            _LOCKED.append(self)
        else:
            close(self)

    patch.setattr(Database, "__init__", init)
    patch.setattr(Database, "close", close_if_made)


_LOCKED: list[Any] = []


# -- lanes of a served network -----------------------------------------------------------------


def _record(take: Callable[[Any, list[Any], list[Any]], None]) -> Callable[..., None]:
    """Make a `finish` that records and pushes a batch in another way."""

    def finish(self: Any, batch: Any, outcome: Any, seconds: float) -> None:
        if isinstance(outcome, BaseException):
            raise outcome
        for listener in tuple(self._listeners):
            listener("heavy", batch, outcome, seconds)
        take(self, batch, outcome)
        process = batch[0].process
        self.lanes.leave(process)
        self._waiting[process] = self._waiting.get(process, 0) - len(batch)
        self._compute.save_databases(self.lanes.busy())

    return finish


def _keep(self: Any, batch: Any, outcome: Any) -> None:
    for message, result in zip(batch, outcome, strict=True):
        self._store.record(message, result)
        self._push(message, result)


def _reverse_a_batch(patch: pytest.MonkeyPatch) -> None:
    """The results of a batch in a lane are recorded in reverse order."""

    def take(self: Any, batch: Any, outcome: Any) -> None:
        _keep(self, batch, outcome[::-1])

    patch.setattr(MessengerUnit, "finish", _record(take))


def _push_in_reverse(patch: pytest.MonkeyPatch) -> None:
    """What a batch in a lane put out is pushed in reverse order."""

    def take(self: Any, batch: Any, outcome: Any) -> None:
        _keep(self, batch[::-1], outcome[::-1])

    patch.setattr(MessengerUnit, "finish", _record(take))


def _drop_in_a_lane(patch: pytest.MonkeyPatch) -> None:
    """Of several messages in a lane, the last one is never evaluated."""
    start = Lanes.start

    def start_less(self: Any) -> None:
        for process, batch in self._waiting.items():
            if process not in self._running and len(batch) > 1:
                batch.pop()
        start(self)

    patch.setattr(Lanes, "start", start_less)


def _finish_twice(patch: pytest.MonkeyPatch) -> None:
    """A batch in a lane is taken twice."""

    def take(self: Any, batch: Any, outcome: Any) -> None:
        _keep(self, batch, outcome)
        _keep(self, batch, outcome)

    patch.setattr(MessengerUnit, "finish", _record(take))


def _lose_the_lanes(patch: pytest.MonkeyPatch) -> None:
    """What was in lanes when the program ended is not taken up."""
    resume = MessengerUnit.resume

    def resume_light(self: Any) -> int:
        resume(self)
        self._pending = [
            message
            for message in self._pending
            if not self._compute.instance(message.process).process.heavy
        ]
        return len(self._pending)

    patch.setattr(MessengerUnit, "resume", resume_light)


def _two_lanes(patch: pytest.MonkeyPatch) -> None:
    """A process begins its next batch before the last one is done."""

    def start(self: Any) -> None:
        for process in list(self._waiting):
            batch = self._waiting.pop(process)
            self._running.setdefault(process, []).extend(batch)
            self._executor.submit(self._work, process, batch)

    def leave(self: Any, process: str) -> None:
        self._running.pop(process, None)

    patch.setattr(Lanes, "start", start)
    patch.setattr(Lanes, "leave", leave)


# -- order and ids -----------------------------------------------------------------------------


def _round_in_reverse(patch: pytest.MonkeyPatch) -> None:
    """What a round put out is pushed in reverse order."""
    evaluate = MessengerUnit._evaluate

    def evaluate_and_turn(self: Any, batch: Any) -> Any:
        results, careful = evaluate(self, batch)
        batch.reverse()
        return results[::-1], careful

    patch.setattr(MessengerUnit, "_evaluate", evaluate_and_turn)


def _id_without(place: int) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        encoder = message_module._canonical

        class Forgetful:
            def encode_into(self, parts: tuple[Any, ...], buffer: bytearray) -> None:
                encoder.encode_into(parts[:place] + parts[place + 1 :], buffer)

        patch.setattr(message_module, "_canonical", Forgetful())

    plant.__doc__ = f"An id leaves out the {_FIELDS[place]} of what is said, wherever it is made."
    return plant


_FIELDS = {6: "anchor", 7: "reference", 8: "root"}


# -- pools -------------------------------------------------------------------------------------


def _pay_the_third_copy(patch: pytest.MonkeyPatch) -> None:
    """Of three entries with the same weights, the third is paid too."""

    def find(contenders: Any, *, merge_near: bool = False) -> Copies:
        found = find_copies(contenders, merge_near=merge_near)
        known: set[str] = set()
        for entry, likeness in list(found.identical.items()):
            if likeness.original in known:
                del found.identical[entry]
            known.add(likeness.original)
        return found

    patch.setattr(settlement, "find_copies", find)


def _top_up_once(patch: pytest.MonkeyPatch) -> None:
    """A second top-up of one contributor is added to the funds, and not to what came from it."""
    original = Benchmark._top_up

    def top_up(self: Any, notice: Message, sender: str, quantity: int) -> None:
        pool = self.state.pools.get(notice.tags["X-Pool"])
        before = None if pool is None else pool.contributions.get(sender)
        original(self, notice, sender, quantity)
        if before is not None:
            pool.contributions[sender] = before

    patch.setattr(Benchmark, "_top_up", top_up)


def _fund_once(patch: pytest.MonkeyPatch) -> None:
    """A second top-up of one contributor is taken and counts for nothing."""
    original = Benchmark._top_up

    def top_up(self: Any, notice: Message, sender: str, quantity: int) -> None:
        pool = self.state.pools.get(notice.tags["X-Pool"])
        again = pool is not None and sender in pool.contributions and sender != pool.funder
        original(self, notice, sender, 0 if again else quantity)

    patch.setattr(Benchmark, "_top_up", top_up)


def _forget_a_contributor(patch: pytest.MonkeyPatch) -> None:
    """A refund of several goes to all but one, and the first gets that one's part."""
    original = Benchmark._end

    def end(self: Any, pool: Any, payments: Any, refunds: Any, reason: str) -> None:
        given = dict(refunds)
        if len(given) > 1:
            _, lost = given.popitem()
            given[next(iter(given))] += lost
        original(self, pool, payments, given, reason)

    patch.setattr(Benchmark, "_end", end)


def _free_bond(patch: pytest.MonkeyPatch) -> None:
    """A copy gets its bond back."""
    patch.setattr(Entry, "forfeits", property(lambda self: False))


BUGS = {
    "pay before recording": Bug(_pay_before_recording, {"crash equivalence", "replay verifies"}),
    "database before log": Bug(_database_before_log, {"the run ends"}),  # the home is refused
    "drop a retry": Bug(_drop_a_retry, {"every pool is settled"}),
    "count an answer twice": Bug(_count_twice, {"each evaluation counts once"}),
    "lose a round": Bug(_lose_a_round, {"the run ends"}),
    "forget the counter": Bug(_forget_the_counter, {"crash equivalence"}),
    "double by a transfer to oneself": Bug(_double, {"supply conserved"}),
    "keep what failed": Bug(
        _keep_what_failed, {"supply conserved", "crash equivalence", "replay verifies"}
    ),
    "refund twice": Bug(_refund_twice, {"a Benchmark's balance is accounted for"}),
    "write twice": Bug(_write_twice, {"crash equivalence", "replay verifies"}),
    "blame the message": Bug(_blame_the_message, {"crash equivalence"}),
    "keep a lock": Bug(_keep_the_lock, {"the run ends"}),
    "reverse a batch": Bug(_reverse_a_batch, {"replay verifies"}),
    "push a batch in reverse": Bug(_push_in_reverse, {"messages keep their order"}),
    "drop in a lane": Bug(_drop_in_a_lane, {"every message is evaluated", "the run ends"}),
    "finish a lane twice": Bug(_finish_twice, {"replay verifies"}),
    "lose the lanes": Bug(_lose_the_lanes, {"every message is evaluated", "the run ends"}),
    "two lanes of one process": Bug(_two_lanes, {"replay verifies", "the run ends"}),
    "push a round in reverse": Bug(_round_in_reverse, {"messages keep their order"}),
    "an id without the anchor": Bug(_id_without(6), {"an id stands for one message"}),
    "an id without the reference": Bug(_id_without(7), {"an id stands for one message"}),
    "pay the third copy": Bug(_pay_the_third_copy, {"every pool passes its audit"}),
    "forget who topped up": Bug(_top_up_once, {"every pool passes its audit"}),
    "top up for nothing": Bug(_fund_once, {"every pool passes its audit"}),
    "forget a contributor": Bug(_forget_a_contributor, {"every pool passes its audit"}),
    "give a copy's bond back": Bug(_free_bond, {"every pool passes its audit"}),
}
