"""Evaluate catalogue data sets beside lm-evaluation-harness, turn by turn; print Markdown.

    python benchmarks/bench_tasks.py --lm-eval ENV/bin/python
    python benchmarks/bench_tasks.py --lm-eval ENV/bin/python --data piqa --questions 200

ENV is another environment with lm-eval, torch, transformers, gguf and accelerate. Both programs
read the same pulled GGUF file into bfloat16 and are asked the same questions, a block each by
turns, so that other work on the machine hurts both alike; loading does not count. Without --lm-eval
only benchpool is measured. `parity_requests.py` shows that lm-eval itself would ask these texts.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from inference_peers import LmEval
from measure import print_head, print_row

from benchpool.client.evaluating.questions import Questions, load_questions
from benchpool.errors import BenchpoolError, InferenceError
from benchpool.inference import ChoicesAnswer, ChoicesRequest
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.machine import usable_cores
from benchpool.tasks.catalogue.shelf import DatasetShelf

DATA = ("arc-easy", "piqa", "boolq")
MODELS = ("smollm2-135m", "gemma-3-270m")
BLOCK = 60
"""Questions that one program answers before it is the other's turn."""


class Compared(NamedTuple):
    """What both said to the same questions."""

    ours: list[bool]
    theirs: list[bool]
    our_s: list[float]
    """Of each block."""
    their_s: list[float]
    furthest_nats: float
    """The largest difference of two log-likelihoods."""


def compare(data: Questions, model: Path, python: Path | None, limit: int) -> Compared:
    """Ask both programs, block by block."""
    count = min(len(data), limit) if limit else len(data)
    requests = [choices_of(data, place) for place in range(count)]
    found = Compared([], [], [], [], 0.0)
    furthest = 0.0
    with ExitStack() as stack:
        pool = stack.enter_context(closing(EnginePool()))
        engine = stack.enter_context(pool.open(model, "bf16"))
        engine.answer(requests[:2])
        peer = None
        if python is not None:
            peer = LmEval(python, "hf", str(model), requests)
            stack.callback(peer.close)
            peer.score(0, 2)
        for first in range(0, count, BLOCK):
            last = min(first + BLOCK, count)
            start = time.perf_counter()
            answers = engine.answer(requests[first:last])
            found.our_s.append(time.perf_counter() - start)
            nats = [nats_of(answer) for answer in answers]
            found.ours.extend(right(data, first, nats))
            if peer is None:
                continue
            start = time.perf_counter()
            theirs = peer.score(first, last)
            found.their_s.append(time.perf_counter() - start)
            found.theirs.extend(right(data, first, theirs))
            furthest = max(
                furthest,
                *(
                    abs(one - other)
                    for mine, yours in zip(nats, theirs, strict=True)
                    for one, other in zip(mine, yours, strict=True)
                ),
            )
    return found._replace(furthest_nats=furthest)


def choices_of(data: Questions, place: int) -> ChoicesRequest:
    """Return a question. Raises: InferenceError for one of another kind."""
    request = data.ask(place).request
    if not isinstance(request, ChoicesRequest):
        raise InferenceError(f"{data.name} is not asked by likelihoods")
    return request


def nats_of(answer: object) -> list[float]:
    """Return the log-likelihoods. Raises: InferenceError if there are none."""
    if not isinstance(answer, ChoicesAnswer):
        raise InferenceError(f"not answered: {answer}")
    return [each.nats for each in answer.log_likelihoods]


def right(data: Questions, first: int, nats: Sequence[Sequence[float]]) -> list[bool]:
    """Tell of each question whether its likeliest choice is right, as metric `acc` does."""
    return [
        1 + max(range(len(each)), key=each.__getitem__) in data.ask(first + place).gold
        for place, each in enumerate(nats)
    ]


def print_compared(name: str, model: str, found: Compared) -> None:
    """Print a row."""
    count = len(found.ours)
    ours = sum(found.ours) / count
    rate = count / sum(found.our_s)
    if not found.theirs:
        print_row(name, model, count, f"{ours:.4f}", "", "", "", f"{rate:.1f}", "", "")
        return
    theirs = sum(found.theirs) / count
    # Paired: the standard error of the mean of the differences, question by question.
    differences = [one - other for one, other in zip(found.ours, found.theirs, strict=True)]
    mean = sum(differences) / count
    error = math.sqrt(sum((each - mean) ** 2 for each in differences) / (count - 1) / count)
    unpaired = math.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / count)
    ratio = median(their / our for our, their in zip(found.our_s, found.their_s, strict=True))
    print_row(
        name,
        model,
        count,
        f"{ours:.4f}",
        f"{theirs:.4f}",
        f"{ours - theirs:+.4f} ({unpaired:.4f}; paired {error:.4f})",
        f"{found.furthest_nats:.2f}",
        f"{rate:.1f}",
        f"{count / sum(found.their_s):.1f}",
        f"{ratio:.1f} x",
    )


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lm-eval", type=Path, metavar="PYTHON", help="lm-eval's interpreter")
    parser.add_argument("--data", action="append", help="a name of the catalogue, pulled before")
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--questions", type=int, default=0, help="of each data set; 0 for all")
    options = parser.parse_args()
    print(f"bfloat16 on {usable_cores()} cores, {BLOCK} questions by turns\n")
    print_head(
        *("data", "model", "questions", "acc", "acc of lm-eval `hf`"),
        *("difference (its standard error)", "furthest nats"),
        *("questions/s", "lm-eval `hf`", "ratio, median of blocks"),
    )
    try:
        for name in options.data or DATA:
            data = load_questions(DatasetShelf().find(name))
            for model in options.model or MODELS:
                path = Catalogue().find(model)
                found = compare(data, path, options.lm_eval, options.questions)
                print_compared(name, model, found)
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
