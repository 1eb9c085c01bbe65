"""Bugs put into the engine and the processes one at a time, to see which invariant finds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, select

from benchpool.ao.message import Message
from benchpool.process.state import Journal
from benchpool.store.sqlite import SqliteStore
from benchpool.units.compute import ComputeUnit
from benchpool.units.messenger import MessengerUnit
from processes.benchmark import Benchmark
from processes.dataset.evaluations import Evaluations, Statements
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
}
