# ruff: noqa: RUF012 - pydantic copies the defaults of a state
"""Lanes: batches of heavy processes beside everything else, recorded each with its own message."""

from queue import Empty, SimpleQueue
from threading import Event

import pytest
from replaying import replay_network

from benchpool.ao.message import Message
from benchpool.errors import LimitExceeded, ProcessBusy, StoreError
from benchpool.process.process import Process, State, handler
from benchpool.units.compute import ComputeUnit
from benchpool.units.limits import Limits

PATIENCE_S = 20


class Done(State):
    done: list[str] = []


class Heavy(Process):
    """At each piece of work until it is let go."""

    state: Done
    heavy = True
    batches: list[list[str]] = []
    begun: dict[str, Event] = {}
    go_on: dict[str, Event] = {}

    def prepare(self, batch) -> None:
        self.batches.append([message.tags["N"] for message in batch])

    @handler("Work")
    def work(self, message: Message) -> None:
        number = message.tags["N"]
        begun, go_on = self.begun.get(number), self.go_on.get(number)
        if begun is not None and go_on is not None:
            begun.set()
            assert go_on.wait(PATIENCE_S)
        self.state.done.append(number)
        for part in ("a", "b"):
            self.send(self.tags["To"], "Worked", {"N": number + part})
        if "Fail" in message.tags:
            raise RuntimeError(f"no {number}")
        self.log(f"did {number} after {len(self.state.done) - 1}")


class Light(Process):
    state: Done

    @handler("Worked", "Note")
    def note(self, message: Message) -> None:
        self.state.done.append(message.tags["N"])


class Live:
    """A network that is live, used by this thread as a server's does."""

    def __init__(self, network) -> None:
        self.network = network
        self.jobs: SimpleQueue = SimpleQueue()
        self.stop = network.live.start(self.jobs.put)

    def post(self, target: str, number: str, action: str = "Work", **tags: str) -> str:
        return self.network.post(target, action, {"N": number, **tags}).id

    def take(self) -> None:
        """Take what one lane has done."""
        self.jobs.get(timeout=PATIENCE_S)()
        self.network.run()

    def settle(self) -> None:
        self.network.run()
        while self.network.live.unfinished():
            self.take()

    def said(self, process: str) -> list[str]:
        """What a process evaluated, with what came of it, in the order of its log."""
        return [
            f"{m.tags['N']}: {'?' if r is None else r.error.split(' (')[0] or r.output}"
            for m, r in self.network.log(process)
            if "N" in m.tags
        ]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    for name, value in (("batches", []), ("begun", {}), ("go_on", {})):
        monkeypatch.setattr(Heavy, name, value)


def hold(*numbers: str) -> None:
    """Have the work at these numbers wait."""
    for number in numbers:
        Heavy.begun[number], Heavy.go_on[number] = Event(), Event()


def begun(number: str) -> bool:
    return Heavy.begun[number].wait(PATIENCE_S)


def open_network(make_network, home=None, **options):
    network = make_network(Heavy, Light, home=home, seed=1, **options)
    if not network.processes():
        light = network.spawn("Light", name="light")
        for name in ("one", "two"):
            network.spawn("Heavy", {"To": light}, name=name)
    return network


@pytest.fixture
def live(make_network):
    live = Live(open_network(make_network))
    yield live
    for event in Heavy.go_on.values():
        event.set()
    live.stop()
    replay_network(live.network).check()


def test_a_batch_of_two_is_recorded_in_its_order(live):
    ids = [live.post("one", number) for number in "12"]
    live.settle()
    assert Heavy.batches[-1] == ["1", "2"]
    assert live.said("one") == ["1: did 1 after 0", "2: did 2 after 1"]
    assert [live.network.result(each).output for each in ids] == ["did 1 after 0", "did 2 after 1"]
    assert live.network.process("light").state.done == ["1a", "1b", "2a", "2b"]
    pushed = [m for m, _ in live.network.log("light") if m.action == "Worked"]
    assert [(m.reference, m.pushed_for) for m in pushed] == [
        *((number, ids[0]) for number in "12"),
        *((number, ids[1]) for number in "34"),
    ]


def test_a_batch_of_many_keeps_its_order_and_leaves_nothing_in_the_lane(live):
    numbers = [str(number) for number in range(40)]
    for number in numbers:
        live.post("one", number)
    live.settle()
    assert Heavy.batches[-1] == numbers
    assert live.said("one") == [f"{n}: did {n} after {n}" for n in numbers]
    assert (live.network.pending, live.network.messenger.lanes.counts()) == (0, {})


def test_of_two_at_once_the_first_to_be_done_is_pushed_first(live):
    hold("1", "2")
    live.post("one", "1")
    live.post("two", "2")
    live.network.run()
    assert begun("1")
    assert begun("2")
    assert live.network.messenger.lanes.busy() == {live.network.resolve(n) for n in ("one", "two")}
    for number in "21":
        Heavy.go_on[number].set()
        live.take()
    assert live.network.process("light").state.done == ["2a", "2b", "1a", "1b"]
    assert (live.said("one"), live.said("two")) == (["1: did 1 after 0"], ["2: did 2 after 0"])


def test_a_failure_in_a_batch_is_that_message_s_alone(live):
    live.post("one", "1")
    live.post("one", "2", Fail="yes")
    live.post("one", "3")
    live.post("two", "4")
    live.settle()
    assert Heavy.batches[-2:] in ([["1", "2", "3"], ["4"]], [["4"], ["1", "2", "3"]])
    assert live.said("one") == ["1: did 1 after 0", "2: RuntimeError: no 2", "3: did 3 after 1"]
    assert live.said("two") == ["4: did 4 after 0"]
    assert live.network.process("one").state.done == ["1", "3"]
    assert sorted(live.network.process("light").state.done) == sorted(
        number + part for number in "134" for part in "ab"
    )


def test_light_messages_do_not_wait_and_heavy_ones_wait_for_their_turn(live):
    hold("1")
    live.post("one", "1")
    live.network.run()
    assert begun("1")
    for number, target, action in (("2", "one", "Work"), ("x", "light", "Note")) * 2:
        live.post(target, number, action)
        live.network.run()
    assert live.said("one") == ["1: ?", "2: ?", "2: ?"]
    assert live.network.process("light").state.done == ["x", "x"]
    with pytest.raises(ProcessBusy):
        live.network.live.check_idle(live.network.resolve("one"))
    Heavy.go_on["1"].set()
    live.settle()
    assert Heavy.batches[-2:] == [["1"], ["2", "2"]]
    assert live.said("one") == ["1: did 1 after 0", "2: did 2 after 1", "2: did 2 after 2"]
    assert live.network.process("light").state.done == ["x", "x", "1a", "1b", *["2a", "2b"] * 2]


def test_what_is_in_a_lane_counts_as_waiting_until_it_is_done(make_network):
    live = Live(open_network(make_network, limits=Limits(pending_per_process=2)))
    hold("1")
    live.post("one", "1", Fail="and so puts nothing out")
    live.network.run()
    assert begun("1")
    live.post("one", "2", Fail="too")
    live.network.run()
    with pytest.raises(LimitExceeded, match="2 messages wait"):
        live.post("one", "3")
    Heavy.go_on["1"].set()
    live.settle()
    live.post("one", "3"), live.post("one", "4")
    with pytest.raises(LimitExceeded, match="2 messages wait"):
        live.post("one", "5")
    live.settle()
    assert live.said("one")[2:] == ["3: did 3 after 0", "4: did 4 after 1"]
    live.stop()


@pytest.mark.parametrize("when", ["at the first", "at the second", "done and not taken"])
def test_what_is_stopped_in_the_midst_is_done_once_after_all(make_network, tmp_path, when):
    network = open_network(make_network, tmp_path / "home")
    live = Live(network)
    if when != "done and not taken":
        hold("1" if when == "at the first" else "2")
    live.post("one", "1"), live.post("one", "2"), live.post("two", "3")
    network.run()
    if when == "done and not taken":
        late = [live.jobs.get(timeout=PATIENCE_S) for _ in "ab"]
        assert len(late) == 2
    else:
        assert begun(next(iter(Heavy.begun)))
        live.jobs.get(timeout=PATIENCE_S)  # the other lane's, which nobody takes either
    live.post("one", "4"), live.post("light", "x", "Note")
    network.run()
    for event in Heavy.go_on.values():
        event.set()
    live.stop()
    with pytest.raises(Empty):
        live.jobs.get_nowait()
    assert live.said("one") == ["1: ?", "2: ?", "4: ?"]
    assert live.said("two") == ["3: ?"]
    network.close()
    live = Live(open_network(make_network, tmp_path / "home"))
    assert live.network.resumed == 4
    live.settle()
    assert live.said("one") == ["1: did 1 after 0", "2: did 2 after 1", "4: did 4 after 2"]
    assert live.said("two") == ["3: did 3 after 0"]
    assert live.said("light")[0].startswith("x")
    done = live.network.process("light").state.done
    assert sorted(done) == sorted(["x", *(n + part for n in "1234" for part in "ab")])
    assert [each for each in done if each[0] in "124"] == [n + p for n in "124" for p in "ab"]
    live.stop()
    replay_network(live.network).check()


def test_a_batch_that_cannot_be_evaluated_stays_pending(make_network, tmp_path, monkeypatch):
    network = open_network(make_network, tmp_path / "home")
    live = Live(network)
    evaluate = ComputeUnit.evaluate_heavy

    def fail(self, messages):
        evaluate(self, messages[:1])
        raise StoreError("the disk is full")

    monkeypatch.setattr(ComputeUnit, "evaluate_heavy", fail)
    live.post("one", "1"), live.post("one", "2")
    network.run()
    with pytest.raises(StoreError, match="the disk is full"):
        live.take()
    assert live.said("one") == ["1: ?", "2: ?"]
    live.stop()
    network.close(abort=True)
    monkeypatch.undo()
    live = Live(open_network(make_network, tmp_path / "home"))
    live.settle()
    assert live.said("one") == ["1: did 1 after 0", "2: did 2 after 1"]
    live.stop()
    replay_network(live.network).check()
