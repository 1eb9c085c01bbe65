"""Measure AO's own module in benchpool beside AO's own loader in node, in one run; print Markdown.

python benchmarks/bench_aos.py             # the figures of BENCHMARKS.md, about three minutes
python benchmarks/bench_aos.py --quick     # a tenth of the work

Node 20 and npm must be installed. The module (aos 2.0.6) and the loader are fetched by npm.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from ao_modules import MODULE_ID, Bench, ao_loader, ao_module  # noqa: E402 - found in tests
from mainnet import Mainnet  # noqa: E402
from measure import machine, median, percentile, print_head, print_row, spread  # noqa: E402
from serving import Client, up  # noqa: E402

from benchpool import Network  # noqa: E402
from benchpool.ao.tags import Tags  # noqa: E402
from benchpool.audit.replay import replay_home  # noqa: E402
from benchpool.process.registry import Registry  # noqa: E402
from benchpool.wasm.compiled import compiled  # noqa: E402
from benchpool.wasm.module import WasmModule  # noqa: E402
from benchpool.wasm.runtime import Code  # noqa: E402

MODULE = "aos2_0_6.wasm"
TOKEN = (ROOT / "tests" / "lua_token.lua").read_text()
ALICE = "A" * 43


def main() -> None:
    """Run every measurement and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    quick = parser.parse_args().quick
    count, rounds = (100, 1) if quick else (1_000, 3)
    path = ao_module(MODULE)
    code = path.read_bytes()
    print(f"{machine()}, {MODULE}, {rounds} rounds, medians\n")

    subjects: dict[str, Callable[[], Rate]] = {
        "ao-loader in node, the module alone": lambda: loader(path, max(count // 5, 20)),
        "benchpool, the module alone": lambda: alone(code, count),
        "benchpool in memory, through the network": lambda: network_rate(code, count, None),
        "benchpool durable, one push": lambda: in_home(
            lambda home: network_rate(code, count, home)
        ),
        "benchpool durable, one send at a time": lambda: in_home(
            lambda home: network_rate(code, count // 4, home, single=True)
        ),
        "WrappedAR in Python, in memory": lambda: wrapped(count * 5, None),
        "WrappedAR in Python, durable, one push": lambda: in_home(
            lambda home: wrapped(count * 5, home)
        ),
    }
    rates: dict[str, list[Rate]] = {name: [] for name in subjects}
    for _ in range(rounds):  # interleaved, so that a slow minute hits all alike
        for name, measure in subjects.items():
            rates[name].append(measure())
    node = median([rate.wall for rate in rates["ao-loader in node, the module alone"]])
    columns = ("median", "lowest", "highest", "times ao-loader", "a second of CPU time")
    print_head("token Transfers a second", *columns)
    for name, found in rates.items():
        wall = [rate.wall for rate in found]
        cpu = [rate.cpu for rate in found if rate.cpu is not None]
        times = f"{median(wall) / node:.1f}"
        print_row(name, *spread(wall), times, f"{median(cpu):,.0f}" if cpu else "")

    print()
    print_head("what", "figure")
    for name, figure in parts(code):
        print_row(name, figure)
    print_row(*verify(code, 500 if quick else 10_000))
    for name, figure in served(path, 30 if quick else 300):
        print_row(name, figure)


class Rate(NamedTuple):
    """How many a second."""

    wall: float
    cpu: float | None = None
    """Of this program's own CPU time, which a busy machine does not change."""


class Stopwatch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def rate(self, count: int) -> Rate:
        """Return how many a second so many were."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Rate(count / wall, count / cpu)


def registry(code: bytes) -> Registry:
    """Return a registry that has the module."""
    made = Registry()
    made.add(WasmModule(code, id=MODULE_ID), MODULE_ID)
    return made


def token_of(network: Network) -> str:
    """Spawn a token and make the default wallet rich."""
    token = network.spawn(MODULE_ID, name="token")
    network.send(token, "Eval", data=TOKEN)
    network.send(token, "Mint", {"Quantity": "1000000000"})
    return token


def network_rate(code: bytes, count: int, home: Path | None, *, single: bool = False) -> Rate:
    """Return Transfers a second: each with two notices to wallets."""
    with Network(home, seed=1, registry=registry(code)) as network:
        token = token_of(network)
        tags = {"Recipient": ALICE, "Quantity": "1"}
        watch = Stopwatch()
        for _ in range(count):
            if single:
                network.send(token, "Transfer", tags)
            else:
                network.post(token, "Transfer", tags)
        network.run()
        rate = watch.rate(count)
        balance = network.dry_run(token, "Balance", {"Recipient": ALICE})
        assert balance.messages[0].data == str(count)
    return rate


def wrapped(count: int, home: Path | None) -> Rate:
    """Return Transfers a second of the token that is written in Python."""
    with Network(home, seed=1) as network:
        token = network.spawn("WrappedAR")
        grant = {"Quantity": str(10**9), "Recipient": network.wallet().address}
        network.send(token, "Mint", grant)
        watch = Stopwatch()
        for _ in range(count):
            network.post(token, "Transfer", {"Recipient": ALICE, "Quantity": "1"})
        network.run()
        return watch.rate(count)


def prepared(code: bytes) -> Bench:
    """Return a token outside of any network."""
    bench = Bench(code)
    bench.begin()
    bench.run(TOKEN)
    bench.say(tags=Tags([("Action", "Mint"), ("Quantity", "1000000000")]))
    return bench


def transfer(bench: Bench) -> Any:
    """Say one Transfer."""
    tags = [("Action", "Transfer"), ("Recipient", ALICE), ("Quantity", "1")]
    return bench.say(tags=Tags(tags))


def alone(code: bytes, count: int) -> Rate:
    """Return Transfers a second without a network."""
    bench = prepared(code)
    watch = Stopwatch()
    for _ in range(count):
        assert not transfer(bench).error
    rate = watch.rate(count)
    bench.close()
    return rate


def loader(path: Path, count: int) -> Rate:
    """Return Transfers a second of AO's loader, its memory handed from message to message."""
    bench = prepared(path.read_bytes())
    begun = len(bench.asked)
    for _ in range(count):
        transfer(bench)
    bench.close()
    said = bench.asked
    times = [node_ms(path, bench.module.format, part) for part in (said[:begun], said)]
    return Rate(count / ((times[1] - times[0]) / 1000))


def node_ms(path: Path, format: str, said: list[dict[str, Any]]) -> float:  # noqa: A002
    """Return how long node took over messages, without its start."""
    node = shutil.which("node") or "node"
    command = [node, "--experimental-wasm-memory64", str(ao_loader()), str(path), format, "--time"]
    lines = "".join(json.dumps(each) + "\n" for each in said)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    [told] = [line for line in done.stdout.split("\n") if line.startswith("\1")]
    taken = json.loads(told[1:])
    return float(taken["first"] + taken["rest"])


def parts(code: bytes) -> list[tuple[str, str]]:
    """Measure what a process costs beside its messages."""
    rows = []
    bench = prepared(code)
    for _ in range(20):
        transfer(bench)
    driver = bench.process._driver
    size = len(bench.process.dump())

    def each(times: int, work: Callable[[], object]) -> str:
        taken = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        return f"{median(taken) * 1000:.2f} ms"

    from benchpool.wasm.images import release  # noqa: PLC0415

    image = driver.image()
    rows += [
        (
            f"copy of the memory before a message ({size / 2**20:.1f} MiB)",
            each(50, lambda: release(driver.image())),
        ),
        ("restore of it after an error", each(50, lambda: driver.restore(image))),
        ("checkpoint (dump)", each(20, bench.process.dump)),
    ]
    release(image)
    memory = bench.process.dump()

    def taken_over() -> None:
        other = bench.fresh()
        other.process.load(memory)
        other.process._live()
        other.close()

    def spawned() -> None:
        other = Bench(code)
        other.begin()
        other.close()

    rows += [
        ("process taken over from a checkpoint", each(20, taken_over)),
        ("process spawned, its first message included", each(20, spawned)),
    ]
    before, many = resident(), [Bench(code) for _ in range(50)]
    for one in many:
        one.begin()
    rows.append(("resident memory of a process", f"{(resident() - before) / 50 / 2**20:.1f} MiB"))
    for one in (*many, bench):
        one.close()
    start = time.perf_counter()
    made = Code.compile(code)
    rows.append(("compile", f"{time.perf_counter() - start:.2f} s"))
    kept = made.serialize()
    rows.append(("compiled code taken from the cache", each(10, lambda: Code.deserialize(kept))))
    assert compiled(code, bench.module.sha256)
    return rows


def verify(code: bytes, count: int) -> tuple[str, str]:
    """Return how fast a log is folded again and compared."""

    def measure(home: Path) -> tuple[str, str]:
        network_rate(code, count, home)
        start = time.perf_counter()
        replay = replay_home(home, registry=registry(code))
        seconds = time.perf_counter() - start
        assert replay.difference is None, replay.difference
        return (
            f"`replay --verify` of {count:,} Transfers",
            f"{count / seconds:,.0f} a second, no difference",
        )

    return in_home(measure)


def served(path: Path, count: int) -> list[tuple[str, str]]:
    """Return how long an Eval takes over HTTP, as aos sends it: the message, then its result."""
    return in_home(partial(_served, path, count))


def _served(path: Path, count: int, home: Path) -> list[tuple[str, str]]:
    with Network(home, signed=True) as network:
        module = network.add_module(path, name="aos").id
    rows = []
    with up(home, "--quiet", "--go-live") as (_, addresses):
        legacy, main = Client(addresses["gateway"], seed=1), Mainnet(addresses["gateway"], seed=2)

        def in_legacy(process: str) -> Any:
            return legacy.result(legacy.send(process, "Eval", b"1 + 1"), process)

        def in_main(process: str) -> Any:
            slot = main.push(process, ("Action", "Eval"), data=b"1 + 1")["slot"]
            return main.result_at(process, slot)["raw"]

        for mode, process, evaluate in (
            ("legacy mode", legacy.spawn(module), in_legacy),
            ("main network's mode", main.start(module), in_main),
        ):
            taken = []
            for _ in range(count):
                start = time.perf_counter()
                assert evaluate(process)["Output"]["data"] == "2"
                taken.append(1000 * (time.perf_counter() - start))
            figure = f"{median(taken):.1f} ms, p99 {percentile(taken, 99):.1f} ms"
            rows.append((f"Eval over HTTP in the {mode}, p50", figure))
    return rows


def resident() -> int:
    """Return this process's memory in bytes, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def in_home(measure: Callable[[Path], Any]) -> Any:
    """Call with a home folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchpool-bench-") as folder:
        return measure(Path(folder) / "home")


if __name__ == "__main__":
    main()
