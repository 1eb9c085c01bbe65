from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchpool.evaluation.compiled import read_compiled
from benchpool.tasks.compiling import Job, compile_task

TASK = """\
task: mine
output_type: multiple_choice
test_split: test
doc_to_text: "Q: {{q}}\\nA:"
doc_to_choice: "{{[a, b]}}"
doc_to_target: gold
"""
ROWS = [{"q": "x?", "a": "yes", "b": "no", "gold": 0}, {"q": "y?", "a": "1", "b": "2", "gold": 1}]


class Workbench:
    """A folder with a task and data, and what comes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes | list[Any]) -> Path:
        path = self.folder / name
        if isinstance(content, list):
            content = "".join(json.dumps(each) + "\n" for each in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def job(self, task: str = TASK, rows: Any = ROWS, name: str = "d.jsonl", **options: Any) -> Job:
        path = self.write("task.yaml", task)
        data = (("", str(self.write(name, rows))), *options.pop("more", ()))
        return Job(task=str(path), data=data, **options)

    def compile(self, *args: Any, **options: Any) -> Any:
        """Compile here, without a child."""
        return compile_task(self.job(*args, **options), lambda _: None)

    def read(self, path: Path) -> Any:
        return read_compiled(path.read_bytes(), path.name)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)
