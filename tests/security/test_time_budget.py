import threading
import time

import pytest

from benchpool.ao.message import Message
from benchpool.process.process import Process, State, handler
from benchpool.units.budget import TimeBudget, TimeBudgetExceeded
from benchpool.units.limits import Limits

# If garbage is collected just then, the exception lands in the callback of a weak reference, which
# prints and drops it; the watchdog's next look raises it again.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

QUICK = Limits(evaluation_seconds=0.15)


class Rows(State):
    rows: int = 0


class Keeper(Process):
    """Writes to a private database, then does not end."""

    state: Rows
    extensions = ("Database",)

    def on_spawn(self, message: Message) -> None:
        self.database.session.connection().exec_driver_sql("CREATE TABLE t (n INTEGER)")

    @handler("Add")
    def add(self, message: Message) -> None:
        connection = self.database.session.connection()
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        self.state.rows += 1
        while "Forever" in message.tags:
            connection.exec_driver_sql("INSERT INTO t VALUES (2)")

    @handler("Count")
    def count(self, message: Message) -> None:
        rows = self.database.session.connection().exec_driver_sql("SELECT count(*) FROM t")
        self.reply(message, "Counted", {"Rows": rows.scalar()})


class Heavy(Process):
    state: Rows
    heavy = True

    @handler("Add")
    def add(self, message: Message) -> None:
        self.state.rows += 1
        while "Forever" in message.tags:
            pass


def test_an_endless_handler_ends_and_the_network_goes_on(make):
    network = make(limits=QUICK)
    network.spawn("Rogue", name="rogue")
    network.spawn("Rogue", name="other")
    for name in ("rogue", "other"):
        network.post(name, "Note")
    bad = network.post("rogue", "Loop")
    after = [network.post(name, "Note") for name in ("rogue", "other")]
    start = time.monotonic()
    network.run()
    assert time.monotonic() - start < 2
    assert bad.error == "Loop exceeded its time budget of 0.15 s"
    assert bad.result.messages == ()
    assert [sent.reply("Noted").tags["Count"] for sent in after] == ["2", "2"]
    assert "loop" not in network.process("rogue").state.words
    assert network.send("rogue", "Note").reply("Noted").tags["Count"] == "3"


def test_a_handler_that_catches_the_end_is_undone_too(make):
    network = make(limits=QUICK)
    network.spawn("Rogue", name="rogue")
    assert "time budget" in network.send("rogue", "Stubborn").error
    assert network.send("rogue", "Note").reply("Noted").tags["Count"] == "1"


def test_an_endless_dry_run_ends_and_changes_nothing(make):
    network = make(limits=QUICK)
    network.spawn("Rogue", name="rogue")
    network.send("rogue", "Note")
    assert "time budget" in network.dry_run("rogue", "Loop").error
    assert network.send("rogue", "Note").reply("Noted").tags["Count"] == "2"


def test_a_reopened_home_does_not_run_the_loop_again(make, tmp_path):
    network = make(tmp_path, limits=QUICK)
    network.spawn("Rogue", name="rogue")
    for action in ("Note", "Loop", "Note"):
        network.send("rogue", action)
    memory = network.process("rogue").dump()
    network.close(abort=True)
    again = make(tmp_path, limits=Limits(evaluation_seconds=60))
    start = time.monotonic()
    assert again.process("rogue").dump() == memory
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("at_home", [False, True])
def test_a_private_database_is_as_it_was_before_the_loop(make, tmp_path, at_home):
    network = make(tmp_path / "home" if at_home else None, limits=QUICK)
    network.registry.add(Keeper)
    network.spawn("Keeper", name="keeper")
    network.send("keeper", "Add")
    sent = [network.post("keeper", "Add", tags) for tags in ({}, {"Forever": "1"}, {})]
    network.run()
    assert [bool(each.error) for each in sent] == [False, True, False]
    assert network.send("keeper", "Count").reply("Counted").tags["Rows"] == "3"
    assert network.process("keeper").state.rows == 3
    if at_home:
        network.close(abort=True)
        again = make(tmp_path / "home")
        again.registry.add(Keeper)
        assert again.send("keeper", "Count").reply("Counted").tags["Rows"] == "3"


def test_heavy_processes_are_watched_in_their_threads(make):
    network = make(limits=QUICK, threads=2)
    network.registry.add(Heavy)
    for name in ("one", "two"):
        network.spawn("Heavy", name=name)
    sent = [
        network.post(name, "Add", tags)
        for tags in ({}, {"Forever": "1"}, {})
        for name in ("one", "two")
    ]
    network.run()
    assert [bool(each.error) for each in sent] == [False, False, True, True, False, False]
    assert [network.process(name).state.rows for name in ("one", "two")] == [2, 2]


def test_without_a_budget_nobody_watches(make):
    network = make(limits=Limits(evaluation_seconds=0))
    network.spawn("Rogue", name="rogue")
    assert network.send("rogue", "Stubborn").error == ""
    assert TimeBudget(0).enter() is None


def test_waiting_for_something_outside_is_not_counted():
    budget = TimeBudget(0.1)
    watch = budget.enter()
    watch.resume()
    watch.pause()
    time.sleep(0.3)
    watch.resume()
    watch.pause()
    assert not watch.settle()
    budget.leave(watch)
    budget.close()


def test_the_end_never_comes_late():
    """An evaluation that ends as the watchdog fires leaves nothing behind for the next."""
    budget = TimeBudget(0.02)
    watch = budget.enter()
    exceeded = 0
    for turn in range(60):
        watch.turn += 1
        try:
            try:
                watch.inside = True
                end = time.monotonic() + 0.0195 + turn % 20 / 1000
                while time.monotonic() < end:
                    pass
            finally:
                watch.inside = False
                if watch.alarm and watch.settle():
                    raise TimeBudgetExceeded
        except TimeBudgetExceeded:
            exceeded += watch.settle()
        for _ in range(1000):  # where a late one would be raised
            pass
    budget.leave(watch)
    budget.close()
    assert exceeded > 0


def test_the_watchdog_goes_home_when_there_is_nothing_to_watch(monkeypatch):
    monkeypatch.setattr("benchpool.units.budget._IDLE_S", 0.0)
    budget = TimeBudget(0.1)
    budget.leave(budget.enter())
    for thread in threading.enumerate():
        if thread.name == "benchpool-watchdog":
            thread.join(2)
            assert not thread.is_alive()
    budget.leave(budget.enter())
    budget.close()
