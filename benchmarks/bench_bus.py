"""Measure the message bus beside pykka and a bare loop, all in one run; print Markdown.

python benchmarks/bench_bus.py             # the figures of BENCHMARKS.md, about two minutes
python benchmarks/bench_bus.py --quick     # a tenth of the work
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pykka
from measure import machine, median, print_head, print_row, spread

from benchpool import Message, Network, Process, State, handler

ROUNDS = 5
Figure = TypeVar("Figure")


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
    quick = parser.parse_args().quick
    count, rounds = (2_000, 1) if quick else (20_000, ROUNDS)

    print(f"{machine()}, {rounds} rounds, medians\n")
    subjects: dict[str, Callable[[], float]] = {
        "benchpool in memory, transfers/s": lambda: transfers(count, None),
        "benchpool durable, transfers/s in one push": lambda: in_home(
            lambda home: transfers(count, home)
        ),
        "benchpool durable, transfers/s one send at a time": lambda: in_home(
            lambda home: single_sends(count // 20, home)
        ),
        "bare loop, transfers/s": lambda: bare_loop(count),
        "pykka ThreadingActor ping-pong, messages/s": lambda: pykka_ping_pong(count),
    }
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):  # interleaved, so that a slow minute hits all alike
        for name, measure in subjects.items():
            rates[name].append(measure())
    bare = median(rates["bare loop, transfers/s"])
    print_head("what", "median", "lowest", "highest", "of the bare loop")
    for name, values in rates.items():
        share = f"{median(values) / bare:.1%}" if "transfers" in name else ""
        print_row(name, *spread(values), share)

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


def transfers(count: int, home: Path | None) -> float:
    """Return transfers a second: one message in, two notices out, all three evaluated."""
    network, token, rich, other = spenders(home)
    with network:
        before = network.store.count()
        start = time.perf_counter()
        network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
        seconds = time.perf_counter() - start
        assert network.store.count() - before == 3 * count + 1
        assert network.process(other).state.notices >= count
    return count / seconds


def single_sends(count: int, home: Path) -> float:
    """Return transfers a second when each is a send of its own, committed before it returns."""
    network, token, _, other = spenders(home)
    with network:
        network.send(
            token, "Mint", {"Quantity": str(10**15), "Recipient": network.wallet().address}
        )
        start = time.perf_counter()
        for _ in range(count):
            network.send(token, "Transfer", {"Recipient": other, "Quantity": "1"})
        return count / (time.perf_counter() - start)


class Note:
    """A message of the bare loop."""

    __slots__ = ("action", "quantity", "recipient", "sender", "target")

    def __init__(
        self, target: str, sender: str, action: str, recipient: str, quantity: str
    ) -> None:
        self.target = target
        self.sender = sender
        self.action = action
        self.recipient = recipient
        self.quantity = quantity


def bare_loop(count: int) -> float:
    """Return transfers a second of a deque, dicts of handlers and slotted messages alone."""
    balances = {"a": 10**15}
    notices = {"a": 0, "b": 0}
    queue: deque[Note] = deque()

    def transfer(note: Note) -> None:
        quantity = int(note.quantity)
        balances[note.sender] -= quantity
        balances[note.recipient] = balances.get(note.recipient, 0) + quantity
        queue.append(Note(note.sender, "t", "Debit-Notice", note.recipient, note.quantity))
        queue.append(Note(note.recipient, "t", "Credit-Notice", note.sender, note.quantity))

    def notice(note: Note) -> None:
        notices[note.target] += 1

    handlers: dict[str, dict[str, Callable[[Note], None]]] = {
        "t": {"Transfer": transfer},
        "a": {"Debit-Notice": notice, "Credit-Notice": notice},
        "b": {"Debit-Notice": notice, "Credit-Notice": notice},
    }
    start = time.perf_counter()
    for _ in range(count):
        queue.append(Note("t", "a", "Transfer", "b", "1"))
    while queue:
        note = queue.popleft()
        handlers[note.target][note.action](note)
    seconds = time.perf_counter() - start
    assert notices == {"a": count, "b": count}
    return count / seconds


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


def pykka_ping_pong(count: int) -> float:
    """Return messages a second between two pykka actors."""
    done = threading.Event()
    one, two = Ponger.start(done), Ponger.start(done)
    start = time.perf_counter()
    one.tell((two, count))
    done.wait()
    seconds = time.perf_counter() - start
    one.stop()
    two.stop()
    return count / seconds


def memory(count: int) -> list[tuple[str, str]]:
    """Return bytes a logged message, in memory and on disk."""
    network, token, rich, other = spenders(None)
    with network:
        network.send(rich, "Spend", {"Count": "1000", "Token": token, "To": other})
        before, logged = resident(), network.store.count()
        network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
        each = (resident() - before) / (network.store.count() - logged)

    def on_disk(home: Path) -> float:
        network, token, rich, other = spenders(home)
        with network:
            network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
            logged = network.store.count()
        return (home / "benchpool.sqlite").stat().st_size / logged

    return [
        ("memory of a logged message, in memory", f"{each:,.0f} bytes"),
        ("disk of a logged message, durable", f"{in_home(on_disk):,.0f} bytes"),
    ]


def resident() -> int:
    """Return this process's memory in bytes, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


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

    settle_curve([10, 100] if quick else [10, 100, 1_000])


def in_home(measure: Callable[[Path], Figure]) -> Figure:
    """Call with a home folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchpool-bench-") as folder:
        return measure(Path(folder) / "home")


if __name__ == "__main__":
    main()
