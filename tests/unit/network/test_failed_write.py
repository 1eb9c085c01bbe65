"""A write that failed is the last: nothing is evaluated on states that the log does not hold."""

import pytest
from pydantic import Field
from typer.testing import CliRunner

from benchpool import Message, Network, Process, State, handler
from benchpool.ao.message import encode, encode_result
from benchpool.cli import app
from benchpool.errors import HandlerError, StoreError
from benchpool.process.registry import Registry
from benchpool.simulation.faults import Crash, CrashPoints, SimulatedCrash
from benchpool.units.messenger import MessengerUnit

REFUSED = r"the last write failed \(.*full.*\); close this network and open it again"


class Numbers(State):
    seen: list[str] = Field(default_factory=list)


class Chain(Process):
    """Keeps a number and passes the next one on."""

    state: Numbers

    @handler("Next")
    def next(self, message: Message) -> None:
        left = int(message.tags["Left"])
        self.state.seen.append(message.id)
        if left:
            self.send(self.id, "Next", {"Left": str(left - 1)})

    @handler("Breed")
    def breed(self, message: Message) -> None:
        self.state.seen.append(message.id)
        self.spawn("Chain", {"Name": "child"})


def opened(home) -> Network:
    registry = Registry()
    registry.add(Chain)
    return Network(home, seed=3, registry=registry)


def play(network: Network, action: str = "Next") -> None:
    """The rest of the run: 4 messages, of which a client sends what was not accepted."""
    network.run()
    while network.dispatch.count < 4:
        network.send("chain", action, {"Left": "2"})


def begin(home) -> None:
    with opened(home) as network:
        network.spawn("Chain", name="chain")


def told(network: Network) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The log of the process, and its memory."""
    log = [(encode(message), encode_result(result)) for message, result in network.log("chain")]
    return log, network.process("chain").dump()


@pytest.fixture
def disk():
    points = CrashPoints()
    with points.watching():
        yield points
        points.arm(None)


@pytest.fixture(autouse=True, params=[1 << 20, pytest.param(100, marks=pytest.mark.slow)])
def small_transactions(request, monkeypatch):
    monkeypatch.setattr("benchpool.units.messenger.COMMIT_EVERY", 2)
    monkeypatch.setattr("benchpool.store.sqlite._COLLECTED_BYTES", request.param)


USES = (
    lambda network: network.send("chain", "Next", {"Left": "0"}),
    lambda network: network.dry_run("chain", "Next", {"Left": "0"}),
    lambda network: network.process("chain"),
    lambda network: network.log("chain"),
    lambda network: network.spawn("Chain"),
    lambda network: network.new_wallet("late"),
    lambda network: network.advance("1h"),
    lambda network: network.run(),
)


def refuses_everything(network: Network, points: CrashPoints) -> None:
    writes = points.writes
    for use in USES:
        with pytest.raises(StoreError, match=REFUSED):
            use(network)
    network.close()  # without a word
    assert points.writes == writes


@pytest.mark.parametrize("action", ["Next", pytest.param("Breed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["full", pytest.param("blip", marks=pytest.mark.slow)])
def test_a_run_whose_disk_fills_ends_like_the_one_that_never_failed(tmp_path, disk, kind, action):
    begin(tmp_path / "whole")
    with opened(tmp_path / "whole") as network:
        play(network, action)
        whole = told(network)
    write, failed = 0, True
    while failed:  # at every write there is
        write += 1
        home = tmp_path / f"{write}"
        begin(home)
        network = opened(home)
        disk.arm(Crash(write, kind))
        try:
            play(network, action)
        except StoreError:
            failed = True
            refuses_everything(network, disk)
        else:
            assert not disk.tripped
            failed = False
            disk.arm(None)
            network.close()
        disk.arm(None)
        with opened(home) as network:
            play(network, action)
            assert told(network) == whole
    assert write > 10


def test_an_error_between_evaluation_and_log_is_such_a_failure(tmp_path, monkeypatch):
    begin(tmp_path)
    network = opened(tmp_path)
    push = MessengerUnit._push

    def interrupted(self, message, result):
        push(self, message, result)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MessengerUnit, "_push", interrupted)
        with pytest.raises(KeyboardInterrupt):
            network.send("chain", "Next", {"Left": "1"})
    with pytest.raises(StoreError, match=r"failed \(KeyboardInterrupt\); close this network"):
        network.run()
    network.close()


def test_a_network_in_memory_refuses_too(monkeypatch):
    network = opened(None)
    network.spawn("Chain", name="chain")
    monkeypatch.setattr(MessengerUnit, "_push", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        network.send("chain", "Next", {"Left": "1"})
    for use in (network.run, lambda: network.dry_run("chain"), lambda: network.log("chain")):
        with pytest.raises(StoreError, match="division by zero"):
            use()
    network.close()


def test_the_command_line_says_so_and_ends_with_1(tmp_path, disk):
    home = str(tmp_path)
    assert (
        CliRunner().invoke(app, ["spawn", "WrappedAR", "--name", "T", "--home", home]).exit_code
        == 0
    )
    disk.arm(Crash(3, "full"))
    ran = CliRunner().invoke(app, ["send", "--target", "T", "--action", "Info", "--home", home])
    disk.arm(None)
    assert disk.taken["full"] == 1
    assert ran.exit_code == StoreError.exit_code
    assert "cannot be written: database or disk is full" in ran.stderr
    assert (
        CliRunner()
        .invoke(app, ["send", "--target", "T", "--action", "Info", "--home", home])
        .exit_code
        == 0
    )


class Picky(Process):
    """Takes no name but one, and is heavy, so that its log is committed before it answers.

    When it is tried before it is spawned, it takes any: what it loads is lost later.
    """

    heavy = True

    def on_spawn(self, message: Message) -> None:
        if not message.read_only and message.tags.get("Name") != "welcome":
            raise HandlerError("not this name")


def test_no_name_is_left_on_a_process_that_refused_it_whenever_the_crash_came(tmp_path, disk):
    begin(tmp_path / "0")
    write, crashed = 0, True
    while crashed:
        write += 1
        home = tmp_path / f"{write}"
        begin(home)
        network = opened(home)
        network.registry.add(Picky)
        disk.arm(Crash(write))
        try:
            with pytest.raises(HandlerError, match="not this name"):
                network.spawn("Picky", name="picky")
            crashed = False
        except SimulatedCrash:
            network.close(abort=True)
        disk.arm(None)
        if crashed:
            registry = Registry()
            registry.add(Chain)
            registry.add(Picky)
            with Network(home, seed=3, registry=registry) as network:
                network.run()
                assert "picky" not in network.names()
                assert network.spawn("Picky", name="welcome") == network.names()["welcome"]
        else:
            network.close()
    assert write > 5
