"""The paid service, told through messages. Wallets play the workers, so that they can misbehave.

Only processes of the first edition take wallets on: see test_who_plays for who may work since.
"""

import json

import pytest

from benchpool.ao.clock import HOUR_MS
from benchpool.errors import HandlerError
from benchpool.process.process import Process, State, handler

REQUEST = '{"prompt":"one two","choices":["three"]}'
PRICE = 1000 + 10 * 3


class Refusals(State):
    left: int = 0


class MoodyToken(Process):
    """A token that credits what it is told to, and refuses as many transfers as it is told to."""

    state: Refusals

    @handler("Refuse")
    def refuse(self, message):
        self.state.left = int(message.tags["Times"])

    @handler("Credit")
    def credit(self, message):
        tags = [pair for pair in message.tags if pair[0] not in ("Action", "To", "As")]
        self.send(message.tags["To"], message.tags.get("As") or "Credit-Notice", tags)

    @handler("Transfer")
    def transfer(self, message):
        tags = [pair for pair in message.tags if pair[0] not in ("Action",)]
        if self.state.left:
            self.state.left -= 1
            self.reply(message, "Transfer-Error", [("Error", "Not today!"), *tags])
        else:
            self.reply(message, "Debit-Notice", tags)
            self.send(message.tags["Recipient"], "Credit-Notice", tags)


class Every(dict):
    def __contains__(self, _):
        return True


@pytest.fixture(autouse=True)
def _first_edition(network):
    network.compute._maker._first_edition = Every()


@pytest.fixture
def owner(network):
    return network.new_wallet("owner")


@pytest.fixture
def payer(network):
    return network.new_wallet("payer")


@pytest.fixture
def workers(network):
    return [network.new_wallet(f"worker-{number}") for number in range(3)]


@pytest.fixture
def token(network, owner, payer):
    token = network.spawn("WrappedAR", sender=owner)
    given = {"Quantity": "1000000", "Recipient": payer.address}
    network.send(token, "Mint", given, sender=owner)
    return token


@pytest.fixture
def herder(network, owner, token):
    return network.spawn("LlamaHerder", {"WrappedAR": token}, sender=owner)


def tags(message):
    return dict(message.tags.pairs)


def register(network, herder, worker, **given):
    """Have the owner take a worker on for the model "model", which is no process of its own."""
    named = {"Worker": network.resolve(worker), "Model": "model"}
    given = {**named, "Weights": "weights", "Name": "Tiny", **given}
    return network.send(herder, "Register-Worker", given, sender=network.info(herder).owner)


def buy(network, token, herder, payer, *, quantity=PRICE, request=REQUEST, model="model", **given):
    order = {"Recipient": herder, "Quantity": quantity, "X-Model": model, "X-Request": request}
    return network.send(token, "Transfer", {**order, **given}, sender=payer)


def order(text):
    return json.dumps({"prompt": text, "choices": ["x"]})


def asked(network, worker):
    return [message for message in network.inbox(worker) if message.action == "Inference"]


def prompts(network, worker):
    return [json.loads(message.data)["prompt"] for message in asked(network, worker)]


def answer(network, herder, worker, question, action="Inference-Response", data="4", **given):
    given = {"X-Reference": question.reference, **given}
    return network.send(herder, action, given, data=data, sender=worker)


def refunds(network, payer):
    """Return the X- tags of the money that came back."""
    return [
        {"Quantity": message.tags["Quantity"], **dict(message.tags.extras())}
        for message in network.inbox(payer)
        if message.action == "Credit-Notice"
    ]


def balance(network, token, account):
    return int(network.dry_run(token, "Balance", {"Recipient": account}).messages[0].data)


def info(network, herder):
    return tags(network.send(herder, "Info").reply("Info"))


def owed(network, herder):
    return len(network.process(herder).state.refunds)


def assert_refunded(network, token, herder, payer, error):
    (refund,) = refunds(network, payer)
    assert error in refund["X-Error"]
    assert balance(network, token, payer.address) == 1_000_000
    assert balance(network, token, herder) == 0
    assert owed(network, herder) == 0
    return refund


def test_info_says_what_inference_costs(network, token, herder):
    assert info(network, herder) == {
        "Action": "Info",
        "Base-Fee": "1000",
        "Token-Fee": "10",
        "Last-Multiplier": "1",
        "Queue-Length": "0",
        "WrappedAR": token,
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "WrappedAR is required"),
        ({"WrappedAR": "a b"}, "WrappedAR is not an address"),
        ({"WrappedAR": "t", "Base-Fee": "-1"}, "Base-Fee must be a whole number"),
        ({"WrappedAR": "t", "Token-Fee": "1.5"}, "Token-Fee must be a whole number"),
        ({"WrappedAR": "t", "Lease": "0"}, "Lease: not a duration"),
    ],
)
def test_bad_spawn_tags_are_refused(network, given, error):
    with pytest.raises(HandlerError, match=error):
        network.spawn("LlamaHerder", given)


def test_an_answer_that_was_paid_for_goes_to_the_payer(network, token, herder, payer, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, **{"X-Reference": "41", "X-Sample": "s"})
    (question,) = asked(network, workers[0])
    assert question.data == REQUEST
    assert tags(question) == {"Action": "Inference", "Model": "model"}
    sent = answer(network, herder, workers[0], question, data='{"x":1}', Weights="weights")
    (reply,) = sent.trace.children
    assert reply.message.process == payer.address
    assert reply.message.data == '{"x":1}'
    assert tags(reply.message) == {
        "Action": "Inference-Response",
        "Model": "model",
        "Weights": "weights",
        "Worker": workers[0].address,
        "X-Model": "model",
        "X-Reference": "41",
        "X-Sample": "s",
    }
    assert balance(network, token, herder) == PRICE


def test_what_was_paid_too_much_is_kept(network, token, herder, payer, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, quantity=PRICE + 500)
    answer(network, herder, workers[0], asked(network, workers[0])[0])
    assert refunds(network, payer) == []
    assert balance(network, token, herder) == PRICE + 500


def test_one_winston_too_little_goes_back_to_the_payer_and_not_to_the_token(
    network, token, herder, payer, workers
):
    register(network, herder, workers[0])
    given = {"X-Reference": "41", "X-Error-Is-Mine": "no", "X-Refund": "forged", "X-Needed": "1"}
    buy(network, token, herder, payer, quantity=PRICE - 1, **given)
    refund = assert_refunded(network, token, herder, payer, f"the price is {PRICE}, but")
    refund.pop("X-Refund")
    assert refund == {
        "Quantity": str(PRICE - 1),
        "X-Error": f"the price is {PRICE}, but {PRICE - 1} was paid",
        "X-Needed": str(PRICE),
        "X-Model": "model",
        "X-Reference": "41",
        "X-Error-Is-Mine": "no",
    }
    assert asked(network, workers[0]) == []
    assert balance(network, token, token) == 0


@pytest.mark.parametrize("model", ["other", ""])
def test_an_order_for_an_unknown_model_is_refunded_with_the_price(
    network, token, herder, payer, workers, model
):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, model=model)
    refund = assert_refunded(network, token, herder, payer, "no worker serves the model")
    assert refund["X-Needed"] == str(PRICE)


def test_an_order_for_a_model_without_workers_is_refunded_at_once(
    network, token, herder, payer, workers
):
    register(network, herder, workers[0])
    network.send(herder, "Unregister-Worker", sender=workers[0])
    buy(network, token, herder, payer)
    assert_refunded(network, token, herder, payer, "no worker serves the model")


@pytest.mark.parametrize(
    "request_text", ["", "plain text", "[]", "{}", '{"prompt": 1}', '{"prompt":"a","choices":[]}']
)
def test_an_order_that_cannot_be_read_is_refunded(
    network, token, herder, payer, workers, request_text
):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, request=request_text)
    refund = assert_refunded(network, token, herder, payer, "request")
    assert "X-Needed" not in refund
    assert "X-Request" not in refund


@pytest.mark.parametrize(
    "multiplier", ["0.9", "0", "-2", "x", "1e3", "1.", ".5", "2/1", "inf", "٣"]
)
def test_a_malformed_multiplier_is_refunded(network, token, herder, payer, workers, multiplier):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, quantity=50_000, **{"X-Fee-Multiplier": multiplier})
    refund = assert_refunded(network, token, herder, payer, "X-Fee-Multiplier must be")
    assert refund["X-Fee-Multiplier"] == multiplier


@pytest.mark.parametrize(
    ("request_text", "multiplier", "price"),
    [
        (REQUEST, "1", 1030),
        (REQUEST, "1.5", 1545),
        (REQUEST, "1.0001", 1031),
        (REQUEST, "1.000000001", 1031),
        ('{"prompt":"one two"}', "1", 1000 + 10 * (2 + 4)),
        ('{"prompt":"one two","max_tokens":100,"system":"not counted"}', "2", 2 * 2020),
        ('{"prompt":"","choices":[" a b","c"]}', "1", 1030),
    ],
)
def test_the_price_counts_words_and_tokens_and_is_rounded_up(
    network, token, herder, payer, workers, request_text, multiplier, price
):
    register(network, herder, workers[0])
    given = {"request": request_text, "X-Fee-Multiplier": multiplier}
    buy(network, token, herder, payer, quantity=price - 1, **given)
    refund = assert_refunded(network, token, herder, payer, "the price is")
    assert refund["X-Needed"] == str(price)
    buy(network, token, herder, payer, quantity=price, **given)
    assert len(asked(network, workers[0])) == 1


def test_fees_come_from_the_spawn_tags(network, token, owner, payer, workers):
    given = {"WrappedAR": token, "Base-Fee": "5", "Token-Fee": "0"}
    herder = network.spawn("LlamaHerder", given, sender=owner)
    register(network, herder, workers[0])
    buy(network, token, herder, payer, quantity=5)
    assert len(asked(network, workers[0])) == 1


def test_a_worker_generates_what_was_paid_for_whatever_its_own_setting(
    network, token, herder, payer, workers
):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, quantity=2000, request='{"prompt":"one"}')
    assert asked(network, workers[0])[0].data == '{"prompt":"one","max_tokens":4}'


def test_higher_multipliers_go_first_and_equal_ones_as_they_came(
    network, token, herder, payer, workers
):
    register(network, herder, workers[0])
    for text, multiplier in [("a", "1"), ("b", "1"), ("c", "1.5"), ("d", "2"), ("e", "1.50")]:
        given = {"X-Fee-Multiplier": multiplier}
        buy(network, token, herder, payer, quantity=9000, request=order(text), **given)
    assert info(network, herder)["Queue-Length"] == "4"
    multipliers = []
    for number in range(5):
        multipliers.append(info(network, herder)["Last-Multiplier"])
        answer(network, herder, workers[0], asked(network, workers[0])[number])
    assert prompts(network, workers[0]) == ["a", "d", "c", "e", "b"]
    assert multipliers == ["1", "2", "1.5", "1.50", "1"]


def test_no_worker_is_passed_over(network, token, herder, payer, workers):
    for worker in workers:
        register(network, herder, worker)
    for text in "abcdefg":
        buy(network, token, herder, payer, request=order(text), quantity=2000)
    assert [prompts(network, worker) for worker in workers] == [["a"], ["b"], ["c"]]
    for worker in workers:
        answer(network, herder, worker, asked(network, worker)[-1])
    assert [prompts(network, worker) for worker in workers] == [["a", "d"], ["b", "e"], ["c", "f"]]
    assert info(network, herder)["Queue-Length"] == "1"


def test_a_worker_takes_as_many_at_a_time_as_it_says(network, token, herder, payer, workers):
    for text in "abc":
        buy(network, token, herder, payer, request=order(text), quantity=2000)
    assert len(refunds(network, payer)) == 3
    register(network, herder, workers[0], Capacity="2")
    for text in "abc":
        buy(network, token, herder, payer, request=order(text), quantity=2000)
    assert prompts(network, workers[0]) == ["a", "b"]
    (listed,) = json.loads(network.send(herder, "Get-Workers").reply().data)
    assert (listed["open"], listed["capacity"]) == (2, 2)


def test_a_failure_goes_to_another_worker_and_then_the_money_back(
    network, token, herder, payer, workers
):
    for worker in workers[:2]:
        register(network, herder, worker)
    buy(network, token, herder, payer)
    answer(network, herder, workers[0], asked(network, workers[0])[0], "Inference-Error", "")
    assert refunds(network, payer) == []
    (second,) = asked(network, workers[1])
    answer(network, herder, workers[1], second, "Inference-Error", "", Error="too long")
    refund = assert_refunded(network, token, herder, payer, "too long")
    assert refund["X-Needed"] == str(PRICE)


def test_a_forged_credit_notice_is_ignored_and_reported(
    network, token, herder, payer, owner, workers
):
    register(network, herder, workers[0])
    forged = {
        "Sender": payer.address,
        "Quantity": "1000000",
        "X-Model": "model",
        "X-Request": REQUEST,
    }
    sent = network.send(herder, "Credit-Notice", forged, sender=payer)
    assert "which is not the token" in sent.result.output
    sent = network.send(herder, "Credit-Notice", {**forged, "From-Process": token}, sender=payer)
    assert "not trusted" in sent.result.output
    other = network.spawn("WrappedAR", sender=owner)
    network.send(other, "Mint", {"Quantity": "1000000", "Recipient": payer.address}, sender=owner)
    buy(network, other, herder, payer)
    assert asked(network, workers[0]) == []
    assert balance(network, other, herder) == PRICE
    assert balance(network, token, herder) == 0


def test_an_answer_from_a_stranger_is_ignored(network, token, herder, payer, owner, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer)
    (question,) = asked(network, workers[0])
    for liar in (payer, workers[1]):
        sent = answer(network, herder, liar, question, data="5")
        assert "Ignored" in sent.result.output
    assert [message.action for message in network.inbox(payer)] == ["Debit-Notice"]


def test_a_refund_from_elsewhere_is_not_sent_back(network, token, herder, payer):
    sent = buy(network, token, herder, payer, request="?", **{"X-Error": "no such pool"})
    assert "it is a refund" in sent.trace.children[1].result.output
    assert balance(network, token, herder) == PRICE
    assert refunds(network, payer) == []


def test_a_silent_worker_loses_its_work_to_another(network, token, herder, payer, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer)
    network.advance(HOUR_MS - 1)
    register(network, herder, workers[1])
    assert asked(network, workers[1]) == []
    network.advance(1)
    sent = network.send(herder, "Info")
    assert f"Worker {workers[0].address} was silent" in sent.result.output
    assert [json.loads(network.send(herder, "Get-Workers").reply().data)[0]["worker"]] == [
        workers[1].address
    ]
    late = answer(network, herder, workers[0], asked(network, workers[0])[0])
    assert "Ignored" in late.result.output
    answer(network, herder, workers[1], asked(network, workers[1])[0])
    assert balance(network, token, herder) == PRICE
    assert [message.action for message in network.inbox(payer)] == [
        "Debit-Notice",
        "Inference-Response",
    ]


def test_work_of_the_last_worker_waits_one_lease_for_a_new_one(
    network, token, herder, payer, workers
):
    register(network, herder, workers[0])
    buy(network, token, herder, payer, request=order("a"), quantity=2000)
    buy(network, token, herder, payer, request=order("b"), quantity=2000)
    network.advance(HOUR_MS)
    network.send(herder, "Check-Leases")
    assert info(network, herder)["Queue-Length"] == "2"
    network.advance(HOUR_MS - 1)
    register(network, herder, workers[1], Capacity="2")
    assert prompts(network, workers[1]) == ["a", "b"]


def test_without_a_new_worker_everything_is_paid_back(network, token, herder, payer, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer)
    network.send(herder, "Unregister-Worker", sender=workers[0])
    network.advance(HOUR_MS)
    network.send(herder, "Check-Leases")
    assert_refunded(network, token, herder, payer, "the model has no worker any more")
    assert info(network, herder)["Queue-Length"] == "0"


def test_a_worker_that_answers_late_but_first_is_not_silent(network, token, herder, payer, workers):
    register(network, herder, workers[0])
    buy(network, token, herder, payer)
    network.advance(2 * HOUR_MS)
    answer(network, herder, workers[0], asked(network, workers[0])[0])
    assert network.inbox(payer)[-1].action == "Inference-Response"


def test_the_lease_comes_from_the_spawn_tags_and_cron_checks_it(
    network, token, owner, payer, workers
):
    given = {
        "WrappedAR": token,
        "Lease": "10m",
        "Cron-Interval": "1-minute",
        "Cron-Tag-Action": "Check-Leases",
    }
    herder = network.spawn("LlamaHerder", given, sender=owner)
    for worker in workers[:2]:
        register(network, herder, worker)
    buy(network, token, herder, payer)
    network.advance("9m")
    assert asked(network, workers[1]) == []
    network.advance("1m")
    assert len(asked(network, workers[1])) == 1
    assert network.inbox(herder) == []


def test_a_dry_run_moves_neither_work_nor_money(network, token, herder, payer, workers):
    for worker in workers[:2]:
        register(network, herder, worker)
    buy(network, token, herder, payer)
    network.advance(HOUR_MS)
    before = network.process(herder).dump()
    result = network.dry_run(herder, "Info")
    assert [message.tags["Action"] for message in result.messages] == ["Info"]
    assert network.process(herder).dump() == before


@pytest.fixture
def moody(network, owner):
    network.registry.add(MoodyToken)
    return network.spawn("MoodyToken", sender=owner)


def test_a_refund_that_fails_is_tried_again_at_the_next_message(network, owner, payer, moody):
    herder = network.spawn("LlamaHerder", {"WrappedAR": moody}, sender=owner)
    network.send(moody, "Refuse", {"Times": "4"}, sender=owner)
    for _ in range(2):  # two at once: one's failure must not set off the other for ever
        notice = {"To": herder, "Sender": payer.address, "Quantity": "7", "X-Reference": "1"}
        network.send(moody, "Credit", notice, sender=owner)
    # The second notice tried the first refund again: three refusals are used up.
    assert refunds(network, payer) == []
    network.send(herder, "Info")
    assert len(refunds(network, payer)) == 1
    assert owed(network, herder) == 1
    network.send(herder, "Info")
    network.send(herder, "Info")
    assert [refund["Quantity"] for refund in refunds(network, payer)] == ["7", "7"]
    assert owed(network, herder) == 0


def test_a_refund_on_its_way_is_not_paid_again(network, owner, payer, moody):
    herder = network.spawn("LlamaHerder", {"WrappedAR": moody}, sender=owner)
    network.send(moody, "Refuse", {"Times": "1"}, sender=owner)
    notice = {"To": herder, "Sender": payer.address, "Quantity": "7"}
    network.send(moody, "Credit", notice, sender=owner)
    for _ in range(3):
        network.post(herder, "Info", sender=owner)
    network.run()
    assert [refund["Quantity"] for refund in refunds(network, payer)] == ["7"]


@pytest.mark.parametrize("action", ["Debit-Notice", "Transfer-Error"])
def test_transfers_that_are_no_refund_are_nothing_to_the_herder(network, owner, moody, action):
    herder = network.spawn("LlamaHerder", {"WrappedAR": moody}, sender=owner)
    before = network.process(herder).dump()
    given = {"To": herder, "As": action, "X-Refund": "unknown"}
    sent = network.send(moody, "Credit", given, sender=owner)
    assert sent.trace.errors() == []
    assert network.process(herder).dump() == before


@pytest.mark.parametrize("action", ["Debit-Notice", "Transfer-Error"])
def test_a_stranger_cannot_speak_of_refunds(network, owner, payer, moody, action):
    herder = network.spawn("LlamaHerder", {"WrappedAR": moody}, sender=owner)
    network.send(moody, "Refuse", {"Times": "1"}, sender=owner)
    notice = {"To": herder, "Sender": payer.address, "Quantity": "7"}
    network.send(moody, "Credit", notice, sender=owner)
    (identity,) = network.process(herder).state.refunds
    sent = network.send(herder, action, {"X-Refund": identity}, sender=payer)
    assert f"Ignored {action}" in sent.result.output
    assert [refund["Quantity"] for refund in refunds(network, payer)] == ["7"]
    assert owed(network, herder) == 0


@pytest.mark.parametrize(
    "given", [{"Sender": "", "Quantity": "7"}, {"Sender": "p", "Quantity": "x"}]
)
def test_a_notice_that_names_no_payer_or_amount_is_refused(network, owner, moody, given):
    herder = network.spawn("LlamaHerder", {"WrappedAR": moody}, sender=owner)
    sent = network.send(moody, "Credit", {"To": herder, **given}, sender=owner)
    assert sent.trace.errors()
    assert owed(network, herder) == 0


def test_models_and_departures_are_as_with_a_router(network, herder, owner, payer, workers):
    register(network, herder, workers[0])
    reply = network.send(herder, "Get-Model", {"Model": "model"}).reply()
    assert (reply.action, reply.tags["Workers"]) == ("Get-Model-Response", "1")
    leave = {"Worker": workers[0].address}
    assert network.send(herder, "Unregister-Worker", leave, sender=payer).error
    reply = network.send(herder, "Unregister-Worker", leave, sender=owner).reply()
    assert reply.action == "Unregister-Worker-Response"
    assert network.send(herder, "Get-Model", {"Model": "x"}).reply().action == "Get-Model-Error"


def test_with_real_workers_the_paid_answer_arrives_in_one_push(
    network, token, owner, payer, herder
):
    weights = network.data.put(b"Tiny")
    worker = network.spawn("LlamaWorker", {"Router": herder, "Model-Data": weights}, sender=owner)
    orders = [
        buy(network, token, herder, payer, model=worker, quantity=2000, **{"X-Reference": number})
        for number in range(3)
    ]
    answers = [each.reply("Inference-Response") for each in orders]
    assert [each.tags["X-Reference"] for each in answers] == ["0", "1", "2"]
    assert balance(network, token, herder) == 6000
