"""The router, told through messages. Wallets play the workers, so that they can misbehave.

Only processes of the first edition take wallets on: see test_who_plays for who may work since.
"""

import json

import pytest

from benchpool.ao.clock import HOUR_MS
from benchpool.errors import HandlerError
from benchpool.process.process import Process, handler


class Asker(Process):
    """Asks when it is told to, and keeps in its inbox what comes back."""

    @handler("Ask")
    def ask(self, message):
        self.send(message.tags["Router"], "Inference", {"Model": "model"}, message.text)


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
def asker(network):
    return network.new_wallet("asker")


@pytest.fixture
def workers(network):
    return [network.new_wallet(f"worker-{number}") for number in range(3)]


@pytest.fixture
def router(network, owner):
    return network.spawn("LlamaRouter", sender=owner)


def tags(message):
    return dict(message.tags.pairs)


def register(network, router, worker, **given):
    """Have the owner take a worker on for the model "model", which is no process of its own."""
    named = {"Worker": network.resolve(worker), "Model": "model"}
    given = {**named, "Weights": "weights", "Name": "Tiny", **given}
    return network.send(router, "Register-Worker", given, sender=network.info(router).owner)


def ask(network, router, asker, text="2 + 2 =", **given):
    return network.send(router, "Inference", {"Model": "model", **given}, data=text, sender=asker)


def asked(network, worker):
    """Return the inferences in a worker's mail."""
    return [message for message in network.inbox(worker) if message.action == "Inference"]


def answer(network, router, worker, question, action="Inference-Response", data="4", **given):
    given = {"X-Reference": question.reference, **given}
    return network.send(router, action, given, data=data, sender=worker)


def got(network, asker):
    """Return what the asker was told, as (action, data or error)."""
    return [
        (message.action, message.data or message.tags.get("Error"))
        for message in network.inbox(asker)
        if message.action.startswith("Inference")
    ]


def listed(network, router):
    return json.loads(network.send(router, "Get-Workers").reply("Get-Workers-Response").data)


def info(network, router):
    reply = tags(network.send(router, "Info").reply("Info"))
    return int(reply["Workers"]), int(reply["Open"]), int(reply["Queue-Length"])


def test_a_worker_registers_itself_and_its_model_is_known(network, router, workers):
    worker = workers[0]
    sent = network.send(router, "Register-Worker", {"Weights": "w", "Name": "Tiny"}, sender=worker)
    assert tags(sent.reply()) == {
        "Action": "Register-Worker-Response",
        "Worker": worker.address,
        "Model": worker.address,
    }
    assert listed(network, router) == [
        {
            "worker": worker.address,
            "model": worker.address,
            "name": "Tiny",
            "weights": "w",
            "open": 0,
            "capacity": 1_000_000,
        }
    ]
    reply = network.send(router, "Get-Model", {"Model": worker.address}).reply()
    assert tags(reply) == {
        "Action": "Get-Model-Response",
        "Model": worker.address,
        "Name": "Tiny",
        "Weights": "w",
        "Workers": "1",
    }


def test_an_unknown_model_is_an_error_reply(network, router):
    reply = network.send(router, "Get-Model", {"Model": "nobody"}).reply()
    assert tags(reply) == {
        "Action": "Get-Model-Error",
        "Model": "nobody",
        "Error": "no worker was ever registered for this model",
    }
    assert network.send(router, "Get-Model").error == "Model is required!"


def test_the_owner_registers_and_lets_go_a_worker_but_a_stranger_does_not(
    network, router, owner, workers
):
    given = {"Worker": workers[0].address, "Model": "model", "Weights": "w", "Name": "Tiny"}
    assert "owner" in network.send(router, "Register-Worker", given, sender=workers[1]).error
    assert info(network, router) == (0, 0, 0)
    reply = network.send(router, "Register-Worker", given, sender=owner).reply()
    assert reply.tags["Worker"] == workers[0].address
    leave = {"Worker": workers[0].address}
    assert "owner" in network.send(router, "Unregister-Worker", leave, sender=workers[1]).error
    assert info(network, router) == (1, 0, 0)
    reply = network.send(router, "Unregister-Worker", leave, sender=owner).reply()
    assert tags(reply) == {
        "Action": "Unregister-Worker-Response",
        "Worker": workers[0].address,
        "Model": "model",
    }
    assert info(network, router) == (0, 0, 0)


@pytest.mark.parametrize("given", [{"Weights": ""}, {"Capacity": "0"}, {"Capacity": "1.5"}])
def test_a_registration_must_be_whole(network, router, workers, given):
    assert next(iter(given)) in register(network, router, workers[0], **given).error
    assert info(network, router) == (0, 0, 0)


def test_other_weights_than_the_first_workers_are_refused_even_after_it_left(
    network, router, workers
):
    register(network, router, workers[0])
    assert "other weights" in register(network, router, workers[1], Weights="better").error
    network.send(router, "Unregister-Worker", sender=workers[0])
    assert "other weights" in register(network, router, workers[0], Weights="better").error
    assert register(network, router, workers[1]).error == ""


def test_a_worker_serves_one_model_at_a_time(network, router, workers):
    register(network, router, workers[0])
    assert "unregister" in register(network, router, workers[0], Model="other").error


def test_who_is_no_worker_cannot_leave(network, router, workers):
    sent = network.send(router, "Unregister-Worker", sender=workers[0])
    assert "is no worker here" in sent.error


def test_an_answer_goes_back_with_reference_and_x_tags(network, router, asker, workers):
    register(network, router, workers[0])
    ask(network, router, asker, **{"X-Reference": "77", "X-Sample": "3", "Memo": "no"})
    (question,) = asked(network, workers[0])
    assert question.data == "2 + 2 ="
    assert tags(question) == {"Action": "Inference", "Model": "model"}
    sent = answer(network, router, workers[0], question, data='{"text":"4"}', Weights="weights")
    (reply,) = sent.trace.children
    assert reply.message.process == asker.address
    assert reply.message.data == '{"text":"4"}'
    assert tags(reply.message) == {
        "Action": "Inference-Response",
        "Model": "model",
        "Weights": "weights",
        "Worker": workers[0].address,
        "X-Reference": "77",
        "X-Sample": "3",
    }
    assert info(network, router) == (1, 0, 0)


def test_a_process_that_asks_gets_the_reference_of_its_message_back(
    network, router, owner, workers
):
    network.registry.add(Asker)
    process = network.spawn("Asker", sender=owner)
    register(network, router, workers[0])
    for text in "abc":
        network.send(process, "Ask", {"Router": router}, data=text, sender=owner)
    for question in reversed(asked(network, workers[0])):
        answer(network, router, workers[0], question, data=question.data)
    replies = [(each.data, each.tags["X-Reference"]) for each in network.inbox(process)]
    assert replies == [("c", "3"), ("b", "2"), ("a", "1")]


def test_nobody_can_have_an_answer_sent_to_who_did_not_ask(network, router, asker, workers):
    register(network, router, workers[0])
    ask(network, router, workers[2], **{"Reply-To": asker.address})
    answer(network, router, workers[0], asked(network, workers[0])[0])
    assert got(network, asker) == []
    assert got(network, workers[2])[-1] == ("Inference-Response", "4")


def test_only_a_model_and_the_owner_can_add_a_worker_to_it(network, router, workers):
    model, helper, stranger = workers
    given = {"Weights": "weights", "Name": "Tiny"}
    network.send(router, "Register-Worker", given, sender=model)
    claim = given | {"Model": model.address}
    assert "neither" in network.send(router, "Register-Worker", claim, sender=stranger).error
    vouched = claim | {"Worker": helper.address}
    assert "owner" in network.send(router, "Register-Worker", vouched, sender=stranger).error
    assert not network.send(router, "Register-Worker", vouched, sender=model).error
    leaving = {"Worker": helper.address}
    assert "owner" in network.send(router, "Unregister-Worker", leaving, sender=stranger).error
    assert not network.send(router, "Unregister-Worker", leaving, sender=model).error


def test_without_a_worker_the_asker_is_told(network, router, asker):
    sent = ask(network, router, asker, **{"X-Reference": "5"})
    assert tags(sent.reply()) == {
        "Action": "Inference-Error",
        "Model": "model",
        "Error": "no worker serves this model",
        "X-Reference": "5",
    }
    assert network.send(router, "Inference", sender=asker).error == "Model is required!"


def test_a_model_whose_workers_all_left_takes_no_new_work(network, router, asker, workers):
    register(network, router, workers[0])
    network.send(router, "Unregister-Worker", sender=workers[0])
    assert network.send(router, "Get-Model", {"Model": "model"}).reply().tags["Workers"] == "0"
    assert ask(network, router, asker).reply().tags["Error"] == "no worker serves this model"
    assert info(network, router) == (0, 0, 0)


def test_the_least_busy_worker_is_asked_and_ties_go_by_registration(
    network, router, asker, workers
):
    for worker in workers:
        register(network, router, worker)
    for _ in range(4):
        ask(network, router, asker)
    assert [len(asked(network, worker)) for worker in workers] == [2, 1, 1]
    answer(network, router, workers[2], asked(network, workers[2])[0])
    ask(network, router, asker)
    assert [len(asked(network, worker)) for worker in workers] == [2, 1, 2]


def test_beyond_capacity_work_waits_first_come_first_served(network, router, asker, workers):
    register(network, router, workers[0], Capacity="2")
    for text in "abcde":
        ask(network, router, asker, text)
    assert [question.data for question in asked(network, workers[0])] == ["a", "b"]
    assert info(network, router) == (1, 2, 3)
    register(network, router, workers[1], Capacity="1")
    assert [question.data for question in asked(network, workers[1])] == ["c"]
    answer(network, router, workers[0], asked(network, workers[0])[0])
    assert [question.data for question in asked(network, workers[0])] == ["a", "b", "d"]
    register(network, router, workers[0], Capacity="3")
    assert info(network, router) == (2, 4, 0)


def test_a_failure_goes_to_another_worker_and_then_to_the_asker(network, router, asker, workers):
    for worker in workers[:2]:
        register(network, router, worker)
    ask(network, router, asker)
    first = asked(network, workers[0])[0]
    answer(network, router, workers[0], first, "Inference-Error", "", Error="out of memory")
    assert got(network, asker) == []
    (second,) = asked(network, workers[1])
    sent = answer(network, router, workers[1], second, "Inference-Error", "", Error="too long")
    assert got(network, asker) == [("Inference-Error", "too long")]
    assert tags(sent.trace.children[0].message) == {
        "Action": "Inference-Error",
        "Model": "model",
        "Error": "too long",
    }
    assert info(network, router) == (2, 0, 0)


def test_a_failure_waits_for_a_busy_worker_that_has_not_failed_on_it(
    network, router, asker, workers
):
    for worker in workers[:2]:
        register(network, router, worker, Capacity="1")
    ask(network, router, asker, "a")
    ask(network, router, asker, "b")
    answer(network, router, workers[0], asked(network, workers[0])[0], "Inference-Error", "")
    assert info(network, router) == (2, 1, 1)
    ask(network, router, asker, "c")  # passes the one that waits for the other worker
    assert [question.data for question in asked(network, workers[0])] == ["a", "c"]
    answer(network, router, workers[1], asked(network, workers[1])[0])
    assert [question.data for question in asked(network, workers[1])] == ["b", "a"]
    network.send(router, "Unregister-Worker", sender=workers[1])
    assert got(network, asker) == [
        ("Inference-Response", "4"),
        ("Inference-Error", "the worker gave no reason"),
    ]


def test_what_waits_for_a_worker_that_leaves_is_given_up_if_all_others_failed(
    network, router, asker, workers
):
    for worker in workers[:2]:
        register(network, router, worker, Capacity="1")
    ask(network, router, asker, "a")
    ask(network, router, asker, "b")
    answer(
        network, router, workers[0], asked(network, workers[0])[0], "Inference-Error", "", Error="!"
    )
    network.send(router, "Unregister-Worker", sender=workers[1])
    assert got(network, asker) == [("Inference-Error", "!")]
    assert [question.data for question in asked(network, workers[0])] == ["a", "b"]
    assert info(network, router) == (1, 1, 0)


def test_an_answer_with_other_weights_counts_as_a_failure(network, router, asker, workers):
    register(network, router, workers[0])
    ask(network, router, asker)
    answer(network, router, workers[0], asked(network, workers[0])[0], Weights="secret")
    ((action, error),) = got(network, asker)
    assert action == "Inference-Error"
    assert "other weights than it registered: secret" in error


def test_open_work_of_a_worker_that_leaves_goes_on_in_order(network, router, asker, workers):
    register(network, router, workers[0])
    for text in "abc":
        ask(network, router, asker, text)
    register(network, router, workers[1], Capacity="2")
    network.send(router, "Unregister-Worker", sender=workers[0])
    assert [question.data for question in asked(network, workers[1])] == ["a", "b"]
    assert info(network, router) == (1, 2, 1)
    ask(network, router, asker, "d")
    network.send(router, "Unregister-Worker", sender=workers[1])
    assert info(network, router) == (0, 0, 4)
    register(network, router, workers[2])
    assert [question.data for question in asked(network, workers[2])] == ["a", "b", "c", "d"]
    for question in asked(network, workers[2]):
        answer(network, router, workers[2], question, data=question.data)
    assert [data for _, data in got(network, asker)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("action", ["Inference-Response", "Inference-Error"])
def test_an_answer_from_anybody_but_the_worker_asked_is_ignored_and_reported(
    network, router, asker, workers, action
):
    stranger = network.new_wallet("stranger")
    for worker in workers[:2]:
        register(network, router, worker)
    ask(network, router, asker)
    (question,) = asked(network, workers[0])
    for liar in (stranger, workers[1]):
        sent = answer(network, router, liar, question, action, "5")
        assert f"Ignored {action} from {liar.address}" in sent.result.output
    sent = network.send(router, action, {"From-Process": workers[0].address}, sender=stranger)
    assert "not trusted" in sent.result.output
    assert got(network, asker) == []
    answer(network, router, workers[0], question)
    again = answer(network, router, workers[0], question)
    assert "Ignored" in again.result.output
    assert got(network, asker) == [("Inference-Response", "4")]


def test_late_answers_of_a_worker_that_left_are_ignored(network, router, asker, workers):
    register(network, router, workers[0])
    ask(network, router, asker)
    network.send(router, "Unregister-Worker", sender=workers[0])
    sent = answer(network, router, workers[0], asked(network, workers[0])[0])
    assert "Ignored" in sent.result.output
    assert info(network, router) == (0, 0, 1)


def test_with_a_lease_a_silent_worker_loses_its_work(network, owner, asker, workers):
    router = network.spawn("LlamaRouter", {"Lease": "1h"}, sender=owner)
    for worker in workers[:2]:
        register(network, router, worker)
    ask(network, router, asker)
    network.advance(HOUR_MS)
    sent = network.send(router, "Info")
    assert "silent" in sent.result.output
    assert [question.data for question in asked(network, workers[1])] == ["2 + 2 ="]
    assert info(network, router) == (1, 1, 0)


def test_without_a_lease_a_worker_may_take_its_time(network, router, asker, workers):
    register(network, router, workers[0])
    ask(network, router, asker)
    network.advance(1000 * HOUR_MS)
    assert info(network, router) == (1, 1, 0)


def test_a_lease_must_be_a_duration(network):
    with pytest.raises(HandlerError, match="Lease: not a duration"):
        network.spawn("LlamaRouter", {"Lease": "soon"})


def test_a_request_that_is_not_text_is_refused(network, router, asker, workers):
    register(network, router, workers[0])
    sent = network.send(router, "Inference", {"Model": "model"}, data=b"\xff\xfe", sender=asker)
    assert sent.error == "Data is not UTF-8 text"
    assert info(network, router) == (1, 0, 0)


def test_the_state_survives_a_restart(network, router, asker, workers):
    register(network, router, workers[0], Capacity="1")
    ask(network, router, asker, "a", **{"X-Sample": "1"})
    ask(network, router, asker, "b")
    process = network.process(router)
    dump = process.dump()
    process.load(dump)
    assert process.dump() == dump
    answer(network, router, workers[0], asked(network, workers[0])[0])
    assert [question.data for question in asked(network, workers[0])] == ["a", "b"]
