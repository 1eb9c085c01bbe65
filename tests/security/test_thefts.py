"""Who takes the money of a pool: each theft that was found once, through the public API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from heists import FUNDS, Heist

from benchpool.evaluation.sample import to_json

# -- models of others, models that are none ------------------------------------------------------


def test_a_rivals_model_earns_its_owner(heist: Heist) -> None:
    first, second = heist.fund(X_Title="first"), heist.fund(X_Title="second")
    model = heist.enter(first, "ana", "m", 20)
    for pool in (first, second):
        assert heist.join(pool, "thief", model)
    assert heist.join(second, "ana", model) == ""
    heist.settle(first, thief=0, ana=2 * FUNDS)
    heist.check(second)


def test_a_rivals_model_is_not_bought_into_a_pool_either(heist: Heist) -> None:
    pool = heist.fund(X_Bond="7")
    model = heist.model("ana", "m", 20)
    assert "only its owner" in heist.join_paid(pool, "thief", model, 7)
    assert heist.gain("thief") == 0
    assert heist.join_paid(pool, "ana", model, 7) == ""
    heist.settle(pool, ana=FUNDS, thief=0)


def test_a_wallet_that_knows_the_labels_is_no_worker(heist: Heist) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "m", 20)
    me = heist.address("thief")
    tags = {"Weights": "w", "Name": "oracle", "Owner": me}
    sent = heist.network.send("LlamaRouter", "Register-Worker", tags, sender="thief")
    assert "only processes of LlamaWorker" in sent.error
    assert "unknown model" in heist.join(pool, "thief", me)
    assert "only processes of" in heist.say("LlamaRouter", "Register-Worker", tags).error
    heist.settle(pool, ana=FUNDS, thief=0)


def test_a_worker_is_not_helped_by_a_wallet(heist: Heist) -> None:
    pool = heist.fund()
    model = heist.enter(pool, "thief", "m", 12)
    me = heist.address("thief")
    added = heist.network.send(model, "Add-Worker", {"Worker": me}, sender="thief")
    tags = {"Weights": heist.rows(pool)[model]["weights"], "Owner": me, "Model": model}
    helping = heist.network.send("LlamaRouter", "Register-Worker", tags, sender="thief")
    assert added.error == ""
    assert "only processes of" in helping.error
    row = heist.settle(pool)[model]
    assert (row["correct"], row["evaluated"]) == (12, 24)


def test_weights_that_somebody_only_names_are_not_taken(heist: Heist) -> None:
    pool = heist.fund()
    weights = heist.write("a", 20)
    tags = {"Weights": weights, "Name": "mine", "Owner": heist.address("thief")}
    assert "only processes of" in heist.say("LlamaRouter", "Register-Worker", tags).error
    assert heist.join(pool, "thief", heist.process)
    heist.enter(pool, "ana", "a", 20)
    heist.settle(pool, ana=FUNDS, thief=0)


@pytest.mark.parametrize("who", ["wallet", "process"])
def test_nobody_is_a_data_set_but_processes_of_its_module(heist: Heist, who: str) -> None:
    digest = heist.network.process("SiqaDataset").state.samples
    facts = {"Name": "Social IQa", "Samples": "24", "Chance": "1/3", "Protocols": "cloze"}
    facts |= {"LlamaRouter": heist.ids.LlamaRouter, "Owner": heist.address("thief")}
    facts |= {"Samples-SHA-256": next(iter(digest)), "From-Module": "SiqaDataset"}
    if who == "wallet":
        error = heist.network.send("Benchmark", "Register-Dataset", facts, sender="thief").error
    else:
        error = heist.say("Benchmark", "Register-Dataset", facts).error
    assert "data sets are processes of" in error
    known = heist.address("thief") if who == "wallet" else heist.process
    assert "no data set process" in heist.refused(X_Dataset=known, X_Allocation="Equal")


# -- the owner of the data set -------------------------------------------------------------------


def test_questions_that_come_later_are_of_later_pools(tmp_path: Path) -> None:
    heist = Heist(tmp_path, more=6)
    pool = heist.fund()
    honest, thief = heist.enter(pool, "ana", "a", 20), heist.enter(pool, "thief", "t", 14)
    loaded = heist.network.send("SiqaDataset", "Load-Data", data=to_json(heist.later))
    loaded.reply("Load-Data-Response")
    later = heist.fund(X_Title="later")
    assert heist.join(later, "ana", honest) == ""
    rows = heist.settle(pool)
    assert [rows[each]["total"] for each in (honest, thief)] == [24, 24]
    assert heist.rows(later)[honest]["total"] == 30
    heist.check(later)
    heist.network.close()


@pytest.mark.parametrize("tag", ["LlamaRouter", "SystemPrompt", "WrappedAR", "Benchmark", "Herder"])
def test_how_questions_are_asked_cannot_change(heist: Heist, tag: str) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    sent = heist.network.send("SiqaDataset", "Init", {tag: "true"})
    assert f"{tag} is fixed" in sent.error
    heist.settle(pool, ana=FUNDS)


def test_an_answer_for_other_questions_gives_the_pool_back(heist: Heist) -> None:
    """Only a data set of a lying module can say so: the Benchmark's owner admits one here."""
    network = heist.network
    bench = network.spawn(
        "Benchmark", {"WrappedAR": heist.ids.WrappedAR, "Dataset-Modules": "Thief"}, name="bench"
    )
    facts = {"Name": "D", "Samples": "24", "Chance": "1/3", "Samples-SHA-256": "a" * 64}
    facts |= {"LlamaRouter": heist.ids.LlamaRouter, "Owner": heist.address("thief")}
    assert heist.say("bench", "Register-Dataset", facts).error == ""
    terms = {"X-Dataset": heist.process, "X-Allocation": "Equal", "X-Duration": "1d"}
    paid = {"Recipient": bench, "Quantity": str(FUNDS)}
    network.send("WrappedAR", "Transfer", paid | terms, sender="funder")
    pool = network.inbox("funder")[-1].tags["Pool"]
    model = heist.model("thief", "t", 24)
    data = json.dumps({"dataset": pool, "model": model})
    network.send("bench", "Join-Pool", data=data, sender="thief")
    network.advance("1d")
    network.send("bench", "Allocate-Rewards")
    asked = [m for m in network.inbox("process") if m.action == "Score"][-1]
    score = {"Model": model, "Correct": "24", "Evaluated": "24", "Total": "24"}
    score |= {"X-Reference": asked.reference, "Samples-SHA-256": "b" * 64}
    heist.say("bench", "Score-Response", score)
    assert heist.gain("funder") == heist.gain("thief") == 0
    assert network.process("bench").state.pools[pool].status == "refunded"


# -- copies, guessers, floods --------------------------------------------------------------------


def test_a_changed_byte_makes_no_second_model(heist: Heist) -> None:
    pool = heist.fund()
    first = heist.enter(pool, "ana", "a", 20)
    rival = heist.enter(pool, "ben", "b", 16)
    second = heist.enter(pool, "ana", "c", 20, seed="a", remark="!")
    rows = heist.settle(pool, ana=FUNDS * 2 // 3, ben=FUNDS // 3)
    assert [rows[each]["fate"] for each in (first, rival, second)] == ["placed", "placed", "copy"]


@pytest.mark.parametrize(("near", "sixths"), [("flag", 5), ("merge", 4)])
def test_requantized_weights_are_flagged_or_merged(heist: Heist, near: str, sixths: int) -> None:
    pool = heist.fund(X_Near_Copies=near)
    heist.enter(pool, "ana", "a", 20)
    heist.enter(pool, "ben", "b", 16)
    second = heist.enter(pool, "ana", "c", 20, seed="a", noise=0.01)
    row = heist.settle(pool)[second]
    assert "log-likelihoods correlate by" in " ".join(row["why"])
    assert row["fate"] == ("copy" if near == "merge" else "placed")
    assert heist.gain("ana") == FUNDS * sixths // 6


def test_guessers_are_not_paid(heist: Heist) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    for number in range(8):
        heist.enter(pool, "thief", f"guess{number}", 6 + number % 4)
    rows = heist.settle(pool, ana=FUNDS, thief=0)
    assert {row["fate"] for row in rows.values()} == {"placed", "not above chance"}


def test_who_answers_only_what_it_knows_is_no_surer(heist: Heist) -> None:
    pool = heist.fund()
    sly = heist.enter(pool, "thief", "sly", 12, silent=12)
    plain = heist.enter(pool, "ana", "plain", 12)
    rows = heist.settle(pool)
    shown = [(rows[m]["score"], rows[m]["standard_error"]) for m in (sly, plain)]
    assert shown == [("0.500000", "0.104257")] * 2
    assert [rows[m]["unscored"] for m in (sly, plain)] == [12, 0]
    assert heist.gain("thief") == heist.gain("ana")


@pytest.mark.slow
def test_a_pool_of_one_winston_does_not_starve_a_rich_one(heist: Heist) -> None:
    poor, rich = heist.fund(1), heist.fund()
    shams = [heist.model("thief", f"sham{n}", n % 5, remark=str(n)) for n in range(140)]
    for model in shams:
        assert heist.join(poor, "thief", model) == ""
    honest = heist.enter(rich, "ana", "a", 20)
    heist.network.send("SiqaDataset", "Evaluate")
    heist.network.send("Benchmark", "Update-Leaderboard")
    assert heist.rows(rich)[honest]["evaluated"] == 24
    progress = {row["evaluated"] for row in heist.rows(poor).values()}
    assert max(progress) - min(progress) <= 1
    heist.settle(rich, ana=FUNDS)
