"""What holds for every pool, whatever its rule, funds, entries and scores."""

import json
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchpool.network import Network
from benchpool.pools.allocation import RULES, allocate
from benchpool.pools.ranking import Standing, rank
from benchpool.process.process import Process, handler
from processes.benchmark import Benchmark
from processes.wrapped_ar import WrappedAR

FUNDS = 10**24
QUESTIONS = "0" * 64


class ScriptedDataset(Process):
    """Answers Score with numbers that stand in the model's name: correct-evaluated-total-label.

    A model whose label begins with "s" is silent the first time that it is asked.
    """

    asked: dict[str, int]
    owners: dict[str, str]

    def on_spawn(self, message):
        self.asked = {}
        self.owners = {}

    @handler("Own")
    def own(self, message):
        self.owners[message.tags["Model"]] = message.sender

    @handler("Announce")
    def announce(self, message):
        facts = {"Name": "D", "Samples": 9, "Chance": "1/3", "LlamaRouter": self.id}
        facts |= {"Owner": self.owner, "Samples-SHA-256": QUESTIONS}
        self.send(message.tags["Benchmark-Process"], "Register-Dataset", facts)

    @handler("Get-Model")
    def get_model(self, message):
        model = message.tags["Model"]
        facts = {"Model": model, "Name": model, "Owner": self.owners[model]}
        self.reply(message, "Get-Model-Response", facts)

    @handler("Score")
    def score(self, message):
        model = message.tags["Model"]
        correct, evaluated, total, label = model.split("-")
        self.asked[model] = self.asked.get(model, 0) + 1
        if label.startswith("s") and self.asked[model] == 1:
            return
        numbers = {"Correct": correct, "Evaluated": evaluated, "Total": total}
        numbers |= {"Unscored": int(total) - int(evaluated), "Samples-SHA-256": QUESTIONS}
        self.reply(message, "Score-Response", {"Model": model, "Protocol": "cloze", **numbers})


@st.composite
def entries(draw):
    """Models with few different scores, so that ties and zero progress are common."""
    total = draw(st.integers(1, 9))
    names = []
    for number in range(draw(st.integers(0, 8))):
        evaluated = draw(st.integers(0, total))
        correct = draw(st.integers(0, evaluated))
        silent = "s" if draw(st.integers(0, 4)) == 0 else "m"
        names.append(f"{correct}-{evaluated}-{total}-{silent}{number}")
    return names


pools = st.lists(
    st.tuples(
        st.sampled_from(list(RULES)),
        st.one_of(st.integers(1, 40), st.integers(1, 10**20)),
        st.lists(st.integers(1, 10**6), max_size=2),
        entries(),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=4,
)


def expected_payouts(rule, funds, names):
    """The payouts by model, or nothing if nobody can be paid."""
    standings = []
    for order, name in enumerate(names):
        correct, evaluated, total, _ = name.split("-")
        standings.append(Standing(name, int(correct), int(evaluated), int(total), 0, order))
    payouts = allocate(rule, funds, rank(standings), chance=Fraction(1, 3))
    return {payout.entry: payout.winston for payout in payouts}


class World:
    def __init__(self, network):
        self.network = network
        for module in (Benchmark, WrappedAR, ScriptedDataset):
            network.registry.add(module)
        self.token = network.spawn("WrappedAR")
        spawned = {"WrappedAR": self.token, "Dataset-Modules": "ScriptedDataset"}
        self.benchmark = network.spawn("Benchmark", spawned)
        self.dataset = network.spawn("ScriptedDataset")
        network.send(self.dataset, "Announce", {"Benchmark-Process": self.benchmark})
        self.givers = [network.new_wallet(f"giver{number}") for number in range(3)]
        for giver in self.givers:
            tags = {"Quantity": FUNDS, "Recipient": giver.address}
            network.send(self.token, "Mint", tags)

    def give(self, number, quantity, **tags):
        given = {"Recipient": self.benchmark, "Quantity": quantity, **tags}
        return self.network.send(self.token, "Transfer", given, sender=self.givers[number])

    def fund(self, rule, quantity, top_ups, days):
        tags = {"X-Dataset": self.dataset, "X-Allocation": rule, "X-Duration": f"{days}d"}
        tags["X-Eligible"] = "all"
        pool = self.give(0, quantity, **tags).reply("Pool-Created").tags["Pool"]
        for number, extra in enumerate(top_ups, start=1):
            self.give(number, extra, **{"X-Pool": pool})
        return pool

    def join(self, pool, model):
        who = self.network.new_wallet(f"w-{pool[:8]}-{model}")
        self.network.send(self.dataset, "Own", {"Model": model}, sender=who)
        data = json.dumps({"dataset": pool, "model": model})
        sent = self.network.send(self.benchmark, "Join-Pool", data=data, sender=who)
        assert sent.reply().action == "Joined-Pool"
        return who.address

    def balances(self):
        return dict(self.network.process(self.token).state.balances)

    def day(self):
        self.network.advance("1d")
        for tick in ("Update-Leaderboard", "Allocate-Rewards"):
            assert self.network.send(self.benchmark, tick).error == ""


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pools)
def test_every_pool_pays_out_exactly_its_funds_and_only_once(specs):
    with Network(seed=1) as network:
        world = World(network)
        expected = {giver.address: FUNDS for giver in world.givers}
        made = []
        for rule, quantity, top_ups, names, days in specs:
            pool = world.fund(rule, quantity, top_ups, days)
            people = {name: world.join(pool, name) for name in names}
            gifts = [quantity, *top_ups]
            payouts = expected_payouts(rule, sum(gifts), names)
            made.append((pool, payouts))
            if payouts:
                for giver, gift in zip(world.givers, gifts, strict=False):
                    expected[giver.address] -= gift
                for name, winston in payouts.items():
                    expected[people[name]] = winston
        for _ in range(5):
            world.day()
            held = world.balances()
            state = network.process(world.benchmark).state
            waiting = sum(p.funds for p in state.pools.values() if p.id in state.running)
            assert held.get(world.benchmark, 0) == waiting
        assert {who: amount for who, amount in held.items() if amount} == {
            who: amount for who, amount in expected.items() if amount
        }
        for pool, payouts in made:
            settled = state.pools[pool]
            assert settled.status == ("paid" if payouts else "refunded")
            assert {m: e.reward for m, e in settled.models.items() if e.reward} == payouts
            assert all(e.paid == bool(e.reward) for e in settled.models.values())
        messages = network.log(world.token)[-1][0].position
        for _ in range(2):
            world.day()
        assert world.balances() == held
        assert network.log(world.token)[-1][0].position == messages
