"""A data set process among puppets: router, token and Benchmark say what the test tells them to."""

import json

import pytest
from sqlalchemy import text

from benchpool.ao.clock import GENESIS_MS, HOUR_MS
from benchpool.errors import HandlerError
from benchpool.evaluation.sample import parse_samples, samples_hash
from benchpool.process.process import Process, handler

SAMPLES = [
    {
        "context": f"Context {number}.",
        "question": "What now?",
        "answerA": "alpha",
        "answerB": "be",
        "answerC": "gamma ray",
        "label": str(number % 3 + 1),
    }
    for number in range(6)
]


class Puppet(Process):
    """Says what it is told to, and keeps what it hears."""

    @handler("Say")
    def say(self, message):
        what = message.json()
        self.send(what["to"], what["action"], what["tags"], what["data"])


class Prompt(Process):
    """A router whose model answers everything at once, always the first choice."""

    @handler("Inference")
    def answer(self, message):
        nats = [{"nats": -1.0 - place, "tokens": 1} for place in range(3)]
        self.reply(message, "Inference-Response", {}, {"log_likelihoods": nats})


class World:
    def __init__(self, network, **tags):
        self.network = network
        network.registry.add(Puppet)
        self.router, self.benchmark, self.token, self.stranger = (
            network.spawn("Puppet", name=name) for name in ("router", "bench", "token", "stranger")
        )
        given = {"LlamaRouter": self.router, "Benchmark": self.benchmark, **tags}
        self.dataset = network.spawn("SiqaDataset", given)

    @property
    def session(self):
        return self.network.process(self.dataset).database.session

    def rows(self, columns="status"):
        found = self.session.execute(text(f"SELECT {columns} FROM evaluations ORDER BY id"))
        return [tuple(row) if len(row) > 1 else row[0] for row in found]

    def send(self, action, tags=(), **options):
        return self.network.send(self.dataset, action, tags, **options)

    def say(self, puppet, action, data="", **tags):
        """Let a puppet send to the data set; return the result of what the data set made of it."""
        tags = {name.replace("_", "-"): str(value) for name, value in tags.items()}
        what = {"to": self.dataset, "action": action, "tags": tags, "data": data}
        self.network.send(puppet, "Say", data=json.dumps(what))
        return self.network.log(self.dataset)[-1][1]

    def heard(self, party, action):
        return [message for message in self.network.inbox(party) if message.action == action]

    def load(self, samples=SAMPLES):
        sent = self.send("Load-Data", data=json.dumps(samples))
        assert sent.error == ""
        return sent.reply()

    def benchmark_model(self, model="m1", **tags):
        return self.send(
            "Benchmark", {"Model": model, "Name": "M", "Weights": f"w-{model}", **tags}
        )

    def tick(self):
        """Evaluate; return the requests that the router got."""
        sent = self.send("Evaluate")
        assert sent.error == ""
        return self.heard(self.router, "Inference")[-len(sent.result.messages) or 9999 :]

    def answer(self, asked, nats=(-1.0, -2.0, -3.0), puppet=None, data=None, **tags):
        answer = {"log_likelihoods": [{"nats": each, "tokens": 1} for each in nats]}
        return self.say(
            puppet or self.router,
            "Inference-Response",
            answer if data is None else data,
            X_Reference=asked.tags["X-Reference"],
            **tags,
        )

    def fail(self, asked, puppet=None):
        return self.say(
            puppet or self.router,
            "Inference-Error",
            X_Reference=asked.tags["X-Reference"],
            Error="no memory",
        )

    def score(self, model="m1", **tags):
        return dict(self.send("Score", {"Model": model, **tags}).reply().tags.pairs)


@pytest.fixture
def world(network):
    world = World(network)
    world.load()
    return world


# -- set-up and loading ----------------------------------------------------------------------


def test_the_tables_have_the_promised_columns(world):
    def columns(table):
        return [row[1] for row in world.session.execute(text(f"PRAGMA table_info({table})"))]

    answers = ["answerA", "answerB", "answerC"]
    assert columns("datasets") == ["id", "context", "question", *answers, "result"]
    assert columns("models") == ["id", "name", "inference_process", "data_tx", "protocol"]
    promised = [
        "id",
        "dataset_id",
        "model_id",
        "prompt",
        "correct_answer",
        "prediction",
        "inference_start_time",
        "inference_end_time",
        "inference_reference",
    ]
    assert columns("evaluations")[: len(promised)] == promised
    first = world.session.execute(text("SELECT * FROM datasets")).first()
    assert tuple(first) == (1, "Context 0.", "What now?", "alpha", "be", "gamma ray", 1)


def test_it_registers_with_the_benchmark_when_spawned_and_when_it_grows(world):
    first, second = world.heard(world.benchmark, "Register-Dataset")
    assert dict(second.tags.pairs) == {
        "Action": "Register-Dataset",
        "Name": "Social IQa",
        "Samples": "6",
        "Chance": "1/3",
        "Protocols": "cloze,letters,cloze/bf16,letters/bf16",
        "LlamaRouter": world.router,
        "Owner": world.network.wallet("default").address,
        "Samples-SHA-256": samples_hash(parse_samples(json.dumps(SAMPLES).encode(), name="")),
    }
    assert first.tags["Samples"] == "0"


def test_info_describes_it(world):
    world.benchmark_model()
    info = world.send("Info").reply("Info")
    assert dict(info.tags.pairs) == {
        "Action": "Info",
        "Name": "Social IQa",
        "Samples": "6",
        "Chance": "1/3",
        "Protocols": "cloze,letters,cloze/bf16,letters/bf16",
        "LlamaRouter": world.router,
        "DataTxID": "",
        "Models": "1",
        "Samples-SHA-256": samples_hash(parse_samples(json.dumps(SAMPLES).encode(), name="")),
    }


def test_info_of_the_router_is_never_answered(world):
    result = world.say(world.router, "Info")
    assert result.messages == ()


def test_data_is_loaded_by_its_id_when_spawned(network):
    data_id = network.data.put(json.dumps(SAMPLES).encode())
    world = World(network, DataTxID=data_id)
    info = world.send("Info").reply("Info")
    assert (info.tags["Samples"], info.tags["DataTxID"]) == ("6", data_id)


def test_a_spawn_with_unknown_data_is_refused_and_mended_by_init(network):
    network.registry.add(Puppet)
    spawn = {"module": "SiqaDataset", "tags": {"DataTxID": "A" * 43}, "name": "siqa"}
    with pytest.raises(HandlerError, match="refused its tags"):
        network.spawn(**spawn)
    assert network.processes() == []
    refused = network.post_spawn(**spawn, data="", sender="default")  # without trying it, as on AO
    network.run()
    assert "siqa" not in network.names()
    data_id = network.data.put(json.dumps(SAMPLES).encode())
    sent = network.send(refused, "Init", {"DataTxID": data_id})
    assert sent.reply("Init-Response").tags["Samples"] == "6"


def test_init_changes_what_it_names_and_loads_the_same_data_once(world):
    data_id = world.network.data.put(json.dumps(SAMPLES[:2]).encode())
    for _ in range(2):
        sent = world.send("Init", {"DataTxID": data_id, "Lease": "3h"})
        assert sent.reply("Init-Response").tags["Samples"] == "8"
    state = world.network.process(world.dataset).state
    assert (state.lease_ms, state.router) == (3 * HOUR_MS, world.router)


def test_a_bad_lease_is_refused(world):
    assert "Lease" in world.send("Init", {"Lease": "soon"}).error


def test_load_data_by_id(world):
    data_id = world.network.data.put(json.dumps(SAMPLES[:2]).encode())
    answer = world.send("Load-Data", {"DataTxID": data_id}).reply("Load-Data-Response")
    assert (answer.tags["Samples"], answer.tags["Total"]) == ("2", "8")


def test_one_bad_item_keeps_all_of_them_out(world):
    bad = {**SAMPLES[0], "label": "4"}
    sent = world.send("Load-Data", data=json.dumps([SAMPLES[0], bad]))
    assert "item 2" in sent.error
    assert world.send("Info").reply().tags["Samples"] == "6"


@pytest.mark.parametrize("data", ["", "[]", "[1]", "{", "no json"])
def test_data_that_is_none_is_refused(world, data):
    assert world.send("Load-Data", data=data).error


def test_the_same_data_is_not_loaded_twice(world):
    assert "loaded already" in world.send("Load-Data", data=json.dumps(SAMPLES)).error


def test_new_samples_are_asked_of_models_that_come_or_come_again(world):
    world.benchmark_model("m1")
    world.benchmark_model("m2")
    world.load(SAMPLES[:2])
    world.benchmark_model("m2")
    world.benchmark_model("m3")
    totals = [world.score(model)["Total"] for model in ("m1", "m2", "m3")]
    assert totals == ["6", "8", "8"]


def test_only_the_owner_sets_up_loads_and_evaluates(world):
    mallory = world.network.new_wallet("mallory")
    for action in ("Init", "Load-Data", "Evaluate"):
        sent = world.send(action, data=json.dumps(SAMPLES[:1]), sender=mallory)
        assert "owner" in sent.error
    assert "Benchmark process" in world.send("Benchmark", {"Model": "m"}, sender=mallory).error


# -- models ----------------------------------------------------------------------------------


def test_a_model_gets_a_pending_row_for_each_sample(world):
    known = world.send("Info").reply("Info").tags["Samples-SHA-256"]
    facts = {"Model": "m1", "Name": "M", "Weights": "w", "Protocol": "cloze", "Funds": 5}
    world.say(world.benchmark, "Benchmark", **facts, Pool="p", Samples_SHA_256=known)
    (answer,) = world.heard(world.benchmark, "Benchmark-Response")
    assert answer.tags["Model"] == "m1"
    assert (answer.tags["Protocol"], answer.tags["Total"]) == ("cloze", "6")
    assert world.rows("dataset_id, model_id, prompt, correct_answer, status")[1] == (
        2,
        1,
        "Q: Context 1. What now?\nA:",
        2,
        "pending",
    )


def test_the_same_model_again_adds_no_rows(world):
    world.benchmark_model()
    assert world.benchmark_model().reply().tags["Total"] == "6"
    assert len(world.rows()) == 6
    world.benchmark_model(Protocol="letters")
    assert len(world.rows()) == 12


def test_the_same_model_with_other_weights_is_refused(world):
    world.benchmark_model()
    assert "other weights" in world.benchmark_model(Weights="other").error


def test_an_unknown_protocol_is_refused(world):
    assert "no protocol 'essay'" in world.benchmark_model(Protocol="essay").error
    assert world.send("Benchmark").error == "Model is required!"


def test_get_models_lists_them_with_their_counts(world):
    world.benchmark_model()
    for asked in world.tick():
        world.answer(asked)
    (model,) = json.loads(world.send("Get-Models").reply("Get-Models-Response").data)
    assert model == {
        "name": "M",
        "inference_process": "m1",
        "data_tx": "w-m1",
        "protocol": "cloze",
        "evaluated": 6,
        "unscored": 0,
        "total": 6,
        "correct": 2,
    }


# -- evaluating ------------------------------------------------------------------------------


def test_a_tick_asks_the_router_for_likelihoods(world):
    world.benchmark_model()
    asked = world.tick()
    assert len(asked) == 6
    assert asked[0].tags["Model"] == "m1"
    assert asked[0].json() == {
        "prompt": "Q: Context 0. What now?\nA:",
        "choices": [" alpha", " be", " gamma ray"],
    }
    assert world.rows("status, inference_start_time, inference_reference")[0] == (
        "started",
        GENESIS_MS,
        asked[0].reference,
    )
    assert world.send("Evaluate").result.messages == ()


def test_letters_are_asked_with_a_system_prompt(network):
    world = World(network)
    world.send("Init", {"SystemPrompt": "Just a letter."})
    world.load()
    world.benchmark_model(Protocol="letters")
    request = world.tick()[0].json()
    assert request["system"] == "Just a letter."
    assert request["max_tokens"] == 4
    assert request["prompt"].endswith("A. alpha\nB. be\nC. gamma ray")


def test_a_likelihood_answer_is_kept_with_everything_that_follows_from_it(world):
    world.benchmark_model()
    asked = world.tick()[1]
    world.network.advance("5m")
    world.answer(asked, (-5.0, -4.0, -6.0))
    row = world.rows(
        "status, prediction, correct, prediction_per_character, correct_per_character,"
        " margin_nats, inference_end_time, answer"
    )[1]
    assert row[:-1] == ("done", 2, 1, 3, 0, 1.0, GENESIS_MS + 300_000)
    assert json.loads(row[-1])["log_likelihoods"][0]["nats"] == -5.0


@pytest.mark.parametrize(("text_", "prediction"), [("B", 2), (" (C).", 3), ("Banana", 0), ("", 0)])
def test_a_letter_is_retrieved(world, text_, prediction):
    world.benchmark_model(Protocol="letters")
    world.answer(world.tick()[1], data={"text": text_})
    assert world.rows("status, prediction, correct")[1] == (
        "done",
        prediction,
        int(prediction == 2),
    )


def test_an_answer_that_comes_twice_counts_once(world):
    world.benchmark_model()
    asked = world.tick()[0]
    world.answer(asked)
    assert "no evaluation waits" in world.answer(asked, (-3.0, -2.0, -1.0)).output
    assert world.rows("prediction")[0] == 1
    assert world.score()["Evaluated"] == "1"


def test_only_the_router_answers(world):
    world.benchmark_model()
    asked = world.tick()[0]
    assert "Ignored" in world.answer(asked, puppet=world.stranger).output
    assert "Ignored" in world.fail(asked, puppet=world.stranger).output
    assert "another model" in world.answer(asked, Model="m2").output
    assert world.rows("status, failures")[0] == ("started", 0)


@pytest.mark.parametrize(
    "data",
    [
        "no json",
        [],
        {},
        {"text": "A"},
        {"log_likelihoods": [{"nats": -1}]},
        {"log_likelihoods": [{"nats": None}] * 3},
        {"log_likelihoods": [{"nats": 10**400}] * 3},
        {"log_likelihoods": [1, 2, 3]},
    ],
)
def test_an_answer_that_cannot_be_read_is_a_failure(world, data):
    world.benchmark_model()
    result = world.answer(world.tick()[0], data=data)
    assert result.error == ""
    status, failures, error = world.rows("status, failures, error")[0]
    assert (status, failures) == ("pending", 1)
    assert error


def test_other_weights_than_the_models_are_a_failure(world):
    world.benchmark_model()
    asked = world.tick()
    world.answer(asked[0], Weights="other")
    world.answer(asked[1], Weights="w-m1")
    assert world.rows("status")[:2] == ["pending", "done"]


def test_three_failures_leave_a_row_unscored_with_its_reason(world):
    world.load([{**SAMPLES[0], "context": "Only"}])
    world.benchmark_model()
    for expected in ("pending", "pending", "unscored"):
        world.fail(world.tick()[0])
        assert world.rows("status, error")[0] == (expected, "no memory")
        for asked in world.heard(world.router, "Inference")[1:7]:
            world.answer(asked)
    assert world.send("Evaluate").result.messages == ()
    score = world.score()
    assert (score["Total"], score["Evaluated"], score["Unscored"]) == ("7", "6", "1")
    assert score["Unevaluated"] == "1"

    world.benchmark_model()  # a further pool gives it another chance
    assert world.rows("status, failures")[0] == ("pending", 0)


def test_a_failed_row_is_asked_after_those_that_were_never_asked(world):
    world.benchmark_model()
    first = world.tick()[0]
    world.fail(first)
    world.benchmark_model("m2")
    asked = world.tick()
    assert [message.tags["Model"] for message in asked] == ["m2"] * 6 + ["m1"]


def test_a_lease_runs_out(world):
    world.benchmark_model()
    late = world.tick()[0]
    world.network.advance(2 * HOUR_MS - 1)
    assert world.send("Evaluate").result.messages == ()
    world.network.advance(1)
    again = world.tick()[0]
    assert again.tags["X-Reference"] != late.tags["X-Reference"]
    assert "no evaluation waits" in world.answer(late, (-3.0, -2.0, -1.0)).output
    world.answer(again)
    assert world.rows("status, prediction, attempts")[0] == ("done", 1, 2)


def test_the_lease_is_a_spawn_tag(network):
    world = World(network, Lease="10m")
    world.load()
    world.benchmark_model()
    world.tick()
    network.advance("10m")
    assert len(world.tick()) == 6


def test_without_a_router_nothing_is_evaluated(network):
    world = World(network, LlamaRouter="")
    assert "no LlamaRouter" in world.send("Evaluate").error


def test_cron_evaluates_every_hour(network):
    cron = {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Evaluate"}
    world = World(network, **cron)
    world.load()
    world.benchmark_model()
    network.advance("59m")
    assert set(world.rows()) == {"pending"}
    network.advance("1m")
    assert set(world.rows()) == {"started"}


def test_a_failing_load_leaves_the_tables_as_they_were(world):
    world.benchmark_model()
    before = world.rows("*")
    data = json.dumps([{**SAMPLES[0], "context": "new"}, {}])
    assert world.send("Load-Data", data=data).error
    assert world.rows("*") == before


# -- scores ----------------------------------------------------------------------------------


def test_a_score_and_its_error_are_of_all_questions(world):
    world.benchmark_model()
    for asked in world.tick()[:5]:
        world.answer(asked, (-5.0, -4.0, -6.0))
    assert world.score() == {
        "Action": "Score-Response",
        "Model": "m1",
        "Protocol": "cloze",
        "Samples-SHA-256": world.send("Info").reply("Info").tags["Samples-SHA-256"],
        "Correct": "2",
        "Evaluated": "5",
        "Unevaluated": "1",
        "Unscored": "0",
        "Total": "6",
        "Score": "0.333333",
        "Progress": "0.833333",
        "Correct-Per-Character": "1",
        "Standard-Error": "0.210819",
    }


def test_a_score_of_nothing_is_zero_without_an_error(world):
    world.benchmark_model()
    score = world.score()
    assert (score["Score"], score["Progress"]) == ("0.000000", "0.000000")
    assert "Standard-Error" not in score


def test_a_score_of_an_unknown_model_is_refused(world):
    world.benchmark_model()
    for tags in ({"Model": "m2"}, {"Model": "m1", "Protocol": "letters"}):
        answer = world.send("Score", tags).reply("Score-Error")
        assert answer.tags["Model"] == tags["Model"]
        assert "not evaluated here" in answer.tags["Error"]


# -- the herder ------------------------------------------------------------------------------


class Paid(World):
    def __init__(self, network):
        network.registry.add(Puppet)
        super().__init__(network)
        self.send("Init", {"Herder": "true", "WrappedAR": self.token})
        self.load(SAMPLES[:2])
        self.benchmark_model()

    def tell_fees(self, puppet=None, **tags):
        asked = self.heard(self.router, "Info")[-1]
        given = {"Base_Fee": 1000, "Token_Fee": 10, "X_Reference": asked.reference}
        return self.say(puppet or self.router, "Info", **{**given, **tags})

    def buy(self):
        sent = self.send("Evaluate")
        assert sent.error == ""
        return self.heard(self.token, "Transfer")[-len(sent.result.messages) :]

    def refund(self, bought, puppet=None, **tags):
        given = {
            "Sender": self.router,
            "Quantity": 5,
            "X_Error": "too little",
            "X_Reference": bought.tags["X-Reference"],
        }
        return self.say(puppet or self.token, "Credit-Notice", **{**given, **tags})


@pytest.fixture
def paid(network):
    world = Paid(network)
    world.tell_fees()
    return world


def test_a_herder_needs_a_token(network):
    world = World(network)
    assert "WrappedAR" in world.send("Init", {"Herder": "true"}).error


def test_nothing_is_bought_before_the_fees_are_known(network):
    world = Paid(network)
    sent = world.send("Evaluate")
    assert "not told its fees" in sent.result.output
    assert len(world.heard(world.router, "Info")) == 2
    world.tell_fees(puppet=world.stranger)
    world.tell_fees(X_Reference="999")
    assert not world.heard(world.token, "Transfer")
    assert "is it a herder?" in world.tell_fees(Base_Fee="").error
    world.tell_fees()
    assert len(world.buy()) == 2


def test_an_inference_is_bought_at_its_price(paid):
    bought = paid.buy()[0]
    assert bought.tags["Recipient"] == paid.router
    # Q: Context 0. What now? A: alpha be gamma ray: six words and four.
    assert bought.tags["Quantity"] == str(1000 + 10 * 10)
    assert bought.tags["X-Model"] == "m1"
    assert bought.tags["X-Reference"] == bought.reference
    assert json.loads(bought.tags["X-Request"])["choices"] == [" alpha", " be", " gamma ray"]
    paid.answer(bought, Model="m1")
    assert paid.rows("status")[0] == "done"


def test_tokens_that_may_be_generated_are_paid_for(paid):
    paid.benchmark_model("m2", Protocol="letters")
    bought = paid.buy()[2]
    words = len(json.loads(bought.tags["X-Request"])["prompt"].split())
    assert bought.tags["Quantity"] == str(1000 + 10 * (words + 4))


def test_a_refund_names_the_price_of_the_next_try(paid):
    bought = paid.buy()[0]
    paid.refund(bought, X_Needed=5000)
    assert paid.rows("status, failures")[0] == ("pending", 0)
    (again,) = paid.buy()
    assert again.tags["Quantity"] == "5000"


def test_a_refund_of_what_was_paid_enough_is_a_failure(paid):
    bought = paid.buy()
    paid.refund(bought[0], X_Needed=bought[0].tags["Quantity"])
    paid.refund(bought[1])
    assert paid.rows("status, failures") == [("pending", 1), ("pending", 1)]


def test_only_the_herder_refunds_and_only_by_the_token(paid):
    bought = paid.buy()[0]
    assert "not the token" in paid.refund(bought, puppet=paid.stranger).output
    paid.refund(bought, Sender=paid.stranger)
    paid.refund(bought, X_Reference="999")
    assert paid.rows("status")[0] == "started"
    paid.answer(bought)
    paid.refund(bought)
    assert paid.rows("status")[0] == "done"


def test_a_transfer_that_failed_puts_the_row_back(paid):
    bought = paid.buy()[0]
    reference = bought.tags["X-Reference"]
    result = paid.say(paid.stranger, "Transfer-Error", X_Reference=reference)
    assert "not the token" in result.output
    assert paid.rows("status")[0] == "started"
    paid.say(paid.token, "Transfer-Error", X_Reference=reference, Error="Insufficient Balance!")
    assert paid.rows("status, failures, error")[0] == ("pending", 0, "Insufficient Balance!")
    paid.say(paid.token, "Transfer-Error", X_Reference="999")


def test_notices_that_need_no_answer_do_not_fill_the_inbox(paid):
    bought = paid.buy()[0]
    paid.say(paid.token, "Debit-Notice", X_Reference=bought.tags["X-Reference"])
    paid.say(paid.token, "Credit-Notice", Sender=paid.stranger, Quantity=5)
    paid.say(paid.benchmark, "Register-Dataset-Response")
    assert paid.network.inbox(paid.dataset) == []
    assert paid.rows("status")[0] == "started"


# -- size ------------------------------------------------------------------------------------


def test_a_tick_asks_for_at_most_a_thousand_question_by_question(network):
    network.registry.add(Prompt)
    world = World(network)
    world.send("Init", {"LlamaRouter": network.spawn("Prompt")})
    world.load([{**SAMPLES[0], "context": f"Number {n}"} for n in range(600)])
    world.benchmark_model("m1")
    world.benchmark_model("m2")
    sent = world.send("Evaluate")
    assert len(sent.result.messages) == 1000
    assert world.rows() == (["done"] * 500 + ["pending"] * 100) * 2
    assert world.score("m2")["Evaluated"] == "500"


# -- precision and reports ---------------------------------------------------------------------


def test_a_model_is_evaluated_in_each_precision_by_itself(world):
    world.benchmark_model()
    world.benchmark_model(Protocol="cloze/bf16")
    asked = world.tick()
    assert [json.loads(each.data).get("precision", "stored") for each in asked] == [
        *["stored", "bf16"] * 6
    ]
    asked = [*asked[::2], *asked[1::2]]
    for each in asked[5:]:
        answer = {"log_likelihoods": [{"nats": -n, "tokens": 1} for n in (1, 2, 3)]}
        world.answer(each, data=answer | {"precision": "bf16"})
    world.answer(asked[0])
    assert world.rows("status, error") == [
        ("done", None),
        *[("started", None)] * 4,
        ("pending", "the answer cannot be read: it was not computed in stored"),
        *[("done", None)] * 6,
    ]
    assert world.score()["Evaluated"] == "1"
    assert world.score(Protocol="cloze/stored")["Protocol"] == "cloze"
    assert world.score(Protocol="cloze/bf16")["Evaluated"] == "6"
    wrong = world.send("Score", {"Model": "m1", "Protocol": "cloze/f8"}).reply()
    assert wrong.action == "Score-Error"
    assert "not a protocol" in wrong.tags["Error"]


def test_a_report_tells_what_the_score_does_not(world):
    world.benchmark_model()
    asked = world.tick()
    runtime = {"precision": "stored", "layout": "canonical-2", "runtime": "0123"}
    for each, nats in zip(asked, [(-1.0, -1.005, -9.0), (-3.0, -1.0, -2.0)], strict=False):
        likelihoods = [{"nats": one, "tokens": 2} for one in nats]
        world.answer(each, data={"log_likelihoods": likelihoods, "prompt_tokens": 10, **runtime})
    world.fail(asked[2])
    reply = world.send("Get-Report", {"Model": "m1"}).reply()
    assert (reply.action, reply.tags["Weights"], reply.tags["Evaluated"]) == (
        "Get-Report-Response",
        "w-m1",
        "2",
    )
    shown = json.loads(reply.data)
    assert shown["predictions"] == {"A": 1, "B": 1, "C": 0}
    assert shown["labels"] == {"A": 1, "B": 1, "C": 0}
    assert shown["margins"]["near_ties"] == {"0.01": 1, "0.1": 1, "1.0": 1}
    assert shown["margins"]["median_nats"] == pytest.approx((0.005 + 1.0) / 2)
    assert shown["tokens"] == {"prompt": 20, "answered": 12}
    assert shown["runtimes"] == [{**runtime, "answers": 2}]
    assert shown["not_answered"] == [{"reason": "no memory", "rows": 1}]
    unknown = world.send("Get-Report", {"Model": "nobody"}).reply()
    assert unknown.action == "Get-Report-Error"


def test_answers_tell_what_became_of_each_question(network):
    world = World(network)
    odd = {**SAMPLES[2], "answerB": "{{answerB}}"}
    world.load([*SAMPLES[:2], odd, {**SAMPLES[3], "context": "a 100 % {set}"}])
    world.benchmark_model()
    first, second, *_ = world.tick()
    world.answer(first)
    world.answer(second, nats=(-1.0, -1.5, -9.0))
    reply = world.send("Get-Answers", {"Model": "m1"}).reply()
    assert (reply.action, reply.tags["Protocol"]) == ("Get-Answers-Response", "cloze")
    told = json.loads(reply.data)
    assert [(each["question"], each["status"], each["correct"]) for each in told] == [
        (1, "done", True),
        (2, "done", False),
        (3, "started", None),
        (4, "started", None),
    ]
    assert told[1]["prediction"] == 1
    assert told[1]["margin_nats"] == 0.5
    assert told[1]["answered_at"] == network.clock.now()
    assert [each["template_mark"] for each in told] == [False, False, True, False]
    unknown = world.send("Get-Answers", {"Model": "nobody"}).reply()
    assert unknown.action == "Get-Answers-Error"


def test_samples_tell_what_was_asked_and_answered(world):
    world.benchmark_model()
    first, *_ = world.tick()
    world.answer(first)
    asked = {"Model": "m1", "Questions": f"3,1,99,01,x,{2**70}"}
    reply = world.send("Get-Samples", asked).reply()
    assert (reply.action, reply.tags["Protocol"]) == ("Get-Samples-Response", "cloze")
    one, three = json.loads(reply.data)
    assert (one["question"], one["status"], one["attempts"]) == (1, "done", 1)
    assert one["request"]["prompt"].startswith("Q: Context 0.")
    assert len(one["request"]["choices"]) == len(one["answer"]["log_likelihoods"]) == 3
    assert (three["status"], three["answer"], three["answered_at"]) == ("started", None, None)
    # Strangers are told as of the last Score, and there was none.
    network = world.network
    told = json.loads(network.dry_run(world.dataset, "Get-Samples", asked).messages[0].data)
    assert {(each["status"], each["answer"]) for each in told} == {("pending", None)}
    unknown = world.send("Get-Samples", {"Model": "nobody", "Questions": "1"}).reply()
    assert unknown.action == "Get-Samples-Error"


def test_questions_are_told_by_their_numbers(world):
    told = json.loads(world.send("Get-Questions", {"Questions": "2,5,77,x"}).reply().data)
    assert [each["id"] for each in told] == [2, 5]
    assert told[0] == {
        "id": 2,
        "context": "Context 1.",
        "question": "What now?",
        "choices": ["alpha", "be", "gamma ray"],
        "gold": 2,
    }
