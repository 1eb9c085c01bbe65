"""Cron ticks of a served network: coalesced, bounded, in turn, behind the messages that wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest
from machines import Machine
from replaying import replay_network
from serving import PROTOCOL, Client, Running, up

from benchpool import Message, Network, Process, handler
from benchpool.ao.clock import DAY_MS, GENESIS_MS
from benchpool.ao.dataitem import sign
from benchpool.audit.replay import replay_home
from benchpool.errors import LimitExceeded
from benchpool.process.registry import Registry
from benchpool.units.limits import Limits

PATIENCE_S = 20


def crons(count: int, every: str = "1-second") -> list[tuple[str, str]]:
    return [("Cron-Interval", every), ("Cron-Tag-Action", "Info")] * count


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def due(home: Path, process: str) -> list[int]:
    """Return when the ticks of a process were due, in seconds of virtual time."""
    with Network(home, read_only=True) as network:
        return [(m.timestamp - GENESIS_MS) // 1000 for m, _ in network.log(process) if m.cron]


class Breeder(Process):
    """Spawns what it is told to."""

    @handler("Breed")
    def breed(self, message: Message) -> None:
        self.spawn("WrappedAR", crons(int(message.tags["Crons"])))


class Slow(Process):
    """Heavy, and at its ticks until it is let go."""

    heavy = True
    begun = threading.Event()
    go_on = threading.Event()

    @handler("Info")
    def wait(self, message: Message) -> None:
        self.begun.set()
        assert self.go_on.wait(PATIENCE_S)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def served(machine: Machine, home: Path, processes: int, of_each: int) -> list[str]:
    """Make a home whose processes tick every second."""
    with Network(home, clock=machine.clock(), signed=True) as network:
        return [network.spawn("WrappedAR", crons(of_each)) for _ in range(processes)]


def test_a_day_s_sleep_of_a_served_network_costs_two_ticks(
    machine: Machine, home: Path, serve: Callable[..., Running]
) -> None:
    with Network(home, clock=machine.clock(), signed=True) as network:
        token = network.spawn("WrappedAR", crons(1, "2-seconds"))
    running = serve(clock=machine.clock())
    for length_ms in (2_000, DAY_MS, 2_000):
        machine.wait(length_ms)
        day_s = (machine.wall_ns // 1_000_000 - GENESIS_MS) // 1000
        wait_until(lambda day_s=day_s: due(home, token)[-1:] == [day_s])  # type: ignore[misc]
    running.stop()
    assert due(home, token) == [2, DAY_MS // 1000 + 2, DAY_MS // 1000 + 4]
    replay_home(home).check()


def test_many_crons_of_many_processes_come_to_their_turn_and_replay(
    machine: Machine, home: Path, serve: Callable[..., Running]
) -> None:
    tokens = served(machine, home, 12, 16)
    limits = Limits(ticks_per_second=60)
    running = serve(clock=machine.clock(), limits=limits)
    client = Client(running.url)
    for second in range(1, 4):
        machine.wait(1_000)
        client.result(client.send(tokens[0], "Balance"), tokens[0])
        wait_until(lambda second=second: all(due(home, each) for each in tokens))  # type: ignore[misc]
    ahead = [len(due(home, each)) for each in tokens]
    assert max(ahead) - min(ahead) <= 16
    running.stop()
    replay_home(home).check()


def test_more_crons_than_are_allowed_are_refused_whoever_spawns(
    home: Path, serve: Callable[..., Running]
) -> None:
    said = r"this process has 17 crons; at most 16 are allowed \(crons_per_process\)"
    registry = Registry()
    registry.add(Breeder)
    with Network(home, registry=registry, signed=True) as network:
        with pytest.raises(LimitExceeded, match=said):
            network.spawn("WrappedAR", crons(17))
        assert network.processes() == []
        network.spawn("WrappedAR", crons(16))
        network.spawn("Breeder", name="breeder")
        for count, action in ((16, "Spawned"), (17, "Spawn-Error")):
            network.send("breeder", "Breed", {"Crons": count})
            assert network.inbox("breeder")[-1].action == action
        assert "at most 16 are allowed" in network.inbox("breeder")[-1].tags["Error"]
        assert len(network.processes()) == 3
    client = Client(serve(registry=registry).url)
    scheduler = client.http.get("/su").json()["address"]
    own = [("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", scheduler)]
    item = sign(client.signer, tags=[*PROTOCOL, *own, *crons(17)], data=b" ")
    answer = client.http.post("/mu", content=item.raw)
    # AO's messenger refuses with 500.
    assert (answer.status_code, "crons_per_process" in answer.text) == (500, True), answer.text


def test_a_home_whose_processes_have_more_crons_runs_and_replays(home: Path) -> None:
    with Network(home, limits=Limits(crons_per_process=40)) as network:
        network.spawn("WrappedAR", crons(40), name="old")
        network.advance("2s")
    with Network(home) as network:
        assert network.advance("1s") == 40
        replay_network(network).check()
    replay_home(home).check()


def test_ticks_of_a_heavy_process_do_not_pile_up_while_it_is_at_one(
    machine: Machine, home: Path
) -> None:
    registry = Registry()
    registry.add(Slow)
    jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
    with Network(home, clock=machine.clock(), registry=registry) as network:
        slow = network.spawn("Slow", crons(1))
        quick = network.spawn("WrappedAR", crons(1))
        stop = network.live.start(jobs.put)
        try:
            machine.wait(1_000)
            wait_until(lambda: network.live.turn() == 0 and network.timeline.wait_s() > 0)
            assert Slow.begun.wait(PATIENCE_S)
            while len(due(home, quick)) < 10:
                machine.wait(1_000)
                network.live.turn()
            assert len(due(home, slow)) == 1
            Slow.go_on.set()
            jobs.get(timeout=PATIENCE_S)()
            network.run()
            wait_until(lambda: network.live.turn() == 1)
            assert len(due(home, slow)) == 2
        finally:
            Slow.go_on.set()
            stop()
    replay_home(home, registry=registry).check()


def test_a_clock_that_leapt_is_told_by_health_and_metrics(
    machine: Machine, home: Path, serve: Callable[..., Running]
) -> None:
    running = serve(clock=machine.clock())
    http = Client(running.url).http
    assert http.get("/health").json() == {"status": "ok", "waiting": 0}
    machine.turn(365 * DAY_MS)
    wait_until(lambda: "leapt ahead by 365d" in http.get("/health").json().get("clock", ""))
    assert "benchpool_clock_ahead_seconds 3.1536e+07" in http.get("/metrics").text
    machine.turn(-365 * DAY_MS)
    wait_until(lambda: "clock" not in http.get("/health").json())


def test_a_home_from_the_future_is_refused_and_served_if_one_says_so(home: Path) -> None:
    ahead_ms = time.time_ns() // 1_000_000 + 100 * DAY_MS - GENESIS_MS
    with Network(home, signed=True) as network:
        token = network.spawn("WrappedAR", crons(1, "1-hour"))
        network.clock.set(GENESIS_MS + ahead_ms)  # type: ignore[attr-defined]
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"{home} is at " in done.stderr
    assert "ahead of this machine's clock" in done.stderr
    assert "benchpool up --ahead" in done.stderr
    with up(home, "--ahead") as (program, addresses):
        client = Client(addresses["gateway"])
        client.result(client.send(token, "Balance"), token)
        assert "99d" in client.http.get("/health").json()["clock"]
        program.terminate()
        assert program.stderr is not None
        assert "half pace until that has come up" in program.stderr.read()
