"""Benchmark among puppets: token, data set and router say what the test tells them to."""

import json

import pytest

from benchpool.ao.clock import DAY_MS, GENESIS_MS
from benchpool.errors import HandlerError
from benchpool.process.process import Process, handler
from processes.pool.pool import MOST_FINAL_ASKS

QUESTIONS = "0" * 64
"""The SHA-256 that the data set says its questions have."""


class Puppet(Process):
    """Says what it is told to, and keeps what it hears."""

    @handler("Say")
    def say(self, message):
        what = message.json()
        self.send(what["to"], what["action"], what["tags"])


class World:
    def __init__(self, network):
        self.network = network
        network.registry.add(Puppet)
        self.token, self.dataset, self.router, self.stranger = (
            network.spawn("Puppet", name=name) for name in ("token", "data", "router", "stranger")
        )
        spawned = {"WrappedAR": self.token, "Dataset-Modules": "Puppet"}
        self.benchmark = network.spawn("Benchmark", spawned)
        self.alice = network.new_wallet("alice")
        self.bob = network.new_wallet("bob")
        self.register()

    @property
    def state(self):
        return self.network.process(self.benchmark).state

    def say(self, puppet, action, **tags):
        """Let a puppet send to Benchmark; return the result of what Benchmark made of it."""
        tags = {name.replace("_", "-"): str(value) for name, value in tags.items()}
        what = {"to": self.benchmark, "action": action, "tags": tags}
        self.network.send(puppet, "Say", data=json.dumps(what))
        return self.network.log(self.benchmark)[-1][1]

    def heard(self, party, action=None):
        mail = self.network.inbox(party)
        return [message for message in mail if action in (None, message.action)]

    def register(self, **tags):
        given = {
            "Name": "D",
            "Samples": 10,
            "Chance": "1/3",
            "LlamaRouter": self.router,
            "Owner": "somebody",
            "Samples-SHA-256": QUESTIONS,
        }
        return self.say(self.dataset, "Register-Dataset", **{**given, **tags})

    def credit(self, who=None, quantity=1000, puppet=None, **tags):
        """Let the token, or another puppet, send a Credit-Notice; return its id and its result."""
        sender = (who or self.alice).address
        given = {"Sender": sender, "Quantity": quantity}
        result = self.say(puppet or self.token, "Credit-Notice", **given, **tags)
        return self.network.log(self.benchmark)[-1][0].id, result

    def fund(self, who=None, quantity=1000, **tags):
        given = {
            "X_Dataset": self.dataset,
            "X_Allocation": "Equal",
            "X_Duration": "1d",
            "X_Eligible": "all",
        }
        return self.credit(who, quantity, **{**given, **tags})[0]

    def ask_join(self, pool, model, who=None):
        data = json.dumps({"dataset": pool, "model": model})
        return self.network.send(self.benchmark, "Join-Pool", data=data, sender=who or self.bob)

    def join(self, pool, model, who=None, weights=None):
        self.ask_join(pool, model, who)
        asked = self.heard(self.router, "Get-Model")[-1]
        weights = weights or f"weights of {model}"
        return self.say(
            self.router,
            "Get-Model-Response",
            Model=model,
            Name=f"name of {model}",
            Weights=weights,
            Owner=(who or self.bob).address,
            X_Reference=asked.reference,
        )

    def tick(self, action="Allocate-Rewards"):
        sent = self.network.send(self.benchmark, action)
        assert sent.error == ""

    def answer_scores(self, **correct):
        """Let the data set answer all open Scores with so many of 10 correct."""
        for asked in self.heard(self.dataset, "Score")[-len(correct) :]:
            self.answer_score(asked, correct[asked.tags["Model"]])

    def answer_score(self, asked, correct, evaluated=10, puppet=None, **tags):
        given = {
            "Model": asked.tags["Model"],
            "Protocol": asked.tags["Protocol"],
            "Correct": correct,
            "Evaluated": evaluated,
            "Total": 10,
            "Samples-SHA-256": asked.tags["Samples-SHA-256"],
            "X_Reference": asked.reference,
        }
        return self.say(puppet or self.dataset, "Score-Response", **{**given, **tags})

    def transfers(self):
        return self.heard(self.token, "Transfer")

    def debit(self, transfer, **tags):
        given = {
            "Recipient": transfer.tags["Recipient"],
            "Quantity": transfer.tags["Quantity"],
            "X_Payment": transfer.tags["X-Payment"],
            "X_Reference": transfer.tags.get("X-Reference") or transfer.reference,
        }
        return self.say(self.token, "Debit-Notice", **{**given, **tags})

    def pool(self, pool):
        return json.loads(
            self.network.send(self.benchmark, "Get-Pool", {"Pool": pool}).reply().data
        )


@pytest.fixture
def world(network):
    return World(network)


def test_a_benchmark_without_a_token_is_refused(network):
    with pytest.raises(HandlerError, match="WrappedAR is required"):
        network.spawn("Benchmark")


# -- data sets -------------------------------------------------------------------------------


def test_a_dataset_is_registered_under_its_own_id(world):
    (answer,) = world.heard(world.dataset, "Register-Dataset-Response")
    assert answer.tags["Name"] == "D"
    assert list(world.state.datasets) == [world.dataset]


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("Chance", ""),
        ("Chance", "1"),
        ("Chance", "1/0"),
        ("Chance", "3/2"),
        ("Chance", "1e9"),
        ("Samples", ""),
        ("Samples", "-1"),
        ("Samples", "٣"),
    ],
)
def test_a_dataset_with_bad_facts_is_refused(world, tag, value):
    result = world.register(**{tag: value, "Name": "other"})
    assert tag in result.error
    assert world.state.datasets[world.dataset].name == "D"


# -- funding ---------------------------------------------------------------------------------


def test_a_credit_notice_of_the_token_makes_a_pool(world):
    pool = world.fund(X_Title="A pool", X_Reference="abc")
    (created,) = world.heard(world.alice, "Pool-Created")
    assert dict(created.tags.pairs) == {
        "Action": "Pool-Created",
        "Pool": pool,
        "Funds": "1000",
        "Allocation": "Equal",
        "Dataset": world.dataset,
        "Start-Time": str(GENESIS_MS),
        "End-Time": str(GENESIS_MS + DAY_MS),
        "Dataset-Module": "Puppet",
        "Dataset-Owner": "somebody",
        "Router": world.router,
        "Protocol": "cloze",
        "Samples": "10",
        "Samples-SHA-256": QUESTIONS,
        "Join-Until": str(GENESIS_MS + DAY_MS),
        "Eligible": "all",
        "X-Reference": "abc",
    }
    shown = world.pool(pool)
    assert shown["title"] == "A pool"
    assert shown["funder"] == world.alice.address
    assert shown["funds"] == "1000"
    assert shown["protocol"] == "cloze"
    assert shown["status"] == "open"
    assert shown["models"] == []


def test_a_pool_lasts_thirty_days_by_default(world):
    pool, _ = world.credit(X_Dataset=world.dataset, X_Allocation="Equal")
    assert world.pool(pool)["end_time"] == GENESIS_MS + 30 * DAY_MS


def test_a_pool_can_start_later_and_run_by_letters(world):
    start = GENESIS_MS + DAY_MS
    pool = world.fund(X_Start=start, X_Protocol="letters", X_Duration="12h")
    shown = world.pool(pool)
    assert (shown["start_time"], shown["end_time"]) == (start, start + DAY_MS // 2)
    assert shown["protocol"] == "letters"


def test_a_credit_notice_of_a_stranger_creates_nothing(world):
    _, result = world.credit(puppet=world.stranger, X_Dataset=world.dataset, X_Allocation="Equal")
    assert "not the token" in result.output
    assert result.messages == ()
    assert not world.state.pools
    assert not world.state.payments


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"X_Dataset": ""}, "X-Dataset is required"),
        ({"X_Dataset": "nowhere"}, "no data set process 'nowhere'"),
        ({"X_Allocation": ""}, "X-Allocation is required"),
        ({"X_Allocation": "Luck"}, "no allocation rule 'Luck'"),
        ({"X_Protocol": "essay"}, "no protocol 'essay'"),
        ({"X_Duration": "soon"}, "not a duration"),
        ({"X_Duration": "0d"}, "not a duration"),
        ({"X_Duration": "-1d"}, "not a duration"),
        ({"X_Duration": "3651d"}, "at most ten years"),
        ({"X_Start": "tomorrow"}, "X-Start must be a time"),
        ({"X_Start": GENESIS_MS - 1}, "is past"),
        ({"X_Start": GENESIS_MS + 3651 * DAY_MS}, "more than ten years ahead"),
        ({"X_Title": "x" * 201}, "X-Title has 201 characters"),
        ({"X_Pool": "nowhere"}, "no pool 'nowhere'"),
    ],
)
def test_funds_that_make_no_pool_go_back_in_full(world, tags, reason):
    world.fund(quantity=77, X_Reference="mine", **tags)
    (transfer,) = world.transfers()
    assert transfer.tags["Recipient"] == world.alice.address
    assert transfer.tags["Quantity"] == "77"
    assert reason in transfer.tags["X-Error"]
    assert transfer.tags["X-Reference"] == "mine"
    assert not world.state.pools


def test_a_protocol_that_the_dataset_lacks_is_refused(world):
    world.register(Protocols="cloze")
    world.fund(X_Protocol="letters")
    assert "no protocol 'letters'" in world.transfers()[0].tags["X-Error"]


def test_a_pool_of_ten_years_is_accepted(world):
    world.fund(X_Duration="3650d")
    assert len(world.state.pools) == 1


@pytest.mark.parametrize("quantity", ["0", "-5", "1.5", "", "٣"])
def test_a_notice_of_no_quantity_is_refused_without_a_refund(world, quantity):
    _, result = world.credit(quantity=quantity, X_Dataset=world.dataset, X_Allocation="Equal")
    assert "Quantity" in result.error
    assert not world.state.pools
    assert not world.transfers()


def test_a_notice_without_sender_is_refused(world):
    assert "Sender" in world.say(world.token, "Credit-Notice", Quantity=5).error


def test_a_gift_goes_back(world):
    world.credit(quantity=5)
    (transfer,) = world.transfers()
    assert "X-Dataset is required" in transfer.tags["X-Error"]


@pytest.mark.parametrize("mark", ["X_Error", "X_Refund"])
def test_a_refund_is_never_sent_back(world, mark):
    world.credit(quantity=5, X_Dataset=world.dataset, X_Allocation="Equal", **{mark: "sorry"})
    assert not world.transfers()
    assert not world.state.pools
    assert world.state.kept == 5


def test_notices_of_the_benchmark_itself_and_the_token_are_kept(world):
    for sender in (world.benchmark, world.token):
        world.say(world.token, "Credit-Notice", Sender=sender, Quantity=5)
    assert not world.transfers()
    assert world.state.kept == 10


def test_a_pool_is_topped_up(world):
    pool = world.fund()
    world.credit(world.bob, 500, X_Pool=pool)
    (funded,) = world.heard(world.bob, "Pool-Funded")
    assert (funded.tags["Pool"], funded.tags["Funds"]) == (pool, "1500")
    shown = world.pool(pool)
    assert shown["funds"] == "1500"
    assert shown["contributions"] == {world.alice.address: "1000", world.bob.address: "500"}
    assert len(world.state.pools) == 1


def test_an_ended_pool_is_not_topped_up(world):
    pool = world.fund()
    world.network.advance("1d")
    world.credit(world.bob, 500, X_Pool=pool)
    (transfer,) = world.transfers()
    assert "has ended" in transfer.tags["X-Error"]
    assert world.pool(pool)["funds"] == "1000"


# -- joining ---------------------------------------------------------------------------------


def test_a_model_joins_once_the_router_knows_it(world):
    pool = world.fund()
    world.ask_join(pool, "m1")
    assert world.pool(pool)["models"] == []
    (asked,) = world.heard(world.router, "Get-Model")
    assert asked.tags["Model"] == "m1"

    world.join(world.fund(), "m1")  # another pool: the same model may be in both
    (joined,) = world.heard(world.bob, "Joined-Pool")
    assert (joined.tags["Model"], joined.tags["Name"]) == ("m1", "name of m1")
    (told,) = world.heard(world.dataset, "Benchmark")
    assert told.tags["Model"] == "m1"
    assert told.tags["Name"] == "name of m1"
    assert told.tags["Weights"] == "weights of m1"
    assert told.tags["Protocol"] == "cloze"


def test_the_participant_is_who_sent_join_pool(world):
    pool = world.fund()
    world.join(pool, "m1", who=world.bob)
    (entry,) = world.pool(pool)["models"]
    assert entry["participant"] == world.bob.address
    assert entry["joined_at"] == GENESIS_MS


def refused(world):
    return [message.tags["Error"] for message in world.heard(world.bob, "Join-Pool-Error")]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[]",
        "{}",
        '{"dataset": "x"}',
        '{"dataset": 1, "model": "m"}',
        '{"dataset": "x", "model": ""}',
        '{"dataset": "x", "model": "' + "m" * 129 + '"}',
        '{"dataset": "x", "model": "a b"}',
    ],
)
def test_a_malformed_join_is_refused(world, data):
    world.network.send(world.benchmark, "Join-Pool", data=data, sender=world.bob)
    assert len(refused(world)) == 1
    assert not world.heard(world.router)


def test_joining_an_unknown_pool_is_refused(world):
    sent = world.ask_join("nowhere", "m1")
    answer = sent.reply("Join-Pool-Error")
    assert (answer.tags["Pool"], answer.tags["Model"]) == ("nowhere", "m1")
    assert "no pool" in answer.tags["Error"]


def test_joining_an_ended_pool_is_refused(world):
    pool = world.fund()
    world.network.advance("1d")
    world.ask_join(pool, "m1")
    assert "has ended" in refused(world)[0]
    assert not world.heard(world.router)


def test_a_pool_that_ends_before_the_router_answers_is_not_joined(world):
    pool = world.fund()
    world.ask_join(pool, "m1")
    world.network.advance("1d")
    (asked,) = world.heard(world.router, "Get-Model")
    world.say(world.router, "Get-Model-Response", Model="m1", X_Reference=asked.reference)
    assert "has ended" in refused(world)[0]
    assert world.pool(pool)["models"] == []


def test_a_model_that_the_router_knows_not_is_refused(world):
    pool = world.fund()
    world.ask_join(pool, "m1")
    (asked,) = world.heard(world.router, "Get-Model")
    world.say(
        world.router, "Get-Model-Error", Model="m1", Error="none", X_Reference=asked.reference
    )
    assert refused(world) == ["unknown model: none"]


def test_the_same_model_twice_is_refused(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.ask_join(pool, "m1", who=world.bob)
    assert "in the pool already" in refused(world)[0]


def test_the_same_model_asked_for_twice_at_once_joins_once(world):
    pool = world.fund()
    world.ask_join(pool, "m1", who=world.alice)
    world.ask_join(pool, "m1", who=world.bob)
    for asked in world.heard(world.router, "Get-Model"):
        world.say(
            world.router,
            "Get-Model-Response",
            Model="m1",
            Weights="w",
            Owner=world.alice.address,
            X_Reference=asked.reference,
        )
    (entry,) = world.pool(pool)["models"]
    assert entry["participant"] == world.alice.address
    assert "in the pool already" in refused(world)[0]


def test_the_same_weights_twice_are_refused(world):
    pool = world.fund()
    world.join(pool, "m1", weights="w")
    world.join(pool, "m2", weights="w")
    assert refused(world) == ["the same weights are in the pool as model m1"]
    world.join(world.fund(), "m2", weights="w")
    assert len(world.heard(world.bob, "Joined-Pool")) == 2


def test_a_stranger_cannot_answer_for_the_router(world):
    pool = world.fund()
    world.ask_join(pool, "m1")
    (asked,) = world.heard(world.router, "Get-Model")
    result = world.say(
        world.stranger, "Get-Model-Response", Model="m1", X_Reference=asked.reference
    )
    assert "Ignored" in result.output
    result = world.say(world.router, "Get-Model-Response", Model="m2", X_Reference=asked.reference)
    assert "Ignored" in result.output
    assert world.pool(pool)["models"] == []
    assert len(world.state.joins) == 1


def test_a_router_that_never_answers_is_given_up(world):
    pool = world.fund(X_Duration="9d")
    world.ask_join(pool, "m1")
    world.network.advance(DAY_MS - 1)
    world.tick()
    assert refused(world) == []
    world.network.advance(1)
    world.tick()
    assert refused(world) == ["the router did not answer"]
    assert not world.state.joins


def test_no_pool_is_made_for_a_dataset_without_a_router(world):
    world.register(LlamaRouter="")
    world.fund()
    assert "no router" in world.transfers()[-1].tags["X-Error"]


# -- looking ---------------------------------------------------------------------------------


def test_pools_are_listed_in_order(world):
    pools = [world.fund(), world.fund(X_Duration="2d")]
    world.join(pools[0], "m1")
    world.network.advance("1d")
    listed = json.loads(world.network.send(world.benchmark, "Get-Pools").reply().data)
    assert [pool["id"] for pool in listed] == pools
    assert [pool["status"] for pool in listed] == ["closed", "open"]
    assert [pool["entries"] for pool in listed] == [1, 0]


@pytest.mark.parametrize("action", ["Get-Pool", "Leaderboard"])
def test_an_unknown_pool_cannot_be_looked_at(world, action):
    answer = world.network.send(world.benchmark, action, {"Pool": "nowhere"}).reply()
    assert answer.action == f"{action}-Error"
    assert "no pool 'nowhere'" in answer.tags["Error"]
    assert world.network.send(world.benchmark, action).error == "Pool is required!"


def leaderboard(world, pool):
    return json.loads(
        world.network.send(world.benchmark, "Leaderboard", {"Pool": pool}).reply().data
    )


def test_the_leaderboard_ranks_by_the_last_scores_and_projects_rewards(world):
    pool = world.fund(X_Allocation="ArithmeticDecrease")
    for model in ("m1", "m2", "m3"):
        world.join(pool, model)
    world.tick("Update-Leaderboard")
    asked = world.heard(world.dataset, "Score")
    assert [(a.tags["Model"], a.tags["Protocol"]) for a in asked] == [
        ("m1", "cloze"),
        ("m2", "cloze"),
        ("m3", "cloze"),
    ]
    world.answer_score(asked[0], 3, evaluated=5, Standard_Error="0.244949", Unscored=1)
    world.answer_score(asked[1], 9)
    rows = leaderboard(world, pool)
    assert [(row["rank"], row["model"], row["reward"]) for row in rows] == [
        (1, "m2", "667"),
        (2, "m1", "333"),
        (3, "m3", "0"),
    ]
    assert rows[1] == {
        "rank": 2,
        "model": "m1",
        "name": "name of m1",
        "participant": world.bob.address,
        "score": "0.300000",
        "protocol": "cloze",
        "accuracy": "0.600000",
        "standard_error": "0.244949",
        "correct": 3,
        "evaluated": 5,
        "unscored": 1,
        "total": 10,
        "progress": "0.500000",
        "reward": "333",
        "paid": False,
        "fate": None,
        "places": None,
        "why": [],
    }


def test_ties_share_a_rank(world):
    pool = world.fund()
    for model in ("m1", "m2", "m3"):
        world.join(pool, model)
    world.tick("Update-Leaderboard")
    world.answer_scores(m1=5, m2=5, m3=1)
    assert [row["rank"] for row in leaderboard(world, pool)] == [1, 1, 3]


def test_scores_are_taken_only_from_the_dataset_for_the_model_that_was_asked(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.tick("Update-Leaderboard")
    (asked,) = world.heard(world.dataset, "Score")
    for result in (
        world.answer_score(asked, 10, puppet=world.stranger),
        world.answer_score(asked, 10, Model="m2"),
        world.answer_score(asked, 10, Protocol="letters"),
        world.answer_score(asked, 10, X_Reference="999"),
    ):
        assert "Ignored" in result.output
    assert leaderboard(world, pool)[0]["evaluated"] == 0
    world.answer_score(asked, 4)
    assert "out of date" in world.answer_score(asked, 10).output
    assert leaderboard(world, pool)[0]["correct"] == 4


def test_impossible_counts_are_refused(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.tick("Update-Leaderboard")
    (asked,) = world.heard(world.dataset, "Score")
    assert "impossible counts" in world.answer_score(asked, 11).error
    assert "impossible counts" in world.answer_score(asked, 1, Unscored=1).error
    assert "Correct must be" in world.answer_score(asked, "many").error
    assert leaderboard(world, pool)[0]["evaluated"] == 0


@pytest.mark.parametrize("action", ["Update-Leaderboard", "Allocate-Rewards"])
def test_ticks_are_for_the_owner(world, action):
    world.fund()
    assert "owner" in world.network.send(world.benchmark, action, sender=world.bob).error


# -- settling --------------------------------------------------------------------------------


def settled(world, **options):
    pool = world.fund(X_Allocation="ArithmeticDecrease", **options)
    world.join(pool, "m1", who=world.alice)
    world.join(pool, "m2", who=world.bob)
    world.network.advance("1d")
    world.tick()
    world.answer_scores(m1=2, m2=8)
    return pool


def test_nothing_is_settled_before_the_end(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.network.advance(DAY_MS - 1)
    world.tick()
    assert not world.heard(world.dataset, "Score")
    assert world.pool(pool)["status"] == "open"


def test_a_pool_is_settled_by_its_final_scores_and_paid_when_the_token_says_so(world):
    pool = settled(world)
    assert [
        tuple(t.tags[k] for k in ("Recipient", "Quantity", "X-Pool", "X-Model", "X-Rank"))
        for t in world.transfers()
    ] == [
        (world.bob.address, "667", pool, "m2", "1"),
        (world.alice.address, "333", pool, "m1", "2"),
    ]
    assert world.pool(pool)["status"] == "settling"
    first, second = world.transfers()
    world.debit(first)
    assert world.pool(pool)["status"] == "settling"
    assert [row["paid"] for row in leaderboard(world, pool)] == [True, False]
    world.debit(second)
    assert world.pool(pool)["status"] == "paid"
    assert [row["reward"] for row in leaderboard(world, pool)] == ["667", "333"]

    for _ in range(2):
        world.network.advance("1d")
        world.tick()
    assert len(world.transfers()) == 2
    assert not world.state.running


def test_a_settling_pool_takes_no_models_and_no_funds(world):
    pool = settled(world)
    world.ask_join(pool, "m3")
    assert "has ended" in refused(world)[0]
    world.credit(world.bob, 5, X_Pool=pool)
    assert "has ended" in world.transfers()[-1].tags["X-Error"]


def test_scores_of_the_board_do_not_settle_a_pool(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.tick("Update-Leaderboard")
    world.network.advance("1d")
    world.tick()
    board, final = world.heard(world.dataset, "Score")
    assert "out of date" in world.answer_score(board, 1).output
    assert not world.transfers()
    world.answer_score(final, 1)
    assert len(world.transfers()) == 1


def test_a_dataset_that_does_not_answer_is_asked_again(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.join(pool, "m2")
    world.network.advance("1d")
    world.tick()
    world.answer_score(world.heard(world.dataset, "Score")[0], 5)
    world.network.advance("1d")
    world.tick()
    asked = world.heard(world.dataset, "Score")
    assert [message.tags["Model"] for message in asked] == ["m1", "m2", "m2"]
    assert "Ignored" in world.answer_score(asked[1], 1).output
    world.answer_score(asked[2], 1)
    assert len(world.transfers()) == 2
    assert "Ignored" in world.answer_score(asked[2], 1).output
    assert len(world.transfers()) == 2


def test_a_model_that_the_dataset_knows_not_is_settled_without_progress(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.network.advance("1d")
    world.tick()
    (asked,) = world.heard(world.dataset, "Score")
    world.say(world.dataset, "Score-Error", Model="m1", X_Reference=asked.reference)
    (transfer,) = world.transfers()
    assert transfer.tags["Recipient"] == world.alice.address
    assert "X-Error" in transfer.tags


def test_without_entries_every_contributor_gets_back_what_it_gave(world):
    pool = world.fund()
    world.credit(world.bob, 500, X_Pool=pool)
    world.network.advance("1d")
    world.tick()
    assert [(t.tags["Recipient"], t.tags["Quantity"]) for t in world.transfers()] == [
        (world.alice.address, "1000"),
        (world.bob.address, "500"),
    ]
    for transfer in world.transfers():
        world.debit(transfer)
    assert world.pool(pool)["status"] == "refunded"


def test_without_progress_the_funds_go_back(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.network.advance("1d")
    world.tick()
    asked = world.heard(world.dataset, "Score")[0]
    world.answer_score(asked, 0, evaluated=0)
    assert world.transfers() == []  # it may yet answer
    world.tick()
    asked = world.heard(world.dataset, "Score")[1]
    world.answer_score(asked, 0, evaluated=0, Unscored=10)
    (transfer,) = world.transfers()
    assert (transfer.tags["Recipient"], transfer.tags["Quantity"]) == (world.alice.address, "1000")


def test_the_chance_of_the_funding_counts(world):
    pool = world.fund(X_Allocation="Proportional")
    world.register(Chance="0")
    world.join(pool, "m1")
    world.join(pool, "m2")
    world.network.advance("1d")
    world.tick()
    world.answer_scores(m1=3, m2=4)
    (transfer,) = world.transfers()
    assert (transfer.tags["X-Model"], transfer.tags["Quantity"]) == ("m2", "1000")


# -- payments --------------------------------------------------------------------------------


def test_a_payment_that_the_token_refused_is_sent_again_at_the_next_tick_only(world):
    pool = settled(world)
    first, second = world.transfers()
    world.debit(second)
    world.say(world.token, "Transfer-Error", X_Payment=first.tags["X-Payment"], Error="broke")
    assert len(world.transfers()) == 2
    world.network.advance("1d")
    world.tick()
    again = world.transfers()[2]
    same = ("Recipient", "Quantity", "X-Pool", "X-Model", "X-Rank")
    assert [again.tags[k] for k in same] == [first.tags[k] for k in same]
    world.tick()
    assert len(world.transfers()) == 3
    world.debit(again)
    assert world.pool(pool)["status"] == "paid"


def test_a_refund_that_the_token_refused_is_sent_again(world):
    world.credit(quantity=5, X_Reference="7")
    (first,) = world.transfers()
    world.say(world.token, "Transfer-Error", X_Payment=first.tags["X-Payment"], X_Reference="7")
    world.tick()
    again = world.transfers()[1]
    assert (again.tags["Quantity"], again.tags["X-Reference"]) == ("5", "7")
    world.debit(again)
    world.tick()
    assert len(world.transfers()) == 2
    assert [p.status for p in world.state.payments.values()] == ["resent", "paid"]


@pytest.mark.parametrize("refused", [(1,), (0, 1)])
def test_of_several_refunds_those_that_were_refused_are_sent_again(world, refused):
    pool = world.fund()
    for who, quantity in ((world.bob, 500), (world.alice, 1), (world.bob, 2)):
        world.credit(who, quantity, X_Pool=pool)
    world.network.advance("1d")
    world.tick()
    sent = world.transfers()
    owed = [(world.alice.address, "1001"), (world.bob.address, "502")]
    assert [(t.tags["Recipient"], t.tags["Quantity"]) for t in sent] == owed
    for place, transfer in enumerate(sent):
        if place in refused:
            payment = transfer.tags["X-Payment"]
            world.say(world.token, "Transfer-Error", X_Payment=payment, Error="broke")
        else:
            world.debit(transfer)
    assert world.pool(pool)["status"] == "settling"
    world.tick()
    again = world.transfers()[2:]
    assert [(t.tags["Recipient"], t.tags["Quantity"]) for t in again] == [owed[p] for p in refused]
    for transfer in again:
        world.debit(transfer)
    world.tick()
    assert (world.pool(pool)["status"], len(world.transfers())) == ("refunded", 2 + len(refused))


def test_a_notice_is_found_by_its_reference_alone(world):
    pool = world.fund()
    world.network.advance("1d")
    world.tick()
    (transfer,) = world.transfers()
    world.debit(transfer, X_Payment="")
    assert world.pool(pool)["status"] == "refunded"


def test_strangers_confirm_and_refuse_nothing(world):
    pool = settled(world)
    first = world.transfers()[0]
    tags = {"X_Payment": first.tags["X-Payment"], "Recipient": first.tags["Recipient"]}
    for action in ("Debit-Notice", "Transfer-Error"):
        result = world.say(
            world.stranger, action, Quantity=first.tags["Quantity"], Error="x", **tags
        )
        assert "not the token" in result.output
    assert not any(row["paid"] for row in leaderboard(world, pool))
    world.tick()
    assert len(world.transfers()) == 2


def test_a_debit_notice_of_another_transfer_confirms_nothing(world):
    # Anybody can make the token send one: a transfer of its own with Reply-To and our reference.
    pool = settled(world)
    first = world.transfers()[0]
    for wrong in ({"Quantity": "1"}, {"Recipient": world.stranger}, {"X_Payment": "999"}):
        assert "no payment of ours" in world.debit(first, **wrong).output
    assert not any(row["paid"] for row in leaderboard(world, pool))


def test_a_confirmed_payment_cannot_be_refused_afterwards(world):
    settled(world)
    first = world.transfers()[0]
    world.debit(first)
    assert "Ignored" in world.debit(first).output
    result = world.say(world.token, "Transfer-Error", X_Payment=first.tags["X-Payment"])
    assert "nothing is under way" in result.output
    world.tick()
    assert len(world.transfers()) == 2


def test_a_debit_notice_after_a_transfer_error_still_counts(world):
    settled(world)
    first = world.transfers()[0]
    world.say(world.token, "Transfer-Error", X_Payment=first.tags["X-Payment"])
    world.debit(first)
    world.tick()
    assert len(world.transfers()) == 2


def test_answers_that_need_no_answer_do_not_fill_the_inbox(world):
    world.say(world.dataset, "Benchmark-Response", Model="m1")
    assert world.heard(world.benchmark) == []


def test_the_board_is_not_updated_for_pools_that_have_ended(world):
    pool = world.fund()
    world.join(pool, "m1")
    world.network.advance("1d")
    world.tick("Update-Leaderboard")
    assert not world.heard(world.dataset, "Score")


def test_the_memory_is_read_back_as_it_was_written(world):
    settled(world, X_Title="A pool")
    world.ask_join(world.fund(), "m1")
    world.credit(quantity=5)
    process = world.network.process(world.benchmark)
    again = type(process)(process.info)
    again.load(process.dump())
    assert again.dump() == process.dump()
    assert again.state.final_asks == process.state.final_asks


def silence(world, *, known):
    """A pool whose data set answers for the board, or not even that, and never again."""
    pool = world.fund(X_Allocation="ArithmeticDecrease", X_Duration="2d")
    world.join(pool, "m1", who=world.alice)
    world.join(pool, "m2", who=world.bob)
    world.network.advance("1d")
    world.tick("Update-Leaderboard")
    if known:
        world.answer_scores(m1=2, m2=8)
    world.network.advance("1d")
    for _ in range(MOST_FINAL_ASKS):
        world.tick()
        assert not world.transfers()
        assert world.pool(pool)["status"] == "settling"
        world.network.advance("1d")
    asked = len(world.heard(world.dataset, "Score"))
    world.tick()
    assert len(world.heard(world.dataset, "Score")) == asked
    assert not world.state.running
    return pool


def test_a_data_set_that_fell_silent_is_not_asked_for_ever(world):
    pool = silence(world, known=True)
    assert [t.tags["Quantity"] for t in world.transfers()] == ["667", "333"]
    assert "settled by the last known scores" in world.pool(pool)["reason"]
    for transfer in world.transfers():
        world.debit(transfer)
    assert world.pool(pool)["status"] == "paid"
    late = world.heard(world.dataset, "Score")[-1]
    assert "Ignored" in world.answer_score(late, 9).output  # an answer that comes too late
    assert len(world.transfers()) == 2


def test_a_data_set_that_never_counted_anything_gives_the_funds_back(world):
    pool = silence(world, known=False)
    (refund,) = world.transfers()
    assert (refund.tags["Recipient"], refund.tags["Quantity"]) == (world.alice.address, "1000")
    world.debit(refund)
    assert world.pool(pool)["status"] == "refunded"
    assert "refunded" in world.pool(pool)["reason"]


def test_a_reason_is_shown_only_where_there_is_one(world):
    assert "reason" not in world.pool(settled(world))
