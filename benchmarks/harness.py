"""lm-evaluation-harness on the questions of a data set, in an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from measure import free_port

from benchpool.errors import InferenceError
from benchpool.evaluation.prompts import ClozePrompt, cloze
from benchpool.evaluation.sample import Sample, to_json
from benchpool.evaluation.scorers import score_cloze

TASK = "social_iqa_file"
CONTEXT = 512
LOADING_S = 120.0
EVALUATING_S = 3600.0


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
        port = str(free_port())
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
