from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def network(run: Any) -> None:
    run("wallet", "new", "alice")


def test_what_is_put_can_be_got(run: Any, run_json: Any, tmp_path: Path) -> None:
    content = b"\x00\xffbytes\r\n"
    file = tmp_path / "file"
    file.write_bytes(content)
    data_id = run("data", "put", str(file)).stdout.strip()
    assert run_json("data", "put", str(file)) == {"id": data_id, "bytes": len(content)}
    assert run("data", "get", data_id).stdout_bytes == content
    out = tmp_path / "out"
    run("data", "get", data_id, "-o", str(out))
    assert out.read_bytes() == content
    assert "cannot be written" in run("data", "get", data_id, "-o", "/no/such", code=2).stderr


def test_what_is_not_there(run: Any, tmp_path: Path) -> None:
    assert "benchpool data put FILE" in run("data", "get", "x" * 42 + "8", code=1).stderr
    assert "not a data id" in run("data", "get", "short", code=1).stderr
    assert "is no file" in run("data", "put", str(tmp_path / "none"), code=2).stderr


def test_changed_data_is_refused(run: Any, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("true")
    data_id = run("data", "put", str(file)).stdout.strip()
    stored = home / "data" / data_id
    stored.chmod(0o600)
    stored.write_text("false")
    assert "was changed" in run("data", "get", data_id, code=1).stderr
