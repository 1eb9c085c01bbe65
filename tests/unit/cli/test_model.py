from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchpool.errors import PrerequisiteError
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine import Runtime
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.files.folders import default_cache
from benchpool.inference.runs import Run

MODELS = default_cache()
"""Of this user; the tests of commands have a folder of their own."""


def test_add_list_remove(run: Any, run_json: Any, gguf: Path, tmp_path: Path) -> None:
    assert "no models yet" in run("model", "list").stderr
    assert run("model", "add", str(gguf)).stdout.split()[0] == "tiny-model"
    assert run_json("model", "add", str(gguf), "--name", "other")["architecture"] == "llama"
    assert [model["name"] for model in run_json("model", "list")] == ["other", "tiny-model"]
    assert "tiny-model" in run("model", "list").stdout
    run("model", "remove", "other")
    assert [model["name"] for model in run_json("model", "list")] == ["tiny-model"]
    assert run("model", "remove", "other", code=3).stderr.startswith("error: no model 'other'")


def test_what_is_no_model_is_refused(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "text.gguf"
    file.write_text("this is no model at all")
    assert "GGUF" in run("model", "add", str(file), code=1).stderr
    assert "is no file" in run("model", "add", str(tmp_path / "none.gguf"), code=2).stderr


def test_catalogue(run: Any, run_json: Any) -> None:
    assert "smollm2-135m" in run("model", "catalogue").stdout
    assert {"name", "licence", "sha256"} <= set(run_json("model", "catalogue")[0])


def test_pull_shows_the_licence_and_says_what_is_missing(
    run: Any, tmp_path: Path, gguf: Path
) -> None:
    import hashlib

    content = gguf.read_bytes()
    (tmp_path / "catalogue.yaml").write_text(
        "models:\n"
        "  - name: mine\n    title: Mine\n    licence: MIT\n"
        f"    source: {{kind: path, path: '{gguf}'}}\n"
        f"    size_bytes: {len(content)}\n"
        f"    sha256: {hashlib.sha256(content).hexdigest()}\n"
    )
    done = run("model", "pull", "mine")
    assert "licence: MIT" in done.stderr
    assert done.stdout.split()[0] == "mine"
    assert "no model 'nothing'" in run("model", "pull", "nothing", code=3).stderr


def test_stats_tell_how_fast_models_answered(run: Any, run_json: Any, home: Path) -> None:
    assert "no model was asked" in run("model", "stats").stderr
    assert run_json("model", "stats") == []
    runtime = Runtime("llama.cpp 1", "AVX512", "bf16", "canonical-2")
    cache = AnswerCache(home / "answers")
    cache.note(
        Run(
            model="ab" * 32,
            name="tiny",
            runtime=runtime,
            quantization="Q4_1",
            chat_template_sha256=None,
            requests=30,
            answered=20,
            cached=10,
            unanswered=1,
            tokens=900,
            rows=200,
            milliseconds=3000.0,
            started=1000,
            ended=3000,
        )
    )
    cache.close()
    (found,) = run_json("model", "stats")
    assert (found["tokens_per_second"], found["questions_per_second"]) == (300.0, 10.0)
    assert (found["cached"], found["runtime"]["precision"]) == (10, "bf16")
    shown = run("model", "stats", "abab")
    assert "Q4_1" in shown.stdout
    assert "AVX512" in shown.stderr
    assert run_json("model", "stats", "other") == []


def test_check_says_what_is_wrong_with_a_file(run: Any, gguf: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("this is no model at all")
    assert "GGUF" in run("model", "check", str(text), code=1).stderr
    assert run("model", "check", str(tmp_path / "none.gguf"), code=1).stderr.startswith("error:")
    assert "llama.cpp refused" in run("model", "check", str(gguf), code=1).stderr


def test_check_tries_every_file_of_a_folder(run: Any, gguf: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "without a .gguf file" in run("model", "check", str(folder), code=2).stderr
    (folder / "a.gguf").write_text("this is no model at all")
    (folder / "b.GGUF").write_bytes(gguf.read_bytes())
    (folder / "notes.txt").write_text("not tried")
    done = run("model", "check", str(folder), code=1)
    assert done.stdout.count("Error  ") == 2
    assert done.stderr == "error: 2 of 2 files cannot be used\n"
    tried = json.loads(run("model", "check", str(folder), "--json", code=1).stdout)
    assert [Path(each["file"]).name for each in tried] == ["a.gguf", "b.GGUF"]
    assert "GGUF" in tried[0]["error"]


@pytest.mark.model
@pytest.mark.slow
def test_check_tells_what_a_model_is_and_which_precision_is_faster(run_json: Any) -> None:
    try:
        path = Catalogue(MODELS).find("smollm2-135m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    found = run_json("model", "check", str(path))
    assert (found["quantization"], len(found["chat_template_sha256"])) == ("Q4_1", 64)
    assert found["faster"] in ("stored", "bf16")
    assert min(found["tokens_per_second"].values()) > 0
