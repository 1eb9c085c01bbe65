"""Measure the message bus beside its floor and pykka, all in one run; print Markdown.

python benchmarks/bench_bus.py             # the figures of BENCHMARKS.md, about two minutes
python benchmarks/bench_bus.py --quick     # a tenth of the work
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pykka
from bus_floor import Floor, open_file
from measure import machine, median, print_head, print_row, spread

from benchpool import Message, Network, Process, State, handler

ROUNDS = 5
Figure = TypeVar("Figure")


class Spent(NamedTuple):
    """What one of so many took, in seconds."""

    wall: float
    processor: float

    def __truediv__(self, count: int) -> Spent:
        return Spent(self.wall / count, self.processor / count)


class Counts(State):
    """How many notices came."""

    notices: int = 0


class Spender(Process):
    """Sends transfers when told to, and counts the notices that come back."""

    state: Counts

    @handler("Spend")
    def spend(self, message: Message) -> None:
        """Send so many transfers of one winston."""
        tags = [("Recipient", message.tags["To"]), ("Quantity", "1"), ("X-Note", "bench")]
        for _ in range(int(message.tags["Count"])):
            self.send(message.tags["Token"], "Transfer", tags)

    @handler("Credit-Notice", "Debit-Notice")
    def count(self, _message: Message) -> None:
        """Count a notice."""
        self.state.notices += 1


def main() -> None:
    """Run every measurement and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    parser.add_argument("--memory", choices=MEMORY, help="print bytes a message, and nothing else")
    parser.add_argument("--count", type=int, help="transfers in one push")
    args = parser.parse_args()
    quick = args.quick
    count, rounds = (2_000, 1) if quick else (20_000, ROUNDS)
    count = args.count or count
    if args.memory:
        print(memory_of_messages(args.memory, count))
        return

    print(f"{machine()}, {rounds} rounds, medians\n")
    subjects: dict[str, Callable[[], Spent]] = {
        "benchpool in memory": lambda: transfers(count, None),
        "the floor in memory": lambda: floor(count, durable=False),
        "benchpool durable, in one push": lambda: in_home(lambda home: transfers(count, home)),
        "the floor durable, in one push": lambda: floor(count, durable=True),
        "benchpool durable, one send at a time": lambda: in_home(
            lambda home: single_sends(count // 20, home)
        ),
        "pykka ThreadingActor ping-pong, messages": lambda: pykka_ping_pong(count),
    }
    taken: dict[str, list[Spent]] = {name: [] for name in subjects}
    for _ in range(rounds):  # interleaved, so that a slow minute hits all alike
        for name, measure in subjects.items():
            taken[name].append(measure())
    print_head("what", "a second", "lowest", "highest", "µs of processor each", "times the floor")
    for name, spent in taken.items():
        each = median([one.processor for one in spent])
        beside = (
            taken.get(name.replace("benchpool", "the floor"), []) if "benchpool" in name else []
        )
        times = [one.processor / least.processor for one, least in zip(spent, beside, strict=False)]
        shown = f"{median(times):.2f}" if times else ""
        print_row(name, *spread([1 / one.wall for one in spent]), f"{each * 1e6:.1f}", shown)

    print()
    print_head("what", "figure")
    for name, figure in memory(count):
        print_row(name, figure)
    print_row("`benchpool --help`", f"{help_time(rounds):.2f} s")
    for name, figure in reopen(10_000 if quick else 100_000):
        print_row(name, figure)
    settle(quick=quick)


def spenders(home: Path | None) -> tuple[Network, str, str, str]:
    """Make a network with a token and two processes, the first of them rich."""
    network = Network(home, seed=1)
    network.registry.add(Spender)
    token = network.spawn("WrappedAR", name="WrappedAR")
    rich, other = network.spawn("Spender"), network.spawn("Spender")
    network.send(token, "Mint", {"Quantity": str(10**15), "Recipient": rich})
    return network, token, rich, other


@contextmanager
def about_to_spend(count: int, home: Path | None) -> Iterator[tuple[Network, str, str]]:
    """Give a network in which one message waits, with its token and whom that many go to."""
    network, token, rich, other = spenders(home)
    with network:
        network.post(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
        yield network, token, other


def timed(work: Callable[[], object]) -> Spent:
    """Return what it takes to do something."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - processor)


def transfers(count: int, home: Path | None) -> Spent:
    """Return what a transfer takes: one message in, two notices out, all three evaluated."""
    with about_to_spend(count, home) as (network, _, other):
        before = network.store.count()
        spent = timed(network.run)
        assert network.store.count() - before == 3 * count
        assert network.process(other).state.notices >= count
    return spent / count


def floor(count: int, *, durable: bool) -> Spent:
    """Return what the same takes the floor, whose log must be benchpool's."""
    with about_to_spend(count, None) as (network, token, _):
        least = Floor(network, token)
        spent = in_home(lambda path: into_file(least, path)) if durable else timed(least.run)
        network.run()
        least.check(network)
    return spent / count


def into_file(least: Floor, path: Path) -> Spent:
    """Return what the floor takes to run and to write it all to the disk."""
    with closing(open_file(path)) as file:
        return timed(lambda: least.run_into(file))


def single_sends(count: int, home: Path) -> Spent:
    """Return what a transfer takes when each is a send of its own, committed before it returns."""
    network, token, _, other = spenders(home)
    with network:
        network.send(
            token, "Mint", {"Quantity": str(10**15), "Recipient": network.wallet().address}
        )

        def send() -> None:
            for _ in range(count):
                network.send(token, "Transfer", {"Recipient": other, "Quantity": "1"})

        return timed(send) / count


class Ponger(pykka.ThreadingActor):
    """Sends a number back, one less, until it is zero."""

    use_daemon_thread = True

    def __init__(self, done: threading.Event) -> None:
        super().__init__()
        self.done = done

    def on_receive(self, message: Any) -> None:
        """Answer."""
        sender, left = message
        if left == 0:
            self.done.set()
        else:
            sender.tell((self.actor_ref, left - 1))


def pykka_ping_pong(count: int) -> Spent:
    """Return what a message between two pykka actors takes."""
    done = threading.Event()
    one, two = Ponger.start(done), Ponger.start(done)

    def play() -> None:
        one.tell((two, count))
        done.wait()

    spent = timed(play)
    one.stop()
    two.stop()
    return spent / count


def memory(count: int) -> list[tuple[str, str]]:
    """Return bytes a logged message, in memory and on disk."""

    def on_disk(home: Path) -> float:
        network, token, rich, other = spenders(home)
        with network:
            network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
            logged = network.store.count()
        return (home / "benchpool.sqlite").stat().st_size / logged

    # Each in a process of its own: here, larger runs before have left memory that is used again.
    apart = [(f"memory of a logged message: {what}", measure_apart(what, count)) for what in MEMORY]
    return [(name, f"{figure:,.0f} bytes") for name, figure in apart] + [
        ("disk of a logged message, durable", f"{in_home(on_disk):,.0f} bytes")
    ]


def measure_apart(what: str, count: int) -> float:
    """Return what `memory_of_messages` says in a fresh process."""
    command = [sys.executable, __file__, "--memory", what, "--count", str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_of_messages(what: str, count: int) -> float:
    """Return bytes a logged message of so many transfers in one push: see `MEMORY`."""
    network, token, rich, other = spenders(None)
    with network:
        network.send(rich, "Spend", {"Count": "100", "Token": token, "To": other})
        logged = network.store.count()
        if what == "allocated":
            tracemalloc.start()
        before = MEMORY[what](network)
        network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
        gc.collect()
        return (MEMORY[what](network) - before) / (network.store.count() - logged)


def encoded(network: Network) -> int:
    """Return the bytes of the messages and results in a log."""
    return sum(len(line.message) + len(line.result or b"") for line in network.store.lines())


def resident() -> int:
    """Return this process's memory in bytes, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


MEMORY: dict[str, Callable[[Network], int]] = {
    "resident": lambda _: resident(),
    "allocated": lambda _: tracemalloc.get_traced_memory()[0],
    "encoded": encoded,
}
"""What the system gave this program, what Python's objects take of it, what the log's bytes are."""


def help_time(rounds: int) -> float:
    """Return the median seconds of `benchpool --help`."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "benchpool", "--help"], check=True, capture_output=True
        )
        times.append(time.perf_counter() - start)
    return median(times)


def reopen(messages: int) -> list[tuple[str, str]]:
    """Return how long a home with many messages takes to open and answer, closed well or killed."""

    def measure(home: Path) -> list[tuple[str, str]]:
        network, token, rich, other = spenders(home)
        network.send(rich, "Spend", {"Count": str(messages // 3), "Token": token, "To": other})
        network.close()
        clean, count = timed_open(home, token)
        network = Network(home)
        network.registry.add(Spender)
        network.send(rich, "Spend", {"Count": "1300", "Token": token, "To": other})
        network.close(abort=True)
        crashed, _ = timed_open(home, token)
        return [
            (f"reopen a home of {count:,} messages and answer", f"{clean:.2f} s"),
            ("the same after a crash 3,900 messages behind the checkpoint", f"{crashed:.2f} s"),
        ]

    return in_home(measure)


def timed_open(home: Path, token: str) -> tuple[float, int]:
    """Open a home and ask for a balance; return seconds and messages."""
    start = time.perf_counter()
    with Network(home) as network:
        network.dry_run(token, "Balance")
        return time.perf_counter() - start, network.store.count()


def settle(*, quick: bool) -> None:
    """Print how long the daily tick takes to settle pools of 20 entries each."""
    from bench_settle import settle_curve  # noqa: PLC0415 - shown only at the end

    settle_curve([10, 100] if quick else [10, 100, 400])


def in_home(measure: Callable[[Path], Figure]) -> Figure:
    """Call with a home folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchpool-bench-") as folder:
        return measure(Path(folder) / "home")


if __name__ == "__main__":
    main()
