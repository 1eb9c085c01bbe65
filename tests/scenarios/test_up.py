"""`benchpool up` struck down in the middle of real inference goes on where it was."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from serving import Client, up

from benchpool import Message
from benchpool.ao.clock import WallClock
from benchpool.audit.replay import replay_home
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.errors import PrerequisiteError
from benchpool.evaluation.sample import Sample, load_samples, to_json
from benchpool.inference.answer_cache import FILE_NAME
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network

QUESTIONS = 120
PATIENCE_S = 120

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture
def model() -> Path:
    try:
        return Catalogue().find("smollm2-135m")
    except PrerequisiteError as error:
        pytest.skip(str(error))


@pytest.fixture
def samples() -> list[Sample]:
    return load_samples(sample_path())[:QUESTIONS]


def open_pool(network: Network, model: Path, samples: list[Sample]) -> dict[str, str]:
    """Fund a pool that one model has joined; return the ids of its processes."""
    ids = deploy(network, samples=to_json(samples).encode()).names()
    ids["model"] = upload_model(network, model, "model")
    mint = {"Quantity": "1000", "Recipient": network.resolve("default")}
    network.send("WrappedAR", "Mint", mint)
    terms = {"X-Dataset": ids["SiqaDataset"], "X-Allocation": "WinnerTakesAll"}
    fund = {"Recipient": ids["Benchmark"], "Quantity": "1000", **terms}
    sent = network.send("WrappedAR", "Transfer", fund)
    pool = sent.trace.replies(network.resolve("default"))[-1].tags["Pool"]
    joined = json.dumps({"dataset": pool, "model": ids["model"]})
    network.send("Benchmark", "Join-Pool", data=joined).reply("Joined-Pool")
    return ids


def report(network: Network, ids: dict[str, str]) -> Message:
    """Everything that the data set tells of the model."""
    sent = network.send("SiqaDataset", "Get-Report", {"Model": ids["model"]})
    return sent.reply("Get-Report-Response")


def kept(home: Path) -> int:
    """How many answers the answer cache holds."""
    (file,) = home.rglob(FILE_NAME)
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])


class Watched:
    """A server and its counts of inferences."""

    def __init__(self, program: subprocess.Popen[str], url: str) -> None:
        self.program = program
        self.client = Client(url)

    def count(self, name: str) -> int:
        text = self.client.http.get("/metrics").text
        (value,) = re.findall(rf"^benchpool_inference_{name}_total (\S+)$", text, re.MULTILINE)
        return int(float(value))

    def wait_for(self, answers: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.count("answers") + self.count("cached") < answers:
            assert time.monotonic() < deadline
            assert self.program.poll() is None
            time.sleep(0.02)


@contextmanager
def watched(home: Path) -> Iterator[Watched]:
    with up(home) as (program, addresses):
        yield Watched(program, addresses["gateway"])


def test_up_struck_down_twice_answers_every_question_once(
    tmp_path: Path, model: Path, samples: list[Sample]
) -> None:
    home = tmp_path / "home"
    with Network(home, signed=True, clock=WallClock()) as network:
        ids = open_pool(network, model, samples)

    with watched(home) as server:
        # Nobody waits for the end of this command: the server is gone before it.
        evaluate = ["send", "--target", "SiqaDataset", "--action", "Evaluate", "--home", str(home)]
        with subprocess.Popen(
            [sys.executable, "-m", "benchpool", *evaluate], stderr=subprocess.PIPE, text=True
        ) as sending:
            server.wait_for(20)
            server.program.send_signal(signal.SIGINT)
            assert server.program.wait(PATIENCE_S) == 0
            _, said = sending.communicate(timeout=PATIENCE_S)
            assert sending.returncode == 1
            assert said.splitlines()[-1].startswith("error: "), said
    before = kept(home)
    assert 20 <= before < QUESTIONS

    with watched(home) as server:
        server.wait_for(60)
        server.program.send_signal(signal.SIGKILL)
        assert server.program.wait(PATIENCE_S) == -signal.SIGKILL
        assert (home / "server.json").exists()
    between = kept(home)
    assert 60 <= between < QUESTIONS

    with watched(home) as server:
        server.wait_for(QUESTIONS)
        answered = server.count("answers")
        server.program.send_signal(signal.SIGINT)
        assert server.program.wait(PATIENCE_S) == 0
    assert answered == QUESTIONS - between
    assert kept(home) == QUESTIONS

    with Network(home, clock=WallClock()) as network:
        found = report(network, ids)
        asked = [each for each, _ in network.log(ids["model"]) if each.action == "Inference"]
    assert len(asked) == QUESTIONS
    replay_home(home).check()
    with Network(tmp_path / "calm", clock=WallClock()) as network:
        undisturbed = open_pool(network, model, samples)
        network.send("SiqaDataset", "Evaluate")
        expected = report(network, undisturbed)
    assert found.data == expected.data
    for name in ("Correct", "Evaluated", "Score"):
        assert found.tags[name] == expected.tags[name]
    assert found.tags["Evaluated"] == str(QUESTIONS)
