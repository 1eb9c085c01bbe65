"""Compare benchpool's log-likelihoods with lm-evaluation-harness on one file; print Markdown.

    python benchmarks/parity_lm_eval.py --lm-eval-python ENV/bin/python
    python benchmarks/parity_lm_eval.py --lm-eval-python ENV/bin/python --gguf-questions 8

ENV is another environment with lm-eval, torch, transformers, gguf and accelerate; for
--gguf-questions also llama-cpp-python[server]. Both sides read the same F32 transcoding of a
pulled model and the same questions, offline. Exits with 1 if they do not agree.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from llama_cpp import llama_cpp as native

from benchpool.errors import BenchpoolError, InferenceError, ModelFileError
from benchpool.evaluation.metrics import accuracy
from benchpool.evaluation.prompts import ClozePrompt, cloze
from benchpool.evaluation.sample import Sample, load_samples, to_json
from benchpool.evaluation.scorers import score_cloze
from benchpool.inference import ChoicesAnswer, ChoicesRequest
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.isolated import IsolatedEngine

DEV = Path(__file__).resolve().parents[2] / "shared/datasets/siqa/socialiqa-train-dev.zip"
SAMPLE = Path(__file__).resolve().parents[1] / "datasets/siqa-sample.jsonl"
TASK = "social_iqa_file"
LIMIT_NATS = 0.03
CONTEXT = 512
LOADING_S = 120.0
EVALUATING_S = 3600.0


@native.llama_log_callback  # type: ignore[untyped-decorator]
def _no_log(_level: int, _text: bytes, _data: object) -> None:
    """Keep llama.cpp's account of each tensor off the terminal."""


@dataclass(frozen=True)
class Scores:
    """What one program says about the questions; [n_questions][n_choices] log-likelihoods."""

    name: str
    nats: list[tuple[float, ...]]
    acc: float
    acc_norm: float
    seconds: float
    """Of the whole run for lm-eval, with its imports and loading; of answering for benchpool."""

    def predictions(self, samples: Sequence[Sample]) -> list[tuple[int, int]]:
        """Best choice and best choice per character of each question."""
        scores = [
            score_cloze(nats, sample.choices)
            for nats, sample in zip(self.nats, samples, strict=False)
        ]
        return [(one.prediction, one.prediction_per_character) for one in scores]


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


class Harness:
    """lm-evaluation-harness in its own environment."""

    def __init__(self, python: Path, folder: Path, samples: Sequence[Sample]) -> None:
        self._python = python
        self._folder = folder
        self._samples = samples
        self._tasks = folder / "tasks"
        self._tasks.mkdir()
        data = folder / "questions.json"
        data.write_text(to_json(samples), encoding="utf-8")
        text = yaml.safe_dump(task(data), sort_keys=False)
        (self._tasks / f"{TASK}.yaml").write_text(text, encoding="utf-8")
        self._environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HOME": str(folder / "hf"),
            "TOKENIZERS_PARALLELISM": "false",
        }
        self._environment.pop("PYTHONPATH", None)

    def versions(self) -> dict[str, str]:
        """Versions of what takes part, without what is not installed."""
        code = (
            "import importlib.metadata as m, json\n"
            "found = {}\n"
            "for name in ('lm-eval', 'torch', 'transformers', 'gguf', 'llama-cpp-python'):\n"
            "    try: found[name] = m.version(name)\n"
            "    except m.PackageNotFoundError: pass\n"
            "print(json.dumps(found))\n"
        )
        return dict(json.loads(self._run(["-c", code], "versions", LOADING_S)))

    def hf(self, model: Path) -> Scores:
        """Evaluate with the model type ``hf``: transformers reads the GGUF file into float32."""
        arguments = f"pretrained={model.parent},gguf_file={model.name},dtype=float32"
        options = ["--device", "cpu", "--batch_size", "1"]
        return self._evaluate("hf", arguments, options)

    def gguf(self, model: Path, questions: int) -> Scores:
        """Evaluate with the model type ``gguf``, on a server of llama-cpp-python."""
        with self._serve(model) as url:
            return self._evaluate("gguf", f"base_url={url}", ["--limit", str(questions)])

    def _evaluate(self, model_type: str, arguments: str, options: Sequence[str]) -> Scores:
        out = self._folder / f"out-{model_type}"
        command = ["-m", "lm_eval", "--model", model_type, "--model_args", arguments]
        command += ["--tasks", TASK, "--include_path", str(self._tasks), "--log_samples"]
        command += ["--output_path", str(out), *options]
        start = time.perf_counter()
        self._run(command, model_type, EVALUATING_S)
        seconds = time.perf_counter() - start
        total = json.loads(_only(out, "results_*.json").read_text(encoding="utf-8"))
        lines = _only(out, f"samples_{TASK}_*.jsonl").read_text(encoding="utf-8").split("\n")
        records = sorted((json.loads(line) for line in lines if line), key=lambda r: r["doc_id"])
        for record, sample in zip(records, self._samples, strict=False):
            _check_text(record, cloze(sample))
        return Scores(
            name=f"lm-eval `{model_type}`",
            nats=[tuple(float(resps[0][0]) for resps in record["resps"]) for record in records],
            acc=total["results"][TASK]["acc,none"],
            acc_norm=total["results"][TASK]["acc_norm,none"],
            seconds=seconds,
        )

    def _run(self, arguments: Sequence[str], name: str, timeout_s: float) -> str:
        # The working folder is the temporary one: nothing there can stand in for a package.
        try:
            done = subprocess.run(
                [self._python, *arguments],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except OSError as error:
            raise InferenceError(f"{self._python}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise InferenceError(f"lm-eval {name}: no end within {timeout_s:g} s") from error
        if done.returncode != 0:
            said = "\n  ".join(done.stderr.strip().splitlines()[-15:])
            raise InferenceError(f"lm-eval {name} failed:\n  {said}")
        return done.stdout

    @contextlib.contextmanager
    def _serve(self, model: Path) -> Iterator[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        command = [str(self._python), "-m", "llama_cpp.server", "--model", str(model)]
        command += ["--host", "127.0.0.1", "--port", port, "--n_ctx", str(CONTEXT)]
        command += ["--logits_all", "true"]
        log = self._folder / "server.log"
        with log.open("wb") as said:
            server = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=said, stderr=said
            )
        try:
            _wait_for(f"http://127.0.0.1:{port}/v1/models", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()


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


def task(data: Path) -> dict[str, object]:
    """lm-eval's ``social_iqa``, reading a local file, with acc_norm beside acc."""
    metrics = [
        {"metric": metric, "aggregation": "mean", "higher_is_better": True}
        for metric in ("acc", "acc_norm")
    ]
    return {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"validation": str(data)}},
        "output_type": "multiple_choice",
        "validation_split": "validation",
        "doc_to_text": "Q: {{context}} {{question}}\nA:",
        "target_delimiter": " ",
        "doc_to_choice": "{{[answerA, answerB, answerC]}}",
        "doc_to_target": "{{ (label|int) - 1 }}",
        "metric_list": metrics,
        "metadata": {"version": 0.0},
    }


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
    print("| program | questions | acc | acc_norm | seconds |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row.name} | {len(row.nats)} | {row.acc:.4f} | {row.acc_norm:.4f} "
            f"| {row.seconds:.1f} |"
        )
    print()


def print_differences(rows: Mapping[str, Difference]) -> None:
    """Print distances."""
    print(
        "| between | log-likelihoods | largest, nats | mean, nats | predictions different ", end=""
    )
    print("| per character |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {len(row.nats)} | {row.largest:.4f} | {row.mean:.4f} "
            f"| {row.predictions} | {row.predictions_per_character} |"
        )
    print()


def print_gguf(gguf: Scores, hf: Scores, ours: Scores, samples: Sequence[Sample]) -> None:
    """Print how far lm-eval's model type gguf is from the other two."""
    differences = {f"{gguf.name} and {one.name}": differ(gguf, one, samples) for one in (hf, ours)}
    print("\nThe model type `gguf`, same file, first questions:\n")
    print_scores([gguf])
    print_differences(differences)
    zeros = sum(nats == 0.0 for question in gguf.nats for nats in question)
    print(f"Log-likelihoods that are exactly 0 by `gguf`: {zeros}.")


def _check_text(record: Mapping[str, object], prompt: ClozePrompt) -> None:
    # Sum and length can agree by chance; what was asked must be the same text.
    arguments = record["arguments"]
    assert isinstance(arguments, dict)
    asked = tuple((one["arg_0"], one["arg_1"]) for one in arguments.values())
    if asked != tuple((prompt.prompt, one) for one in prompt.continuations):
        raise InferenceError(f"lm-eval asked {asked} where benchpool asks {prompt}")


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.rglob(pattern))
    if len(found) != 1:
        raise InferenceError(f"lm-eval wrote {len(found)} files {pattern}, not one")
    return found[0]


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LOADING_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.5)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-10:]
    raise InferenceError("the server did not start:\n  " + "\n  ".join(said))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
