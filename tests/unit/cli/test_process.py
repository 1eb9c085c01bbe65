from __future__ import annotations

from typing import Any

import pytest

CRON = ["--tag", "Cron-Interval=1-hour", "--tag", "Cron-Tag-Action=Tick"]


def test_spawn_prints_the_id_and_the_name(run: Any, run_json: Any) -> None:
    shown = run("spawn", "Greeter", "--name", "one").stdout.split()
    found = run_json("processes")
    assert shown == [found[0]["id"], "one"]
    assert len(run("spawn", "Greeter").stdout.strip()) == 43
    assert run_json("spawn", "Greeter", "--name", "three")["name"] == "three"


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["Greter"], 1, "no module named 'Greter'"),
        (["Greeter", "--name", "1 bad"], 2, "not a usable name"),
        (["Greeter", "--name", "greeter"], 2, "is taken by"),
        (["Greeter", "--tag", "Cron-Interval=soon"], 2, "not a cron interval"),
        (["Greeter", "--tag", "Refuse=1"], 1, "Refuse was given"),
        (["Greeter", "--from", "nobody"], 1, "benchpool wallet new nobody"),
    ],
)
def test_spawn_refuses(run: Any, greeter: str, args: list[str], code: int, text: str) -> None:
    done = run("spawn", *args, code=code)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_modules(run: Any, run_json: Any) -> None:
    row = {"name": "Greeter", "kind": "installed", "purpose": "Greets whoever asks."}
    assert row in run_json("module", "list")
    assert "Greets whoever asks." in run("module", "list").stdout


def test_processes(run: Any, run_json: Any, greeter: str) -> None:
    header, row = run("processes").stdout.splitlines()
    assert header.split() == ["Name", "Module", "Owner", "Spawned", "Id"]
    assert row.split() == ["greeter", "Greeter", "default", "2025-01-01T00:00:00Z", greeter]
    assert run_json("processes")[0]["module"] == "Greeter"


def test_inspect(run: Any, run_json: Any) -> None:
    run("spawn", "Greeter", "--name", "ticker", "--tag", "Colour=red", *CRON)
    shown = run("inspect", "ticker").stdout
    for text in (
        "Colour=red",
        "Greet: Action = Greet",
        "every 1-hour: Action=Tick; next 2025-01-01T01:00:00Z",
        '"greetings": 0',
        "Mood        good",
    ):
        assert text in shown
    facts = run_json("inspect", "ticker")
    assert [row["name"] for row in facts["handlers"]][:2] == ["Greet", "Tick"]
    assert facts["cron"][0]["due"] == 1735693200000
    assert facts["name"] == "ticker"


def test_inspect_wants_a_process(run: Any, greeter: str) -> None:
    assert "is a wallet" in run("inspect", "default", code=1).stderr
    assert "no process or wallet" in run("inspect", "nobody", code=1).stderr


def test_log_pages(run: Any, run_json: Any, greeter: str) -> None:
    for _ in range(3):
        run("send", "--target", "greeter", "--action", "Fan")
    run("send", "--target", "greeter", "--action", "Greet", code=1)
    lines = run("log", "greeter").stdout.splitlines()
    assert lines[1].split()[3] == "Process"
    assert "30 × Leaf" in lines[2]
    assert "✗ Who is required!" in lines[-1]
    page = run("log", "greeter", "--after", "0", "--limit", "2")
    assert page.stderr == "more: --after 2\n"
    assert len(page.stdout.splitlines()) == 3
    entries = run_json("log", "greeter", "--after", "3")
    assert entries[0]["result"]["Error"] == "Who is required!"
    run("log", "greeter", "--limit", "0", code=2)


def test_advance_runs_cron(run: Any, run_json: Any) -> None:
    run("spawn", "Greeter", "--name", "ticker", *CRON)
    assert run_json("advance", "3h") == {
        "ticks": 3,
        "time": 1735700400000,
        "moment": "2025-01-01T03:00:00Z",
    }
    assert run("advance", "30m").stdout.startswith("0 cron ticks; the time is 2025-01-01T03:30")
    assert "(cron)" in run("log", "ticker").stdout
    assert "not a duration" in run("advance", "soon", code=2).stderr
    assert "needs a unit: '5'; write for instance 90s" in run("advance", "5", code=2).stderr


def test_wallets(run: Any, run_json: Any) -> None:
    address, name = run("wallet", "new", "alice").stdout.split()
    assert name == "alice"
    assert run_json("wallet", "list") == [{"name": "alice", "address": address}]
    assert run("wallet", "list").stdout.splitlines()[1].split() == ["alice", address]
    assert "is taken" in run("wallet", "new", "alice", code=2).stderr
    assert "not a usable name" in run("wallet", "new", "a b", code=2).stderr


def test_a_refused_spawn_leaves_nothing_behind(run: Any, run_json: Any, greeter: str) -> None:
    before = run_json("processes")
    run("spawn", "Greeter", "--name", "second", "--tag", "Refuse=1", code=1)
    assert run_json("processes") == before
    assert run_json("spawn", "Greeter", "--name", "second")["name"] == "second"
