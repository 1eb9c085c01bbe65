"""Plan a contest on paper: nodes, hours, bytes, messages and cost, and what breaks first.

    python scripts/plan_scale.py
    python scripts/plan_scale.py --models 200 --smallest 0.5 --largest 8 --questions 2000
    python scripts/plan_scale.py --node-tflops 2000 --node-price 25 --inputs measured.json

What processes, bus and store cost was measured by `benchmarks/bench_scale.py`; a file of its
figures takes the place of those in `scripts/scale_inputs.json`. What a node computes, how fast
models reach it and what it costs are the caller's to say: the defaults are assumptions.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchpool.units.limits import DEFAULT_LIMITS

INPUTS = Path(__file__).with_name("scale_inputs.json")
MESSAGE_S = DEFAULT_LIMITS.evaluation_seconds
"""Of the wall, that one handler may take."""
ANSWERS_BYTES = DEFAULT_LIMITS.data_bytes
"""Of the answers of one entry, which a data set tells in one message."""
DISK_BYTES = 1e12
HOUR_S = 3600.0


class ScaleError(Exception):
    """What was asked for cannot be planned; the message says why."""


@dataclass(frozen=True)
class Curve:
    """A power law through measured points: value = factor * size ** exponent."""

    factor: float
    exponent: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Curve:
        """Fit by least squares of logarithms. Raises: ScaleError for fewer than three sizes."""
        if len({size for size, _ in points}) < 3:
            raise ScaleError("a curve needs runs at three sizes at least")
        x = [math.log(size) for size, _ in points]
        y = [math.log(value) for _, value in points]
        mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
        over = sum((one - mean_x) * (other - mean_y) for one, other in zip(x, y, strict=True))
        exponent = over / sum((one - mean_x) ** 2 for one in x)
        return cls(math.exp(mean_y - exponent * mean_x), exponent)

    def at(self, size: float) -> float:
        """Return the value at a size."""
        return float(self.factor * size**self.exponent)

    def size_of(self, value: float) -> float:
        """Return the size at which the value is reached."""
        return float((value / self.factor) ** (1 / self.exponent))


@dataclass(frozen=True)
class Measured:
    """What processes, bus and store took at the sizes that were run."""

    bus_s: float
    """Of processor time, a question asked, besides its inference."""
    log_bytes: float
    """A question asked."""
    messages: float
    """A question asked."""
    answer_bytes: float
    """A question, in the message that tells an entry's answers."""
    entries: Curve
    """Seconds of the tick that settles one pool, by its entries."""
    longest: Curve
    """Seconds of the longest message in it, by its entries."""
    pools: Curve
    """Seconds of the tick that settles many pools of twenty entries, by pools."""
    settled_questions: int
    """Questions of each entry in those."""
    core_flops: float
    """A second, of one core here, in bf16: tokens a second times twice the parameters."""

    @classmethod
    def read(cls, path: Path) -> Measured:
        """Read what `bench_scale.py --inputs` wrote. Raises: ScaleError."""
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            runs = found["evaluated"]
            largest = max(runs, key=lambda run: run["models"] * run["questions"])
            pairs = largest["models"] * largest["questions"]
            settled = found["settled"]
            return cls(
                bus_s=largest["evaluating_s"] / pairs,
                log_bytes=largest["log_bytes"] / pairs,
                messages=largest["messages"] / pairs,
                answer_bytes=found["answer_bytes"],
                entries=Curve.through([(n, s) for pools, n, s, _ in settled if pools == 1]),
                longest=Curve.through([(n, s) for pools, n, _, s in settled if pools == 1]),
                pools=Curve.through([(pools, s) for pools, n, s, _ in settled if n == 20]),
                settled_questions=found["settled_questions"],
                core_flops=found["core_flops"],
            )
        except OSError as error:
            raise ScaleError(f"{path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise ScaleError(f"{path} is not what bench_scale.py --inputs wrote: {error}") from None


@dataclass(frozen=True)
class Wish:
    """The contest, and what it is to run on."""

    models: int
    questions: int
    smallest: float
    """Parameters."""
    largest: float
    tokens: float
    """To evaluate, a question, what its choices share counted once."""
    bytes_each: float
    """Of a parameter, as the model is stored."""
    node_flops: float
    """That a node really reaches."""
    node_bytes_s: float
    """At which a model reaches a node."""
    node_memory: float
    price: float
    """Of a node, an hour."""
    nodes: Sequence[int]

    @property
    def mean_parameters(self) -> float:
        """Of sizes whose logarithms are spread evenly."""
        if self.largest == self.smallest:
            return self.largest
        return (self.largest - self.smallest) / math.log(self.largest / self.smallest)

    @property
    def asked(self) -> int:
        """Questions asked in all."""
        return self.models * self.questions

    @property
    def compute_s(self) -> float:
        """Of one node, for all inference."""
        flops = 2 * self.mean_parameters * self.tokens * self.asked
        return flops / self.node_flops

    @property
    def place_s(self) -> float:
        """Until every model has reached one node, one after the other."""
        return self.models * self.mean_parameters * self.bytes_each / self.node_bytes_s


def hours_of(wish: Wish, measured: Measured, nodes: int) -> tuple[float, float, float]:
    """Return hours of inference, of placing models, and of the bus; placing goes on beside."""
    return (
        wish.compute_s / nodes / HOUR_S,
        wish.place_s / nodes / HOUR_S,
        measured.bus_s * wish.asked / HOUR_S,
    )


def plan_nodes(wish: Wish, measured: Measured) -> None:
    """Print what so many nodes take."""
    head("nodes", "inference, h", "placing models, h", "bus, h", "in all, h", "bound by", "cost")
    for nodes in wish.nodes:
        parts = hours_of(wish, measured, nodes)
        names = ("inference", "placing", "bus")
        whole = max(parts)
        row(
            f"{nodes:,}",
            *(f"{part:,.2f}" for part in parts),
            f"{whole:,.2f}",
            names[parts.index(whole)],
            f"{whole * nodes * wish.price:,.0f}",
        )


def plan_store(wish: Wish, measured: Measured) -> None:
    """Print what is written and kept."""
    head("what", "how much")
    row("questions asked", f"{wish.asked:,}")
    row("floating point operations", f"{2 * wish.mean_parameters * wish.tokens * wish.asked:.2e}")
    row("bytes of all models", size(wish.models * wish.mean_parameters * wish.bytes_each))
    row("messages that evaluate them", f"{measured.messages * wish.asked:,.0f}")
    row("bytes of log and states on disk", size(measured.log_bytes * wish.asked))
    row("processor time of bus and processes", f"{measured.bus_s * wish.asked / HOUR_S:,.2f} h")
    row("questions a second that the bus carries", f"{1 / measured.bus_s:,.0f}")
    row("questions a second of one node", f"{wish.asked / wish.compute_s:,.1f}")


def breaks(wish: Wish, measured: Measured) -> list[tuple[str, str, str, float]]:
    """Return what is bounded: name, what this contest needs, its bound, and need / bound."""
    share = wish.questions / measured.settled_questions
    settle = measured.longest.at(wish.models) * share
    answers = measured.answer_bytes * wish.questions
    largest = wish.largest * wish.bytes_each
    carried = wish.asked / wish.compute_s * measured.bus_s
    disk = measured.log_bytes * wish.asked
    return [
        (
            "the message that settles the pool, s",
            f"{settle:,.0f}",
            f"{MESSAGE_S:.0f} (`evaluation_seconds`)",
            settle / MESSAGE_S,
        ),
        (
            "answers of one entry in one message",
            size(answers),
            f"{size(ANSWERS_BYTES)} (`data_bytes`)",
            answers / ANSWERS_BYTES,
        ),
        (
            "largest model in a node",
            size(largest),
            size(wish.node_memory),
            largest / wish.node_memory,
        ),
        ("the bus, with one node, of one core", f"{carried:.4f}", "1", carried),
        ("the log on disk", size(disk), size(DISK_BYTES), disk / DISK_BYTES),
    ]


def plan_breaks(wish: Wish, measured: Measured) -> None:
    """Print what breaks first."""
    head("what is bounded", "this contest", "bound", "of the bound")
    for name, need, bound, used in sorted(breaks(wish, measured), key=lambda each: -each[3]):
        row(name, need, bound, f"{used:,.2f}")


def plan_settlement(measured: Measured) -> None:
    """Print how settlement grows, run and foretold."""
    entries, pools = measured.entries, measured.pools
    head("settlement", "grows as", "at 100", "at 1,000", "at 10,000", f"{MESSAGE_S:.0f} s at")
    for name, curve in (
        ("one pool, by entries", entries),
        ("its longest message", measured.longest),
        ("pools of 20 entries", pools),
    ):
        values = (f"{curve.at(10.0**power):,.1f} s" for power in (2, 3, 4))
        row(name, f"n^{curve.exponent:.2f}", *values, f"{curve.size_of(MESSAGE_S):,.0f}")


def size(amount: float) -> str:
    """Write an amount of bytes."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000:
            return f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} PB"


def head(*cells: str) -> None:
    """Print the head of a Markdown table."""
    row(*cells)
    print(f"|{'|'.join(['---'] * len(cells))}|")


def row(*cells: str) -> None:
    """Print a row of a Markdown table."""
    print(f"| {' | '.join(cells)} |")


def positive(text: str) -> float:
    """Read a number above zero."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number above zero")
    return value


def whole(text: str) -> int:
    """Read a count of one or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than one")
    return value


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=whole, default=1_000)
    parser.add_argument("--questions", type=whole, default=35_000)
    for name, default in (("--smallest", 1.0), ("--largest", 70.0)):
        parser.add_argument(
            name,
            type=positive,
            default=default,
            metavar="BILLIONS",
            help=f"of parameters; default {default:g}",
        )
    parser.add_argument(
        "--tokens", type=positive, default=37.2, help="a question; Social IQa's by default"
    )
    parser.add_argument("--parameter-bytes", type=positive, default=2.0, help="2 is bf16")
    parser.add_argument(
        "--node-tflops",
        type=positive,
        help="that a node really reaches; by default a core here times --cores",
    )
    parser.add_argument("--cores", type=whole, default=64, help="of a node; default 64")
    parser.add_argument("--node-gbit", type=positive, default=10.0, help="network; default 10")
    parser.add_argument("--node-memory-gb", type=positive, default=256.0, help="default 256")
    parser.add_argument("--node-price", type=positive, default=3.0, help="an hour; default 3")
    parser.add_argument(
        "--nodes", type=whole, nargs="+", default=[1, 10, 100, 1_000], help="to compare"
    )
    parser.add_argument("--inputs", type=Path, default=INPUTS, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    """Print the plan; return the exit code."""
    given = parse_options()
    try:
        measured = Measured.read(given.inputs)
    except ScaleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.largest < given.smallest:
        print("error: --largest is less than --smallest", file=sys.stderr)
        return 2
    flops = given.node_tflops * 1e12 if given.node_tflops else measured.core_flops * given.cores
    wish = Wish(
        models=given.models,
        questions=given.questions,
        smallest=given.smallest * 1e9,
        largest=given.largest * 1e9,
        tokens=given.tokens,
        bytes_each=given.parameter_bytes,
        node_flops=flops,
        node_bytes_s=given.node_gbit * 1e9 / 8,
        node_memory=given.node_memory_gb * 1e9,
        price=given.node_price,
        nodes=given.nodes,
    )
    print(
        f"{wish.models:,} models of {given.smallest:g} to {given.largest:g} billion parameters"
        f" (on average {wish.mean_parameters / 1e9:.1f}), {wish.questions:,} questions,"
        f" nodes of {flops / 1e12:,.1f} Tflop/s\n"
    )
    plan_nodes(wish, measured)
    print()
    plan_store(wish, measured)
    print()
    plan_breaks(wish, measured)
    print()
    plan_settlement(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
