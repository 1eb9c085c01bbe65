"""Set up a home for pools: WrappedAR, Benchmark, LlamaRouter, LlamaHerder and SiqaDataset.

    python scripts/spawn.py
    benchpool send --target WrappedAR --action Info

Run again, it keeps what is there and adds what is missing. While `benchpool up` runs on the home,
the server spawns them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchpool.client.deployment import deploy
from benchpool.client.served import open_to_write
from benchpool.errors import BenchpoolError
from benchpool.evaluation.sample import load_samples, to_json
from benchpool.store.home import find_home


def main() -> int:
    """Spawn the processes and print their ids; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="the home folder (default: ./.benchpool)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="questions: JSON Lines, a JSON list, or the official Social IQa archive or folder"
        " (default: the sample that the project ships)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    options = parser.parse_args()
    try:
        samples = None if options.data is None else to_json(load_samples(options.data)).encode()
        with open_to_write(find_home(options.home)) as (network, writer):
            names = deploy(network, writer=writer, samples=samples).names()
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps(names))
    else:
        for name, process in names.items():
            print(f"{name:12} {process}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
