"""The model process, told through messages. The model is a stand-in except where it says not."""

import json
import math
from hashlib import sha256

import msgspec
import pytest

from benchpool.errors import HandlerError, PrerequisiteError
from benchpool.inference.engine import (
    ChoicesRequest,
    CompleteRequest,
    GenerateRequest,
    Runtime,
    machine_id,
)
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network
from benchpool.process.process import Process, handler

MACHINE = machine_id("scripted", "any")
CHOICES = '{"prompt": "The sky is", "choices": [" blue", " quite green"]}'


class Router(Process):
    """A stand-in for a router: passes on what its owner says, and keeps what it hears."""

    @handler("Say")
    def say(self, message):
        self.send(message.tags["To"], message.tags["What"], data=message.data)


@pytest.fixture
def owner(network):
    return network.new_wallet("owner")


@pytest.fixture
def stranger(network):
    return network.new_wallet("stranger")


@pytest.fixture
def router(network, owner):
    network.registry.add(Router)
    return network.spawn("Router", sender=owner)


@pytest.fixture
def weights(network):
    return network.data.put(b"Tiny")


@pytest.fixture
def worker(network, owner, router, weights):
    spawn_tags = {"Router": router, "Model-Data": weights}
    return network.spawn("LlamaWorker", spawn_tags, sender=owner)


def tags(message):
    return dict(message.tags.pairs)


def card(worker, weights, name="Tiny"):
    return {
        "Model": worker,
        "Weights": weights,
        "Name": name,
        "Architecture": "scripted",
        "Parameters": "1000",
        "Quantization": "F32",
        "Context": "64",
        "Chat-Template": "",
        "Runtime": MACHINE,
        "Runtime-stored": f"{runtime_id()}: scripted; canonical-1; any",
    }


def runtime_id(precision="stored"):
    runtime = Runtime("scripted", "any", precision, "canonical-1")
    return sha256(msgspec.json.encode(runtime)).hexdigest()[:16]


def heard(network, router, action):
    return [tags(message) for message in network.inbox(router) if message.action == action]


def ask(network, worker, owner, data, **given):
    return network.send(worker, "Inference", given, data=data, sender=owner).reply()


def test_a_worker_with_a_model_registers_with_its_router(network, owner, worker, router, weights):
    assert heard(network, router, "Register-Worker") == [
        {
            "Action": "Register-Worker",
            "Model": worker,
            "Weights": weights,
            "Name": "Tiny",
            "Owner": owner.address,
            "Runtime": MACHINE,
        }
    ]


def test_a_helper_is_registered_by_the_model_it_helps(
    network, owner, stranger, router, weights, worker
):
    spawn_tags = {"Router": router, "Model-Data": weights, "Model": worker}
    helper = network.spawn("LlamaWorker", spawn_tags, sender=owner)
    says = {"Action": "Register-Worker", "Model": worker, "Weights": weights, "Name": "Tiny"}
    says["Runtime"] = MACHINE
    own = says | {"Owner": owner.address}  # the model's, and the helper's, which names the model
    assert heard(network, router, "Register-Worker") == [own, own]
    assert network.send(helper, "Info").reply().tags["Model"] == worker

    adding = {"Worker": helper}
    assert "owner" in network.send(worker, "Add-Worker", adding, sender=stranger).error
    network.send(worker, "Add-Worker", adding, sender=owner).reply("Add-Worker-Response")
    assert heard(network, router, "Register-Worker") == [own, own, says | {"Worker": helper}]


def test_info_is_for_anybody(network, worker, weights, stranger):
    assert tags(network.send(worker, "Info", sender=stranger).reply()) == {
        "Action": "Info",
        **card(worker, weights),
        "Max-Tokens": "4",
        "Loaded": "true",
    }


def test_a_worker_without_a_model_says_so(network, owner, stranger):
    worker = network.spawn("LlamaWorker", sender=owner)
    info = network.send(worker, "Info", sender=stranger).reply()
    assert info.tags["Loaded"] == "false"
    assert info.tags["Weights"] == ""
    reply = ask(network, worker, owner, CHOICES)
    assert tags(reply) == {
        "Action": "Inference-Error",
        "Error": "no model is loaded",
        "Weights": "",
    }


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"Model-Data": "nothing"}, "not the data id of a model"),
        ({"Model-Data": "A" * 43}, "no data with id"),
        ({"Max-Tokens": "0"}, "Max-Tokens must be a whole number from 1"),
        ({"Max-Tokens": "many"}, "Max-Tokens must be"),
        ({"Router": "a b"}, "Router is not an address"),
        ({"Model": "a b"}, "Model is not an address"),
    ],
)
def test_bad_spawn_tags_are_refused(network, given, error):
    with pytest.raises(HandlerError, match=error):
        network.spawn("LlamaWorker", given)


@pytest.mark.parametrize("action", ["loadModel", "Load-Model"])
def test_load_model_takes_a_data_id_as_tag_or_data(network, owner, router, action):
    worker = network.spawn("LlamaWorker", {"Router": router}, sender=owner)
    first, second = network.data.put(b"First"), network.data.put(b"Second")
    reply = network.send(worker, action, {"Data-Id": first}, sender=owner).reply()
    assert tags(reply) == {"Action": "Load-Model-Response", **card(worker, first, "First")}
    given = {"Model-Name": "Other"}
    reply = network.send(worker, action, given, data=second, sender=owner).reply()
    assert tags(reply) == {"Action": "Load-Model-Response", **card(worker, second, "Other")}
    assert [each["Weights"] for each in heard(network, router, "Register-Worker")] == [
        first,
        second,
    ]


def test_a_model_that_cannot_be_loaded_leaves_the_one_there_is(network, owner, worker, weights):
    broken = network.data.put(b"broken")
    before = network.process(worker).dump()
    for data_id, error in [(broken, "not a model"), ("A" * 43, "no data"), ("", "not the data id")]:
        sent = network.send(worker, "Load-Model", data=data_id, sender=owner)
        assert error in sent.error
        assert network.process(worker).dump() == before
    assert network.send(worker, "Info").reply().tags["Weights"] == weights


def test_likelihoods_are_written_so_that_they_read_back_exactly(network, owner, worker, engines):
    reply = ask(network, worker, owner, CHOICES)
    assert reply.action == "Inference-Response"
    assert reply.tags["Weights"] == network.send(worker, "Info").reply().tags["Weights"]
    (engine,) = engines
    request = ChoicesRequest("The sky is", (" blue", " quite green"))
    assert engine.batches == [[request]]
    (expected,) = engine.answer([request])
    assert json.loads(reply.data) == {
        "log_likelihoods": [
            {"nats": each.nats, "tokens": each.tokens} for each in expected.log_likelihoods
        ],
        "prompt_tokens": 3,
        "precision": "stored",
        "layout": "canonical-1",
        "runtime": runtime_id(),
    }
    nats = [each["nats"] for each in json.loads(reply.data)["log_likelihoods"]]
    assert reply.data == (
        f'{{"log_likelihoods":[{{"nats":{nats[0]!r},"tokens":1}},{{"nats":{nats[1]!r},"tokens":2}}],'
        '"prompt_tokens":3,"precision":"stored","layout":"canonical-1",'
        f'"runtime":"{runtime_id()}"}}'
    )


def test_text_is_generated_with_the_requests_settings_or_the_workers(
    network, owner, worker, engines
):
    reply = ask(network, worker, owner, '{"prompt": "Say A", "system": "Be kind", "max_tokens": 2}')
    text = json.loads(reply.data)
    assert list(text)[:4] == ["text", "tokens", "prompt_tokens", "finish"]
    assert (text["tokens"], text["prompt_tokens"], text["finish"]) == (2, 2, "length")
    network.send(worker, "Set-System-Prompt", data="Be brief", sender=owner)
    network.send(worker, "Set-Max-Tokens", {"Max-Tokens": "7"}, sender=owner)
    ask(network, worker, owner, '{"prompt": "Say A"}')
    ask(network, worker, owner, '{"prompt": "Say A", "system": ""}')
    assert [request for batch in engines[0].batches for request in batch] == [
        GenerateRequest("Say A", "Be kind", 2),
        GenerateRequest("Say A", "Be brief", 7),
        GenerateRequest("Say A", "", 7),
    ]


def test_a_request_may_ask_for_bf16_beside_others_as_stored(network, owner, worker, engines):
    for precision in ("bf16", "stored", "bf16"):
        data = json.dumps({"prompt": f"Say {precision}", "precision": precision})
        network.post(worker, "Inference", data=data, sender=owner)
    network.run()
    answers = [json.loads(message.data) for message in network.inbox(owner.address)]
    assert [(each["precision"], each["runtime"]) for each in answers] == [
        ("bf16", runtime_id("bf16")),
        ("stored", runtime_id()),
        ("bf16", runtime_id("bf16")),
    ]
    assert [(engine.runtime.precision, len(engine.batches)) for engine in engines] == [
        ("stored", 1),
        ("bf16", 1),
    ]
    info = network.send(worker, "Info").reply()
    assert info.tags["Runtime-bf16"].startswith(runtime_id("bf16"))
    refused = ask(network, worker, owner, '{"prompt": "Say A", "precision": "f8"}')
    assert "precision" in refused.tags["Error"]


@pytest.mark.parametrize("data", ["Say A", '"quoted"', "[1, 2]", "{no json", "12", "[" * 5000])
def test_data_that_is_no_json_object_is_the_prompt_itself(network, owner, worker, engines, data):
    assert ask(network, worker, owner, data).action == "Inference-Response"
    assert engines[0].batches == [[GenerateRequest(data)]]


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ({"raw": True}, CompleteRequest("a", (), 4)),
        ({"raw": True, "stop": ["x"], "max_tokens": 9}, CompleteRequest("a", ("x",), 9)),
        ({"stop": ["x"]}, CompleteRequest("a", ("x",), 4, chat=True)),
        ({"stop": [], "system": "s"}, CompleteRequest("a", (), 4, chat=True, system="s")),
        ({"raw": False}, GenerateRequest("a")),
        ({"choices": ["b"], "greedy": True}, ChoicesRequest("a", ("b",), greedy=True)),
    ],
)
def test_a_request_says_how_text_ends_and_whether_it_is_a_turn(
    network, owner, worker, engines, asked, read
):
    ask(network, worker, owner, json.dumps({"prompt": "a", **asked}))
    assert engines[0].batches == [[read]]


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        '{"prompt": 5}',
        '{"prompt": "a", "choices": []}',
        '{"prompt": "a", "choices": [1]}',
        '{"prompt": "a", "choice": ["b"]}',
        '{"prompt": "a", "max_tokens": 0}',
        '{"prompt": "a", "max_tokens": 1.5}',
        '{"prompt": "a", "choices": ["b"], "max_tokens": 3}',
        '{"prompt": "a", "choices": ["b"], "stop": []}',
        '{"prompt": "a", "choices": ["b"], "raw": true}',
        '{"prompt": "a", "greedy": true}',
        '{"prompt": "a", "raw": true, "system": "b"}',
        '{"prompt": "a", "raw": "yes"}',
        '{"prompt": "a", "stop": [""]}',
        '{"prompt": "a", "stop": "x"}',
        json.dumps({"prompt": "a", "stop": ["x"] * 33}),
        json.dumps({"prompt": "a", "stop": ["x" * 257]}),
    ],
)
def test_a_malformed_request_is_answered_with_an_error(network, owner, worker, data, weights):
    reply = ask(network, worker, owner, data)
    assert reply.action == "Inference-Error"
    assert reply.tags["Error"].startswith("not an inference request")
    assert reply.tags["Weights"] == weights


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        ("too long", "the prompt is longer than the context"),
        ("not a number", "a log-likelihood is not a finite number"),
        ("crash", "the model's process ended"),
    ],
)
def test_what_the_model_cannot_answer_is_an_error_with_its_reason(
    network, owner, worker, weights, prompt, error
):
    data = json.dumps({"prompt": prompt, "choices": [" a", " b"]})
    reply = ask(network, worker, owner, data, **{"X-Reference": "8"})
    assert tags(reply) == {
        "Action": "Inference-Error",
        "Error": error,
        "Weights": weights,
        "X-Reference": "8",
    }


def test_pending_inferences_are_answered_in_one_batch(network, owner, stranger, worker, engines):
    texts = ["one", '{"prompt": 5}', "two", "three"]
    sent = [
        network.post(worker, "inference", data=text + end, sender=sender)
        for sender, end in ((owner, ""), (stranger, "!"))
        for text in texts
    ]
    network.run()
    assert engines[0].batches == [[GenerateRequest(t) for t in ("one", "two", "three")]]
    assert [each.reply().action for each in sent[:4]] == [
        "Inference-Response",
        "Inference-Error",
        "Inference-Response",
        "Inference-Response",
    ]
    assert all("router and owner only" in each.error for each in sent[4:])


def test_answers_do_not_depend_on_what_was_asked_ahead(network, owner, worker):
    alone = ask(network, worker, owner, "one").data
    posted = [
        network.post(worker, action, data=data, sender=owner)
        for action, data in [
            ("Inference", "one"),
            ("Set-System-Prompt", "Be brief"),
            ("Inference", "one"),
        ]
    ]
    network.run()
    assert posted[0].reply().data == alone
    assert posted[2].reply().data == ask(network, worker, owner, "one").data


@pytest.mark.parametrize(
    "action",
    [
        "Inference",
        "Load-Model",
        "loadModel",
        "Set-Max-Tokens",
        "setMaxTokens",
        "Set-System-Prompt",
        "setSystemPrompt",
        "Set-Router",
    ],
)
def test_strangers_may_do_nothing(network, worker, stranger, action):
    before = network.process(worker).dump()
    given = {"Router": stranger.address, "Max-Tokens": "9"}
    sent = network.send(worker, action, given, data="hello", sender=stranger)
    assert "only" in sent.error
    assert sent.replies == []
    assert network.process(worker).dump() == before


def test_the_router_may_ask_and_set_but_not_replace_itself(network, owner, router, worker):
    for what, data in [
        ("Set-Max-Tokens", "9"),
        ("Set-System-Prompt", "Be brief"),
        ("Inference", "one"),
        ("Set-Router", ""),
    ]:
        network.send(router, "Say", {"To": worker, "What": what}, data=data, sender=owner)
    heard_actions = [message.action for message in network.inbox(router)]
    assert heard_actions == [
        "Register-Worker",
        "Set-Max-Tokens-Response",
        "Set-System-Prompt-Response",
        "Inference-Response",
    ]
    assert network.send(worker, "Info").reply().tags["Max-Tokens"] == "9"


@pytest.mark.parametrize("action", ["Set-Max-Tokens", "setMaxTokens"])
def test_max_tokens_come_as_tag_or_data(network, owner, worker, action):
    reply = network.send(worker, action, {"Max-Tokens": "9"}, sender=owner).reply()
    assert tags(reply) == {"Action": "Set-Max-Tokens-Response", "Max-Tokens": "9"}
    reply = network.send(worker, action, data=" 11\n", sender=owner).reply()
    assert reply.tags["Max-Tokens"] == "11"


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "007", "٣", "1e2", "100001"])
def test_max_tokens_must_be_a_positive_number(network, owner, worker, text):
    sent = network.send(worker, "Set-Max-Tokens", data=text, sender=owner)
    assert "Max-Tokens" in sent.error
    assert network.send(worker, "Info").reply().tags["Max-Tokens"] == "4"


@pytest.mark.parametrize("action", ["Set-System-Prompt", "setSystemPrompt"])
def test_the_system_prompt_comes_as_tag_or_data_and_can_be_taken_away(
    network, owner, worker, engines, action
):
    for given, data in [({"System-Prompt": "A"}, ""), ({}, "B"), ({}, "")]:
        reply = network.send(worker, action, given, data=data, sender=owner).reply()
        assert tags(reply) == {"Action": "Set-System-Prompt-Response"}
        ask(network, worker, owner, "one")
    assert [batch[0].system for batch in engines[0].batches] == ["A", "B", ""]


def test_the_spawn_tags_set_it_up(network, owner, weights, engines):
    spawn_tags = {"Model-Data": weights, "System-Prompt": "Be brief", "Max-Tokens": "2"}
    worker = network.spawn("LlamaWorker", spawn_tags, sender=owner)
    ask(network, worker, owner, "one")
    assert engines[0].batches == [[GenerateRequest("one", "Be brief", 2)]]


def test_a_new_router_takes_over_from_the_old_one(network, owner, worker):
    old = network.spawn("LlamaRouter", sender=owner)
    new = network.spawn("LlamaRouter", sender=owner)
    for router in (old, new):
        sent = network.send(worker, "Set-Router", {"Router": router}, sender=owner)
        assert tags(sent.reply()) == {"Action": "Set-Router-Response", "Router": router}
    counts = [network.send(router, "Info").reply().tags["Workers"] for router in (old, new)]
    assert counts == ["0", "1"]
    assert network.inbox(worker) == []
    assert network.send(worker, "Set-Router", sender=owner).error == "Router is required!"
    assert "address" in network.send(worker, "Set-Router", {"Router": " "}, sender=owner).error


def test_through_a_router_an_answer_comes_back_to_who_asked(network, owner, stranger, weights):
    router = network.spawn("LlamaRouter", sender=owner)
    spawn_tags = {"Router": router, "Model-Data": weights}
    workers = [network.spawn("LlamaWorker", spawn_tags, sender=owner)]
    spawn_tags["Model"] = workers[0]
    workers.append(network.spawn("LlamaWorker", spawn_tags, sender=owner))
    added = network.send(workers[0], "Add-Worker", {"Worker": workers[1]}, sender=owner)
    assert added.reply("Add-Worker-Response").tags["Worker"] == workers[1]
    questions = [
        network.post(
            router,
            "Inference",
            {"Model": workers[0], "X-Reference": number},
            data=f"question {number}",
            sender=stranger,
        )
        for number in range(6)
    ]
    network.run()
    answers = [question.reply("Inference-Response") for question in questions]
    assert [answer.tags["X-Reference"] for answer in answers] == list("012345")
    assert [answer.tags["Worker"] for answer in answers] == workers * 3


@pytest.mark.model
def test_the_real_model_finds_the_plausible_answer_likelier_and_repeats_itself():
    try:
        path = Catalogue().find("smollm2-135m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    from processes.llama_worker import LlamaWorker

    with Network(seed=1) as network:
        network.registry.add(LlamaWorker)
        owner = network.new_wallet("owner")
        data_id = network.data.put_file(path)
        worker = network.spawn("LlamaWorker", {"Model-Data": data_id}, sender=owner)
        info = network.send(worker, "Info").reply()
        assert info.tags["Weights"] == data_id
        assert info.tags["Architecture"] == "llama"
        assert int(info.tags["Parameters"]) > 130_000_000
        question = json.dumps(
            {
                "prompt": "Question: Ann was thirsty. What did Ann do?\nAnswer:",
                "choices": [" drank a glass of water", " ploughed the purple telephone"],
            }
        )
        first = ask(network, worker, owner, question)
        nats = [each["nats"] for each in json.loads(first.data)["log_likelihoods"]]
        assert all(math.isfinite(each) and each < 0 for each in nats)
        assert nats[0] > nats[1]
        assert ask(network, worker, owner, question).data == first.data
