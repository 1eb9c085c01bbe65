from __future__ import annotations

import json
import struct
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from benchpool.cli import app
from benchpool.process import registry

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def tiny_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the tiny modules beside those that are installed."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    installed = registry._installed()
    tiny = {
        name: EntryPoint(name, f"tiny_modules:{name}", registry.GROUP)
        for name in ("Greeter", "Letters")
    }
    monkeypatch.setattr(registry, "_installed", lambda: {**installed, **tiny})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("BENCHPOOL_HOME", str(folder))
    monkeypatch.setenv("BENCHPOOL_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("BENCHPOOL_DEBUG", raising=False)
    return folder


@pytest.fixture
def run() -> Run:
    """Run a command; `exit_code` is checked."""

    def invoke(*args: str, code: int = 0, stdin: str | bytes = "") -> Result:
        result = CliRunner().invoke(app, list(args), input=stdin)
        assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
        return result

    return invoke


@pytest.fixture
def run_json(run: Run) -> Callable[..., Any]:
    """Run a command with --json and read what it prints: JSON and nothing else."""

    def invoke(*args: str, **options: Any) -> Any:
        return json.loads(run(*args, "--json", **options).stdout)

    return invoke


@pytest.fixture
def greeter(run_json: Callable[..., Any]) -> str:
    return str(run_json("spawn", "Greeter", "--name", "greeter")["id"])


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
