"""The demo's whole story: with a stand-in engine always, with the real models where pulled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from terminal import on_a_terminal

from benchpool import Network
from benchpool.client.demo import GRANTS, Entrant, run_demo
from benchpool.client.deployment import sample_path
from benchpool.errors import PrerequisiteError
from benchpool.evaluation.sample import load_samples
from benchpool.inference.files.catalogue import Catalogue


class Silent:
    def __init__(self) -> None:
        self.days: list[int] = []

    def step(self, text: str) -> None:
        pass

    def board(self, day: int, rows: Sequence[dict[str, Any]]) -> None:
        self.days.append(day)


def entrants(folder: Path) -> list[Entrant]:
    found = []
    for wallet in ("ana", "ben"):
        path = folder / f"{wallet}.gguf"
        path.write_text(wallet)
        found.append(Entrant(wallet, f"model-of-{wallet}", path))
    return found


def test_a_demo_pays_exactly_its_funds_and_conserves_the_supply(
    tmp_path: Path, scripted_engine: Any
):
    samples = load_samples(sample_path())[:12]
    listener = Silent()
    with Network(seed=1, engine_factory=scripted_engine) as network:
        result = run_demo(network, entrants(tmp_path), samples, listener)
    assert result["pool"]["status"] == "paid"
    assert listener.days == [1, 2, 3]
    assert sum(int(row["reward"]) for row in result["leaderboard"]) == int(result["pool"]["funds"])
    assert result["supply_before"] == result["supply_after"] == str(sum(GRANTS.values()))
    assert sum(map(int, result["balances_after"].values())) == sum(GRANTS.values())
    assert [row["evaluated"] for row in result["leaderboard"]] == [12, 12]
    assert [row["correct"] for row in result["leaderboard"]] == [9, 4]
    assert [row["rank_set"] for row in result["leaderboard"]] == [[1, 2], [1, 2]]
    (pair,) = result["indistinct"]
    assert (pair["only"], pair["p"]) == ([5, 0], 2 / 2**5)


def test_the_same_seed_gives_the_same_log_and_another_seed_another(
    tmp_path: Path, scripted_engine: Any
):
    def digest(seed: int) -> str:
        samples = load_samples(sample_path())[:3]
        with Network(seed=seed, engine_factory=scripted_engine) as network:
            run_demo(network, entrants(tmp_path), samples, Silent())
            log = [
                (message.id, message.hash_chain, message.position, str(result))
                for info in network.processes()
                for message, result in network.log(info.id)
            ]
        return sha256(repr(log).encode()).hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


@pytest.mark.parametrize("columns", [60, 120])
def test_every_row_of_every_day_stands_on_a_terminal(
    tmp_path: Path, scripted_engine: Any, monkeypatch: pytest.MonkeyPatch, columns: int
):
    defaults = dict(Network.__init__.__kwdefaults__) | {"engine_factory": scripted_engine}
    monkeypatch.setattr(Network.__init__, "__kwdefaults__", defaults)
    monkeypatch.setattr("benchpool.cli.demo._entrants", lambda: entrants(tmp_path))
    home = str(tmp_path / "home")
    shown = on_a_terminal("demo", "--questions", "6", "--home", home, columns=columns)
    assert "questions to model-of-ana" in shown.raw
    boards = shown.text.split("Leaderboard after day ")[1:]
    assert len(boards) == 3
    for board in boards:
        assert "model-of-ana" in board
        assert "model-of-ben" in board
    assert boards[-1].count("model-of-ana") == 3  # the final one follows, and what it is worth
    said = " ".join(shown.text.split())
    assert "model-of-ana and model-of-ben cannot be told apart" in said
    assert "That one is paid more may be luck." in said
    assert "is within the noise of guessing, 0.3333" in said
    assert "conserved" in shown.text
    assert max(map(len, shown.lines)) <= columns


@pytest.mark.model
@pytest.mark.slow
def test_the_demo_killed_in_the_middle_ends_as_if_it_had_not_been(tmp_path: Path):
    try:
        Catalogue().find("gemma-3-270m")
    except PrerequisiteError as error:
        pytest.skip(str(error))

    def demo(home: str) -> subprocess.Popen[str]:
        words = ("-m", "benchpool", "demo", "--questions", "8", "--json")
        return subprocess.Popen(
            [sys.executable, *words, "--home", str(tmp_path / home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    whole = demo("whole")
    expected = json.loads(whole.communicate()[0])
    for wait_s in (0.8, 1.6, 2.4):
        broken = demo("broken")
        time.sleep(wait_s)
        os.kill(broken.pid, signal.SIGKILL)
        broken.communicate()
    assert json.loads(demo("broken").communicate()[0]) == expected
