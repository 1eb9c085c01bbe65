"""Thefts that nobody had listed: bonds and payments, floods, and data sets of a lying module."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from heists import FUNDS, Heist, Thief

from benchpool.errors import PushLimitExceeded
from benchpool.process import Message, handler


class Bouncer(Thief):
    """Sends every winston back to where it came from, for a new pool."""

    @handler("Credit-Notice")
    def bounce(self, message: Message) -> None:
        back = {"Recipient": message.tags["Sender"], "Quantity": message.tags["Quantity"]}
        self.send(message.sender, "Transfer", back)


# -- participants and money ----------------------------------------------------------------------


def test_a_processs_model_is_entered_by_it_and_pays_it(heist: Heist) -> None:
    """A process joins with a Transfer or a message as a wallet does; a wallet cannot for it."""
    network = heist.network
    pool = heist.fund(X_Bond="7")
    weights = heist.write("t", 20)
    what = {"Model-Data": weights, "Router": heist.ids.LlamaRouter}
    network.send("process", "Breed", what, sender="thief")
    (model,) = network.process("LlamaRouter").state.models
    assert "only its owner" in heist.join_paid(pool, "thief", model, 7)
    bond = {"Recipient": heist.ids.Benchmark, "Quantity": "7"}
    heist.say("WrappedAR", "Transfer", bond | {"X-Join-Pool": pool, "X-Model": model})
    heist.settle(pool, process=FUNDS, thief=0)


def test_money_for_a_pool_and_for_joining_it_joins_nothing(heist: Heist) -> None:
    pool = heist.fund(X_Bond="7")
    model = heist.model("thief", "t", 20)
    heist.pay(7, "thief", X_Pool=pool, X_Join_Pool=pool, X_Model=model)
    assert heist.rows(pool) == {}
    heist.settle(pool, thief=0, funder=0)


def test_the_benchmark_pays_itself_no_bond(heist: Heist) -> None:
    """A refund carries the payer's reference back, and nothing that joins or funds a pool."""
    pool = heist.fund(X_Bond="7")
    model = heist.model("thief", "t", 20)
    loop = {"X_Reference": "1", "X_Join_Pool": "nowhere", "X_Model": model}
    assert heist.refused(7, "thief", **loop)
    tags = {"Recipient": heist.ids.Benchmark, "Quantity": "7", "X-Error": "e"}
    heist.network.send("WrappedAR", "Transfer", tags | {"X-Join-Pool": pool}, sender="thief")
    assert heist.network.process("Benchmark").state.kept == 7
    heist.settle(pool, funder=0)


def test_no_message_counts_twice(heist: Heist) -> None:
    """Anybody can have a message assigned or pushed once more."""
    network = heist.network
    pool = heist.fund()
    heist.enter(pool, "thief", "t", 20)
    heist.pay(5, "thief", X_Pool=pool)
    for party, action in (("Benchmark", "Credit-Notice"), ("WrappedAR", "Transfer")):
        message, result = [e for e in network.log(party) if e[0].action == action][-1]
        network.post_assignment(message.id, [party, "SiqaDataset"])
        assert result is not None
        for number in range(len(result.messages)):
            assert not network.push_again(message.id, network.resolve(party), number)
        network.run()
    assert heist.pool(pool)["funds"] == str(FUNDS + 5)
    heist.settle(pool, thief=FUNDS)


def test_only_the_benchmark_says_what_pools_have(heist: Heist) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    for funds in ("0", "1", "9" * 30):
        tags = {"Pool": pool, "Funds": funds}
        assert heist.network.send("SiqaDataset", "Pool-Funds", tags).error
        assert heist.say("SiqaDataset", "Pool-Funds", tags).error
    assert heist.network.process("SiqaDataset").state.shares[pool].funds == FUNDS
    heist.settle(pool, ana=FUNDS)


def test_a_flood_of_poor_pools_holds_no_rich_one_up(
    heist: Heist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All end at once; a tick that asked for all their scores could put out too much."""
    for module in ("processes.pool.settling", "benchpool.audit.ticks"):
        monkeypatch.setattr(f"{module}.LARGEST_SIZE", 6)
    poor = [heist.fund(1, X_Duration="1d") for _ in range(3)]
    shams = [heist.model("thief", f"t{n}", n) for n in range(3)]
    for pool in poor:
        assert [heist.join(pool, "thief", model) for model in shams] == [""] * 3
    rich = heist.fund(X_Duration="1d")
    heist.enter(rich, "ana", "a", 20)
    heist.settle(rich, days=1, ana=FUNDS)
    assert [heist.pool(each)["status"] for each in poor].count("open") == 0
    heist.settle(poor[-1], days=3)


def test_a_pool_that_is_full_takes_no_more(heist: Heist, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("processes.pool.pool", "benchpool.audit.pools"):
        monkeypatch.setattr(f"{module}.LARGEST_SIZE", 3)
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    heist.pay(5, "ben", X_Pool=pool)
    assert "is full" in heist.refused(5, "thief", X_Pool=pool)
    assert "is full" in heist.join(pool, "thief", heist.model("thief", "t", 24))
    heist.pay(5, "ben", X_Pool=pool)
    heist.settle(pool, ana=FUNDS + 10, thief=0)


def test_who_sends_back_what_he_is_paid_stops_nobodys_payment(heist: Heist) -> None:
    heist.network.registry.add(Bouncer)
    bouncer = heist.network.spawn("Bouncer", sender="thief")
    pool = heist.fund()
    heist.network.send("WrappedAR", "Mint", {"Quantity": "5", "Recipient": bouncer})
    tags = {"Recipient": heist.ids.Benchmark, "Quantity": "5", "X-Pool": pool}
    what = json.dumps({"to": heist.ids.WrappedAR, "action": "Transfer", "tags": tags})
    heist.network.send(bouncer, "Say", data=what, sender="thief")
    heist.enter(pool, "ana", "a", 6)  # no better than a guesser: all goes back
    with suppress(PushLimitExceeded):
        heist.network.advance("3d")
    assert heist.pool(pool)["status"] == "refunded"
    assert heist.gain("funder") == 0


def test_names_salts_and_titles_are_short(heist: Heist) -> None:
    pool = heist.fund()
    terms = {"X_Dataset": heist.ids.SiqaDataset, "X_Allocation": "Equal"}
    assert "X-Title" in heist.refused(X_Title="x" * 201, **terms)
    weights = heist.write("t", 20)
    tags = {"Model-Data": weights, "Router": heist.ids.LlamaRouter, "Model-Name": "n" * 60_000}
    model = heist.network.spawn("LlamaWorker", tags, sender="thief")
    assert "salt" in heist.join(pool, "thief", model, "s" * 129)
    assert heist.join(pool, "thief", model) == ""
    assert len(heist.rows(pool)[model]["name"]) <= 200
    bonded = heist.fund(X_Bond="7")
    assert "X-Salt" in heist.join_paid(bonded, "thief", model, 7, X_Salt="s" * 129)
    heist.settle(pool, thief=FUNDS)


# -- a data set of a module that lies ------------------------------------------------------------


class Puppeteer:
    """A Benchmark that admits the thief's module as a data set: he says what it says."""

    def __init__(self, heist: Heist) -> None:
        self.heist = heist
        tags = {"WrappedAR": heist.ids.WrappedAR, "Dataset-Modules": "Thief"}
        self.bench = heist.network.spawn("Benchmark", tags, name="bench")
        facts = {"Name": "D", "Samples": "24", "Chance": "1/3", "Samples-SHA-256": "a" * 64}
        facts |= {"LlamaRouter": heist.ids.LlamaRouter, "Owner": heist.address("thief")}
        assert heist.say("bench", "Register-Dataset", facts).error == ""
        terms = {"X-Dataset": heist.process, "X-Allocation": "Equal", "X-Duration": "1d"}
        paid = {"Recipient": self.bench, "Quantity": str(FUNDS)}
        heist.network.send("WrappedAR", "Transfer", paid | terms, sender="funder")
        self.pool = heist.network.inbox("funder")[-1].tags["Pool"]
        self.model = heist.model("thief", "t", 24)
        data = json.dumps({"dataset": self.pool, "model": self.model})
        heist.network.send("bench", "Join-Pool", data=data, sender="thief")
        heist.network.advance("1d")

    def answer(self, action: str = "Score-Response", data: str = "", **tags: str) -> str:
        """Ask for the final score and answer it; return what the Benchmark says against it."""
        network = self.heist.network
        network.send("bench", "Allocate-Rewards")
        question = [m for m in network.inbox("process") if m.action == "Score"][-1]
        given = {"Model": self.model, "X-Reference": question.reference}
        given |= {"Samples-SHA-256": "a" * 64}
        given |= {"Correct": "24", "Evaluated": "24", "Total": "24"}
        named = {name.replace("_", "-"): value for name, value in tags.items()}
        return str(self.heist.say("bench", action, given | named, data).error)

    @property
    def status(self) -> str:
        return str(self.heist.network.process("bench").state.pools[self.pool].status)


@pytest.mark.parametrize(
    "tags",
    [
        {"Total": "25", "Evaluated": "25"},
        {"Correct": "25"},
        {"Total": "9" * 13},
        {"data": "[[1,2,[]]]"},
        {"data": '{"a":1}'},
        {"data": "[" * 5000},
    ],
)
def test_counts_that_cannot_be_settle_nothing(heist: Heist, tags: dict[str, str]) -> None:
    lying = Puppeteer(heist)
    lying.answer(**tags)
    assert lying.status == "settling"
    heist.network.advance("8d")
    heist.network.send("bench", "Allocate-Rewards")
    assert lying.status == "refunded"
    assert heist.gain("thief") == heist.gain("funder") == 0


@pytest.mark.parametrize(
    "data",
    ["[[1,1,[]]]", "[[1,1,[]],[1,1,[]]]", json.dumps([[n, 0, []] for n in range(24)])],
)
def test_answers_that_contradict_the_counts_pay_nobody(heist: Heist, data: str) -> None:
    lying = Puppeteer(heist)
    assert lying.answer(data=data) == ""
    assert heist.gain("thief") == heist.gain("funder") == 0
    assert lying.status == "refunded"


def test_a_score_error_is_no_win(heist: Heist) -> None:
    lying = Puppeteer(heist)
    assert lying.answer("Score-Error", Error="unknown") == ""
    assert (lying.status, heist.gain("funder")) == ("refunded", 0)
