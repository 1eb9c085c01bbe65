"""Measure what must not grow with a home: its log, its processes, a token's accounts; Markdown.

python benchmarks/bench_flat.py             # the figures of BENCHMARKS.md, a few minutes
python benchmarks/bench_flat.py --quick     # a tenth of each size
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

from measure import machine, print_head, print_row

from benchpool import Network
from benchpool.ao.ids import encode_id
from benchpool.store.sqlite import SqliteStore

MESSAGES = (65_000, 1_000_000, 10_000_000)
PROCESSES = (1_000, 10_000, 100_000)
ACCOUNTS = (10_000, 100_000, 1_000_000)
TRIES = 20_000
SENDS = 1_000
SPAWNS = 100


def main() -> None:
    """Run every measurement and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of each size")
    shrink = 10 if parser.parse_args().quick else 1
    print(f"{machine()}; processor time\n")
    for unit, sizes, measure in (
        ("messages", MESSAGES, with_messages),
        ("processes", PROCESSES, with_processes),
        ("accounts", ACCOUNTS, with_accounts),
    ):
        print_head(unit, *columns(measure))
        for size in (each // shrink for each in sizes):
            with tempfile.TemporaryDirectory(prefix="benchpool-bench-") as folder:
                print_row(f"{size:,}", *measure(Path(folder) / "home", size).values())
        print()


Figures = dict[str, str]


def columns(measure: Callable[[Path, int], Figures]) -> list[str]:
    """Return what is measured of each size, as a very small one says it."""
    with tempfile.TemporaryDirectory(prefix="benchpool-bench-") as folder:
        return list(measure(Path(folder) / "home", 10))


def spent(work: Callable[[], object]) -> float:
    """Return the processor seconds that something takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


def microseconds(work: Callable[[], object], times: int) -> str:
    """Write what one of so many takes."""
    return f"{spent(work) / times * 1e6:,.1f} µs"


def seconds(work: Callable[[], object]) -> str:
    """Write what something takes."""
    return f"{spent(work):.3f} s"


def with_messages(home: Path, count: int) -> Figures:
    """Measure lookups in a log of so many messages; their ids are random, their bytes none."""
    draw = Random(count)
    home.mkdir()
    path = home / "benchpool.sqlite"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as file:
        rows = ((place, draw.getrandbits(64) - (1 << 63)) for place in range(count))
        file.executemany(
            "INSERT INTO log (process, position, id_key, cron, message, result)"
            " VALUES ('p', ?, ?, 0, x'00', x'')",
            rows,
        )
        file.commit()
    old = SqliteStore(path)
    upgrade = seconds(lambda: old.commit(1))
    old.close()
    store = SqliteStore(path)
    ids = [encode_id(draw.randbytes(32)) for _ in range(TRIES + 1)]
    figures = {
        "filters made of a log without": upgrade,
        "first look-up": seconds(lambda: store.find(ids[0])),
        "an unknown id": microseconds(lambda: [store.find(each) for each in ids[1:]], TRIES),
    }
    store.close()
    return figures


def with_processes(home: Path, count: int) -> Figures:
    """Measure spawning into a home of so many processes, closing it and opening it."""
    network = Network(home, seed=1)
    wallet = network.wallet()
    for number in range(count):
        network.post_spawn("WrappedAR", (), name=None, data="", sender=wallet)
        if number % 1_000 == 0:
            network.run()
    network.run()
    spawning = microseconds(lambda: [network.spawn("WrappedAR") for _ in range(SPAWNS)], SPAWNS)
    closing_all = seconds(network.close)
    opening = seconds(lambda: Network(home).close())
    return {"spawn one more": spawning, "close": closing_all, "open and close": opening}


def with_accounts(home: Path, count: int) -> Figures:
    """Measure a token of so many accounts."""
    network = Network(home, seed=1)
    token = network.spawn("WrappedAR", name="WrappedAR")
    network.send(token, "Mint", {"Quantity": str(10**15)})
    draw = Random(count)
    held = {encode_id(draw.randbytes(32)): 10**12 for _ in range(count)}
    balances = network.process(token).state.balances
    dict.update(balances, held)  # past the journal: no message says so, and none is taken back
    some = draw.choices(list(held), k=SENDS)

    def send() -> None:
        for account in some:
            network.send(token, "Transfer", {"Recipient": account, "Quantity": "1"})

    sending = microseconds(send, SENDS)
    figures = {
        "one send, committed": sending,
        "Balances in parts, an account": microseconds(lambda: in_parts(network, token), count),
        "close": seconds(network.close),
    }

    def answer() -> None:
        with Network(home) as again:
            again.dry_run(token, "Balance")

    return {**figures, "reopen and answer": seconds(answer)}


def in_parts(network: Network, token: str) -> int:
    """Ask for all balances; return how many there are."""
    found, cursor = 0, "0"
    while cursor:
        (reply,) = network.dry_run(token, "Balances", {"Cursor": cursor}).messages
        found += len(json.loads(reply.data))
        cursor = reply.tags.get("Next-Cursor")
    return found


if __name__ == "__main__":
    main()
