from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TASK = """\
output_type: multiple_choice
fewshot_split: train
doc_to_text: "{{q}}\\nA:"
doc_to_choice: "{{[a, b]}}"
doc_to_target: r
"""
ROWS = "q,a,b,r\nx,yes,no,0\n y,1,2,1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(TASK)
    (tmp_path / "d.csv").write_text(ROWS)
    (tmp_path / "e.csv").write_text(ROWS)
    return tmp_path


def test_a_task_is_compiled_checked_and_shown(run: Any, run_json: Any, folder: Path) -> None:
    said = run("dataset", "compile", "mine.yaml", "--data", "d.csv").stdout
    assert said.startswith("✓ mine.jsonl: 2 questions of mine\n  SHA-256 ")
    found = run_json("dataset", "check", "mine.jsonl")
    assert (found["questions"], found["chance"], found["choices"]) == (2, 0.5, [2, 2])
    assert found["sha256"] in said
    assert "2, choices" in run("dataset", "check", "mine.jsonl").stdout
    assert run("dataset", "preview", "mine.jsonl", "-n", "1", "--from", "2").stdout == (
        "Question 2 of 2\n  ·y⏎\n  A:\n    1. ·1\n  ✓ 2. ·2\n"
    )
    shown = run_json("dataset", "preview", "mine.jsonl")
    assert [each["gold"] for each in shown] == [[1], [2]]


def test_several_files_and_splits(run_json: Any) -> None:
    made = run_json("dataset", "compile", "mine.yaml", "--data", "d.csv", "e.csv", "-o", "o.jsonl")
    assert (made["file"], made["count"]) == ("o.jsonl", 4)
    options = ("--data", "train=e.csv", "--shots", "1", "--limit", "1", "-o", "p.jsonl")
    made = run_json("dataset", "compile", "mine.yaml", "--data", "d.csv", *options)
    assert [each["file"] for each in made["compiled"]["data"]] == ["d.csv", "e.csv"]


def test_a_file_is_not_replaced_unasked(run: Any, folder: Path) -> None:
    (folder / "mine.jsonl").write_text("old")
    arguments = ("dataset", "compile", "mine.yaml", "--data", "d.csv")
    assert "is there already" in run(*arguments, code=2).stderr
    assert (folder / "mine.jsonl").read_text() == "old"
    run(*arguments, "--force")
    assert (folder / "mine.jsonl").read_text() != "old"


def test_a_table_becomes_a_data_set(run: Any, run_json: Any, folder: Path) -> None:
    made = run_json(
        *("dataset", "new", "d.csv", "--question", "q", "--choices", "a", "b", "--answer", "r"),
        *("--answers", "number-from-0", "--title", "T", "--license", "CC0", "--source", "me"),
    )
    assert (made["name"], made["title"], made["license"], made["source"]) == ("d", "T", "CC0", "me")
    run("dataset", "new", "d.csv", "--question", "q", "--answer", "a", "-o", "text.jsonl")
    assert run("dataset", "preview", "text.jsonl", "-n", "1").stdout == (
        "Question 1 of 2\n  Question: x⏎\n  Answer:\n  ✓ yes\n  until ⏎, at most 64 tokens\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("compile", "none.yaml", "--data", "d.csv"), 2, "none.yaml is no file"),
        (("compile", "mine.yaml"), 2, "give the data that is asked"),
        (("compile", "mine.yaml", "--data", "none.csv"), 1, "none.csv: is no file"),
        (("compile", "mine.yaml", "--data", "dev=d.csv"), 2, "not 'dev'"),
        (("compile", "d.csv", "--data", "d.csv"), 2, "d.csv: a task is a mapping"),
        (("new", "d.csv", "--question", "nope", "--answer", "a"), 1, "column 'nope'"),
        (("new", "d.csv", "b", "--question", "q", "--answer", "a"), 2, "b stands alone"),
        (("new", "d.csv", "--question", "q", "--answer", "a", "--answers", "x"), 2, "--answers is"),
        (
            ("new", "d.csv", "--question", "q", "--answer", "a", "-o", "d.csv", "--force"),
            2,
            "d.csv is what is read",
        ),
        (("check", "d.csv"), 1, "d.csv, line 1: is no header"),
        (("check", "none.jsonl"), 1, "none.jsonl: cannot be read"),
        (("preview", "."), 1, ".: is no file"),
    ],
)
def test_what_fails_is_one_line_and_leaves_nothing(
    run: Any, folder: Path, arguments: Any, code: int, said: str
) -> None:
    stderr = run("dataset", *arguments, code=code).stderr
    assert said in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert sorted(path.name for path in folder.iterdir()) == ["d.csv", "e.csv", "mine.yaml"]


def test_a_preview_beyond_the_end_and_escapes(run: Any, folder: Path) -> None:
    (folder / "esc.csv").write_text("q,r\n\x1b[31mred,ok\n")
    run("dataset", "new", "esc.csv", "--question", "q", "--answer", "r")
    assert "\x1b" not in run("dataset", "preview", "esc.jsonl").stdout
    assert "has 1 question" in run("dataset", "preview", "esc.jsonl", "--from", "2", code=2).stderr
