"""Virtual time that is moved on from a page: the log is the one that there would be without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pages import QUESTIONS, Served, answers
from replaying import replay_network
from serving import Running
from signing_in import client, sign_in

from benchpool.ao.clock import GENESIS_MS, VirtualClock
from benchpool.client.deployment import deploy
from benchpool.client.pools import PoolClient
from benchpool.evaluation.sample import to_json
from benchpool.inference.engine import Engine, Outcome, Precision, Progress, Request
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

WAR = 10**12


class Delayed(Engine):
    """Answers as another engine does, and later."""

    def __init__(self, inner: Engine, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds

    def __getattribute__(self, name: str) -> Any:
        if name in ("answer", "_inner", "_seconds"):
            return object.__getattribute__(self, name)
        return getattr(self._inner, name)

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> list[Outcome]:
        time.sleep(self._seconds)
        return self._inner.answer(requests, progress)


class DelayedEngines:
    """Opens scripted models; those of some files answer late."""

    def __init__(self, late: bytes) -> None:
        self._late, self._engines = late, ScriptedEngines()

    def __call__(self, path: Path, precision: Precision = "stored") -> Engine:
        late = self._late in path.read_bytes()
        return Delayed(self._engines(path, precision), 0.2 if late else 0.0)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A home with a pool that two models have joined, before anything was asked."""
    with Network(tmp_path / "begun", seed=1, engine_factory=ScriptedEngines()) as network:
        for who in ("ann", "bob"):
            network.new_wallet(who)
        ids = deploy(network, samples=to_json(QUESTIONS).encode())
        granted = {"Quantity": str(9 * WAR), "Recipient": network.resolve("ann")}
        network.send("WrappedAR", "Mint", granted)
        client = PoolClient(network)
        terms = {"X-Dataset": ids.SiqaDataset, "X-Allocation": "Equal", "X-Duration": "2d"}
        ann = network.wallet("ann")
        made = client.create(token=ids.WrappedAR, quantity=9 * WAR, terms=terms, funder=ann)
        for name, right in (("first", 50), ("second", 30)):
            file = tmp_path / f"{name}.gguf"
            file.write_bytes(write_script(name, QUESTIONS, answers(right)))
            tags = {"Router": ids.LlamaRouter, "Model-Data": network.add_model(file)}
            model = network.spawn("LlamaWorker", {**tags, "Model-Name": name}, sender="bob")
            client.join(made.tags["Pool"], model, owner=network.wallet("bob"))
    return tmp_path / "begun"


def log_of(folder: Path) -> list[tuple[Any, ...]]:
    """All that a home remembers: messages with their places, hash chains and results."""
    with Network(folder, read_only=True, engine_factory=ScriptedEngines()) as network:
        assert replay_network(network).difference is None
        found = network.store.part(limit=100_000)
        assert len(found) < 100_000
        return [
            (each.place, each.message, network.store.find(each.message.id, each.message.process))
            for each in found
        ]


@pytest.mark.parametrize("late", ["first", "second"])
def test_the_log_is_that_of_the_command(begun: Path, tmp_path: Path, late: str) -> None:
    served_home, alone = tmp_path / "served", tmp_path / "alone"
    shutil.copytree(begun, served_home)
    shutil.copytree(begun, alone)
    with Network(alone, engine_factory=ScriptedEngines()) as network:
        ticks = [network.advance(length) for length in ("1d", "3d12h")]
        assert {pool.text("status") for pool in PoolClient(network).pools()} == {"paid"}
    engines = DelayedEngines(f'"name":"{late}"'.encode())
    running = Running(served_home, clock=VirtualClock(GENESIS_MS), engine_factory=engines)
    try:
        served = Served(running, None)  # type: ignore[arg-type] - of another home
        with client(served) as http:
            http.timeout = 120
            proof = sign_in(served, http)
            for length, count in zip(("1d", "3d12h"), ticks, strict=True):
                given = {"proof": proof, "duration": length}
                answer = http.post("/ui/act/advance", data=given)
                assert answer.status_code == 303, answer.text
                assert f"ticks={count}&" in answer.headers["location"]
    finally:
        running.stop()
    expected, found = log_of(alone), log_of(served_home)
    assert len(expected) > 500
    assert found == expected
