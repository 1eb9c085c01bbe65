"""Figures beside questions a second, for `bench_inference.py`: the bus, memory, starts, deaths."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measure import median, print_head, print_row

from benchpool.ao.clock import HOUR_MS
from benchpool.client.deployment import deploy, upload_model
from benchpool.errors import InferenceError
from benchpool.evaluation.prompts import cloze
from benchpool.evaluation.sample import Sample, to_json
from benchpool.inference import ChoicesRequest
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine import Precision
from benchpool.inference.engine_pool import EnginePool, PooledEngine
from benchpool.network import Network

_MIB = 1 << 20
_WAR = 10**12


def requests_of(samples: Sequence[Sample]) -> list[ChoicesRequest]:
    """The questions as SiqaDataset asks them."""
    prompts = [cloze(sample) for sample in samples]
    return [ChoicesRequest(prompt.prompt, prompt.continuations) for prompt in prompts]


def tick(path: Path, samples: Sequence[Sample]) -> tuple[float, float]:
    """Evaluate a pool's questions in one cron tick, through every process.

    Returns: seconds of the tick, and of those the seconds inside the engine.
    """
    with tempfile.TemporaryDirectory() as folder, Network(Path(folder), seed=1) as network:
        network.new_wallet("owner")
        deploy(network, sender="owner", samples=to_json(samples).encode())
        upload_model(network, path, "model", sender="owner")
        mint = {"Quantity": str(9 * _WAR), "Recipient": network.resolve("owner")}
        network.send("WrappedAR", "Mint", mint, sender="owner")
        transfer = {
            "Recipient": network.resolve("Benchmark"),
            "Quantity": str(_WAR),
            "X-Dataset": network.resolve("SiqaDataset"),
            "X-Allocation": "Equal",
            "X-Duration": "3d",
        }
        sent = network.send("WrappedAR", "Transfer", transfer, sender="owner")
        pool = sent.reply("Pool-Created").tags["Pool"]
        entry = json.dumps({"dataset": pool, "model": network.resolve("model")})
        network.send("Benchmark", "Join-Pool", data=entry, sender="owner").reply("Joined-Pool")
        start = time.perf_counter()
        network.advance(HOUR_MS)
        seconds = time.perf_counter() - start
        cache = AnswerCache(Path(folder) / "answers")
        (total,) = cache.runs()
        cache.close()
        if total.answered != len(samples):
            raise InferenceError(f"the tick asked {total.answered} of {len(samples)} questions")
        return seconds, total.wall_milliseconds / 1000


def print_bus(path: Path, samples: Sequence[Sample], rounds: int, workers: int) -> None:
    """Measure what bus, log and child processes add to the same requests."""
    requests = requests_of(samples)
    bare, ticks, inside = [], [], []
    for _ in range(rounds):
        pool = EnginePool(workers=workers)
        with pool.open(path) as engine:
            start = time.perf_counter()
            engine.answer(requests)
            bare.append(time.perf_counter() - start)
        pool.close()
        seconds, within = tick(path, samples)
        ticks.append(seconds)
        inside.append(within)
    added = [one - within for one, within in zip(ticks, inside, strict=True)]
    print(f"\nA pool's Evaluate tick, {len(samples)} questions, {workers} workers, medians:\n")
    columns = ("engine alone, s", "tick, s", "of the tick inside the engine, s")
    print_head(*columns, "bus and log")
    medians = (f"{median(each):.2f}" for each in (bare, ticks, inside))
    share = median(one / of for one, of in zip(added, inside, strict=True))
    print_row(*medians, f"{share:.1%}")


def print_workers(path: Path, precision: Precision, requests: Sequence[ChoicesRequest]) -> None:
    """Measure memory of each worker, the time to a first answer, and a killed worker's cost."""
    pool = EnginePool(workers=2)
    start = time.perf_counter()
    with pool.open(path, precision) as engine:
        engine.answer(requests[:1])
        first_s = time.perf_counter() - start
        engine.answer(requests)
        memory = [_proportional_bytes(child.pid) for child in pool._children if child.pid]
        start = time.perf_counter()
        engine.answer(requests)
        whole_s = time.perf_counter() - start
        lost_s = _with_a_death(pool, engine, requests) - whole_s
    pool.close()
    each = ", ".join(f"{size / _MIB:.0f}" for size in memory)
    print(
        f"{precision}: memory of each of two workers {each} MiB (PSS); first answer after"
        f" {first_s:.2f} s; a killed worker cost {lost_s:.2f} s of {whole_s:.1f}",
        flush=True,
    )


def _with_a_death(
    pool: EnginePool, engine: PooledEngine, requests: Sequence[ChoicesRequest]
) -> float:
    killed = False

    def kill(done: int, asked: int) -> None:
        nonlocal killed
        if not killed and done >= asked // 3:
            killed = True
            pid = next(child.pid for child in pool._children if child.pid)
            os.kill(pid, signal.SIGKILL)

    start = time.perf_counter()
    engine.answer(requests, kill)
    return time.perf_counter() - start


def _proportional_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def print_full(path: Path, samples: Sequence[Sample]) -> None:
    """Ask everything in BF16 with two workers."""
    requests = requests_of(samples)
    pool = EnginePool(workers=2)
    with pool.open(path, "bf16") as engine:
        start = time.perf_counter()
        engine.answer(requests)
        seconds = time.perf_counter() - start
    pool.close()
    print(
        f"\nAll {len(requests)} questions, bf16, 2 workers: {seconds:.1f} s,"
        f" {len(requests) / seconds:.1f} questions/s"
    )
