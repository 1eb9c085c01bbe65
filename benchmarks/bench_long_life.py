"""Grow one home on disk to a million messages by token transfers; print Markdown.

python benchmarks/bench_long_life.py                        # a million messages, a few minutes
python benchmarks/bench_long_life.py --messages 200000
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_bus import Spender, resident
from measure import machine, percentile, print_head, print_row

from benchpool import Network

MIB = 1 << 20
PER_SEND = 3_000
"""Transfers that one message asks for."""


def main() -> None:
    """Grow the home and print how it goes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--step", type=int, default=100_000, help="messages a row of the table")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchpool-long-life-") as folder:
        home = Path(folder) / "home"
        print(f"{machine()}\n")
        token = grow(home, given.messages, given.step)
        reopen(home, token)


def grow(home: Path, messages: int, step: int) -> str:
    """Send transfers until there are so many messages; return the token's id."""
    columns = ("messages", "messages/s", "messages per CPU second", "commit p50, ms")
    print_head(*columns, "commit p99, ms", "memory, MiB", "disk, MiB", "open again, s")
    network = Network(home, seed=1)
    commits = timed_commits(network)
    network.registry.add(Spender)
    token = network.spawn("WrappedAR", name="WrappedAR")
    rich, other = network.spawn("Spender", name="rich"), network.spawn("Spender", name="other")
    network.send(token, "Mint", {"Quantity": str(10**15), "Recipient": rich})
    with network:
        count = network.store.count()
        while count < messages:
            commits.clear()
            start, cpu, before = time.perf_counter(), time.process_time(), count
            while count < before + step:
                transfers = min(PER_SEND, (before + step - count) // 3 or 1)
                network.send(rich, "Spend", {"Count": transfers, "Token": token, "To": other})
                count += 3 * transfers + 1
            rate = (count - before) / (time.perf_counter() - start)
            cpu_rate = (count - before) / (time.process_time() - cpu)
            gc.collect()
            reopened = look(home, token)
            disk = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
            slow = (f"{percentile(commits, share):.1f}" for share in (50, 99))
            held = (f"{size / MIB:,.0f}" for size in (resident(), disk))
            rates = f"{rate:,.0f}", f"{cpu_rate:,.0f}"
            print_row(f"{count:,}", *rates, *slow, *held, f"{reopened:.3f}")
        assert count == network.store.count()
        start = time.perf_counter()
        network.compute.checkpoint(all_processes=True)
        network.store.commit(network.clock.now())
        print(f"\nCheckpoint of all processes: {time.perf_counter() - start:.3f} s")
    return token


def timed_commits(network: Network) -> list[float]:
    """Return a list to which each commit adds its milliseconds, what it writes included."""
    commits: list[float] = []
    store: Any = network.store
    commit = store.commit

    def timed(now_ms: int) -> None:
        start = time.perf_counter()
        commit(now_ms)
        commits.append(1_000 * (time.perf_counter() - start))

    store.commit = timed
    return commits


def look(home: Path, token: str) -> float:
    """Open the home a second time to look, and load the token; return the seconds."""
    start = time.perf_counter()
    with Network(home, read_only=True) as network:
        network.process(token)
    return time.perf_counter() - start


def reopen(home: Path, token: str) -> None:
    """Print how long the home takes to open, answer and count."""
    print()
    print_head("what", "seconds")
    start = time.perf_counter()
    with Network(home) as network:
        network.registry.add(Spender)
        print_row("open", f"{time.perf_counter() - start:.3f}")
        start = time.perf_counter()
        network.dry_run(token, "Balance")
        print_row("answer the first question", f"{time.perf_counter() - start:.3f}")
        start = time.perf_counter()
        network.send(token, "Balance")
        print_row("send the first message", f"{time.perf_counter() - start:.3f}")
        start = time.perf_counter()
        count = network.store.count()
        print_row(f"count {count:,} messages", f"{time.perf_counter() - start:.3f}")
        start = time.perf_counter()
        last = network.log(token, after=count)
        assert not last
        print_row("look behind the end of the token's log", f"{time.perf_counter() - start:.3f}")


if __name__ == "__main__":
    main()
