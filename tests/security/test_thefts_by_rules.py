"""Rules by which a pool is joined and settled, each against who would get around it."""

from __future__ import annotations

import json

import pytest
from heists import DAY, FUNDS, Heist, spawn_dataset

from benchpool.ao.ids import module_id
from benchpool.evaluation.sample import seal, to_json

BOND = 50

# -- commitments -----------------------------------------------------------------------------


def test_a_commit_that_is_seen_is_of_no_use_to_others(heist: Heist) -> None:
    """The thief sees the hash, sends it too, and earlier; then he uploads the file he sees."""
    pool = heist.fund()
    weights = heist.write("a", 20)
    for who in ("thief", "ana"):  # the hash names ana, so it does not matter who sent it first
        heist.commit(who, "salt", weights, as_who="ana").reply("Commit-Entry-Response")
    copy = upload_again(heist, "thief", "a")
    assert "nobody has committed" in heist.join(pool, "thief", copy, "salt")
    assert heist.join(pool, "thief", copy) == ""
    mine = upload_again(heist, "ana", "a")
    assert heist.join(pool, "ana", mine, "salt") == ""
    rows = heist.settle(pool, ana=FUNDS, thief=0)
    assert (rows[copy]["fate"], rows[mine]["fate"]) == ("copy", "placed")


def test_a_commit_after_the_rivals_join_is_too_late(heist: Heist) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    copy = upload_again(heist, "thief", "a")
    heist.commit("thief", "s", heist.write("a", 20))
    assert "the same weights are in the pool" in heist.join(pool, "thief", copy, "s")
    other = heist.model("thief", "c", 20, seed="a", remark="!")
    heist.commit("thief", "s", heist.write("c", 20, seed="a", remark="!"))
    assert heist.join(pool, "thief", other, "s") == ""
    assert heist.settle(pool, ana=FUNDS, thief=0)[other]["fate"] == "copy"


def test_the_earlier_of_two_commits_holds_the_weights(heist: Heist) -> None:
    pool = heist.fund()
    weights = heist.write("a", 20)
    for who in ("ana", "ben", "ben"):
        heist.commit(who, f"{who}'s", weights)
        heist.network.advance("1h")
    later, first = upload_again(heist, "ben", "a"), upload_again(heist, "ana", "a")
    assert heist.join(pool, "ben", later, "ben's") == ""
    assert heist.join(pool, "ana", first, "ana's") == ""
    heist.settle(pool, ana=FUNDS, ben=0)


@pytest.mark.parametrize("salt", ["wrong", "x" * 128, "a:b"])
def test_a_salt_that_reveals_nothing_is_refused(heist: Heist, salt: str) -> None:
    pool = heist.fund()
    model = heist.model("ana", "a", 20)
    heist.commit("ana", "right", heist.write("a", 20))
    assert "nobody has committed" in heist.join(pool, "ana", model, salt)
    assert heist.join(pool, "ana", model, "right") == ""
    heist.settle(pool, ana=FUNDS)


@pytest.mark.parametrize("made", ["", "x", "g" * 64, "a" * 63, "a" * 65, "\u0661" * 64])
def test_a_commitment_is_64_hexadecimal_digits(heist: Heist, made: str) -> None:
    sent = heist.network.send("Benchmark", "Commit-Entry", {"Commitment": made}, sender="ana")
    assert "Commitment" in sent.error


# -- bonds -----------------------------------------------------------------------------------


def test_a_bond_is_lost_by_copies_and_guessers_and_comes_back_to_others(heist: Heist) -> None:
    pool = heist.fund(X_Bond=str(BOND))
    for who, name, right, more in (
        ("ana", "a", 20, {}),
        ("ben", "b", 14, {}),
        ("thief", "copy", 20, {"seed": "a", "remark": "!"}),
        ("thief", "guess", 7, {}),
        ("thief", "dead", 9, {"silent": 24}),
    ):
        model = heist.model(who, name, right, **more)
        assert heist.join_paid(pool, who, model, BOND) == ""
    assert heist.gain("thief") == -3 * BOND
    rows = heist.settle(pool, ana=FUNDS * 2 // 3, ben=FUNDS // 3, thief=-3 * BOND)
    assert heist.gain("funder") == 3 * BOND - FUNDS
    assert [row["fate"] for row in rows.values()].count("placed") == 2


@pytest.mark.parametrize("amount", [1, BOND - 1, BOND + 1, FUNDS])
def test_a_bond_of_another_amount_goes_back(heist: Heist, amount: int) -> None:
    pool = heist.fund(X_Bond=str(BOND))
    model = heist.model("ana", "a", 20)
    heist.join_paid(pool, "ana", model, amount)
    assert heist.gain("ana") == 0
    assert heist.rows(pool) == {}
    heist.settle(pool, funder=0)


def test_a_bond_is_neither_saved_nor_paid_for_nothing(heist: Heist) -> None:
    bonded, free = heist.fund(X_Bond=str(BOND)), heist.fund(X_Title="free")
    model = heist.model("ana", "a", 20)
    assert "bond" in heist.join(bonded, "ana", model)
    assert "asks no bond" in heist.join_paid(free, "ana", model, BOND)
    assert heist.gain("ana") == 0
    assert "no pool" in heist.join_paid("nowhere", "ana", model, BOND)
    assert heist.gain("ana") == 0
    heist.settle(bonded, funder=0)


def test_a_bond_that_comes_twice_comes_back_once(heist: Heist) -> None:
    pool = heist.fund(X_Bond=str(BOND))
    model = heist.model("ana", "a", 20)
    assert heist.join_paid(pool, "ana", model, BOND) == ""
    heist.join_paid(pool, "ana", model, BOND)
    assert "in the pool already" in heist.network.inbox("ana")[-1].tags["X-Error"]
    assert heist.gain("ana") == -BOND
    heist.settle(pool, ana=FUNDS)


def test_a_bond_comes_back_when_the_pool_is_given_back(heist: Heist) -> None:
    secret = Sealed(heist)
    pool = secret.fund(X_Bond=str(BOND))
    model = heist.model("ana", "a", 20)
    assert heist.join_paid(pool, "ana", model, BOND) == ""
    heist.settle(pool, ana=0, funder=0)


def test_a_bond_under_way_when_the_pool_ends_comes_back(heist: Heist) -> None:
    network = heist.network
    pool = heist.fund(X_Bond=str(BOND), X_Duration="1h")
    model = heist.model("ana", "a", 20)
    network.advance(3_600_000 - 1)
    tags = {"Recipient": heist.ids.Benchmark, "Quantity": str(BOND)}
    tags |= {"X-Join-Pool": pool, "X-Model": model}
    network.post("WrappedAR", "Transfer", tags, sender="ana")
    network.clock.set(network.clock.now() + 1)
    network.run()
    assert heist.gain("ana") == 0
    heist.settle(pool, funder=0, ana=0)


# -- until when ------------------------------------------------------------------------------


def test_who_comes_after_the_last_moment_is_too_late(heist: Heist) -> None:
    pool = heist.fund(X_Join_Until="1d", X_Duration="30d")
    first, late = heist.model("ana", "a", 20), heist.model("thief", "t", 24)
    heist.network.advance(DAY - 3_600_000)
    assert heist.join(pool, "ana", first) == ""
    heist.network.advance("1h")
    assert heist.join(pool, "thief", late)
    heist.settle(pool, days=2, ana=FUNDS, thief=0)  # and not after 30 days


def test_a_pool_waits_for_seven_days_after_its_end_and_no_longer(heist: Heist) -> None:
    network = heist.network
    dataset = spawn_dataset(heist)  # which nobody has ask anything
    pool = heist.fund(X_Dataset=dataset, X_Join_Until="1d", X_Duration="3d")
    heist.enter(pool, "ana", "a", 20)
    network.advance("9d")
    assert heist.pool(pool)["status"] == "settling"
    heist.settle(pool, days=2, funder=0, ana=0)
    assert "7 days after the end" in heist.pool(pool)["reason"]


@pytest.mark.parametrize("until", ["0", "0d", "3d", "-1", "x", "9" * 15, "1\u0661", "\u0661d"])
def test_nobody_is_let_in_before_the_start_or_after_the_end(heist: Heist, until: str) -> None:
    terms = {"X_Dataset": heist.ids.SiqaDataset, "X_Allocation": "Equal", "X_Duration": "2d"}
    assert heist.refused(X_Join_Until=until, **terms)


# -- what a pool is bound to -----------------------------------------------------------------


def test_a_pool_is_pinned_to_its_questions(heist: Heist) -> None:
    digest = next(iter(heist.network.process("SiqaDataset").state.samples))
    terms = {"X_Dataset": heist.ids.SiqaDataset, "X_Allocation": "Equal"}
    for wrong in ("a" * 64, digest[:-1], "x", digest + "0"):
        assert "X-Data" in heist.refused(X_Data=wrong, **terms)
    for right in (digest, digest.upper()):
        assert heist.pool(heist.fund(X_Data=right))["binding"]["samples_sha_256"] == digest


@pytest.mark.parametrize("admitted", ["Thief", "SiqaDataset, Thief", module_id("Thief")])
def test_a_benchmark_may_admit_a_module_by_name_or_id(heist: Heist, admitted: str) -> None:
    tags = {"WrappedAR": heist.ids.WrappedAR, "Dataset-Modules": admitted}
    bench = heist.network.spawn("Benchmark", tags)
    facts = {"Name": "D", "Samples": "9", "Chance": "1/3", "Samples-SHA-256": "a" * 64}
    assert heist.say(bench, "Register-Dataset", facts).error == ""
    assert "data sets are processes of" in heist.say("Benchmark", "Register-Dataset", facts).error


# -- what a stranger is told -----------------------------------------------------------------


def told(heist: Heist, model: str, who: str, *, dry: bool) -> list[object]:
    ask = heist.network.dry_run if dry else heist.network.send
    said: list[object] = []
    for action in ("Score", "Get-Report", "Get-Answers", "Get-Models"):
        tags = {"Model": model, "Answers": "true"}
        done = ask("SiqaDataset", action, tags, sender=who)
        (message,) = done.messages if dry else done.replies
        numbers = {n: v for n, v in message.tags if n in ("Correct", "Evaluated", "Unscored")}
        said += [numbers, message.data]
    return said


def test_nobody_learns_more_than_the_last_board_said(heist: Heist) -> None:
    pool = heist.fund()
    model = heist.enter(pool, "ana", "a", 20)
    network = heist.network
    before = told(heist, model, "thief", dry=False)
    network.send("SiqaDataset", "Evaluate")
    answered = told(heist, model, "thief", dry=False)
    assert answered[:2] == before[:2] == [{"Correct": "0", "Evaluated": "0", "Unscored": "0"}, ""]
    assert json.loads(str(answered[3]))["predictions"] == json.loads(str(before[3]))["predictions"]
    assert answered[4:] == before[4:]
    for who in ("thief", "funder", "default"):
        assert told(heist, model, who, dry=True)[:2] == before[:2]
    network.send("Benchmark", "Update-Leaderboard")
    numbers = told(heist, model, "thief", dry=False)[0]
    assert numbers == {"Correct": "20", "Evaluated": "24", "Unscored": "0"}
    heist.settle(pool)


@pytest.mark.parametrize("claimed", ["owner", "Benchmark"])
def test_a_claim_to_be_somebody_else_learns_no_more(heist: Heist, claimed: str) -> None:
    pool = heist.fund()
    model = heist.enter(pool, "ana", "a", 20)
    network = heist.network
    network.send("SiqaDataset", "Evaluate")
    who = network.info("SiqaDataset").owner if claimed == "owner" else heist.ids.Benchmark
    tags = {"Model": model, "Answers": "true", "From-Process": who}
    sent = network.send("SiqaDataset", "Score", tags, sender="thief")
    dry = network.dry_run("SiqaDataset", "Score", tags, sender="thief")
    for told in (*sent.replies, *dry.messages):
        assert (told.tags.get("Correct", "0"), told.data) == ("0", "")


# -- sealed pools ----------------------------------------------------------------------------


class Sealed:
    """A data set without questions, whose owner knows those of the heist."""

    def __init__(self, heist: Heist) -> None:
        self.heist = heist
        cron = {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Evaluate"}
        self.dataset = spawn_dataset(heist, **{"empty": "true", **cron})
        self.seal = seal("salt", heist.samples)

    def fund(self, **tags: str) -> str:
        given = {"X_Dataset": self.dataset, "X_Sealed": self.seal, "X_Join_Until": "1d"}
        return self.heist.fund(**given | tags)

    def reveal(self, salt: str = "salt", questions: object = None) -> None:
        data = to_json(questions or self.heist.samples)  # type: ignore[arg-type]
        self.heist.network.send(self.dataset, "Load-Data", {"Salt": salt}, data=data)


def test_a_sealed_pool_is_settled_by_what_was_sealed(heist: Heist) -> None:
    secret = Sealed(heist)
    pool = secret.fund()
    model = heist.enter(pool, "ana", "a", 20)
    heist.network.advance("1d")
    assert heist.rows(pool)[model]["evaluated"] == 0
    assert "takes no more" in heist.join(pool, "thief", heist.model("thief", "t", 24))
    secret.reveal()
    assert heist.settle(pool, ana=FUNDS)[model]["correct"] == 20


@pytest.mark.parametrize("trick", ["salt", "questions", "fewer", "early", "silence", "no salt"])
def test_a_seal_that_does_not_fit_refunds_all(heist: Heist, trick: str) -> None:
    secret = Sealed(heist)
    pool = secret.fund()
    heist.enter(pool, "thief", "t", 24)
    heist.network.advance("1h" if trick == "early" else "1d")
    if trick != "silence":
        salt = {"salt": "pepper", "no salt": ""}.get(trick, "salt")
        shown = {"questions": heist.samples[::-1], "fewer": heist.samples[:9]}.get(trick)
        secret.reveal(salt, shown)
    heist.settle(pool, funder=0, thief=0)
    assert heist.pool(pool)["reason"]


def test_what_is_sealed_is_sealed_for_all(heist: Heist) -> None:
    secret = Sealed(heist)
    terms = {"X_Dataset": secret.dataset, "X_Allocation": "Equal"}
    assert "no questions" in heist.refused(**terms)
    for wrong in ("x", "a" * 63, "g" * 64):
        assert "X-Sealed" in heist.refused(X_Sealed=wrong, **terms)
    known = {**terms, "X_Dataset": heist.ids.SiqaDataset}
    assert "questions already" in heist.refused(X_Sealed="a" * 64, **known)


# -- looking ---------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["Leaderboard", "Get-Pool"])
def test_a_pool_may_be_named_by_the_data(heist: Heist, action: str) -> None:
    pool = heist.fund()
    heist.enter(pool, "ana", "a", 20)
    by_data = heist.network.send("Benchmark", action, data=pool).reply(f"{action}-Response")
    by_tag = heist.network.send("Benchmark", action, {"Pool": pool}).reply(f"{action}-Response")
    assert by_data.data == by_tag.data != ""


def upload_again(heist: Heist, who: str, name: str) -> str:
    """Spawn one more process with a file that is there."""
    weights = heist.write(name, 20)
    tags = {"Model-Data": weights, "Router": heist.ids.LlamaRouter}
    return heist.network.spawn("LlamaWorker", tags, sender=who)
