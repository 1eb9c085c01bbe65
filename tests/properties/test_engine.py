"""What holds for every run of a network, whatever is sent."""

# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import random
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from benchpool.ao.ids import decode_id, encode_id
from benchpool.ao.message import Message, encode, encode_result
from benchpool.errors import HandlerError
from benchpool.network import Network
from benchpool.process.process import Process, State, handler
from benchpool.process.registry import Registry
from benchpool.units.scheduler import assignment_digest


class Memory(State):
    balances: dict[str, int] = {}
    steps: list[str] = []


class Player(Process):
    """Does what a message's data tells it, by dice that the message's id throws."""

    state: Memory
    assignable = ({"Action": "Play", "Shared": "_"},)

    @handler("Play")
    def play(self, message: Message) -> None:
        rng = random.Random(message.id)
        peers = message.text.split()
        self.state.steps.append(message.id[:4])
        key = rng.choice("abc")
        self.state.balances[key] = self.state.balances.pop(key, 0) + rng.randrange(9)
        if len(self.tags.get("Name")) and message.depth < 5:
            for _ in range(rng.randrange(3)):
                self.send(rng.choice(peers), "Play", {"Shared": "1"}, message.data)
            if rng.random() < 0.2:
                self.spawn("Player")
            if rng.random() < 0.2:
                self.assign(message.id, peers)
            if rng.random() < 0.2:
                self.receive({"Action": "Play"}, self.once, note=key)
        if rng.random() < 0.2:
            raise HandlerError(f"refused {key}")

    def once(self, message: Message, note: str) -> None:
        self.state.steps.append(note)

    @handler("Tick")
    def tick(self, message: Message) -> None:
        self.send(self.id, "Play", (), self.id)


class HeavyPlayer(Player):
    heavy = True


def run(script, *, threads):
    registry = Registry()
    registry.add(Player)
    registry.add(HeavyPlayer)
    network = Network(seed=9, registry=registry, threads=threads)
    cron = [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Tick")]
    peers = [
        network.spawn("Player", cron, name="one"),
        network.spawn("HeavyPlayer", name="two"),
        network.spawn("HeavyPlayer", name="three"),
        network.spawn("Player", name="four"),
    ]
    for step in script:
        if step == 4:
            network.run()
        elif step == 5:
            network.advance("70m")
        else:
            network.post(peers[step], "Play", data=" ".join(peers))
    network.run()
    return network


def log_of(network):
    return {
        info.id: [
            (encode(message), encode_result(result)) for message, result in network.log(info.id)
        ]
        for info in network.processes()
    }


scripts = st.lists(st.integers(0, 5), max_size=12)


@settings(max_examples=40, deadline=None)
@given(scripts)
def test_two_runs_of_the_same_script_have_one_log(script):
    with run(script, threads=1) as first, run(script, threads=4) as second:
        assert log_of(first) == log_of(second)
        for info in first.processes():
            assert first.process(info.id).dump() == second.process(info.id).dump()


@settings(max_examples=30, deadline=None)
@given(scripts)
def test_a_fold_of_the_log_gives_the_memory_that_the_run_left(script):
    with run(script, threads=2) as network:
        memories = {info.id: network.process(info.id).dump() for info in network.processes()}
        network.compute._instances.clear()
        assert {each: network.process(each).dump() for each in memories} == memories


@settings(max_examples=30, deadline=None)
@given(scripts)
def test_every_log_is_numbered_without_gaps_and_chained(script):
    with run(script, threads=2) as network:
        for info in network.processes():
            messages = [message for message, _ in network.log(info.id)]
            assert [message.position for message in messages] == list(range(len(messages)))
            scheduled = [message for message in messages if not message.cron]
            assert [message.nonce for message in scheduled] == list(range(len(scheduled)))
            chain = sha256(decode_id(info.id)).digest()
            for place, message in enumerate(scheduled):
                if place:
                    chain = sha256(assignment_digest(scheduled[place - 1], chain) + chain).digest()
                assert message.hash_chain == encode_id(chain)
            for message in messages:
                if message.cron:
                    assert message.hash_chain == message.reference == message.anchor == ""


@settings(max_examples=30, deadline=None)
@given(scripts)
def test_a_failed_message_says_nothing_and_a_reference_is_never_used_twice(script):
    with run(script, threads=1) as network:
        for info in network.processes():
            references = []
            for _, result in network.log(info.id):
                if result.error:
                    assert result.messages == result.spawns == result.assignments == ()
                references += [each.reference for each in result.messages + result.spawns]
            assert sorted(references) == list(range(1, len(references) + 1))
