"""Completion of values, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchpool import Network
from benchpool.cli import app
from benchpool.client.deployment import deploy
from benchpool.pools.allocation import RULES


def asking(line: str, **environment: str) -> dict[str, str]:
    """Return what bash says in the environment of the command that it asks."""
    return {
        "_BENCHPOOL_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        **environment,
    }


def offered(line: str, **environment: str) -> list[str]:
    """Return what bash is offered at the end of a command line."""
    done = CliRunner().invoke(app, [], env=asking(line, **environment), prog_name="benchpool")
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture
def pool(home: Path) -> str:
    with Network(home, seed=1) as network:
        deploy(network)
        network.new_wallet("alice")
        network.send("WrappedAR", "Mint", {"Quantity": "9", "Recipient": network.resolve("alice")})
        terms = {
            "Recipient": network.resolve("Benchmark"),
            "Quantity": "5",
            "X-Dataset": network.resolve("SiqaDataset"),
            "X-Allocation": "Equal",
            "X-Title": "First",
        }
        sent = network.send("WrappedAR", "Transfer", terms, sender="alice")
        return sent.reply("Pool-Created").tags["Pool"]


def test_what_a_home_has(pool: str, run_json: Any) -> None:
    names = ["WrappedAR", "Benchmark", "LlamaRouter", "LlamaHerder", "SiqaDataset"]
    assert offered("benchpool inspect ") == names
    assert offered("benchpool inspect Llama") == ["LlamaRouter", "LlamaHerder"]
    assert offered("benchpool send --target ") == [*names, "default", "alice"]
    assert offered("benchpool send --from a") == ["alice"]
    assert offered("benchpool pool create --dataset ") == ["SiqaDataset"]
    assert offered("benchpool pool show ") == [pool, "First"]
    assert offered("benchpool audit F") == ["First"]
    message = run_json("log", "WrappedAR")[0]["message"]["Id"]
    assert offered(f"benchpool result {message[:4]}") == [message]
    tags = {tag["name"]: tag["value"] for tag in run_json("inspect", "SiqaDataset")["tags"]}
    assert offered("benchpool data get ") == [tags["DataTxID"]]


def test_what_every_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered("benchpool pool create --allocation ") == list(RULES)
    assert "SiqaDataset" in offered("benchpool spawn Siqa")
    assert offered("benchpool model pull smol") == ["smollm2-135m"]
    monkeypatch.chdir(tmp_path)
    for name in ("one.yaml", "two.txt"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    found = ["one.yaml", "scenario", "strategies", "sub/"]
    assert sorted(offered("benchpool simulate ")) == found
    assert offered("benchpool simulate strategies --rule Eq") == ["Equal"]


def test_the_models_of_this_machine(gguf: Path, run: Any) -> None:
    run("model", "add", str(gguf), "--name", "tiny")
    run("init")
    assert offered("benchpool pool join x --model ") == ["tiny"]
    assert offered("benchpool model remove t") == ["tiny"]


def test_another_home(pool: str, home: Path, tmp_path: Path) -> None:
    nowhere = {"BENCHPOOL_HOME": str(tmp_path / "nowhere")}
    assert offered(f"benchpool log --home {home} Siqa", **nowhere) == ["SiqaDataset"]


def test_a_program_of_its_own_is_asked_as_a_shell_does(pool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchpool"],
        env={**os.environ, **asking("benchpool pool show Fi")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("First\n", "")


@pytest.mark.parametrize("line", ["inspect ", "pool show ", "result abcd", "data get ", "inbox "])
def test_where_there_is_no_home_nothing_is_offered_or_made(home: Path, line: str) -> None:
    assert offered(f"benchpool {line}") == []
    assert not home.exists()


def test_a_damaged_home_is_no_error(home: Path) -> None:
    home.mkdir()
    (home / "benchpool.sqlite").write_text("no database")
    assert offered("benchpool inspect ") == []
