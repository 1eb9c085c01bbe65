"""What a Ray cluster costs and gives, beside the local pool in the same run.

    python benchmarks/bench_ray.py [--questions N] [--rounds N]

One node with every core of this machine against the pool of child processes, by turns; then nodes
of one CPU each: the time to place a model on a new one, what a killed one costs, and whether the
log of a pool is the same with one, two and three of them.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from inference_figures import requests_of
from measure import machine, print_head, print_row
from ray_nodes import Nodes

from benchpool.client.demo import Entrant, run_demo
from benchpool.client.deployment import sample_path
from benchpool.evaluation.sample import Sample, load_samples
from benchpool.inference import ChoicesRequest
from benchpool.inference.engine_pool import EnginePool, PooledEngine
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.ray.child import RayChild
from benchpool.inference.ray.engines import ray_engines
from benchpool.inference.ray.link import Link
from benchpool.inference.recovery import MOST_SHARE
from benchpool.network import Network
from benchpool.units.limits import Limits

MODEL = "smollm2-135m"


class Silent:
    """Listens to a demo."""

    def step(self, text: str) -> None:
        """See `DemoListener`."""

    def board(self, day: int, rows: Sequence[object]) -> None:
        """See `DemoListener`."""


def timed(pool: EnginePool, path: Path, requests: Sequence[ChoicesRequest]) -> float:
    """Ask everything with every worker's model loaded; return the seconds."""
    with pool.open(path) as engine:
        engine.answer(requests[:MOST_SHARE])  # loads the model on every worker
        start = time.perf_counter()
        engine.answer(requests)
        return time.perf_counter() - start


def print_rates(path: Path, requests: Sequence[ChoicesRequest], rounds: int) -> None:
    """Compare one node through Ray with the local pool, by turns; the best of each."""
    found: dict[str, list[float]] = {"local": [], "ray": []}
    with closing(EnginePool()) as local, closing(ray_engines("ray")) as remote:
        for number in range(rounds):
            order = (("local", local), ("ray", remote))
            for name, pool in order if number % 2 else reversed(order):
                found[name].append(timed(pool, path, requests))
    count = len(requests)
    print_head("questions/s, local pool", "through Ray", "Ray / local", "overhead a share, ms")
    # The least of each: what else the machine does only adds.
    local_s, ray_s = min(found["local"]), min(found["ray"])
    ratio = local_s / ray_s
    shares = count / MOST_SHARE
    print_row(
        f"{count / local_s:.1f}",
        f"{count / ray_s:.1f}",
        f"{ratio:.1%}",
        f"{1000 * (ray_s - local_s) / shares:.0f}",
    )


def print_nodes(path: Path, requests: Sequence[ChoicesRequest]) -> None:
    """Measure a new node and a killed one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Nodes(1, Path(folder)) as nodes,
        closing(ray_engines(nodes.address)) as pool,
        pool.open(path) as engine,
    ):
        nodes.add()
        placed, loaded = timing(Link, "place"), timing(RayChild, "load")
        start = time.perf_counter()
        while len(pool.workers()) < 2 or any(each.state == "starting" for each in pool.workers()):
            time.sleep(0.1)
        staffed_s = time.perf_counter() - start
        _ask(engine, requests)  # the new node is sent the model, and loads it
        placed_s, loaded_s = sum(placed), sum(loaded)
        second_s = _ask(engine, requests)
        killed_s = _ask(engine, requests, lambda: nodes.kill(1))
    print()
    print_head(
        "a worker on a new node, s",
        "the model placed there, s",
        "placed and loaded, s",
        f"{len(requests)} questions on two nodes, s",
        "one of them killed at a third, s",
        "lost by that, s",
    )
    found = (staffed_s, placed_s, loaded_s, second_s, killed_s, killed_s - second_s)
    print_row(*(f"{each:.1f}" for each in found))


def timing(owner: type, name: str) -> list[float]:
    """Have a method note how long each call took, in seconds."""
    method, found = getattr(owner, name), []

    def timed(*given: object, **named: object) -> object:
        start = time.perf_counter()
        try:
            return method(*given, **named)
        finally:
            found.append(time.perf_counter() - start)

    setattr(owner, name, timed)
    return found


def _ask(
    engine: PooledEngine,
    requests: Sequence[ChoicesRequest],
    meanwhile: Callable[[], None] | None = None,
) -> float:
    told: list[int] = []

    def show(done: int, asked: int) -> None:
        told.append(done)
        if meanwhile is not None and len(told) == asked // 3:
            meanwhile()

    start = time.perf_counter()
    engine.answer(requests, show)
    return time.perf_counter() - start


def log_hash(path: Path, samples: Sequence[Sample], workers: int | str) -> str:
    """Run a pool; return the hash of all its logs."""
    with Network(seed=1, limits=Limits(workers=workers)) as network:
        run_demo(network, [Entrant("ana", MODEL, path)], samples, Silent())
        log = [
            (message.id, message.hash_chain, message.position, str(result))
            for info in network.processes()
            for message, result in network.log(info.id)
        ]
    return hashlib.sha256(repr(log).encode()).hexdigest()[:16]


def print_hashes(path: Path, samples: Sequence[Sample]) -> None:
    """Show that a log is the same on one machine and on one, two and three nodes."""
    found = {"one machine": log_hash(path, samples, 0)}
    for count in (1, 2, 3):
        with tempfile.TemporaryDirectory() as folder, Nodes(count, Path(folder)) as nodes:
            found[f"{count} nodes"] = log_hash(path, samples, nodes.address)
    print()
    print_head("where", "hash of the log")
    for where, digest in found.items():
        print_row(where, digest)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=180)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    path = Catalogue().find(MODEL)
    samples = load_samples(sample_path())[: given.questions]
    requests = requests_of(samples)
    print(f"{machine()}; {MODEL}, {len(requests)} questions of Social IQa\n", flush=True)
    print_rates(path, requests, given.rounds)
    print_nodes(path, requests)
    print_hashes(path, samples[: len(samples) // 3])


if __name__ == "__main__":
    main()
