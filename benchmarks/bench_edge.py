"""A server under attack: its memory, what an honest client waits, and how it ends.

Each attack is made against a server of its own, for some seconds, from this program. Beside it one
honest client sends a message and asks for its result, again and again, by new connections and old
ones in turn. At the end, with the attack still under way, the server gets SIGTERM.

python benchmarks/bench_edge.py [--seconds 6] [--baseline FOLDER] [--only NAME]

--baseline: the folder of another version of benchpool, attacked first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from measure import percentile, print_head, print_row

from benchpool.ao.dataitem import sign
from benchpool.ao.ids import encode_id
from benchpool.ao.signers import Ed25519Signer

ROOT = Path(__file__).parents[1]
PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]
END_S = 60.0
MEMORY_CAP = 4 << 30
"""A server that takes more is stopped, to spare the machine."""


@dataclass
class Target:
    """A server, and whether the attack goes on."""

    host: str
    port: int
    ended: threading.Event = field(default_factory=threading.Event)

    def connect(self) -> socket.socket:
        """Open a connection that does not wait for ever."""
        line = socket.create_connection((self.host, self.port), timeout=5)
        line.settimeout(1)
        return line


Attack = Callable[[Target], None]


def nothing(target: Target) -> None:
    """Leave the server in peace."""
    target.ended.wait()


def headers(target: Target) -> None:
    """Send a head without end, on four connections in turn."""
    pour(target, b"GET / HTTP/1.1\r\n", b"X-More: " + b"x" * 60_000 + b"\r\n", 4)


def pipelined(target: Target) -> None:
    """Send requests without end and take no answer."""
    pour(target, b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2_000, 4)


def pour(target: Target, start: bytes, part: bytes, lines: int) -> None:
    """Send the same on some connections until the end, on new ones when they are closed."""
    opened: list[socket.socket | None] = [None] * lines
    while not target.ended.is_set():
        for place, line in enumerate(opened):
            try:
                if line is None:
                    line = opened[place] = target.connect()  # noqa: PLW2901
                    line.settimeout(0.05)
                    line.sendall(start)
                line.sendall(part)
            except TimeoutError:
                continue
            except OSError:
                opened[place] = None


def bodies(target: Target) -> None:
    """Begin 150 bodies of 10 MiB and do not finish them."""
    head = b"POST /mu HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10485760\r\n\r\n"
    with ExitStack() as stack:
        while not target.ended.is_set():
            for _ in range(150):
                with suppress(OSError):
                    line = stack.enter_context(target.connect())
                    line.sendall(head + b"x" * 10_000_000)
                if target.ended.is_set():
                    return
            target.ended.wait(1)


def idle(target: Target) -> None:
    """Hold 1,100 connections open and say nothing."""
    with ExitStack() as stack:
        for _ in range(1_100):
            with suppress(OSError):
                stack.enter_context(target.connect())
            if target.ended.is_set():
                return
        target.ended.wait()


def unread(target: Target) -> None:
    """Ask for what is large and take nothing of it."""
    part = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    with ExitStack() as stack:
        while not target.ended.is_set():
            with suppress(OSError):
                line = stack.enter_context(target.connect())
                line.settimeout(0.05)
                line.sendall(part)
            target.ended.wait(0.01)


def graphql(query: str, **variables: object) -> Attack:
    """Ask the same of GraphQL without end, eight at a time."""

    def attack(target: Target) -> None:
        url = f"http://{target.host}:{target.port}/graphql"
        asked = {"query": query, "variables": variables}

        def ask() -> None:
            while not target.ended.is_set():
                try:
                    httpx.post(url, json=asked, timeout=2)
                except httpx.HTTPError:
                    target.ended.wait(0.1)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
        for each in threads:
            each.start()
        target.ended.wait()

    return attack


IDS = [encode_id(number.to_bytes(32, "big")) for number in range(1, 20_001)]
BY_IDS = "query($ids: [ID!]) {transactions(ids: $ids) {edges {node {id}}}}"
COUNTS = "{" + " ".join(f"a{number}: transactions {{count}}" for number in range(100)) + "}"
ATTACKS: dict[str, Attack] = {
    "none": nothing,
    "endless headers": headers,
    "pipelined requests": pipelined,
    "unfinished bodies": bodies,
    "1,100 idle connections": idle,
    "answers not taken": unread,
    "1,000 unknown ids": graphql(BY_IDS, ids=IDS[:1_000]),
    "20,000 unknown ids": graphql(BY_IDS, ids=IDS),
    "100 counts": graphql(COUNTS),
}


class Honest:
    """A wallet that sends messages to a token and asks for their results."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._signer = Ed25519Signer(b"h" * 32)
        self._numbers = itertools.count()
        self.seconds: list[float] = []
        self.failures = 0
        with httpx.Client(base_url=url, timeout=30) as http:
            own = [*PROTOCOL, ("Type", "Process"), ("Module", "WrappedAR"), ("Scheduler", "any")]
            item = sign(self._signer, tags=own, data=b" ")
            http.post("/mu", content=item.raw).raise_for_status()
            self.token = item.id

    def fill(self, messages: int) -> None:
        """Send some messages, so that there is something to be looked through."""
        with httpx.Client(base_url=self._url, timeout=30) as http:
            for _ in range(messages):
                http.post("/mu", content=self._item().raw).raise_for_status()

    def _item(self) -> object:
        tags = [("Action", "Info"), *PROTOCOL, ("Type", "Message"), ("N", str(next(self._numbers)))]
        return sign(self._signer, target=self.token, tags=tags, data=b" ")

    def run(self, until: threading.Event) -> None:
        """Send until the end; every other time by a new connection."""
        kept = httpx.Client(base_url=self._url, timeout=10)
        for number in itertools.count():
            if until.is_set():
                return
            http = kept if number % 2 else httpx.Client(base_url=self._url, timeout=10)
            item = self._item()
            began = time.perf_counter()
            try:
                http.post("/mu", content=item.raw).raise_for_status()
                where = f"/cu/result/{item.id}?process-id={self.token}"
                http.get(where).raise_for_status()
            except httpx.HTTPError:
                self.failures += 1
                until.wait(0.05)
            else:
                self.seconds.append(time.perf_counter() - began)
            if http is not kept:
                http.close()


def start(code: Path, home: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a server of the version in a folder; return it with its address."""
    environment = {**os.environ, "PYTHONPATH": str(code), "BENCHPOOL_HOME": str(home)}
    program = subprocess.Popen(
        [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=code,  # which comes before all else on Python's path
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096)),  # noqa: PLW1509
    )
    assert program.stdout is not None
    lines = [program.stdout.readline()]
    while lines[-1] not in ("}\n", ""):
        lines.append(program.stdout.readline())
    return program, json.loads("".join(lines))["gateway"]


def resident(pid: int) -> int:
    """Return how much memory a program has, in bytes; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS")), 0)


@dataclass
class Watch:
    """The most memory that a program had; ends it above the cap."""

    program: subprocess.Popen[str]
    most: int = 0

    def run(self, until: threading.Event) -> None:
        """Look often, until the end."""
        while not until.wait(0.02):
            self.most = max(self.most, resident(self.program.pid))
            if self.most > MEMORY_CAP:
                self.program.kill()
                return


def measure(code: Path, attack: Attack, seconds: float) -> Iterator[str]:
    """Make an attack; give the cells of its row."""
    with tempfile.TemporaryDirectory() as folder:
        program, url = start(code, Path(folder) / "home")
        try:
            honest = Honest(url)
            honest.fill(1_000)
            before = resident(program.pid)
            parts = httpx.URL(url)
            target, watch = Target(parts.host, parts.port or 80), Watch(program)
            over, enough = threading.Event(), threading.Event()
            jobs = [
                threading.Thread(target=attack, args=(target,), daemon=True),
                threading.Thread(target=watch.run, args=(over,), daemon=True),
                threading.Thread(target=honest.run, args=(enough,), daemon=True),
            ]
            for each in jobs:
                each.start()
            time.sleep(seconds)
            alive = program.poll() is None
            enough.set()
            jobs[-1].join(15)
            began = time.perf_counter()
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(END_S)
                ended = f"{time.perf_counter() - began:.1f} s"
            except subprocess.TimeoutExpired:
                ended = f"not in {END_S:.0f} s"
            over.set()
            target.ended.set()
            times = [1000 * each for each in honest.seconds] or [float("inf")]
            yield f"{before / 2**20:.0f}"
            yield f"{watch.most / 2**20:,.0f}"
            yield f"{statistics.median(times):,.0f}"
            yield f"{percentile(times, 99):,.0f}"
            yield f"{len(honest.seconds):,} of {len(honest.seconds) + honest.failures:,}"
            yield ended if alive else "died of it"
        finally:
            program.kill()
            program.wait()


def main() -> None:
    """Print a table for each version."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--only", choices=list(ATTACKS))
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, most))
    print_head(
        "version", "attack", "MiB before", "at most", "p50 ms", "p99 ms", "answered", "SIGTERM"
    )
    for name, attack in ATTACKS.items():
        if options.only in (None, name):
            for version, code in (("baseline", options.baseline), ("this", ROOT)):
                if code is not None:
                    print_row(version, name, *measure(code, attack, options.seconds))


if __name__ == "__main__":
    main()
