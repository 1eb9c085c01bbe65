"""Measure replay beside the first evaluation of the same run; print Markdown.

python benchmarks/bench_replay.py             # 20,000 token transfers, five rounds
python benchmarks/bench_replay.py --quick     # a tenth of the work, one round
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench_bus import Spender
from measure import machine, median, print_head, print_row, spread

from benchpool import Network
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.process.registry import Registry

ROUNDS = 5


def registry() -> Registry:
    """Return the installed modules and the spender."""
    known = Registry()
    known.add(Spender)
    return known


def evaluate(home: Path, count: int) -> float:
    """Run transfers in a durable home; return messages a second."""
    with Network(home, seed=1, registry=registry()) as network:
        token = network.spawn("WrappedAR", name="WrappedAR")
        rich, other = network.spawn("Spender"), network.spawn("Spender")
        network.send(token, "Mint", {"Quantity": str(10**15), "Recipient": rich})
        before = network.store.count()
        started = time.perf_counter()
        network.send(rich, "Spend", {"Count": str(count), "Token": token, "To": other})
        return (network.store.count() - before) / (time.perf_counter() - started)


def replay(home: Path, *, verify: bool) -> float:
    """Fold a home again; return messages a second."""
    done = replay_home(home, verify=verify, registry=registry())
    done.check()
    return done.messages / done.seconds


def main() -> int:
    """Run every measurement and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, one round")
    quick = parser.parse_args().quick
    count, rounds = (2_000, 1) if quick else (20_000, ROUNDS)
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):  # interleaved, so that a slow minute hits all alike
        with tempfile.TemporaryDirectory() as folder:
            home, file = Path(folder) / "home", Path(folder) / "run.jsonl.zst"
            figures = {
                "first evaluation, durable": evaluate(home, count),
                "replay": replay(home, verify=False),
                "replay --verify": replay(home, verify=True),
            }
            started = time.perf_counter()
            exported = export_home(home, file)
            figures["export"] = exported.entries / (time.perf_counter() - started)
            started = time.perf_counter()
            import_file(file, Path(folder) / "copy", registry=registry())
            figures["import, verified and folded"] = exported.entries / (
                time.perf_counter() - started
            )
        for name, figure in figures.items():
            rates.setdefault(name, []).append(figure)
    first = median(rates["first evaluation, durable"])
    print(f"{machine()}, {rounds} rounds, medians\n")
    print(f"{3 * count + 1:,} messages of token transfers; messages a second\n")
    print_head("what", "median", "lowest", "highest", "of the first evaluation")
    for name, values in rates.items():
        print_row(name, *spread(values), f"{median(values) / first:.2f}")
    print(f"\nThe exported file has {exported.size / exported.entries:.0f} bytes a message.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
