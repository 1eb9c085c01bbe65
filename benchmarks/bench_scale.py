"""How evaluation and settlement grow: curves of real pools, as Markdown; the inputs of the plan.

    python benchmarks/bench_scale.py                       # some ten minutes
    python benchmarks/bench_scale.py --quick               # a minute, smaller sizes
    python benchmarks/bench_scale.py --inputs measured.json && \
        python scripts/plan_scale.py --inputs measured.json

Questions are made up and models are scripted, so that the figures are those of processes, bus and
store: the time inside the engine is taken off. What an inference costs, bench_inference.py tells.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path

from bench_settle import QUESTIONS, settle
from measure import machine, print_head, print_row

from benchpool import Network
from benchpool.ao.clock import DAY_MS
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.client.pools import PoolClient
from benchpool.client.standing import SETTLED
from benchpool.errors import BenchpoolError
from benchpool.evaluation.prompts import ClozePrompt, cloze
from benchpool.evaluation.sample import Sample, load_samples, to_json
from benchpool.inference.engine import (
    ChoicesRequest,
    Engine,
    Outcome,
    Precision,
    Progress,
    Request,
)
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.simulation.scripted_engine import ScriptedEngines, choose, write_script

FUNDS = 10**12


class Stopwatch:
    """Opens scripted models, and keeps the processor time that they take themselves."""

    def __init__(self) -> None:
        self._engines = ScriptedEngines()
        self.seconds = 0.0

    def __call__(self, path: Path, precision: Precision = "stored") -> Engine:
        """Open a model."""
        start = time.process_time()
        engine = self._engines(path, precision)
        self.seconds += time.process_time() - start
        answer = engine.answer

        def timed(
            requests: Sequence[Request], progress: Progress | None = None
        ) -> Sequence[Outcome]:
            start = time.process_time()
            try:
                return answer(requests, progress)
            finally:
                self.seconds += time.process_time() - start

        engine.answer = timed  # type: ignore[method-assign]
        return engine


@dataclass(frozen=True)
class Evaluated:
    """What it took to ask some models some questions, without the models' own time."""

    models: int
    questions: int
    messages: int
    """In the log, from the first to the last evaluation."""
    log_bytes: int
    """By which the home on disk grew."""
    evaluating_s: float
    """Of processor time, until all is answered."""
    settling_s: float
    """Of processor time, in the tick that pays the pool."""
    answer_bytes: float
    """A question, in the message that tells the Benchmark an entry's answers."""

    @property
    def pairs(self) -> int:
        """Questions asked."""
        return self.models * self.questions


def evaluate(models: int, questions: int) -> Evaluated:
    """Run a pool from its funding to its payment in a home on disk."""
    samples = [
        Sample(
            f"{number}: somebody does something with number {number * 7919 % 100_003}.",
            "What happens next?",
            ("It goes well.", "It goes badly.", "Nothing happens at all."),
            number % 3 + 1,
        )
        for number in range(questions)
    ]
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="benchpool-scale-") as folder:
        home = Path(folder) / "home"
        with Network(home, seed=1, engine_factory=watch) as network:
            deploy(network, samples=to_json(samples).encode())
            network.send("WrappedAR", "Mint", {"Quantity": str(FUNDS)})
            client = PoolClient(network)
            terms = {
                "X-Dataset": network.resolve("SiqaDataset"),
                "X-Allocation": "ArithmeticDecrease",
                "X-Duration": "2d",
            }
            pool = client.create(
                token=network.resolve("WrappedAR"),
                quantity=FUNDS,
                terms=terms,
                funder=network.wallet(),
            ).tags["Pool"]
            for number in range(models):
                script = Path(folder) / f"{number}.json"
                right = choose(samples, questions * (40 + number % 40) // 100, seed=str(number))
                script.write_bytes(write_script(f"m{number}", samples, right))
                owner = network.new_wallet(f"w{number}")
                model = upload_model(network, script, f"m{number}", sender=owner.address)
                client.join(pool, model, owner=owner)
            count, size = network.store.count(), disk(home)
            watch.seconds, start = 0.0, time.process_time()
            while not all(row["evaluated"] == questions for row in client.leaderboard(pool)):
                network.advance(DAY_MS // 24)
            evaluating = time.process_time() - start - watch.seconds
            messages, grown = network.store.count() - count, disk(home) - size
            start = time.process_time()
            for _ in range(4):
                if client.get(pool).text("status") in SETTLED:
                    break
                network.advance(DAY_MS)
            settling = time.process_time() - start
            if client.get(pool).text("status") != "paid":
                raise BenchpoolError(f"the pool is {client.get(pool).text('status')}, not paid")
            received = network.store.entries(network.resolve("Benchmark"))
            longest = max(len(entry.message.data) for entry in received)
    return Evaluated(models, questions, messages, grown, evaluating, settling, longest / questions)


def disk(folder: Path) -> int:
    """Return the bytes of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def evaluation_curve(sizes: Sequence[tuple[int, int]]) -> list[Evaluated]:
    """Print what a question of a model costs besides its inference."""
    print_head(
        *("models", "questions", "messages a question asked", "bytes a question asked"),
        *("µs a question asked", "settled in, s"),
    )
    found = []
    for models, questions in sizes:
        run = evaluate(models, questions)
        print_row(
            f"{models:,}",
            f"{questions:,}",
            f"{run.messages / run.pairs:,.2f}",
            f"{run.log_bytes / run.pairs:,.0f}",
            f"{run.evaluating_s / run.pairs * 1e6:,.0f}",
            f"{run.settling_s:.2f}" if run.settling_s > 0.01 else "",  # it was due meanwhile
        )
        found.append(run)
    return found


def settlement_curve(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int, float, float]]:
    """Print what the tick costs that ends pools; return pools, entries of each and seconds."""
    print_head(
        "pools", "entries of each", "messages", "seconds", "µs an entry", "longest message, s"
    )
    found = []
    for pools, entries in sizes:
        done = settle(pools, entries)
        print_row(
            f"{pools:,}",
            f"{entries:,}",
            f"{done.messages:,}",
            f"{done.seconds:.2f}",
            f"{done.seconds / (pools * entries) * 1e6:,.0f}",
            f"{done.longest_s:.2f}",
        )
        found.append((pools, entries, done.seconds, done.longest_s))
    return found


def core_flops(name: str = "smollm2-135m") -> float:
    """Return floating point operations a second of one core here, in bf16.

    Raises: BenchpoolError if the model was not pulled.
    """
    samples = load_samples(sample_path())
    requests = [cloze(sample) for sample in samples]
    with closing(EnginePool(workers=1)) as pool:
        engine = pool.open(Catalogue().find(name), "bf16")
        engine.answer(ask(requests[:8]))
        before = copy(pool.stats())
        engine.answer(ask(requests[8:]))
        spent = pool.stats().since(before)
        return 2 * engine.card.parameters * spent.tokens / spent.milliseconds * 1000


def ask(prompts: Sequence[ClozePrompt]) -> list[Request]:
    """Write requests."""
    return [ChoicesRequest(each.prompt, each.continuations) for each in prompts]


def main() -> None:
    """Print the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--inputs", type=Path, metavar="FILE", help="keep the figures as JSON")
    given = parser.parse_args()
    less = 10 if given.quick else 1
    print(f"{machine()}\n")
    asked = [(2, 10_000 // less), (8, 5_000 // less), (30, 2_000 // less), (100, 1_000 // less)]
    evaluated = evaluation_curve(asked)
    print()
    one = [(1, 20), (1, 80), (1, 320)] if given.quick else [(1, 20), (1, 80), (1, 320), (1, 1_280)]
    many = [(10, 20), (30, 20)] if given.quick else [(10, 20), (50, 20), (250, 20)]
    settled = settlement_curve(one + many)
    flops = core_flops()
    print(f"\nOne core in bf16: {flops / 1e9:,.0f} Gflop/s with SmolLM2.")
    if given.inputs:
        figures = {
            "evaluated": [asdict(run) for run in evaluated],
            "settled": settled,
            "settled_questions": QUESTIONS,
            "answer_bytes": max(run.answer_bytes for run in evaluated),
            "core_flops": flops,
        }
        given.inputs.write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
