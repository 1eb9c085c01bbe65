"""Tasks with code: an installed lm-evaluation-harness makes their requests, in its own process.

The code of the task is run there as it is, without a sandbox: whoever asks for this trusts it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

import msgspec

from benchpool.errors import ConfigError, DatasetError, PrerequisiteError
from benchpool.evaluation.compiled import ChoicesQuestion, Header, Question, write_compiled
from benchpool.tasks.compiling import Files, Job, collect
from benchpool.tasks.isolation import beside, publish
from benchpool.tasks.records import Record
from benchpool.tasks.requests import CannotScore, finished, led
from benchpool.tasks.task import Task
from benchpool.tasks.task_file import TaskFile

_PROGRAM = """
import json, logging, sys
from pathlib import Path
import datasets
import pyarrow as pa
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

logging.disable(logging.CRITICAL)
datasets.disable_progress_bars()
datasets.disable_caching()
job = json.load(sys.stdin)

def rows(path):
    table = pa.Table.from_pylist([json.loads(line) for line in open(path, encoding="utf-8")])
    with pa.ipc.new_stream(path + ".arrow", table.schema) as stream:
        stream.write_table(table)
    return datasets.Dataset.from_file(path + ".arrow")

class Splits(dict):
    def __missing__(self, name):  # of which no exemplars are taken
        return next(iter(self.values()))

def download(self, *_, **__):
    self.dataset = Splits((name, rows(path)) for name, path in job["splits"].items())

ConfigurableTask.download = download
config = load_yaml(Path(job["task"]))
if job["shots"] is not None:
    config["num_fewshot"] = job["shots"]
task = ConfigurableTask(config=config)
task.set_fewshot_seed(1234)
task.build_all_requests(limit=None, rank=0, world_size=1)
asked = {}
for each in task.instances:
    asked.setdefault(each.doc_id, []).append([x if isinstance(x, str) else "" for x in each.args])
docs = task.eval_docs
with open(job["out"], "w", encoding="utf-8") as out:
    for number in sorted(asked):
        doc = docs[number]
        choices = None if config.get("doc_to_choice") is None else list(task.doc_to_choice(doc))
        target = task.doc_to_target(doc)
        gold = task.doc_to_text(doc) if getattr(task, "multiple_input", 0) else None
        out.write(json.dumps([asked[number], choices, target, gold]) + chr(10))
"""


def compile_with_harness(job: Job, python: str, path: Path) -> Header:
    """Compile a task whose records and prompts are made by its own code.

    Args:
        job: what is compiled.
        python: the interpreter of an environment with lm-evaluation-harness.
        path: the file, replaced if it is there.

    Raises:
        ConfigError: the task scores by code, or says what is not understood.
        DatasetError: the data cannot be read, or the harness refuses the task.
        PrerequisiteError: there is no such interpreter.
    """
    task = Task(TaskFile(Path(job.task)), shots=job.shots, metrics=job.metrics, code=True)
    files = Files.of(task, job)
    with beside(path) as folder:
        splits = {task.split: _lines(folder / "asked", (r.columns for r in files.questions(job)))}
        if task.fewshot.count and task.fewshot.split not in ("", task.split):
            splits[task.fewshot.split] = _lines(folder / "shown", files.exemplars(task))
        made = folder / "requests"
        wanted = {
            "task": str(Path(job.task).resolve()),
            "splits": splits,
            "shots": job.shots,
            "out": str(made),
        }
        _run(python, wanted)
        with made.open("rb") as answers:
            make = _Maker(task, job, answers)
            header, questions = collect(task, job, files, make, code=_sha256(task.file))
            make.end()
        result = folder / "made"
        result.write_bytes(write_compiled(header, questions))
        publish(result, path)
    return header


class _Maker:
    """Makes questions of what the harness wrote, a line a record."""

    def __init__(self, task: Task, job: Job, answers: IO[bytes]) -> None:
        self._task = task
        self._job = job
        self._answers = answers
        self._several: bool | None = None

    def __call__(self, record: Record) -> Question:
        line = self._answers.readline()
        if not line:
            self._differ()
        requests, choices, target, gold = msgspec.json.decode(line)
        if self._several is None:
            self._several = isinstance(target, list)
        prompts = [prompt for prompt, _ in requests]
        if gold is not None:
            above = prompts[0].removesuffix(choices[0])
            leads = [prompt.removeprefix(above) for prompt in prompts]
            if [f"{above}{lead}" for lead in leads] != prompts:
                above, leads = "", prompts
            question = led(self._task, above, leads, target, choices, gold=gold)
        elif len(set(prompts)) != 1:
            raise record.error("each choice has a prompt of its own, which is not understood")
        else:
            question = finished(self._task, prompts[0], target, choices, several=self._several)
        asked = [continuation for _, continuation in requests]
        if isinstance(question, ChoicesQuestion) and list(question.choices) != asked:
            raise CannotScore("the harness asks other choices than the task gives")
        return question

    def end(self) -> None:
        """Check that there was a record for each line."""
        if self._answers.readline():
            self._differ()

    def _differ(self) -> NoReturn:
        raise ConfigError(
            f"{self._job.task}: its code leaves out or adds records, which cannot be followed"
        )


def _lines(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    with path.open("wb") as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
    return str(path)


def _run(python: str, wanted: dict[str, Any]) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - what the user names
            [python, "-c", _PROGRAM],
            input=msgspec.json.encode(wanted),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | offline,
            check=False,
        )
    except OSError as error:
        raise PrerequisiteError(f"{python} cannot be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
        raise DatasetError(f"lm-eval ended: {said[-1][:300]}", path=wanted["task"])


def _sha256(file: TaskFile) -> str:
    """Return the hash of the task's files and of the code beside them."""
    folders = sorted({Path(file.place(key).rpartition(":")[0]).parent for key in file.keys})
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    digests = [file.sha256, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)]
    return hashlib.sha256("".join(f"{each}\n" for each in digests).encode()).hexdigest()
