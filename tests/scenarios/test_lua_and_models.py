"""Lua and Python in one network, with a real model: a data set in Lua, and a herd in Lua."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ao_modules import ao_module

from benchpool import Network
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.client.deployment import upload_model
from benchpool.client.lua_bundle import as_module, bundle
from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue
from benchpool.wasm.device import lua as llama_lua

LUA = Path(__file__).parents[1] / "fixtures" / "lua"
SAMPLES: list[dict[str, Any]] = [
    {"question": "What is the capital of France?", "answers": ["Paris", "zebra"], "label": 1},
    {"question": "What colour is the sky?", "answers": ["spoon", "blue"], "label": 2},
    {"question": "What is the opposite of hot?", "answers": ["of", "cold", "if"], "label": 2},
    {"question": "Which animal says meow?", "answers": ["The cat", "Tuesday"], "label": 2},
]
"""The last label is wrong on purpose."""


@pytest.fixture(scope="module")
def model() -> Path:
    try:
        return Catalogue().find("smollm2-135m")
    except PrerequisiteError as error:
        pytest.skip(str(error))


def load(network: Network, process: str, *sources: str) -> None:
    for source in sources:
        assert network.send(process, "Eval", data=source).error == ""


def told(network: Network, process: str, lua: str) -> str:
    return network.dry_run(process, "Eval", data=lua).output


def counted(network: Network, process: str) -> int:
    """Count which of the answers that came to a process are right."""
    right = 0
    for message, _ in network.log(process):
        if message.action == "Inference-Response":
            nats = [each["nats"] for each in json.loads(message.text)["log_likelihoods"]]
            sample = SAMPLES[int(message.tags["X-Reference"].removeprefix("row-")) - 1]
            right += nats.index(max(nats)) + 1 == sample["label"]
    return right


def check(home: Path) -> None:
    replay_home(home).check()
    export_home(home, home.parent / "run")
    import_file(home.parent / "run", home.parent / "copy").check()


@pytest.mark.model
def test_python_workers_are_evaluated_by_a_data_set_in_lua(tmp_path: Path, model: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos")
        router = network.spawn("LlamaRouter", name="LlamaRouter")
        worker = upload_model(network, model, "smollm2")
        questions = network.spawn("aos", name="Questions")
        load(network, questions, bundle(LUA / "questions.lua"))
        assert "Init first" in network.send(questions, "Evaluate", {"Model": worker}).error
        network.send(questions, "Init", {"Router": router}).reply("Init-Response")
        loaded = network.send(questions, "Load-Data", data=json.dumps(SAMPLES))
        assert loaded.reply("Load-Data-Response").tags["Samples"] == "4"
        score = network.send(questions, "Evaluate", {"Model": worker}).reply("Score")
        right = counted(network, questions)
        assert 0 < right < len(SAMPLES)
        assert [score.tags[each] for each in ("Correct", "Total", "Failed")] == [
            str(right),
            "4",
            "0",
        ]
        nobody = network.send(questions, "Evaluate", {"Model": "A" * 43}).reply("Score")
        assert (nobody.tags["Correct"], nobody.tags["Failed"]) == ("0", "4")
        assert told(network, questions, "return next(Asked) == nil") == "true"
    with Network(home) as network:  # the same again, from its memory
        score = network.send("Questions", "Evaluate", {"Model": worker}).reply("Score")
        assert score.tags["Correct"] == str(right)
    check(home)


@pytest.mark.model
def test_a_herd_in_lua_sells_inferences_for_tokens(tmp_path: Path, model: Path) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos")
        data = network.data.put_file(model)
        token = network.spawn("WrappedAR", name="WrappedAR")
        herder = network.spawn("aos", name="Herder")
        names = f"Token, Herder = '{token}', '{herder}'"
        workers = []
        for number in range(2):
            worker = network.spawn("aos", {"Extension": "Llama"}, name=f"worker-{number}")
            lua = bundle(LUA / "herd_worker.lua")
            load(network, worker, names, as_module("llama", llama_lua()), lua)
            network.send(worker, "Init", {"Model-Data": data}).reply("Worker-Initialized")
            workers.append(worker)
        herd = f"Herd = {{'{workers[0]}', '{workers[1]}'}}"
        load(network, herder, names, herd, bundle(LUA / "herd.lua"))
        client = network.spawn("aos", name="Client")
        package = as_module("@own/herd", (LUA / "herd_client.lua").read_text())
        load(network, client, names, package)
        network.send(token, "Mint", {"Quantity": "100", "Recipient": client})
        buy = """
          Said = Said or {}
          for number, prompt in ipairs({ "The capital of France is", "One, two, three," }) do
            require("@own/herd").run(prompt, 4, 30, function(text) Said[number] = text end)
          end
        """
        load(network, client, buy)
        assert "Paris" in told(network, client, "return Said[1]")
        assert "four" in told(network, client, "return Said[2]")
        assert told(network, herder, "return #Herd .. ' ' .. #Queue") == "2 0"
        cheap = "require('@own/herd').run('a b c', 4, 1, print)"
        load(network, client, cheap)  # is paid back
        balances = network.process(token).state.balances
        assert (balances[client], balances[herder]) == (40, 60)
    check(home)
