"""Replay under limits: a chain that a limit stopped is no fault, and a message cut out is one."""

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from replaying import replay_network

from benchpool import Message, Network, Process, handler
from benchpool.ao.message import decode_message
from benchpool.audit.replay import replay_home
from benchpool.errors import PushLimitExceeded, UnknownProcess
from benchpool.process.registry import Registry
from benchpool.units.limits import Limits


class Spreader(Process):
    """Sends, spawns and assigns as it is told, and passes one message on."""

    assignable = ({"Action": "Note"},)

    @handler("Flood")
    def flood(self, message: Message) -> None:
        for _ in range(int(message.tags["Count"])):
            self.send(message.tags["To"], "Note", data=message.data)

    @handler("Again")
    def again(self, message: Message) -> None:
        self.send(self.id, "Again", data=message.data)

    @handler("Relay")
    def relay(self, message: Message) -> None:
        self.send(message.tags["To"], "Flood", message.tags.pairs[1:])

    @handler("Breed")
    def breed(self, _message: Message) -> None:
        self.spawn("Spreader", {"Name": "child"})
        self.send(self.id, "Breed")

    @handler("Share")
    def share(self, message: Message) -> None:
        self.assign(message.tags["What"], [self.id, message.tags["To"]])

    @handler("Note", "Spawned", "Spawn-Error")
    def note(self, message: Message) -> None:
        self.log(message.action)


REGISTRY = Registry()
REGISTRY.add(Spreader)


def told(network: Network, action: str, *expected: str, **tags: str) -> None:
    """Let one process do something, which a limit may stop."""
    data = tags.pop("data", "")
    if not expected:
        network.send("one", action, tags, data=data)
        return
    with pytest.raises(PushLimitExceeded, match=expected[0]):
        network.send("one", action, tags, data=data)


def depth(network: Network) -> None:
    told(network, "Again", "pushes deep")


def messages(network: Network) -> None:
    told(network, "Again", "limit 40")


def data_bytes(network: Network) -> None:
    told(network, "Again", "bytes of Data", data="x" * 100)


def queue(network: Network) -> None:
    to = network.resolve("two")
    # Two floods of one round: the first fills the queue, the second finds it full.
    for count in ("6", "3"):
        network.post("one", "Flood", {"Count": count, "To": to})
    with pytest.raises(PushLimitExceeded, match="pending_per_process"):
        network.run()


def family(network: Network) -> None:
    told(network, "Breed", "limit 40")
    errors = [result.output for _, result in network.log("one") if result.output]
    assert "Spawn-Error" in errors[-1]
    assert "Spawned" in errors


WITH = {
    depth: Limits(push_depth=10),
    messages: Limits(pushed_messages=40),
    data_bytes: Limits(pushed_bytes=1_000),
    queue: Limits(pending_per_process=5),
    family: Limits(spawns_per_process=4, pushed_messages=40),
}


def run(home: Path, stop) -> Limits:
    """A home in which a limit stopped a chain, among others that were not."""
    with Network(home, registry=REGISTRY, limits=WITH[stop]) as network:
        one, two = (network.spawn("Spreader", name=name) for name in ("one", "two"))
        note = network.send("two", "Note")
        told(network, "Flood", Count="3", To=two)
        told(network, "Share", What=note.id, To=two)
        stop(network)
        told(network, "Flood", Count="4", To=two)
        told(network, "Relay", Count="2", To=one)
        told(network, "Flood", Count="4", To=network.wallet().address)
        if stop is not queue:
            stop(network)
        assert replay_network(network).difference is None
    return WITH[stop]


@pytest.mark.parametrize("stop", WITH, ids=lambda stop: stop.__name__)
def test_a_home_in_which_a_limit_stopped_a_chain_is_replayed(tmp_path: Path, stop):
    limits = run(tmp_path, stop)
    done = replay_home(tmp_path, registry=REGISTRY, limits=limits)
    assert done.difference is None
    assert done.messages > 20


@pytest.mark.parametrize("stop", WITH, ids=lambda stop: stop.__name__)
def test_without_its_limits_the_same_home_lacks_messages(tmp_path: Path, stop):
    run(tmp_path, stop)
    found = replay_home(tmp_path, registry=REGISTRY).difference
    assert "and no log holds that message" in found.what


@pytest.mark.parametrize("stop", WITH, ids=lambda stop: stop.__name__)
def test_mail_cut_out_of_such_a_home_is_missed(tmp_path: Path, stop):
    limits = run(tmp_path, stop)
    with sqlite3.connect(tmp_path / "benchpool.sqlite") as connection:
        rows = connection.execute("SELECT sequence, process, message FROM log").fetchall()
        mail = [
            (sequence, process)
            for sequence, process, raw in rows
            if decode_message(raw).action == "Note"
            and process == connection.execute("SELECT address FROM wallets").fetchone()[0]
        ]
        assert len(mail) == 4
        connection.execute("DELETE FROM log WHERE sequence = ?", [mail[-1][0]])
    connection.close()
    found = replay_home(tmp_path, registry=REGISTRY, limits=limits).difference
    assert f"to {mail[-1][1]}, and no log holds that message" in found.what


@pytest.mark.parametrize("stop", WITH, ids=lambda stop: stop.__name__)
def test_any_message_cut_out_of_such_a_home_is_missed(tmp_path: Path, stop):
    limits = run(tmp_path, stop)
    path = tmp_path / "benchpool.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    rows = connection.execute("SELECT * FROM log ORDER BY sequence").fetchall()
    for row in rows[:: max(1, len(rows) // 25)]:
        connection.execute("DELETE FROM log WHERE sequence = ?", row[:1])
        assert replay_home(tmp_path, registry=REGISTRY, limits=limits).difference is not None
        connection.execute(f"INSERT INTO log VALUES ({', '.join('?' * len(row))})", row)
    connection.close()


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("stop", [depth, messages, data_bytes], ids=lambda stop: stop.__name__)
def test_what_was_stopped_is_pushed_again_once_and_replayed(tmp_path: Path, stop, signed: bool):
    limits = WITH[stop]
    with Network(tmp_path, registry=REGISTRY, limits=limits, signed=signed) as network:
        one, _two = (network.spawn("Spreader", name=name) for name in ("one", "two"))
        stop(network)
        last = [(m, r) for m, r in network.log("one") if r is not None and r.messages][-1][0]
        before = network.store.count()
        assert network.push_again(last.id, one, 0)
        with suppress(PushLimitExceeded):
            network.run()  # it goes on until it is stopped again
        pushed = [m for m, _ in network.log("one") if m.pushed_for == last.id]
        assert pushed[0].depth == 0
        assert network.store.count() > before
        assert pushed[0].id in {each.message.id for each in network.logs.trace(last.id).children}
        count = network.store.count()
        assert not network.push_again(last.id, one, 0)
        network.run()
        assert network.store.count() == count
        with pytest.raises(UnknownProcess, match="does not exist in the result"):
            network.push_again(last.id, one, 99)
    assert replay_home(tmp_path, registry=REGISTRY, limits=limits).difference is None
