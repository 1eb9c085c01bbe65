from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """The smallest file that is a GGUF file: a header, one key, one tensor."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    file = tmp_path / "Tiny Model.gguf"
    content = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    content += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    content += text("llama.block_count") + struct.pack("<II", 4, 1)
    content += text("weight") + struct.pack("<IQIQ", 1, 32, 0, 0)
    file.write_bytes(content + b"\0" * (-len(content) % 32) + b"\0" * 128)
    return file


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
