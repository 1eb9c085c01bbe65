"""Compare benchpool's log-likelihoods with lm-evaluation-harness on one file; print Markdown.

    python benchmarks/parity_lm_eval.py --lm-eval-python ENV/bin/python
    python benchmarks/parity_lm_eval.py --lm-eval-python ENV/bin/python --gguf-questions 8

ENV is another environment with lm-eval, torch, transformers, gguf and accelerate; for
--gguf-questions also llama-cpp-python[server]. Both sides read the same F32 transcoding of a
pulled model and the same questions, offline. Exits with 1 if they do not agree.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import CONTEXT, Harness, Scores
from llama_cpp import llama_cpp as native
from measure import print_head, print_row

from benchpool.errors import BenchpoolError, InferenceError, ModelFileError
from benchpool.evaluation.metrics import accuracy
from benchpool.evaluation.prompts import cloze
from benchpool.evaluation.sample import Sample, load_samples
from benchpool.evaluation.scorers import score_cloze
from benchpool.inference import ChoicesAnswer, ChoicesRequest
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.isolated import IsolatedEngine

DEV = Path(__file__).resolve().parents[2] / "shared/datasets/siqa/socialiqa-train-dev.zip"
SAMPLE = Path(__file__).resolve().parents[1] / "datasets/siqa-sample.jsonl"
LIMIT_NATS = 0.03


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _no_log(_level: int, _text: bytes, _data: object) -> None:
    """Keep llama.cpp's account of each tensor off the terminal."""


@dataclass(frozen=True)
class Difference:
    """How far two programs are apart on the questions that both answered."""

    nats: list[float]
    """Absolute, one a log-likelihood."""
    predictions: int
    predictions_per_character: int

    @property
    def largest(self) -> float:
        """In nats."""
        return max(self.nats)

    @property
    def mean(self) -> float:
        """In nats."""
        return math.fsum(self.nats) / len(self.nats)


def main() -> int:
    """Compare and print; return the exit code."""
    options = parse_options()
    try:
        with tempfile.TemporaryDirectory(prefix="benchpool-parity-") as name:
            return compare(options, Path(name))
    except BenchpoolError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lm-eval-python", type=Path, required=True, metavar="PATH")
    parser.add_argument("--model", default="smollm2-135m", help="name of a pulled model")
    parser.add_argument("--questions", type=_positive, default=120, metavar="N")
    parser.add_argument(
        "--gguf-questions",
        type=int,
        default=0,
        metavar="N",
        help="also ask the first N with lm-eval's model type gguf (seconds a question)",
    )
    default = Path(os.environ.get("BENCHPOOL_SIQA") or DEV)
    parser.add_argument(
        "--data",
        type=Path,
        default=default if default.exists() else SAMPLE,
        metavar="FILE",
        help="Social IQa as any file that benchpool reads; dev split of an archive",
    )
    options = parser.parse_args()
    # Not resolved: the link in an environment's bin folder is what makes it that environment.
    options.lm_eval_python = Path.cwd() / options.lm_eval_python
    return options


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Run both programs, print the tables, return the exit code."""
    samples = load_samples(options.data)[: options.questions]
    model = folder / "model" / "f32.gguf"
    model.parent.mkdir()
    transcode(Catalogue().find(options.model), model)
    harness = Harness(options.lm_eval_python, folder, samples)
    versions = harness.versions()
    ours, runtime = evaluate(model, samples)
    theirs = harness.hf(model)
    difference = differ(theirs, ours, samples)
    print(f"Model: {options.model}, transcoded to F32. Questions: {len(samples)}.\n")
    print(f"benchpool: {runtime}.\n")
    print(f"lm-eval's environment: {', '.join(f'{k} {v}' for k, v in versions.items())}.\n")
    print_scores([theirs, ours])
    print_differences({f"{theirs.name} and {ours.name}": difference})
    failures = find_failures(theirs, ours, difference)
    for failure in failures:
        print(f"FAILED: {failure}")
    if not failures:
        print(f"Passed: all {len(difference.nats)} log-likelihoods within {LIMIT_NATS} nat.")
    if options.gguf_questions > 0:
        asked = samples[: options.gguf_questions]
        print_gguf(harness.gguf(model, len(asked)), theirs, ours, asked)
    return 1 if failures else 0


def transcode(source: Path, target: Path) -> None:
    """Write a model with all weights in F32, by llama.cpp's quantizer: exact dequantization."""
    parameters = native.llama_model_quantize_default_params()
    parameters.ftype = native.LLAMA_FTYPE_ALL_F32
    parameters.allow_requantize = True
    native.llama_log_set(_no_log, None)
    status = native.llama_model_quantize(
        os.fsencode(source), os.fsencode(target), ctypes.byref(parameters)
    )
    if status != 0:
        raise ModelFileError(f"{source}: llama.cpp cannot make an F32 copy")


def evaluate(model: Path, samples: Sequence[Sample]) -> tuple[Scores, str]:
    """Evaluate with benchpool; say also with what runtime."""
    prompts = [cloze(sample) for sample in samples]
    requests = [ChoicesRequest(prompt.prompt, prompt.continuations) for prompt in prompts]
    with IsolatedEngine(model, threads=1, context_tokens=CONTEXT) as engine:
        start = time.perf_counter()
        answers = engine.answer(requests)
        seconds = time.perf_counter() - start
        runtime = engine.runtime
    nats: list[tuple[float, ...]] = []
    for answer in answers:
        if not isinstance(answer, ChoicesAnswer):
            raise InferenceError(f"benchpool did not answer question {len(nats) + 1}: {answer}")
        nats.append(tuple(one.nats for one in answer.log_likelihoods))
    scores = [score_cloze(one, sample.choices) for one, sample in zip(nats, samples, strict=True)]
    golds = [sample.gold for sample in samples]
    pairs = list(zip(scores, golds, strict=True))
    ours = Scores(
        name="benchpool",
        nats=nats,
        acc=accuracy(sum(one.prediction == gold for one, gold in pairs), len(pairs)) or 0.0,
        acc_norm=accuracy(
            sum(one.prediction_per_character == gold for one, gold in pairs), len(pairs)
        )
        or 0.0,
        seconds=seconds,
    )
    return ours, f"{runtime.build}, precision {runtime.precision}, layout {runtime.layout}"


def differ(one: Scores, other: Scores, samples: Sequence[Sample]) -> Difference:
    """Compare on the questions of the first, which may have answered fewer."""
    nats = [
        abs(left - right)
        for lefts, rights in zip(one.nats, other.nats, strict=False)
        for left, right in zip(lefts, rights, strict=True)
    ]
    pairs = list(zip(one.predictions(samples), other.predictions(samples), strict=False))
    return Difference(
        nats=nats,
        predictions=sum(left[0] != right[0] for left, right in pairs),
        predictions_per_character=sum(left[1] != right[1] for left, right in pairs),
    )


def find_failures(theirs: Scores, ours: Scores, difference: Difference) -> list[str]:
    """Say what keeps two evaluations from being the same."""
    failures = []
    if len(theirs.nats) != len(ours.nats):
        failures.append(f"{len(theirs.nats)} questions against {len(ours.nats)}")
    if not difference.largest < LIMIT_NATS:  # false for NaN as well
        failures.append(f"a log-likelihood is {difference.largest:.4f} nat away")
    if difference.predictions or difference.predictions_per_character:
        failures.append("predictions differ")
    # lm-eval takes the mean in floating point, so equal counts may differ in the last digit.
    for name, their, our in (
        ("acc", theirs.acc, ours.acc),
        ("acc_norm", theirs.acc_norm, ours.acc_norm),
    ):
        if not math.isclose(their, our, rel_tol=1e-12):
            failures.append(f"{name} is {our:.6f}, and {their:.6f} by lm-eval")
    return failures


def print_scores(rows: Sequence[Scores]) -> None:
    """Print accuracies."""
    print_head("program", "questions", "acc", "acc_norm", "seconds")
    for one in rows:
        shares = f"{one.acc:.4f}", f"{one.acc_norm:.4f}"
        print_row(one.name, len(one.nats), *shares, f"{one.seconds:.1f}")
    print()


def print_differences(rows: Mapping[str, Difference]) -> None:
    """Print distances."""
    columns = ("between", "log-likelihoods", "largest, nats", "mean, nats")
    print_head(*columns, "predictions different", "per character")
    for name, row in rows.items():
        distances = f"{row.largest:.4f}", f"{row.mean:.4f}"
        different = row.predictions, row.predictions_per_character
        print_row(name, len(row.nats), *distances, *different)
    print()


def print_gguf(gguf: Scores, hf: Scores, ours: Scores, samples: Sequence[Sample]) -> None:
    """Print how far lm-eval's model type gguf is from the other two."""
    differences = {f"{gguf.name} and {one.name}": differ(gguf, one, samples) for one in (hf, ours)}
    print("\nThe model type `gguf`, same file, first questions:\n")
    print_scores([gguf])
    print_differences(differences)
    zeros = sum(nats == 0.0 for question in gguf.nats for nats in question)
    print(f"Log-likelihoods that are exactly 0 by `gguf`: {zeros}.")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
