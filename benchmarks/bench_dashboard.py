"""Measure the dashboard: its server time by messages, its board's paint, and its cost to the bus.

Needs Chromium and Playwright for the paint; without them that is left out.

python benchmarks/bench_dashboard.py                     # the figures of BENCHMARKS.md
python benchmarks/bench_dashboard.py --parts bus,paint   # some of: time, paint, bus
python benchmarks/bench_dashboard.py --quick             # few messages, one round
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
FEW_QUESTIONS = 70
"""A pool that makes less than the least of `SIZES` messages."""
PAGES = 10
LOOKS = 20
ROUNDS = 5
PARTS = ("time", "paint", "bus")
SIZES = (1_000, 100_000, 1_000_000)


def make_home(folder: Path, questions: int) -> tuple[Path, str, str]:
    """Make a home with a pool that is ranked; return it, the pool and its Benchmark."""
    folder.mkdir()
    samples = [
        Sample(f"Met {n}.", "How?", (f"good {n}", "bad", "so"), n % 3 + 1) for n in range(questions)
    ]
    home = folder / "home"
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
        return home, pool.tags["Pool"], ids.Benchmark


def fill(home: Path, messages: int) -> int:
    """Add Transfers to a home until it has so many messages; return how many it has."""
    tags = {"Recipient": "r" * 43, "Quantity": "1", "Cast": "true"}
    with Network(home, engine_factory=ScriptedEngines()) as network:
        while (left := messages - network.store.count()) > 0:
            for _ in range(min(left, 5_000)):
                network.post("WrappedAR", "Transfer", tags)
            network.run()
            network.advance(1_000)
        return network.store.count()


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


def look(url: str, *, told: bool = False) -> tuple[float, bytes]:
    """Ask for a page, as one that was told that it changed, or not; return seconds and body."""
    began = time.perf_counter()
    headers = {"Accept": "text/html"} | ({"X-Told": "1"} if told else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        body = answer.read()
    return time.perf_counter() - began, body


def show_time(home: Path, pool: str, messages: int, questions: int) -> None:
    """Print how long pages of a home take that are made anew, and the board that is shown again."""
    messages = fill(home, messages)
    with served(home) as (url, _):
        for name, path, query in views_of(url, pool, messages):
            look(path)
            asked = [
                f"{query}&n={n}".lstrip("&") if query is not None else "" for n in range(LOOKS)
            ]
            times = [look(f"{path}?{each}" if each else path)[0] for each in asked]
            print_row(f"{messages:,}", f"{questions:,}", name, f"{1000 * median(times):.1f}")


def views_of(url: str, pool: str, messages: int) -> tuple[tuple[str, str, str | None], ...]:
    """Return pages, each with a name and a query; None shows it again as it was made."""
    page = f"{url}/ui/pools/{pool}"
    model = json.loads(urllib.request.urlopen(f"{page}.json").read())["entries"][0]["model"]
    half = messages // 2
    newest = json.loads(urllib.request.urlopen(f"{url}/ui/messages.json?before={half}").read())
    since = newest["messages"][0]["time"]
    return (
        ("board", page, ""),
        ("board, shown again", page, None),
        ("entry", f"{page}/entries/{model}", ""),
        ("all pools", f"{url}/ui/pools", ""),
        ("messages", f"{url}/ui/messages", ""),
        ("messages, the middle", f"{url}/ui/messages", f"before={half}"),
        ("messages, the oldest", f"{url}/ui/messages", "before=51"),
        ("messages of a process", f"{url}/ui/messages", "process=Benchmark"),
        ("messages of an action", f"{url}/ui/messages", "action=Transfer"),
        ("messages of an action that is rare", f"{url}/ui/messages", "action=Create-Pool"),
        ("messages of a sender", f"{url}/ui/messages", "sender=default"),
        ("messages since a time", f"{url}/ui/messages", f"since={since}&after=1"),
        ("messages until a time", f"{url}/ui/messages", f"until={since}"),
    )


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
        shown = look(page)[1].partition(b'data-version="')[2].partition(b'"')[0].decode()
        self._events = f"{url}/ui/events?of=/ui/{path}&seen={shown}"
        self._streams: list[Any] = []
        self._threads = [threading.Thread(target=self._follow) for _ in range(count)]
        self.asked = 0
        for each in self._threads:
            each.start()

    def _follow(self) -> None:
        with (
            suppress(httpx.HTTPError, OSError, RuntimeError),
            httpx.stream("GET", self._events, timeout=None) as stream,
        ):
            self._streams.append(stream)
            for line in stream.iter_lines():
                if line == "event: changed":
                    look(self._page, told=True)
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
        "pages shown anew",
        "bus with pages",
    )
    number = 0
    for what, target, action in (
        ("transfers of another token", token.id, "Transfer"),
        ("messages to the Benchmark that the pages show", benchmark, "Get-Pools"),
    ):
        rates: dict[int, list[float]] = {0: [], PAGES: []}
        costs: dict[int, list[float]] = {0: [], PAGES: []}
        asked = 0
        for turn in range(rounds):
            for count in (0, PAGES) if turn % 2 else (PAGES, 0):
                items = signed(wallet, target, action, messages, number)
                number += messages
                followers = Followers(page, count)
                time.sleep(3)
                cpu, began = cpu_seconds(pid), time.perf_counter()
                asyncio.run(post_all(url, target, items, 32))
                spent = time.perf_counter() - began
                costs[count].append(1000 * (cpu_seconds(pid) - cpu) / messages)
                rates[count].append(messages / spent)
                asked += followers.asked
                followers.close()
        print_row(
            what,
            *(f"{median(rates[count]):,.0f}" for count in rates),
            *(f"{median(costs[count]):.3f}" for count in costs),
            asked // rounds,
            f"{100 * (median(rates[PAGES]) / median(rates[0]) - 1):+.1f} %",
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, by commas")
    parser.add_argument("--quick", action="store_true", help="few messages, one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the bus's")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    sizes, rounds = ((1_000, 20_000), 1) if given.quick else (SIZES, given.rounds)
    print(f"{machine()}; pools of three entries\n")
    with tempfile.TemporaryDirectory() as name:
        if "time" in parts:
            print_head("Messages", "Questions", "Page", "median ms")
            home, pool, _ = make_home(Path(name) / "few", FEW_QUESTIONS)
            for size in sizes:
                show_time(home, pool, size, FEW_QUESTIONS)
        home, pool, benchmark = make_home(Path(name) / "many", QUESTIONS)
        if "time" in parts:
            show_time(home, pool, sizes[1], QUESTIONS)
            print()
        fill(home, sizes[1])
        with served(home) as (url, pid):
            page = f"{url}/ui/pools/{pool}"
            if "paint" in parts:
                paint(page)
                print()
            if "bus" in parts:
                # A page that took half a second is looked at again after twenty: a round is longer.
                count = 400 if given.quick else 20_000
                bus(url, pid, page, benchmark, messages=count, rounds=rounds)


if __name__ == "__main__":
    main()
