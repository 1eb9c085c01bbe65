"""A pool whose models run on a real Ray cluster: the same log as on one machine, whatever dies."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf
from ray_nodes import Nodes

from benchpool.client.demo import Entrant, run_demo
from benchpool.client.deployment import sample_path
from benchpool.evaluation.sample import load_samples
from benchpool.inference import ChoicesRequest
from benchpool.inference.ray.engines import ray_engines
from benchpool.network import Network
from benchpool.units.limits import Limits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]

Played = tuple[Any, list[tuple[object, ...]]]


class Silent:
    """Listens to a demo."""

    def step(self, text: str) -> None:
        pass

    def board(self, day: int, rows: Sequence[dict[str, Any]]) -> None:
        pass


def play(files: dict[str, Path], *, workers: int | str, meanwhile: Callable[[], None]) -> Played:
    """Run a pool to its end; return ranks, payouts and balances, and the log."""
    entrants = [Entrant(who, f"model-of-{who}", path) for who, path in files.items()]
    told: list[int] = []

    def show(_process: str, done: int, _asked: int) -> None:
        told.append(done)
        if len(told) == 10:
            meanwhile()

    with Network(seed=1, limits=Limits(workers=workers)) as network:
        network.on_inference(show)
        result = run_demo(network, entrants, load_samples(sample_path()), Silent())
        log = [
            (message.id, message.hash_chain, message.position, str(answer))
            for info in network.processes()
            for message, answer in network.log(info.id)
        ]
    assert len(told) > 10
    return result, log


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        who: tiny_gguf.write_gguf(folder / f"{who}.gguf", output_weight=weight)
        for who, weight in (("ana", 0.02), ("ben", 0.03))
    }


@pytest.fixture(scope="module")
def of_one_machine(files: dict[str, Path]) -> Played:
    return play(files, workers=1, meanwhile=lambda: None)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(3, tmp_path) as nodes:
        yield nodes


def test_two_of_three_nodes_die_and_log_ranks_and_payouts_are_those_of_one_machine(
    nodes: Nodes, files: dict[str, Path], of_one_machine: Played, caplog: pytest.LogCaptureFixture
):
    def kill() -> None:
        nodes.kill(0)
        nodes.kill(1)

    assert play(files, workers=nodes.address, meanwhile=kill) == of_one_machine
    lost = [record for record in caplog.records if "is lost" in record.getMessage()]
    assert len(lost) == 2
    last = nodes.folder / "node-2"
    assert len(list(last.glob("*.gguf"))) == len(files)


def test_a_cluster_that_comes_back_is_found_again(
    nodes: Nodes, files: dict[str, Path], of_one_machine: Played
):
    def kill() -> None:
        for node in range(3):
            nodes.kill(node)
        nodes.add()

    assert play(files, workers=nodes.address, meanwhile=kill) == of_one_machine


def test_a_driver_that_dies_is_started_again_and_its_cluster_ends_with_it(
    files: dict[str, Path], capfd: pytest.CaptureFixture[str]
):
    requests = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(400)]
    pool = ray_engines("ray")
    killed = []

    def kill(_done: int, _asked: int) -> None:
        if not killed:
            killed.append(pool.places._link._process.pid)  # type: ignore[attr-defined]
            os.kill(killed[0], signal.SIGKILL)

    try:
        with pool.open(files["ana"]) as engine:
            answers = engine.answer(requests, kill)
            assert len({worker.node for worker in pool.workers()}) == 1
    finally:
        pool.close()
    assert {type(answer).__name__ for answer in answers} == {"ChoicesAnswer"}
    assert "ray" not in capfd.readouterr().out
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True)
    driver = "benchpool.inference.ray.driver"
    assert not [
        line for line in listed.stdout.splitlines() if f" {os.getpid()} " in line and driver in line
    ]


def test_an_evaluation_runs_on_a_cluster_and_shows_its_workers(
    files: dict[str, Path], tmp_path: Path
):
    samples = sample_path()
    command = [sys.executable, "-m", "benchpool", "eval", str(files["ana"]), "--data", str(samples)]
    environment = {**os.environ, "BENCHPOOL_MODELS": str(tmp_path / "models")}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, "--limit", "40", *options],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=300,
            check=True,
        )

    on_ray = run("--workers", "ray")
    assert "Workers" in on_ray.stdout
    assert "ana" in on_ray.stdout
    assert "ray" not in on_ray.stderr.lower()
    assert run().stdout in on_ray.stdout  # from the same answers
