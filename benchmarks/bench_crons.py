"""How long an honest client's message takes while many one-second crons tick; print Markdown.

The crons are of many processes, each of which answers its ticks. The home has a past of such ticks,
after which it was killed, so the first message after that is timed too.

python benchmarks/bench_crons.py [--processes 10] [--crons 16] [--lived 600] [--messages 200]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from measure import machine, percentile, print_head, print_row

from benchpool import Network
from benchpool.ao.dataitem import sign
from benchpool.ao.wallet import Wallet

PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]
PATIENCE_S = 60.0
PAUSE_S = 0.05
WARM_UP_S = 5.0


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--crons", type=int, default=16, help="of each process")
    parser.add_argument("--action", default="Info", help="of the ticks; empty: none")
    parser.add_argument("--lived", type=int, default=600, help="seconds of ticks before a kill")
    parser.add_argument("--messages", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchpool-crons-") as folder:
        home = Path(folder) / "home"
        token = prepare(home, given.processes, given.crons, given.action, given.lived)
        print(f"{machine()}, {given.processes} processes with {given.crons} one-second crons\n")
        columns = ("messages", "refused", "p50, ms", "p99, ms")
        print_head("when", *columns, "longest, ms", "ticks/s")
        with serve(home) as url:
            measure(home, url, token, 1, "first after the kill")
            time.sleep(WARM_UP_S)
            measure(home, url, token, given.messages, "running")
        with serve(home) as url:
            measure(home, url, token, 1, "first after a restart")


def prepare(home: Path, processes: int, crons: int, action: str, lived_s: int) -> str:
    """Make a home that ticked for a while and was killed: with a token that the client asks.

    Returns: the token's id.
    """
    named = [("Cron-Tag-Action", action)] if action else []
    ticking = [("Cron-Interval", "1-second"), *named] * crons
    network = Network(home, seed=1, signed=True)
    for _ in range(processes):
        network.spawn("WrappedAR", ticking)
    token = network.spawn("WrappedAR", name="asked")
    network.advance(1_000 * lived_s)
    network.close(abort=True)
    return token


@contextmanager
def serve(home: Path) -> Iterator[str]:
    """Serve the home until it is killed; give its address."""
    command = [sys.executable, "-m", "benchpool", "up", "--port", "0", "--json", "--go-live"]
    with subprocess.Popen(
        [*command, "--home", str(home)], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            lines = [server.stdout.readline()]
            while lines[-1] != "}\n":
                lines.append(server.stdout.readline())
            yield json.loads("".join(lines))["gateway"]
        finally:
            server.kill()


def measure(home: Path, url: str, token: str, messages: int, when: str) -> None:
    """Post messages one by one, ask for the result of each, and print how long both took."""
    signer = Wallet.derive(bytes(32), "bench").signer()
    took: list[float] = []
    refused = 0
    started, before = time.perf_counter(), count_ticks(home)
    with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        for number in range(messages):
            tags = [("Action", "Info"), ("Number", f"{when} {number}"), *PROTOCOL]
            item = sign(signer, target=token, tags=tags, data=b" ")
            start = time.perf_counter()
            try:
                posted = client.post("/mu", content=item.raw)
                result = client.get(f"/cu/result/{item.id}", params={"process-id": token})
            except httpx.TimeoutException:
                refused += 1
                continue
            refused += posted.status_code != 202 or result.status_code != 200
            took.append(1_000 * (time.perf_counter() - start))
            time.sleep(PAUSE_S)
    rate = (count_ticks(home) - before) / (time.perf_counter() - started)
    figures = (f"{percentile(took, share):,.1f}" for share in (50, 99)) if took else ("-", "-")
    print_row(when, messages, refused, *figures, f"{max(took, default=0):,.1f}", f"{rate:,.0f}")


def count_ticks(home: Path) -> int:
    """Count what is committed."""
    with Network(home, read_only=True) as network:
        return network.store.count() // 2  # each is answered


if __name__ == "__main__":
    main()
