"""The beginning of an id does wherever an id or a name does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchpool import Network
from benchpool.ao import ids


@pytest.fixture
def sent(run_json: Any, greeter: str) -> str:
    args = ["send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you"]
    return str(run_json(*args)["id"])


def test_of_a_process(run: Any, run_json: Any, greeter: str) -> None:
    begins = greeter[:4]
    assert run_json("inspect", begins)["id"] == greeter
    assert run_json("inspect", f"{greeter[:8]}…")["id"] == greeter  # as a table shortens it
    assert len(run_json("log", begins)) == 1
    assert run_json("inbox", begins) == []
    greet = ["--target", begins, "--action", "Greet", "--tag", f"Who=@{begins}"]
    assert run_json("dryrun", *greet)["Messages"][0]["Data"] == "hello"
    sent = run_json("send", *greet)
    assert sent["process"] == greeter
    assert {"name": "Who", "value": greeter} in sent["replies"][0]["Tags"]
    assert run_json("replay", begins)["messages"] == 2


def test_of_a_message(run: Any, run_json: Any, greeter: str, sent: str) -> None:
    assert run_json("result", sent[:6], "--process", greeter[:6]) == run_json("result", sent)


def test_of_a_wallet(run: Any, run_json: Any) -> None:
    address = run_json("wallet", "new", "alice")["address"]
    assert run_json("wallet", "address", address[:5])["address"] == address
    owned = run_json("spawn", "Greeter", "--from", address[:5])["id"]
    assert run_json("inspect", owned)["owner"] == address


def test_of_data(run: Any, run_json: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    run("init")
    data_id = run_json("data", "put", str(file))["id"]
    assert run("data", "get", data_id[:4]).stdout == "kept"


def test_three_characters_are_none(run: Any, greeter: str, sent: str) -> None:
    assert "no process or wallet" in run("inspect", "--", greeter[:3], code=1).stderr
    assert "no message with id" in run("result", "--", sent[:3], code=1).stderr


def test_a_beginning_that_several_have_is_too_short(
    run: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Network(home) as network:
        made = [network.new_wallet(f"wallet-{number}").address for number in range(65)]
    firsts = Counter(address[0] for address in made)
    shared, count = firsts.most_common(1)[0]
    monkeypatch.setattr(ids, "MIN_BEGINNING", 1)
    done = run("inbox", shared, code=1)
    assert done.stderr.startswith(
        f"error: {shared!r} is too short: {count} processes and wallets match"
    )
    assert (made[0] in done.stderr) == (count <= 5 and made[0][0] == shared)
