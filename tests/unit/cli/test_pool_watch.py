"""`pool leaderboard --watch`: follows a home that others write to, and leaves quietly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Running
from terminal import typed

from benchpool import Network
from benchpool.ao.clock import WallClock
from benchpool.cli import pool_watch
from benchpool.client.deployment import deploy
from benchpool.evaluation.sample import Sample, to_json
from benchpool.simulation.scripted_engine import ScriptedEngines, choose, write_script

SAMPLES = [Sample(f"Context {n}.", "What?", ("one", "two", "three"), n % 3 + 1) for n in range(30)]


@pytest.fixture(autouse=True)
def deployed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = dict(Network.__init__.__kwdefaults__)
    more = {**defaults, "engine_factory": ScriptedEngines()}
    monkeypatch.setattr(Network.__init__, "__kwdefaults__", more)
    monkeypatch.setattr(pool_watch, "EVERY_S", 0.02)


@pytest.fixture
def clock() -> dict[str, Any]:
    """How the network's time goes: virtually, unless a test says otherwise."""
    return {}


@pytest.fixture
def pool(home: Path, run_json: Any, clock: dict[str, Any]) -> str:
    with Network(home, **clock) as network:
        deploy(network, samples=to_json(SAMPLES).encode())
        alice = network.new_wallet("alice")
        network.send("WrappedAR", "Mint", {"Quantity": "5000000000000", "Recipient": alice.address})
    created = run_json(
        *("pool", "create", "--dataset", "SiqaDataset", "--allocation", "Equal", "--from", "alice"),
        *("--funds", "1.5", "--title", "First"),
    )
    return str(created["id"])


@pytest.fixture
def join(pool: str, run_json: Any, tmp_path: Path) -> Callable[[], None]:
    def join() -> None:
        file = tmp_path / "good.gguf"
        file.write_bytes(write_script("good", SAMPLES, choose(SAMPLES, 27, seed="good")))
        run_json("pool", "join", pool, "--model", str(file), "--from", "alice")

    return join


def between(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """Do a step whenever the watch would sleep, and in the end press Ctrl-C."""
    waiting: Iterator[Callable[[], object]] = iter(steps)

    def sleep(_seconds: float) -> None:
        step = next(waiting, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr(pool_watch, "sleep", sleep)


def nothing() -> None:
    """Time passes."""


def test_a_pipe_gets_each_board_that_differs(
    run: Any, pool: str, join: Callable[[], None], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    def advance() -> None:
        with Network(home) as network:
            network.advance("1d")

    between(monkeypatch, nothing, join, nothing, nothing, advance, nothing)
    done = run("pool", "leaderboard", pool, "--watch", code=130)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.count("First: open") == 3
    assert done.stdout.index("no entries yet") < done.stdout.index("good")
    assert "0.9000" in done.stdout


def test_json_is_one_board_a_line_and_ends_with_the_pool(
    run: Any, run_json: Any, pool: str, join: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    between(monkeypatch, join, lambda: run("advance", "1d"), lambda: run("advance", "31d"))
    done = run("pool", "leaderboard", pool, "--watch", "--json")
    boards = [json.loads(line) for line in done.stdout.splitlines()]
    assert boards[0] == []
    assert [board[0]["evaluated"] for board in boards[1:]] == [0, 30, 30]
    assert boards[-1] == run_json("pool", "leaderboard", pool)
    assert boards[-1][0]["provisional"] is False


@pytest.mark.parametrize("clock", [{"clock": WallClock(), "signed": True}])
def test_a_served_home_is_followed(
    run: Any, pool: str, join: Callable[[], None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(home)
    try:
        between(monkeypatch, join, nothing)
        done = run("pool", "leaderboard", pool, "--watch", code=130)
    finally:
        running.stop()
    assert done.stdout.index("no entries yet") < done.stdout.index("good")


def test_a_terminal_shows_one_board_and_ctrl_c_ends_it(
    pool: str, join: Callable[[], None], run: Any
) -> None:
    def act(does: Callable[[], object]) -> Callable[[], str]:
        def key() -> str:
            does()
            return ""

        return key

    shown = typed(
        *("pool", "leaderboard", pool, "--watch"),
        steps=[
            ("no entries yet", act(join)),
            ("good", act(lambda: run("advance", "1d"))),
            ("guessing scores", "\x03"),
        ],
    )
    assert shown.text.count("First: open") == 1
    assert shown.text.count("good") == 1
    assert "0.9000" in shown.text
    assert "no entries yet" not in shown.text
    assert "interrupted" not in shown.text
    assert "Traceback" not in shown.text
    assert shown.raw.rindex("\x1b[?25h") > shown.raw.rindex("\x1b[?25l")


def test_a_pool_that_is_not_there_is_told(run: Any, pool: str) -> None:
    assert "no pool" in run("pool", "leaderboard", "Nope", "--watch", code=1).stderr
