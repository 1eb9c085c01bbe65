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


def test_the_list_says_what_is_there_and_who_uses_it(
    run: Any, run_json: Any, tmp_path: Path
) -> None:
    assert "benchpool data put FILE" in run("data", "list").stderr
    text, raw = tmp_path / "text", tmp_path / "raw"
    text.write_text('{"context": "Kim left."}\n')
    raw.write_bytes(b"GGUF\xff\x03")
    ids = [run("data", "put", str(each)).stdout.strip() for each in (text, raw)]
    run("spawn", "Greeter", "--name", "reader", "--tag", f"DataTxID={ids[0]}")
    found = {each["id"]: each for each in run_json("data", "list")}
    assert found[ids[0]] == {
        "id": ids[0],
        "bytes": 25,
        "begins": '{"context": "Kim left."}\n',
        "uploads": [],
        "used_by": ["reader"],
    }
    assert (found[ids[1]]["begins"], found[ids[1]]["used_by"]) == ("GGUF.\x03", [])
    shown = run("data", "list").stdout
    assert ids[0] in shown
    assert "GGUF.\\x03" in shown
