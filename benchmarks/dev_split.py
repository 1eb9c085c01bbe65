"""Run a pool on a split of Social IQa with real models; print how sure its outcome is, as Markdown.

python benchmarks/dev_split.py ARCHIVE [--protocol cloze] [--home FOLDER] [--models A B]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from measure import print_head, print_row

from benchpool import Network
from benchpool.client.deployment import deploy, upload_model
from benchpool.client.pools import PoolClient
from benchpool.client.standing import Field
from benchpool.inference.files.catalogue import Catalogue

MODELS = ("smollm2-135m", "gemma-3-270m")
WAR = 10**12


def run(network: Network, archive: Path, protocol: str, models: list[str]) -> None:
    """Fund a pool, let models join, and wait until it is paid; print the board and the test."""
    funder = network.new_wallet("funder")
    ids = deploy(network, samples=archive.read_bytes())
    network.send(ids.WrappedAR, "Mint", {"Quantity": str(WAR), "Recipient": funder.address})
    client = PoolClient(network)
    terms = {"X-Dataset": ids.SiqaDataset, "X-Allocation": "ArithmeticDecrease"}
    terms |= {"X-Protocol": protocol, "X-Duration": "1d"}
    made = client.create(token=ids.WrappedAR, quantity=WAR, terms=terms, funder=funder)
    pool = made.tags["Pool"]
    for name in models:
        model = upload_model(network, Catalogue().find(name), name, sender=funder)
        client.join(pool, model, owner=funder)
    began = time.perf_counter()
    network.advance("2d")
    seconds = time.perf_counter() - began
    rows = client.leaderboard(pool)
    field = Field(client, client.get(pool), rows)
    print_head("Model", "right", "accuracy", "95 % interval", "ranks", "fate", "paid, wAR")
    for row in field.standings():
        low, high = row["interval"]
        best, worst = row["rank_set"]
        print_row(
            row["name"],
            f"{row['correct']} of {row['n']}",
            f"{row['accuracy']:.4f}",
            f"{low:.4f} to {high:.4f}",
            f"{best} to {worst}" if best != worst else str(best),
            row["fate"],
            f"{int(row['reward']) / WAR:.3f}",
        )
    first, second = (row["model"] for row in rows[:2])
    found = field.compare(first, second)
    low, high = found["interval"]
    print(
        f"\n{protocol}, {found['n']} questions, {seconds:.0f} s: {found['only_first']} only the"
        f" first has right, {found['only_second']} only the second; exact McNemar"
        f" p = {found['p']:.2g}; difference {found['difference']:+.4f} ({low:+.4f} to {high:+.4f});"
        f" {'told apart' if found['told_apart'] else 'cannot be told apart'}"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--protocol", default="cloze")
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    options = parser.parse_args()
    with Network(options.home, seed=1) as network:
        run(network, options.archive, options.protocol, options.models)


if __name__ == "__main__":
    main()
