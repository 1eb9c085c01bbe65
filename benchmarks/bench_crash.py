"""Kill real processes at random moments and see that nothing is lost; print Markdown.

python benchmarks/bench_crash.py              # 100 kills and 100,000 messages, about three minutes
python benchmarks/bench_crash.py --quick      # a tenth of the work
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from random import Random

from measure import print_head, print_row

from benchpool import Network
from benchpool.audit.replay import Replayer
from benchpool.units import compute

BENCHPOOL = [sys.executable, "-m", "benchpool"]
SEND = [
    "send",
    "--target",
    "WrappedAR",
    "--action",
    "Transfer",
    "--tag",
    "Recipient=@bob",
    "--tag",
    "Quantity=1",
]
LOOP = """
import sys
from benchpool import Network
with Network(sys.argv[1]) as network:
    bob = network.resolve("bob")
    while True:
        tags = {"Recipient": bob, "Quantity": "1"}
        print(network.send("WrappedAR", "Transfer", tags).id, flush=True)
"""


def main() -> None:
    """Run both measurements and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="benchpool-crash-") as folder:
        _print_kills(Path(folder) / "killed", 10 if quick else 100)
        _print_reopening(Path(folder) / "long", 10_000 if quick else 100_000)


def _print_kills(home: Path, kills: int) -> None:
    with Network(home, seed="crash") as network:
        network.new_wallet("default")
        network.new_wallet("bob")
        network.spawn("WrappedAR", name="WrappedAR")
        network.send("WrappedAR", "Mint", {"Quantity": "1000000000"})
    random = Random("kills")
    acknowledged: dict[str, list[str]] = {"commands": [], "loops": []}
    kills_of = {"commands": 0, "loops": 0}
    for number in range(kills):
        kind = "commands" if number % 2 else "loops"
        killed, ids = _kill_one(home, kind, random)
        acknowledged[kind] += ids
        kills_of[kind] += killed
    print_head("what was killed", "kills", "acknowledged before", "lost")
    with Network(home) as network:
        resumed = network.resumed
        network.run()
        log = network.log("WrappedAR")
        kept = {message.id for message, result in log if result is not None}
        moved = sum(message.action == "Transfer" for message, _ in log)
        lost = {kind: sum(each not in kept for each in ids) for kind, ids in acknowledged.items()}
        held = int(network.process("WrappedAR").state.balances.get(network.resolve("bob"), 0))
        replay = Replayer(network.store, network.data, registry=network.registry).run()
    named = {"commands": "`benchpool send`", "loops": "a program that calls `Network.send`"}
    for kind, ids in acknowledged.items():
        print_row(named[kind], kills_of[kind], f"{len(ids):,}", lost[kind])
    verdict = "verifies" if replay.difference is None else f"differs: {replay.difference}"
    print(
        f"\n{moved:,} transfers are in the log and {held:,} winston moved; {resumed} messages were"
        f" resumed at the end; the replay {verdict}.\n"
    )
    if any(lost.values()) or held != moved or replay.difference is not None:
        raise SystemExit(1)


def _kill_one(home: Path, kind: str, random: Random) -> tuple[bool, list[str]]:
    """Start a process on the home and kill it; return whether it lived until then, and its ids."""
    command = (
        [*BENCHPOOL, *SEND, "--home", str(home), "--json"]
        if kind == "commands"
        else [sys.executable, "-c", LOOP, str(home)]
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            # Most of a command's life is Python's own start; aim at what comes after it.
            child.wait(random.uniform(0.3, 2.0) if kind == "commands" else random.uniform(0.5, 1.5))
            killed = False
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
            killed = True
        out, error = child.communicate()
    text = out.decode()
    if kind == "loops":
        lines = text.split("\n")
        return killed, lines[:-1]  # what follows the last line break is cut off
    if killed:
        return True, []
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {error.decode()}")
    return False, [json.loads(text)["id"]]


def _print_reopening(home: Path, count: int) -> None:
    compute.CHECKPOINT_EVERY = 10**9
    network = Network(home, seed="crash")
    bob = network.new_wallet("bob").address
    network.spawn("WrappedAR", name="WrappedAR")
    network.send("WrappedAR", "Mint", {"Quantity": "1000000000"})
    tags = {"Recipient": bob, "Quantity": "1", "Cast": "true"}
    started = time.perf_counter()
    for number in range(count):
        network.post("WrappedAR", "Transfer", tags)
        if number % 5_000 == 4_999:
            network.run()
    network.run()
    first = time.perf_counter() - started
    before = sha256(network.process("WrappedAR").dump()).hexdigest()
    network.close(abort=True)
    started = time.perf_counter()
    network = Network(home)
    opened = time.perf_counter() - started
    after = sha256(network.process("WrappedAR").dump()).hexdigest()
    folded = time.perf_counter() - started
    network.close()
    started = time.perf_counter()
    with Network(home) as network:
        network.process("WrappedAR")
    again = time.perf_counter() - started
    if before != after:
        raise SystemExit("the state after the crash is another one")
    print_head(f"{count:,} messages since the last checkpoint", "seconds", "messages a second")
    print_row("sent and evaluated, durable", f"{first:.2f}", f"{count / first:,.0f}")
    print_row("opened after the crash", f"{opened:.2f}", "")
    folding = f"{folded:.2f}", f"{count / folded:,.0f}"
    print_row("opened, and the process folded to its last state", *folding)
    print_row("opened after a clean close, from the checkpoint", f"{again:.2f}", "")


if __name__ == "__main__":
    main()
