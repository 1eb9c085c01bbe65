"""The example of docs/build-a-dataset.md works as it stands, and the base does the rest."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from benchpool.evaluation.sample import Sample
from benchpool.process.process import Process, handler
from processes.dataset import DatasetCard, DatasetProcess

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "two_choices.py"
CSV = "goal,first,second,right\nOpen a jar,twist the lid,sing to it,1\nCut bread,spoon,knife,2\n"


class Oracle(Process):
    """A router whose model finds the longer choice likelier."""

    @handler("Inference")
    def answer(self, message):
        nats = [{"nats": float(len(text_)), "tokens": 1} for text_ in message.json()["choices"]]
        self.reply(message, "Inference-Response", {}, {"log_likelihoods": nats})


class FourChoices(DatasetProcess):
    """Leaves out everything but the two parts that must be written."""

    card = DatasetCard("Four", 4)

    def load_samples(self, data, name):
        return [Sample("", question, tuple("abcd"), 4) for question in json.loads(data)]


@pytest.fixture
def example(network, monkeypatch):
    spec = importlib.util.spec_from_file_location("two_choices", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "two_choices", module)
    spec.loader.exec_module(module)
    network.registry.add(Oracle)
    network.registry.add(module.PhysicsDataset)
    return network.spawn("PhysicsDataset", {"LlamaRouter": network.spawn("Oracle")})


def test_the_example_loads_asks_and_scores(network, example):
    assert network.send(example, "Load-Data", data=CSV).reply().tags["Total"] == "2"
    info = network.send(example, "Info").reply()
    assert (info.tags["Name"], info.tags["Chance"]) == ("Everyday physics", "1/2")
    network.send(example, "Benchmark", {"Model": "m"})
    network.send(example, "Evaluate")
    score = network.send(example, "Score", {"Model": "m"}).reply()
    assert (score.tags["Correct"], score.tags["Evaluated"]) == ("1", "2")
    session = network.process(example).database.session
    columns = [row[1] for row in session.execute(text("PRAGMA table_info(datasets)"))]
    assert columns == ["id", "context", "question", "answerA", "answerB", "result"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("a,b\n1,2\n", "line 1: needs the columns"),
        (CSV + "Fly,jump,flap,3\n", "line 4: right must be 1 or 2"),
        ("goal,first,second,right\n", "holds no questions"),
    ],
)
def test_the_example_refuses_a_bad_file_by_line(network, example, data, reason):
    assert reason in network.send(example, "Load-Data", data=data).error


def test_two_parts_are_enough(network):
    network.registry.add(Oracle)
    network.registry.add(FourChoices)
    dataset = network.spawn("FourChoices", {"LlamaRouter": network.spawn("Oracle")})
    network.send(dataset, "Load-Data", data='["Which?"]')
    network.send(dataset, "Benchmark", {"Model": "m"})
    network.send(dataset, "Evaluate")
    assert network.send(dataset, "Score", {"Model": "m"}).reply().tags["Evaluated"] == "1"
    session = network.process(dataset).database.session
    assert session.execute(text("SELECT prompt, prediction FROM evaluations")).one() == (
        "Q: Which?\nA:",
        1,
    )


def test_a_question_with_another_number_of_choices_is_refused(network):
    class Wrong(FourChoices):
        card = DatasetCard("Wrong", 3)

    network.registry.add(Wrong)
    dataset = network.spawn("Wrong")
    sent = network.send(dataset, "Load-Data", data='["Which?"]')
    assert sent.error.endswith("item 1: has 4 choices, not 3")
