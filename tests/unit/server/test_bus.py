import asyncio
import threading

import pytest
from machines import Machine

from benchpool.network import Network
from benchpool.server.bus import Bus
from benchpool.server.metrics import Metrics

PATIENCE_S = 20
EACH_SECOND = [("Cron-Interval", "1-second"), ("Cron-Tag-Action", "Info")]


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def network(machine, tmp_path):
    with Network(tmp_path / "home", clock=machine.clock()) as network:
        for _ in range(10):
            network.spawn("WrappedAR", EACH_SECOND * 10)
        yield network


def told(network):
    """Have the network say what it does, in order."""
    events = []
    fire = network.live._fire

    def firing(ticks):
        events.append(len(ticks))
        fire(ticks)

    network.live._fire = firing
    return events


def say(network, events):
    token = network.processes()[0].id

    def work():
        network.post(token, "Info")
        events.append("message")

    return work


def test_messages_that_wait_go_before_ticks_that_are_due(network, machine):
    events = told(network)

    async def main():
        bus = Bus(network, Metrics())
        held, go_on = threading.Event(), threading.Event()
        bus.post(lambda: held.set() or go_on.wait(PATIENCE_S))
        bus.start()
        await asyncio.to_thread(held.wait, PATIENCE_S)
        machine.wait(1_000)
        writing = [asyncio.ensure_future(bus.write(say(network, events))) for _ in range(5)]
        await asyncio.sleep(0)
        assert bus.waiting == 5
        go_on.set()
        await asyncio.gather(*writing)
        while sum(each for each in events if each != "message") < 100:
            await bus.moves(1)
        await bus.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    ticks = [each for each in events if each != "message"]
    assert events.index("message") <= 1  # at most the slice that had begun
    assert events[: events.index("message") + 5].count("message") == 5
    assert max(ticks) <= 32


def test_ticks_come_to_their_turn_however_many_messages_wait(network, machine):
    events = told(network)

    async def main():
        bus = Bus(network, Metrics())
        bus.start()
        machine.wait(1_000)

        async def client():
            while sum(each for each in events if each != "message") < 100:
                await bus.write(say(network, events))

        await asyncio.gather(*(client() for _ in range(20)))
        await bus.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert "message" in events
