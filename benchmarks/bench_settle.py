"""Measure the daily tick that settles many pools of twenty entries each; print Markdown.

Data set and router are stand-ins that answer at once, so that the figure is the Benchmark's, the
token's and the bus's own.

python benchmarks/bench_settle.py
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

from measure import print_head, print_row

from benchpool import Message, Network, Process, State, handler
from benchpool.ao.clock import DAY_MS
from benchpool.client.deployment import DAILY_REWARDS, DAILY_UPDATE
from processes.benchmark import Benchmark

ENTRIES = 20
QUESTIONS = 1_000


class Setting(State):
    """What a stand-in was spawned with."""

    router: str = ""


def right(model: str) -> int:
    """Make up how many questions a model gets right."""
    return 450 + sum(model.encode()) % 500


@cache
def answers(model: str, correct: int) -> str:
    """Make up what a model answered, as a data set tells it."""
    random = Random(model)
    return json.dumps(
        [
            [n, int(n <= correct), [-20 * random.random() for _ in range(3)]]
            for n in range(1, QUESTIONS + 1)
        ]
    )


class InstantDataset(Process):
    """Scores each model by its number, without asking it anything."""

    roles: ClassVar[tuple[str, ...]] = ("dataset",)
    state: Setting

    def on_spawn(self, message: Message) -> None:
        """Announce the data set to the Benchmark."""
        tags = message.tags
        self.send(
            tags["Benchmark"],
            "Register-Dataset",
            {
                "Name": "instant",
                "Samples": str(QUESTIONS),
                "Chance": "1/3",
                "Protocols": "cloze,letters",
                "LlamaRouter": tags["LlamaRouter"],
                "Owner": self.owner,
                "Samples-SHA-256": "0" * 64,
            },
        )

    @handler("Score")
    def score(self, message: Message) -> None:
        """Answer with as many right as the model's number says."""
        correct = right(message.tags["Model"])
        self.reply(
            message,
            "Score-Response",
            {
                "Model": message.tags["Model"],
                "Protocol": message.tags["Protocol"],
                "Samples-SHA-256": message.tags["Samples-SHA-256"],
                "Correct": correct,
                "Evaluated": QUESTIONS,
                "Unevaluated": 0,
                "Unscored": 0,
                "Total": QUESTIONS,
                "Score": f"{correct / QUESTIONS:.6f}",
                "Progress": "1.000000",
                "Standard-Error": "0.015000",
                "Correct-Per-Character": correct,
            },
            answers(message.tags["Model"], correct) if "Answers" in message.tags else "",
        )


class InstantRouter(Process):
    """Knows every model."""

    roles: ClassVar[tuple[str, ...]] = ("router",)

    @handler("Get-Model")
    def get_model(self, message: Message) -> None:
        """Say that the model is there."""
        model = message.tags["Model"]
        tags = {"Model": model, "Name": model, "Weights": model, "Owner": self.owner}
        self.reply(message, "Get-Model-Response", tags)


def settle_curve(sizes: list[int]) -> None:
    """Print a table: pools, seconds for the tick that ends them all, microseconds an entry."""
    print()
    print_head("pools of 20 entries", "messages in the tick", "seconds", "µs an entry")
    for pools in sizes:
        done = settle(pools)
        each = done.seconds / (pools * ENTRIES) * 1e6
        print_row(f"{pools:,}", f"{done.messages:,}", f"{done.seconds:.2f}", f"{each:,.0f}")


@contextmanager
def timed(kind: type[Process]) -> Iterator[list[float]]:
    """Give the seconds of every message that processes of a class evaluate in between."""
    evaluate, spent = kind.handle, list[float]()

    def measured(self: Process, *given: Any) -> Any:
        start = time.perf_counter()
        try:
            return evaluate(self, *given)
        finally:
            spent.append(time.perf_counter() - start)

    with patch.object(kind, "handle", measured):
        yield spent


class Settled(NamedTuple):
    """What it took to settle pools in one tick."""

    messages: int
    seconds: float
    longest_s: float
    """Of the message that took the Benchmark longest."""


def settle(pools: int, entries: int = ENTRIES) -> Settled:
    """Settle pools of so many entries in one tick."""
    for place in range(entries):  # made up once, and not in the time that is measured
        model = f"{place:043d}"
        answers(model, right(model))
    with Network(seed=1) as network:
        network.registry.add(InstantDataset)
        network.registry.add(InstantRouter)
        token = network.spawn("WrappedAR")
        benchmark = network.spawn(
            "Benchmark", [("WrappedAR", token), *DAILY_UPDATE, *DAILY_REWARDS]
        )
        router = network.spawn("InstantRouter")
        dataset = network.spawn("InstantDataset", {"Benchmark": benchmark, "LlamaRouter": router})
        network.send(token, "Mint", {"Quantity": str(10**18)})
        supply = held(network, token)
        for number in range(pools):
            terms = {
                "Recipient": benchmark,
                "Quantity": str(10**12 + number),
                "X-Dataset": dataset,
                "X-Allocation": "ArithmeticDecrease",
                "X-Duration": "12h",
            }
            pool = network.send(token, "Transfer", terms).reply("Pool-Created").tags["Pool"]
            for place in range(entries):
                model = f"{place:043d}"
                network.post(
                    benchmark, "Join-Pool", data=json.dumps({"dataset": pool, "model": model})
                )
            network.run()
        before = network.store.count()
        start = time.perf_counter()
        with timed(Benchmark) as spent:
            network.advance(DAY_MS)
        seconds = time.perf_counter() - start
        listed = json.loads(network.dry_run(benchmark, "Get-Pools").messages[0].data)
        assert len(listed) == pools
        assert all(pool["status"] == "paid" for pool in listed), listed[0]
        assert held(network, token) == supply
        return Settled(network.store.count() - before, seconds, max(spent))


def held(network: Network, token: str) -> int:
    """Return the sum of all balances."""
    balances = json.loads(network.dry_run(token, "Balances").messages[0].data)
    return sum(map(int, balances.values()))


if __name__ == "__main__":
    settle_curve([1, 10, 100])
