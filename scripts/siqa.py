"""Evaluate a model on Social IQa through the SiqaDataset process of a home, and print its score.

    python scripts/siqa.py --model smollm2-135m --questions 30
    python scripts/siqa.py --model my-model.gguf --data socialiqa-train-dev.zip --protocol letters

The processes are spawned if the home has none. `--data` and `--questions` choose the questions of a
new home; a home keeps those it has.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchpool import Network
from benchpool.client.deployment import deploy, sample_path, upload_model
from benchpool.errors import BenchpoolError, HandlerError
from benchpool.evaluation.sample import load_samples, to_json
from benchpool.inference.files.catalogue import Catalogue
from benchpool.store.home import find_home

DATASET = "SiqaDataset"
MAX_TICKS = 1_000


def main() -> int:
    """Evaluate and print; return the exit code."""
    options = parse_options()
    try:
        with Network(find_home(options.home)) as network:
            score = evaluate(network, options)
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(score))
    else:
        print(
            f"{score['name']}, {score['protocol']}: {score['correct']} of {score['evaluated']}"
            f" correct, accuracy {score['score']} +- {score['standard_error']} (standard error),"
            f" {score['total'] - score['evaluated']} not answered"
        )
    return 0


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="the home folder (default: ./.benchpool)")
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    parser.add_argument(
        "--model", default="smollm2-135m", help="a pulled model's name, or a GGUF file"
    )
    parser.add_argument("--protocol", choices=["cloze", "letters"], default="cloze")
    parser.add_argument("--data", type=Path, metavar="FILE", help="default: the sample")
    parser.add_argument("--questions", type=int, metavar="N", help="only the first N questions")
    return parser.parse_args()


def evaluate(network: Network, options: argparse.Namespace) -> dict[str, Any]:
    """Have the data set ask the model every question, by messages, and return its Score."""
    samples = load_samples(options.data or sample_path())[: options.questions]
    if not samples:
        raise HandlerError("no questions are left to ask: --questions must be at least 1")
    deploy(network, samples=to_json(samples).encode())
    path = (
        Path(options.model) if options.model.endswith(".gguf") else Catalogue().find(options.model)
    )
    name = path.stem if options.model.endswith(".gguf") else options.model
    model = network.names().get(name) or upload_model(network, path, name)
    tags = {"Model": model, "Name": name, "Protocol": options.protocol}
    if network.send(DATASET, "Score", tags).reply().action != "Score-Response":
        # It was not asked for before.
        network.send(DATASET, "Benchmark", tags | {"Weights": network.data.put_file(path)}).reply(
            "Benchmark-Response"
        )
    for _ in range(MAX_TICKS):
        # By a message of the owner: to others, and to dry runs, the last Score is told again.
        answer = network.send(DATASET, "Score", tags).reply("Score-Response").tags
        if int(answer["Unevaluated"]) == 0:
            break
        network.advance("1h")
    return {
        "model": model,
        "name": name,
        "protocol": options.protocol,
        "score": float(answer["Score"]),
        "standard_error": float(answer["Standard-Error"]),
        "correct": int(answer["Correct"]),
        "evaluated": int(answer["Evaluated"]),
        "total": int(answer["Total"]),
    }


if __name__ == "__main__":
    sys.exit(main())
