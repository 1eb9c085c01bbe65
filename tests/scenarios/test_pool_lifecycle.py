"""A pool from its funding to its payouts, with every process the real one."""

import json
from pathlib import Path

import pytest

WAR = 10**12
SAMPLES = [
    {
        "context": f"Kim met friend number {number}.",
        "question": "How would Kim feel?",
        "answerA": "glad",
        "answerB": "quite sad",
        "answerC": "indifferent",
        "label": str(number % 3 + 1),
    }
    for number in range(40)
]
DAILY = [
    ("Cron-Interval", "24-hours"),
    ("Cron-Tag-Action", "Update-Leaderboard"),
    ("Cron-Interval", "24-hours"),
    ("Cron-Tag-Action", "Allocate-Rewards"),
]
HOURLY = {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Evaluate"}


class World:
    def __init__(self, network, *, herder=False):
        self.network = network
        self.funder = network.new_wallet("funder")
        self.token = network.spawn("WrappedAR")
        network.send(self.token, "Mint", {"Quantity": 10 * WAR, "Recipient": self.funder.address})
        self.benchmark = network.spawn("Benchmark", [("WrappedAR", self.token), *DAILY])
        if herder:
            fees = {"WrappedAR": self.token, "Capacity": 100}
            self.router = network.spawn("LlamaHerder", fees)
        else:
            self.router = network.spawn("LlamaRouter")
        data_id = network.data.put(json.dumps(SAMPLES).encode())
        self.dataset = network.spawn(
            "SiqaDataset",
            {
                "LlamaRouter": self.router,
                "Herder": str(herder).lower(),
                "WrappedAR": self.token,
                "Benchmark": self.benchmark,
                "DataTxID": data_id,
                **HOURLY,
            },
        )

    def worker(self, weights, owner=None, **tags):
        data_id = self.network.data.put(weights.encode())
        given = {"Router": self.router, "Model-Data": data_id, "Model-Name": weights}
        sender = owner or self.funder
        return self.network.spawn("LlamaWorker", {**given, **tags}, sender=sender)

    def fund(self, quantity=WAR, **tags):
        given = {"X-Dataset": self.dataset, "X-Allocation": "ArithmeticDecrease"}
        given |= {"X-Eligible": "all", **tags}  # a few questions tell nobody from a guesser
        sent = self.transfer(self.benchmark, quantity, **given)
        return sent.reply("Pool-Created").tags["Pool"]

    def transfer(self, recipient, quantity, **tags):
        given = {"Recipient": recipient, "Quantity": quantity, **tags}
        return self.network.send(self.token, "Transfer", given, sender=self.funder)

    def join(self, pool, model, who):
        data = json.dumps({"dataset": pool, "model": model})
        return self.network.send(self.benchmark, "Join-Pool", data=data, sender=who)

    def balance(self, party):
        recipient = getattr(party, "address", party)
        tags = {"Recipient": recipient}
        return int(self.network.send(self.token, "Balance", tags).reply().data)

    def ask(self, action, **tags):
        return json.loads(self.network.send(self.benchmark, action, tags).reply().data)

    def rows(self, pool):
        return self.ask("Leaderboard", Pool=pool)

    def status(self, pool):
        return self.ask("Get-Pool", Pool=pool)["status"]

    def no_errors(self):
        for process in self.network.processes():
            errors = [r.error for _, r in self.network.log(process.id) if r and r.error]
            assert errors == []
            assert self.network.inbox(process.id) == []


@pytest.mark.parametrize(
    ("protocol", "herder"),
    [
        pytest.param("cloze", False, id="cloze-router"),
        pytest.param("letters", True, id="letters-herder"),
        pytest.param("letters", False, id="letters-router", marks=pytest.mark.slow),
        pytest.param("cloze", True, id="cloze-herder", marks=pytest.mark.slow),
    ],
)
def test_a_pool_lives_from_funding_to_payout(network, herder, protocol):
    world = World(network, herder=herder)
    if herder:
        world.transfer(world.dataset, WAR)
    alice, bob = network.new_wallet("alice"), network.new_wallet("bob")
    first, second = world.worker("model one", alice), world.worker("model two", bob)
    pool = world.fund(WAR + 1, **{"X-Protocol": protocol})
    world.join(pool, first, alice)
    network.advance("1h")
    world.join(pool, second, bob)
    before = world.rows(pool)
    assert [row["evaluated"] for row in before] == [0, 0]

    network.advance("2d")
    board = world.rows(pool)
    assert {row["evaluated"] for row in board} == {40}
    assert {row["participant"] for row in board} == {alice.address, bob.address}
    assert sum(int(row["reward"]) for row in board) == WAR + 1
    assert not any(row["paid"] for row in board)
    assert world.balance(alice) == world.balance(bob) == 0

    network.advance("28d")
    assert world.status(pool) == "paid"
    final = world.rows(pool)
    assert all(row["paid"] for row in final)
    rewards = {row["participant"]: int(row["reward"]) for row in final}
    assert rewards == {alice.address: world.balance(alice), bob.address: world.balance(bob)}
    assert sum(rewards.values()) == WAR + 1
    assert world.balance(world.benchmark) == 0

    network.advance("3d")
    assert rewards == {alice.address: world.balance(alice), bob.address: world.balance(bob)}
    assert world.rows(pool) == final
    world.no_errors()


def test_a_pool_that_nobody_joins_goes_back_to_the_funder(network):
    world = World(network)
    before = world.balance(world.funder)
    pool = world.fund(**{"X-Duration": "1d"})
    assert world.balance(world.funder) == before - WAR
    network.advance("1d")
    assert world.status(pool) == "refunded"
    assert world.balance(world.funder) == before
    world.no_errors()


def test_funds_without_a_dataset_go_back(network):
    world = World(network)
    before = world.balance(world.funder)
    sent = world.transfer(world.benchmark, 5, **{"X-Dataset": "nowhere", "X-Reference": "mine"})
    assert world.balance(world.funder) == before
    refund = [m for m in sent.trace.replies(world.funder.address) if "X-Error" in m.tags]
    assert [m.tags["X-Reference"] for m in refund if m.action == "Credit-Notice"] == ["mine"]
    (payment,) = network.process(world.benchmark).state.payments.values()
    assert payment.status == "paid"
    network.advance("2d")
    assert world.balance(world.funder) == before


def test_money_that_is_itself_a_refund_is_kept(network):
    world = World(network)
    world.transfer(world.benchmark, 1, **{"X-Error": "sorry", "X-Dataset": world.dataset})
    assert world.balance(world.benchmark) == 1
    assert network.process(world.benchmark).state.kept == 1


def test_a_worker_that_fails_leaves_its_samples_unscored_and_the_pool_settles(network):
    world = World(network)
    data = json.dumps([{**SAMPLES[0], "context": "this is too long"}])
    assert network.send(world.dataset, "Load-Data", data=data).error == ""
    worker = world.worker("model one")
    pool = world.fund(**{"X-Duration": "2d"})
    world.join(pool, worker, world.funder)
    network.advance("1d")
    (row,) = world.rows(pool)
    assert (row["evaluated"], row["unscored"], row["total"]) == (40, 1, 41)
    before = world.balance(world.funder)
    network.advance("1d")
    assert world.balance(world.funder) == before + WAR
    assert world.status(pool) == "paid"


def test_a_model_that_was_never_registered_cannot_join(network):
    world = World(network)
    sent = world.join(world.fund(), "M" * 43, world.funder)
    assert "unknown model" in sent.reply("Join-Pool-Error").tags["Error"]


def test_a_second_process_with_the_same_weights_cannot_join(network):
    world = World(network)
    pool = world.fund()
    one, same = world.worker("model one"), world.worker("model one")
    assert world.join(pool, one, world.funder).reply("Joined-Pool")
    sent = world.join(pool, same, world.funder)
    assert "same weights" in sent.reply("Join-Pool-Error").tags["Error"]


def test_a_model_in_two_pools_is_evaluated_once(network):
    world = World(network)
    worker = world.worker("model one")
    pools = [world.fund(**{"X-Duration": "1d"}) for _ in range(2)]
    for pool in pools:
        world.join(pool, worker, world.funder)
    network.advance("1d")
    assert [world.status(pool) for pool in pools] == ["paid", "paid"]
    asked = [m for m, _ in network.log(worker) if m.action == "Inference"]
    assert len(asked) == len(SAMPLES)


def test_the_dataset_of_a_herder_waits_for_money(network):
    world = World(network, herder=True)
    worker = world.worker("model one")
    pool = world.fund()
    world.join(pool, worker, world.funder)
    network.advance("5h")
    world.network.send(world.benchmark, "Update-Leaderboard")
    assert world.rows(pool)[0]["evaluated"] == 0
    world.transfer(world.dataset, WAR)
    network.advance("1d")
    assert world.rows(pool)[0]["evaluated"] == len(SAMPLES)


def test_a_dataset_that_does_not_know_the_fees_of_its_herder_learns_them(network):
    world = World(network, herder=True)
    assert network.process(world.dataset).state.base_fee == 1000


def test_nobody_can_make_the_token_say_that_a_payout_failed(network):
    world = World(network)
    worker = world.worker("model one")
    pool = world.fund(**{"X-Duration": "1d"})
    world.join(pool, worker, world.funder)
    mallory = network.new_wallet("mallory")
    before = world.balance(world.funder)
    network.advance("1d")
    for reference in list(network.process(world.benchmark).state.payments):
        network.send(
            world.token,
            "Transfer",
            {
                "Recipient": mallory.address,
                "Quantity": WAR,
                "Reply-To": world.benchmark,
                "X-Payment": reference,
                "X-Reference": reference,
            },
            sender=mallory,
        )
    network.advance("2d")
    assert world.balance(world.funder) == before + WAR
    assert world.status(pool) == "paid"


def test_a_pool_survives_a_restart(tmp_path: Path, open_network):
    with open_network(tmp_path) as network:
        world = World(network)
        worker = world.worker("model one")
        pool = world.fund(**{"X-Duration": "2d"})
        world.join(pool, worker, world.funder)
        network.advance("25h")
    with open_network(tmp_path) as network:
        world.network = network
        assert world.rows(pool)[0]["evaluated"] == len(SAMPLES)
        before = world.balance(world.funder)
        network.advance("1d")
        assert world.status(pool) == "paid"
        assert world.balance(world.funder) == before + WAR
