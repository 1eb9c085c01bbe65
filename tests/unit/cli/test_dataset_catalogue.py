from __future__ import annotations

import hashlib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from benchpool.process import registry

TASK = """\
task: animals
output_type: multiple_choice
test_split: test
doc_to_text: "{{q}}"
doc_to_choice: "{{[a, b]}}"
doc_to_target: "{{gold}}"
metric_list:
  - metric: acc
"""


def declare(tmp_path: Path) -> None:
    data = b'{"q": "Which is larger?", "a": "ant", "b": "elk", "gold": 1}\n'
    (tmp_path / "data.jsonl").write_bytes(data)
    (tmp_path / "animals.yaml").write_text(TASK)
    (tmp_path / "catalogue.yaml").write_text(
        "datasets:\n  - name: animals\n    title: Animals\n    licence: MIT\n"
        "    task: animals.yaml\n    files:\n      - name: data.jsonl\n        split: test\n"
        f"        source: {{kind: path, path: '{tmp_path / 'data.jsonl'}'}}\n"
        f"        size_bytes: {len(data)}\n        sha256: {hashlib.sha256(data).hexdigest()}\n"
    )


def test_list_and_pull(run: Any, run_json: Any, tmp_path: Path) -> None:
    declare(tmp_path)
    assert "not pulled" in run("dataset", "list").stdout
    done = run("dataset", "pull", "animals")
    assert "licence: MIT" in done.stderr
    listed = {each["name"]: each for each in run_json("dataset", "list")}
    assert listed["animals"]["pulled"]["questions"] == 1
    assert listed["arc-easy"]["pulled"] is None
    assert run_json("dataset", "check", "animals")["questions"] == 1
    assert "Which is larger?" in run("dataset", "preview", "animals").stdout
    assert "no data set 'none'" in run("dataset", "check", "none", code=3).stderr
    assert run_json("model", "list") == []  # of the same catalogue file
    assert "no data set 'none'" in run("dataset", "pull", "none", code=3).stderr


CREATE = ["pool", "create", "--allocation", "WinnerTakesAll", "--funds", "1", "--dataset"]


@pytest.fixture
def funds(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = EntryPoint("CompiledDataset", "processes.compiled:CompiledDataset", registry.GROUP)
    installed = {**registry._installed(), module.name: module}
    monkeypatch.setattr(registry, "_installed", lambda: installed)
    run("init")
    mint = ["--tag", "Quantity=9000000000000", "--tag", "Recipient=@default"]
    run("send", "--target", "WrappedAR", "--action", "Mint", *mint)


@pytest.mark.usefixtures("funds")
def test_a_pool_for_a_compiled_file_spawns_its_process(
    run: Any, run_json: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, right in (("quiz", "yes"), ("other", "no")):
        (tmp_path / f"{name}.csv").write_text(f"q,a,b,r\nWhy?,yes,no,{right}\nHow?,so,no,no\n")
        columns = ["--question", "q", "--choices", "a", "b", "--answer", "r", "--name", "quiz"]
        run("dataset", "new", f"{name}.csv", *columns, "-o", f"{name}.jsonl")
    first = run_json(*CREATE, "quiz.jsonl")
    again = run_json(*CREATE, str(tmp_path / "quiz.jsonl"), "--protocol", "letters")
    assert first["dataset"] == again["dataset"]
    assert (first["protocol"], again["protocol"]) == ("cloze", "letters")
    sha256 = hashlib.sha256((tmp_path / "quiz.jsonl").read_bytes()).hexdigest()
    assert run_json("data", "hash", "quiz.jsonl") == {"samples": 2, "samples_sha256": sha256}
    run(*CREATE, "quiz.jsonl", "--data", sha256)
    assert "cannot be sealed" in run("data", "seal", "quiz.jsonl", code=1).stderr
    assert run_json("pool", "plan", "--data", "quiz.jsonl")["questions"] == 2
    taken = run(*CREATE, "other.jsonl", code=2).stderr
    assert "quiz is the name of something else here" in " ".join(taken.split())
    assert "is no compiled data set" in run(*CREATE, "quiz.csv", code=1).stderr
    assert "named 'none.jsonl'" in run(*CREATE, "none.jsonl", code=1).stderr
    assert [each["module"] for each in run_json("processes")].count("CompiledDataset") == 1


@pytest.mark.usefixtures("funds")
def test_a_pool_for_what_was_pulled_spawns_its_process(
    run: Any, run_json: Any, tmp_path: Path
) -> None:
    declare(tmp_path)
    assert "benchpool dataset pull animals" in run(*CREATE, "animals", code=3).stderr
    assert "named 'nothing'" in run(*CREATE, "nothing", code=1).stderr
    run("dataset", "pull", "animals")
    first = run_json(*CREATE, "animals")
    again = run_json(*CREATE, "animals")
    assert first["dataset"] == again["dataset"]
    assert [each["module"] for each in run_json("processes")].count("CompiledDataset") == 1


def test_a_source_of_a_model_is_checked_before_it_is_asked(run: Any) -> None:
    assert "no file of a hub" in run("model", "pull", "hf:x", code=2).stderr
    assert "no http or https address" in run("model", "pull", "ftp://x/y", code=2).stderr
    wrong = run("model", "pull", "http://127.0.0.1:9/x.gguf", "--sha256", "ab", code=2).stderr
    assert "64 hexadecimal digits" in " ".join(wrong.split())
    named = run("model", "pull", "smollm2-135m", "--name", "x", code=2).stderr
    assert "--name and --sha256 are for" in " ".join(named.split())
