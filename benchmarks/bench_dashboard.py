"""Measure the dashboard: its board's paint and bytes, its server time, and what it costs the bus.

Needs Chromium and Playwright for the first; without them that is left out.

python benchmarks/bench_dashboard.py             # the figures of BENCHMARKS.md
python benchmarks/bench_dashboard.py --quick     # a tenth of the messages, one round
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from bench_server import PROTOCOL, cpu_seconds, post_all
from measure import machine, median, print_head, print_row

from benchpool.ao.dataitem import sign
from benchpool.ao.wallet import Wallet
from benchpool.client.deployment import deploy, upload_model
from benchpool.client.pools import PoolClient
from benchpool.evaluation.sample import Sample, to_json
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script

QUESTIONS = 1_000
PAGES = 10
LOOKS = 20
ROUNDS = 5


def make_home(folder: Path, messages: int) -> tuple[Path, str, str]:
    """Make a home with a pool that is ranked, and so many messages; return pool and Benchmark."""
    samples = [
        Sample(f"Met {n}.", "How?", (f"good {n}", "bad", "so"), n % 3 + 1) for n in range(QUESTIONS)
    ]
    home = folder / f"home{messages}"
    with Network(home, seed=1, engine_factory=ScriptedEngines()) as network:
        ids = deploy(network, samples=to_json(samples).encode())
        me = network.wallet()
        network.send("WrappedAR", "Mint", {"Quantity": str(10**15), "Recipient": me.address})
        client = PoolClient(network)
        terms = {"X-Dataset": ids.SiqaDataset, "X-Allocation": "ArithmeticDecrease"}
        terms |= {"X-Duration": "3650d", "X-Title": "bench"}
        pool = client.create(token=ids.WrappedAR, quantity=10**12, terms=terms, funder=me)
        for number in range(3):
            file = folder / f"m{number}.gguf"
            right = [s.gold if n % 4 > number else s.gold % 3 + 1 for n, s in enumerate(samples)]
            file.write_bytes(write_script(f"m{number}", samples, right))
            model = upload_model(network, file, f"model-{number}", sender=me)
            client.join(pool.tags["Pool"], model, owner=me)
        network.advance("2d")
        tags = {"Recipient": "r" * 43, "Quantity": "1", "Cast": "true"}
        while (left := messages - network.store.count()) > 0:
            for _ in range(min(left, 5_000)):
                network.post("WrappedAR", "Transfer", tags)
            network.run()
        return home, pool.tags["Pool"], ids.Benchmark


@contextmanager
def served(home: Path) -> Iterator[tuple[str, int]]:
    """Serve a home; give its URL and the process."""
    command = [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json", "--go-live"]
    server = subprocess.Popen(
        [*command, "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline()]
        while lines[-1] != "}\n":
            lines.append(server.stdout.readline())
        yield json.loads("".join(lines))["gateway"], server.pid
    finally:
        server.terminate()
        server.wait()


def look(url: str) -> tuple[float, int]:
    """Ask for a page; return seconds and bytes."""
    began = time.perf_counter()
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request) as answer:
        size = len(answer.read())
    return time.perf_counter() - began, size


def paint(url: str) -> None:
    """Print when the board is first painted, and how much is loaded for that."""
    found = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not everywhere
    except ImportError:
        found = None
    if found is None:
        print("no Chromium or Playwright: paint is not measured")
        return
    paints, loaded = [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        for _ in range(7):
            page = browser.new_context().new_page()  # with nothing cached
            page.goto(url)
            page.wait_for_timeout(500)
            paints.append(
                page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            )
            loaded = page.evaluate(
                "performance.getEntries().reduce((sum, each) => sum + (each.transferSize ?? 0), 0)"
            )
            page.context.close()
        browser.close()
    print_head("Board page", "Figure")
    print_row("first contentful paint, median of 7, nothing cached", f"{median(paints):,.0f} ms")
    print_row("bytes of the page and all that it loads", f"{loaded:,}")


class Followers:
    """Pages left open: each asks for itself again when it is told that it changed."""

    def __init__(self, page: str, count: int) -> None:
        url, _, path = page.partition("/ui/")
        self._page = page
        self._events = f"{url}/ui/events?of=/ui/{path}"
        self._streams: list[Any] = []
        self._threads = [threading.Thread(target=self._follow) for _ in range(count)]
        self.asked = 0
        for each in self._threads:
            each.start()

    def _follow(self) -> None:
        with (
            suppress(httpx.HTTPError, RuntimeError),
            httpx.stream("GET", self._events, timeout=None) as stream,
        ):
            self._streams.append(stream)
            for line in stream.iter_lines():
                if line == "event: changed":
                    look(self._page)
                    self.asked += 1

    def close(self) -> None:
        """Close them."""
        for each in self._streams:
            with suppress(Exception):
                each.close()
                each.extensions["network_stream"].close()


def signed(wallet: Wallet, target: str, action: str, count: int, first: int) -> list[Any]:
    """Sign messages."""
    tags = [("Recipient", "r" * 43), ("Quantity", "1"), ("Cast", "true")]
    own = [*PROTOCOL, ("Type", "Message"), ("Action", action), *tags]
    items = [
        sign(wallet.signer(), target=target, tags=[*own, ("Number", str(n))], data=b" ")
        for n in range(first, first + count)
    ]
    return [(item.id, item.raw) for item in items]


def bus(url: str, pid: int, page: str, benchmark: str, *, messages: int, rounds: int) -> None:
    """Print what ten pages cost the bus: while they show nothing new, and something all the time.

    Rounds with and without take turns, since others may use the machine.
    """
    wallet = Wallet.derive(bytes(32), "bench", "ed25519")
    scheduler = httpx.get(f"{url}/su").json()["address"]
    own = [("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", scheduler)]
    token = sign(wallet.signer(), tags=[*PROTOCOL, *own], data=b" ")
    httpx.post(f"{url}/mu", content=token.raw).raise_for_status()
    print_head(
        "Bus",
        "messages/s, no page",
        f"{PAGES} pages",
        "ms of processor each, no page",
        f"{PAGES} pages",
        "pages made anew",
    )
    number = 0
    for what, target, action in (
        ("transfers of another token", token.id, "Transfer"),
        ("messages to the Benchmark that the pages show", benchmark, "Get-Pools"),
    ):
        rates: dict[int, list[float]] = {0: [], PAGES: []}
        costs: dict[int, list[float]] = {0: [], PAGES: []}
        asked = 0
        for _ in range(rounds):
            for count, measured in rates.items():
                items = signed(wallet, target, action, messages, number)
                number += messages
                followers = Followers(page, count)
                time.sleep(3)
                cpu, began = cpu_seconds(pid), time.perf_counter()
                asyncio.run(post_all(url, target, items, 32))
                spent = time.perf_counter() - began
                costs[count].append(1000 * (cpu_seconds(pid) - cpu) / messages)
                measured.append(messages / spent)
                asked += followers.asked
                followers.close()
        print_row(
            what,
            *(f"{median(rates[count]):,.0f}" for count in rates),
            *(f"{median(costs[count]):.3f}" for count in costs),
            asked // rounds,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the messages, one round")
    quick = parser.parse_args().quick
    sizes, rounds = ((1_000, 10_000), 1) if quick else ((1_000, 100_000), ROUNDS)
    print(f"{machine()}; a pool of three entries, {QUESTIONS:,} questions each\n")
    with tempfile.TemporaryDirectory() as name:
        homes = {size: make_home(Path(name), size) for size in sizes}
        print_head(
            "Messages", "board made anew, median ms", "board again, median ms", "entry", "all pools"
        )
        for size, (home, pool, benchmark) in homes.items():
            with served(home) as (url, pid):
                page = f"{url}/ui/pools/{pool}"
                model = json.loads(urllib.request.urlopen(f"{page}.json").read())["entries"][0]
                paths = (page, page, f"{page}/entries/{model['model']}", f"{url}/ui/pools")
                figures = []
                for place, path in enumerate(paths):
                    look(path)
                    anew = "" if place == 1 else "?n="
                    times = [look(path + (f"{anew}{n}" if anew else ""))[0] for n in range(LOOKS)]
                    figures.append(f"{1000 * median(times):.1f}")
                print_row(f"{size:,}", *figures)
                if size == sizes[-1]:
                    print()
                    paint(page)
                    print()
                    bus(url, pid, page, benchmark, messages=400 if quick else 3_000, rounds=rounds)


if __name__ == "__main__":
    main()
