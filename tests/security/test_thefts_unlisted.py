"""Thefts that nobody had listed: for each message, what a liar would gain by it."""

from __future__ import annotations

import json

import pytest
from heists import FUNDS, Heist, spawn_dataset

from benchpool.audit.audit import audit
from benchpool.evaluation import prompts
from benchpool.evaluation.sample import Sample, to_json


def oracle(heist: Heist, place: int) -> dict[str, object]:
    """Return the answer of one who knows the labels."""
    gold = heist.samples[place].gold
    nats = [{"nats": -1.0 if n == gold else -9.0, "tokens": 2} for n in (1, 2, 3)]
    return {"log_likelihoods": nats, "prompt_tokens": 9}


def asked(heist: Heist, party: str) -> list[tuple[str, int]]:
    """Return the reference and the question of each inference that a party was asked for."""
    places = {prompts.cloze(each).prompt: n for n, each in enumerate(heist.samples)}
    found = [message for message, _ in heist.network.log(party) if message.action == "Inference"]
    return [(m.tags.get("X-Reference") or m.reference, places[m.json()["prompt"]]) for m in found]


# -- speaking in another's name ----------------------------------------------------------------


def test_the_owner_of_a_data_set_cannot_speak_for_its_router(heist: Heist) -> None:
    """He names himself an authority, and writes messages From the router."""
    network = heist.network
    mine = spawn_dataset(heist, sender="thief", Authority=heist.address("thief"))
    pool = heist.fund(X_Dataset=mine)
    model = heist.enter(pool, "thief", "t", 2)
    weights = heist.rows(pool)[model]["weights"]
    claim = {"From-Process": heist.ids.LlamaRouter, "Model": model, "Weights": weights}
    network.post(mine, "Evaluate", sender="thief")
    first = network.process(mine)._reference + 1
    for place in range(24):
        named = {**claim, "X-Reference": str(first + place), "From-Module": "LlamaRouter"}
        answer = json.dumps(oracle(heist, place))
        network.post(mine, "Inference-Response", named, data=answer, sender="thief")
    network.run()
    network.send("Benchmark", "Update-Leaderboard")
    assert heist.rows(pool)[model]["correct"] == 2
    heist.settle(pool, thief=0, funder=0)


def test_the_owner_of_a_router_cannot_speak_for_its_workers(heist: Heist) -> None:
    tags = {"Authority": heist.address("thief")}
    router = heist.network.spawn("LlamaRouter", tags, sender="thief")
    named = {"Weights": "w", "Owner": heist.address("thief"), "From-Process": heist.process}
    named |= {"From-Module": "LlamaWorker"}
    sent = heist.network.send(router, "Register-Worker", named, sender="thief")
    assert "not trusted" in sent.result.output
    assert heist.network.process(router).state.workers == {}


def test_the_owner_of_a_benchmark_cannot_speak_for_its_token(heist: Heist) -> None:
    network, me = heist.network, heist.address("thief")
    tags = {"WrappedAR": heist.ids.WrappedAR, "Authority": me}
    bench = network.spawn("Benchmark", tags, sender="thief")
    forged = {"From-Process": heist.ids.WrappedAR, "Sender": me, "Quantity": "9"}
    forged |= {"From-Module": "WrappedAR"}
    sent = network.send(bench, "Credit-Notice", forged, sender="thief")
    assert "not trusted" in sent.result.output
    assert sent.result.messages == ()


def test_an_audit_believes_whom_the_token_believes(heist: Heist) -> None:
    """Who owns a token says who may speak for others there, as on AO: what they pay is paid."""
    network, ana = heist.network, heist.address("ana")
    token = network.spawn("WrappedAR", {"Authority": heist.address("ben")})
    bench = network.spawn("Benchmark", {"WrappedAR": token})
    dataset = spawn_dataset(heist, Benchmark=bench)
    network.send(token, "Mint", {"Quantity": "9", "Recipient": ana})
    terms = {"X-Dataset": dataset, "X-Allocation": "Equal", "X-Duration": "1d"}
    paid = {"From-Process": ana, "Recipient": bench, "Quantity": "9"}
    network.send(token, "Transfer", paid | terms, sender="ben")
    pool = network.inbox("ana")[-1].tags["Pool"]
    network.advance("1d")
    network.send(bench, "Allocate-Rewards")
    assert network.process(token).state.balances[ana] == 9
    statement = audit(network.store, network.data, pool, registry=network.registry)
    assert [each for each in statement.checks if not each.passed] == []


def test_nobody_spawns_a_process_in_anothers_name(heist: Heist) -> None:
    tags = {"Authority": heist.address("thief"), "From-Process": heist.address("ana")}
    mine = spawn_dataset(heist, sender="thief", **tags)
    assert heist.network.info(mine).owner == heist.address("thief")


# -- having others say it ------------------------------------------------------------------------


def test_a_worker_gives_its_router_no_answer_to_its_owners_question(heist: Heist) -> None:
    """The owner asks his own worker, with Reply-To and the reference of the router's question."""
    network = heist.network
    pool = heist.fund()
    model = heist.enter(pool, "thief", "t", 24)  # which gets right what its owner asks
    wrong = heist.model("thief", "w", 0)
    assert heist.join(pool, "thief", wrong) == ""
    easy = {"prompt": prompts.cloze(heist.samples[0]).prompt, "choices": ["glad", "sad", "calm"]}
    router = network.process("LlamaRouter")
    for ahead in range(1, 120):
        tags = {"Reply-To": heist.ids.LlamaRouter, "X-Reference": str(router._reference + ahead)}
        network.post(wrong, "Inference", tags, data=json.dumps(easy), sender="thief")
    network.post("SiqaDataset", "Evaluate")
    network.run()
    heard = [m for m, _ in network.log("LlamaRouter") if m.action == "Inference-Response"]
    assert len(heard) == 48
    assert model in heist.settle(pool)


@pytest.mark.parametrize("lie", ["other questions", "no answers"])
def test_a_stranger_has_no_score_told_to_the_benchmark(heist: Heist, lie: str) -> None:
    """By another hash he would have a pool refunded, and without answers hide a copy."""
    network = heist.network
    network.send("SiqaDataset", "Load-Data", data=to_json_of(heist))
    pool = heist.fund()
    original = heist.enter(pool, "ana", "a", 20)
    copy = heist.enter(pool, "thief", "c", 20, seed="a", remark="!")
    network.advance("47h")
    hashes = list(network.process("SiqaDataset").state.samples)
    network.clock.set(network.clock.now() + 3_600_000)
    network.post("Benchmark", "Allocate-Rewards")
    ahead = network.process("Benchmark")._reference
    for number in range(1, 9):
        tags = {"Model": copy, "Reply-To": heist.ids.Benchmark, "X-Reference": str(ahead + number)}
        if lie == "other questions":
            tags |= {"Samples-SHA-256": hashes[0]}
        network.post("SiqaDataset", "Score", tags, sender="thief")
    network.run()
    rows = heist.settle(pool, ana=FUNDS, thief=0)
    assert [rows[each]["fate"] for each in (original, copy)] == ["placed", "copy"]


def to_json_of(heist: Heist) -> str:
    return to_json([Sample("Kim met nobody.", "How?", ("glad", "sad", "calm"), 1)])


def test_a_failed_transfer_of_a_strangers_undoes_no_payment(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    network.advance("47h")
    network.clock.set(network.clock.now() + 3_600_000)
    ahead = network.process("Benchmark")._reference
    for number in range(1, 20):
        tags = {"Recipient": heist.address("ana"), "Quantity": str(10 * FUNDS * FUNDS)}
        tags |= {"Reply-To": heist.ids.Benchmark, "X-Payment": str(ahead + number)}
        network.post("WrappedAR", "Transfer", tags, sender="thief")
    for _ in range(6):
        network.post("Benchmark", "Allocate-Rewards")
    network.run()
    heist.settle(pool, ana=FUNDS)


# -- routers and helpers -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["wallet", "process"])
def test_a_router_of_the_thiefs_own_enters_no_model(heist: Heist, kind: str) -> None:
    """He owns a data set of the right module and questions, and answers for its router."""
    network, who = heist.network, "thief" if kind == "wallet" else "process"
    mine = spawn_dataset(heist, sender="thief", LlamaRouter=heist.address(who))
    pool = heist.fund(X_Dataset=mine)
    data = json.dumps({"dataset": pool, "model": "oracle"})
    network.send("Benchmark", "Join-Pool", data=data, sender="thief")
    question = [m for m in network.inbox(who) if m.action == "Get-Model"][-1]
    answer = {"Model": "oracle", "Name": "o", "Weights": "w", "Owner": heist.address("thief")}
    answer |= {"X-Reference": question.reference}
    if kind == "wallet":
        network.send("Benchmark", "Get-Model-Response", answer, sender="thief")
    else:
        heist.say("Benchmark", "Get-Model-Response", answer)
    refused = network.inbox("thief")[-1]
    assert refused.action == "Join-Pool-Error"
    assert "router" in refused.tags["Error"]
    heist.settle(pool, funder=0, thief=0)


def test_a_bond_comes_back_from_a_router_that_does_not_answer(heist: Heist) -> None:
    mine = spawn_dataset(heist, sender="thief", LlamaRouter=heist.process)
    pool = heist.fund(X_Dataset=mine, X_Bond="7", X_Duration="5d")
    heist.pay(7, "ana", X_Join_Pool=pool, X_Model=heist.model("ana", "a", 20))
    assert heist.gain("ana") == -7
    heist.settle(pool, days=6, ana=0, funder=0)


def test_a_rivals_worker_is_nobodys_helper(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund()
    mine, rival = heist.enter(pool, "thief", "t", 2), heist.enter(pool, "ana", "a", 20)
    network.send(mine, "Add-Worker", {"Worker": rival}, sender="thief")
    weights = heist.rows(pool)[rival]["weights"]
    tags = {"Model-Data": weights, "Router": heist.ids.LlamaRouter, "Model": rival}
    network.spawn("LlamaWorker", tags, sender="thief")
    served = network.process("LlamaRouter").state.models
    assert {each: served[each].workers for each in served} == {mine: [mine], rival: [rival]}
    heist.settle(pool, ana=FUNDS, thief=0)


@pytest.mark.parametrize("who", ["thief", "default"])
def test_a_worker_is_let_go_by_itself_or_its_model_alone(heist: Heist, who: str) -> None:
    pool = heist.fund()
    model = heist.enter(pool, "ana", "a", 20)
    sent = heist.network.send("LlamaRouter", "Unregister-Worker", {"Worker": model}, sender=who)
    assert "Unregister-Worker is for the worker itself" in sent.error
    heist.settle(pool, ana=FUNDS)


def test_other_weights_in_mid_pool_answer_nothing(heist: Heist) -> None:
    pool = heist.fund()
    model = heist.enter(pool, "thief", "t", 12)
    better = heist.write("better", 24)
    heist.network.send(model, "Load-Model", {"Data-Id": better}, sender="thief")
    row = heist.settle(pool)[model]
    assert (row["correct"], row["unscored"]) == (0, 24)
    assert heist.gain("thief") == heist.gain("funder") == 0


# -- the owner of the data set, who plays too ----------------------------------------------------


def test_a_data_sets_owner_enters_no_false_weights(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund()
    model = heist.model("ana", "a", 20)
    early = {"Model": model, "Weights": "false", "Name": "x"}
    network.send("SiqaDataset", "Benchmark", early).reply("Benchmark-Response")
    network.send("SiqaDataset", "Evaluate")
    assert heist.join(pool, "ana", model) == ""
    assert "other weights" in network.send("SiqaDataset", "Benchmark", early).error
    assert heist.settle(pool, ana=FUNDS)[model]["correct"] == 20


@pytest.mark.slow
def test_a_data_sets_owner_asks_nothing_at_a_pools_cost(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund()
    for number in range(44):
        model = heist.model("thief", f"t{number}", 1, remark=str(number))
        network.send("SiqaDataset", "Benchmark", {"Model": model}).reply("Benchmark-Response")
    honest = heist.enter(pool, "ana", "a", 20)
    network.send("SiqaDataset", "Evaluate")
    network.send("Benchmark", "Update-Leaderboard")
    assert heist.rows(pool)[honest]["evaluated"] == 24
    heist.settle(pool, ana=FUNDS)


def test_ticks_in_any_order_pay_once(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund(X_Duration="1h")
    heist.enter(pool, "ana", "a", 20)
    network.advance("1h")
    for action in ("Allocate-Rewards", "Update-Leaderboard", "Allocate-Rewards") * 3:
        network.post("Benchmark", action)
        network.post("SiqaDataset", "Evaluate")
    network.run()
    heist.settle(pool, ana=FUNDS)


def test_facts_that_a_data_set_tells_again_are_of_later_pools(heist: Heist) -> None:
    pool = heist.fund()
    before = heist.pool(pool)["binding"]
    heist.enter(pool, "ana", "a", 20)
    heist.network.send("SiqaDataset", "Init").reply("Init-Response")
    heist.network.send("SiqaDataset", "Load-Data", data=to_json_of(heist))
    assert heist.pool(pool)["binding"] == before
    heist.settle(pool, ana=FUNDS)


def test_what_another_router_answered_before_counts_nothing(heist: Heist) -> None:
    """He has his own process asked first, and names a true router and the Benchmark then."""
    network = heist.network
    mine = spawn_dataset(heist, sender="thief", LlamaRouter=heist.process, Benchmark="")
    model = heist.model("thief", "t", 2)
    weights = network.process("LlamaRouter").state.models[model].weights
    named = {"Model": model, "Weights": weights}
    network.send(mine, "Benchmark", named, sender="thief").reply("Benchmark-Response")
    network.send(mine, "Evaluate", sender="thief")
    for reference, place in asked(heist, "process"):
        answer = json.dumps(oracle(heist, place))
        heist.say(mine, "Inference-Response", {**named, "X-Reference": reference}, answer)
    change = {"LlamaRouter": heist.ids.LlamaRouter, "Benchmark": heist.ids.Benchmark}
    assert "LlamaRouter is fixed" in network.send(mine, "Init", change, sender="thief").error
    change.pop("LlamaRouter")
    network.send(mine, "Init", change, sender="thief").reply("Init-Response")
    pool = heist.fund(X_Dataset=mine)
    data = json.dumps({"dataset": pool, "model": model})
    network.send("Benchmark", "Join-Pool", data=data, sender="thief")
    heist.settle(pool, thief=0, funder=0)
