from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchpool.errors import BenchpoolError
from benchpool.tasks.harness import compile_with_harness
from tests.unit.tasks.conftest import TASK

FAKE = {
    "datasets.py": "disable_progress_bars = disable_caching = lambda: None\n"
    "class Dataset:\n    @staticmethod\n    def from_file(path): return path\n",
    "pyarrow.py": "class Table:\n    schema = None\n    @staticmethod\n"
    "    def from_pylist(rows): return Table()\n"
    "class ipc:\n    @staticmethod\n    def new_stream(path, schema):\n"
    "        import contextlib\n"
    "        return contextlib.nullcontext(type('S', (), {'write_table': lambda *_: None}))\n",
    "lm_eval/__init__.py": "",
    "lm_eval/api/__init__.py": "",
    "lm_eval/tasks/__init__.py": "",
    "lm_eval/tasks/_yaml_loader.py": "def load_yaml(path): return {'doc_to_choice': 1}\n",
    "lm_eval/api/task.py": """
import json
from pathlib import Path
from types import SimpleNamespace as Made
class ConfigurableTask:
    def __init__(self, config):
        self.download()
        self.lines = json.loads(Path(__file__).with_name("said.json").read_text())
        self.eval_docs = range(len(self.lines))
        self.instances = [
            Made(doc_id=n, args=args) for n, line in enumerate(self.lines) for args in line[0]
        ]
    def set_fewshot_seed(self, seed): pass
    def build_all_requests(self, **_): pass
    def doc_to_choice(self, doc): return self.lines[doc][1]
    def doc_to_target(self, doc): return self.lines[doc][2]
    def doc_to_text(self, doc): return self.lines[doc][3]
    @property
    def multiple_input(self): return len(self.lines[0]) > 3
""",
}
"""A stand-in for lm-evaluation-harness, which says what it is told to."""


@pytest.fixture
def says(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = bench.folder / "fake"
    for name, text in FAKE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def says(lines: Any) -> None:
        (folder / "lm_eval/api/said.json").write_text(json.dumps(lines))

    return says


def ask(*prompts: str) -> list[Any]:
    return [[prompt, f" {choice}"] for prompt, choice in zip(prompts, "ab", strict=True)]


def compiled(bench: Any, more: str = "process_docs: !function utils.f\n", **options: Any) -> Any:
    out = bench.folder / "out.jsonl"
    compile_with_harness(bench.job(TASK + more, **options), sys.executable, out)
    return bench.read(out)


def test_a_task_with_code_is_asked_as_the_harness_asks_it(bench: Any, says: Any) -> None:
    says([[ask("P", "P"), ["a", "b"], 1], [ask("Q", "Q"), ["a", "b"], "a"]])
    bench.write("utils.py", "1")
    header, questions = compiled(bench)
    assert [(each.prompt, each.choices, each.gold) for each in questions] == [
        ("P", (" a", " b"), (2,)),
        ("Q", (" a", " b"), (1,)),
    ]
    bench.write("utils.py", "2")
    other, _ = compiled(bench)
    assert other.compiled.task != header.compiled.task  # the code is part of the task


def test_choices_that_stand_in_the_prompt_lead_to_what_is_asked(bench: Any, says: Any) -> None:
    goes_on = [["Shots. a", " fits"], ["Shots. b", " fits"]]
    rewritten = [["so a:", " fits"], ["so b:", " fits"]]
    says([[goes_on, ["a", "b"], "fits", 1], [rewritten, ["a", "b"], "fits", 0]])
    found = compiled(bench).questions
    assert [(each.prompt, each.leads, each.choices, each.gold) for each in found] == [
        ("Shots. ", ("a", "b"), (" fits", " fits"), (2,)),
        ("", ("so a:", "so b:"), (" fits", " fits"), (1,)),
    ]


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        (
            [[ask("P", "Q"), ["a", "b"], 1]] * 2,
            "",
            "each choice has a prompt of its own",
        ),
        ([[ask("P", "P"), ["a", "b"], 1]], "", "leaves out or adds records"),
        ([[ask("P", "P"), ["a", "b"], 1]] * 3, "", "leaves out or adds records"),
        ([[ask("P", "P"), ["a", "b"], 7]] * 2, "", "line 1: the answer 7 is none of the choices"),
        ([[ask("P", "P"), ["a", "c"], 1]] * 2, "", "asks other choices"),
        (None, "", "lm-eval ended: "),
        ([], "process_results: !function utils.g\n", "process_results is code"),
        ([], "metric_list: [{metric: !function utils.g}]\n", "begins with metric: NAME"),
    ],
)
def test_what_cannot_be_followed_is_refused(
    bench: Any, says: Any, lines: Any, more: str, said: str
) -> None:
    if lines is not None:
        says(lines)
    with pytest.raises(BenchpoolError, match=said):
        compiled(bench, more)
    assert not (bench.folder / "out.jsonl").exists()


def test_a_python_that_is_not_there_is_named(bench: Any) -> None:
    with pytest.raises(BenchpoolError, match="nowhere/python cannot be run"):
        compile_with_harness(bench.job(), "nowhere/python", bench.folder / "out.jsonl")
    assert Path(bench.folder / "task.yaml").exists()
