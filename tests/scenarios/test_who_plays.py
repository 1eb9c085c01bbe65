"""Who may work and who may enter a model: what a thief tries, and what comes of it."""

import json
from typing import Any

import pytest

from benchpool.ao.ids import module_id
from benchpool.network import Network
from benchpool.process import Message, Process, handler
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script


class Thief(Process):
    """Says what its owner has it say: a process whose owner can change what it does."""

    @handler("Say")
    def say(self, message: Message) -> None:
        what = message.json()
        self.send(what["to"], what["action"], what["tags"], what.get("data", ""))


@pytest.fixture
def pools(open_pools: Any) -> Any:
    made = open_pools()
    made.network.registry.add(Thief)
    made.network.new_wallet("thief")
    return made


def workers(network: Network) -> list[dict[str, Any]]:
    answer = network.send("LlamaRouter", "Get-Workers").reply("Get-Workers-Response")
    return list(json.loads(answer.data))


def say(network: Network, thief: str, to: str, action: str, tags: dict[str, str]) -> Any:
    """Let a process of the thief's say something; return what was made of it."""
    what = json.dumps({"to": network.resolve(to), "action": action, "tags": tags})
    network.send(thief, "Say", data=what, sender="thief")
    return network.log(to)[-1][1]


def register(weights: str, owner: str, **more: str) -> dict[str, str]:
    return {"Weights": weights, "Name": "mine", "Owner": owner, **more}


def refused(pools: Any, pool: str, model: str, who: str) -> str:
    data = json.dumps({"dataset": pool, "model": model})
    answer = pools.network.send("Benchmark", "Join-Pool", data=data, sender=who)
    return str(answer.reply("Join-Pool-Error").tags["Error"])


def test_a_wallet_is_no_worker(pools: Any) -> None:
    network = pools.network
    thief = network.wallet("thief").address
    claims = register("w", thief) | {"From-Module": "LlamaWorker"}
    sent = network.send("LlamaRouter", "Register-Worker", claims, sender="thief")
    assert "only processes of LlamaWorker work here" in sent.error
    assert workers(network) == []


@pytest.mark.parametrize("claim", [{}, {"From-Module": "LlamaWorker"}, {"Module": "LlamaWorker"}])
def test_a_process_of_another_module_is_no_worker(pools: Any, claim: dict[str, str]) -> None:
    network = pools.network
    thief = network.spawn("Thief", name="thief-process", sender="thief")
    named = register("w", network.wallet("thief").address) | claim
    assert "only processes of" in say(network, thief, "LlamaRouter", "Register-Worker", named).error
    assert workers(network) == []


def test_a_router_may_admit_other_modules_by_name_or_id(pools: Any) -> None:
    network = pools.network
    thief = network.spawn("Thief", sender="thief")
    for admitted in ("LlamaWorker, Thief", module_id("Thief")):
        router = network.spawn("LlamaRouter", {"Worker-Modules": admitted})
        named = register("w", network.wallet("thief").address)
        assert say(network, thief, router, "Register-Worker", named).error == ""


def test_a_wallet_helps_no_model(pools: Any) -> None:
    network = pools.network
    pools.join(pools.fund(9), "ana", [1] * 6)
    model, thief = network.resolve("model-ana"), network.wallet("thief").address
    adding = {"Worker": thief}
    network.send("model-ana", "Add-Worker", adding, sender="ana").reply("Add-Worker-Response")
    assert [each["worker"] for each in workers(network)] == [model]
    tags = register("w", thief, Model=model)
    assert network.send("LlamaRouter", "Register-Worker", tags, sender="thief").error
    assert [each["worker"] for each in workers(network)] == [model]


@pytest.mark.parametrize("first", ["model", "helper"])
def test_a_helper_works_when_it_and_its_model_have_said_so(pools: Any, first: str) -> None:
    network = pools.network
    pools.join(pools.fund(9), "ana", [1] * 6)
    model = network.resolve("model-ana")
    weights = workers(network)[0]["weights"]
    spawned = {"Router": network.resolve("LlamaRouter"), "Model-Data": weights, "Model": model}
    if first == "helper":
        helper = network.spawn("LlamaWorker", spawned, sender="ana")
    else:
        helper = network.spawn("LlamaWorker", {**spawned, "Router": ""}, sender="ana")
    assert [each["worker"] for each in workers(network)] == [model]
    network.send(model, "Add-Worker", {"Worker": helper}, sender="ana")
    if first == "model":
        assert [each["worker"] for each in workers(network)] == [model]
        router = {"Router": spawned["Router"]}
        network.send(helper, "Set-Router", router, sender="ana").reply("Set-Router-Response")
    assert [each["worker"] for each in workers(network)] == [model, helper]


def test_a_helper_with_other_weights_does_not_work(pools: Any, tmp_path: Any) -> None:
    network = pools.network
    pools.join(pools.fund(9), "ana", [1] * 6)
    model = network.resolve("model-ana")
    other = network.data.put(write_script("other", [], []))
    spawned = {"Router": network.resolve("LlamaRouter"), "Model-Data": other, "Model": model}
    helper = network.spawn("LlamaWorker", spawned, sender="ana")
    network.send(model, "Add-Worker", {"Worker": helper}, sender="ana")
    assert [each["worker"] for each in workers(network)] == [model]


def test_nobody_enters_a_rivals_model(pools: Any) -> None:
    network = pools.network
    first, second = pools.fund(9), pools.fund(9)
    pools.join(first, "ana", [1] * 6)
    model = network.resolve("model-ana")
    for pool in (first, second):  # also not into a pool that its owner has not joined
        why = refused(pools, pool, model, "thief")
        assert "in the pool already" in why or "only its owner can enter it" in why
    pools.join(second, "ana", [1] * 6)  # and the owner is not locked out


def test_a_claim_on_weights_needs_the_file(pools: Any) -> None:
    network = pools.network
    pool = pools.fund(9)
    path = network.data.put(write_script("model-ana", [], []))
    thief = network.spawn("Thief", name="thief-process", sender="thief")
    say(network, thief, "LlamaRouter", "Register-Worker", register(path, thief))
    assert "no worker was ever registered" in refused(pools, pool, thief, "thief")


def test_a_process_of_the_first_edition_goes_by_its_rules() -> None:
    with Network(seed=1, engine_factory=ScriptedEngines()) as network:
        network.compute._maker._first_edition = {network.spawn("LlamaRouter", name="old"): 0}
        network.compute.following.let_all_go()
        wallet = network.new_wallet("ben")
        sent = network.send("old", "Register-Worker", {"Weights": "w"}, sender=wallet)
        assert sent.error == ""
