"""Errors, interruptions and other programs: exit codes and what stderr says."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchpool import Network, errors
from benchpool.ao.clock import GENESIS_MS
from benchpool.cli import _BROKEN_PIPE, _INTERRUPTED
from benchpool.store.home import Home

WORKING = [
    ["inbox"],
    ["result", "x"],
    ["dryrun", "--target", "x"],
    ["processes"],
    ["inspect", "x"],
    ["log", "x"],
    ["wallet", "list"],
    ["data", "get", "x"],
    ["send", "--target", "x"],
    ["advance", "1d"],
    ["data", "put", __file__],
    ["pool", "list"],
    ["pool", "show", "x"],
    ["pool", "leaderboard", "x"],
    ["pool", "join", "x", "--model", "x"],
    ["pool", "create", "--dataset", "x", "--allocation", "Equal", "--funds", "1"],
]
"""What works on a network that is there."""


@pytest.mark.parametrize("command", WORKING, ids=lambda command: " ".join(command[:2]))
def test_a_home_that_is_not_there_is_not_made(run: Any, home: Path, command: list[str]) -> None:
    done = run(*command, code=1)
    assert done.stderr == (
        f"error: {home} holds no network yet; make one with: benchpool init, or name another"
        " folder with --home\n"
    )
    assert not home.exists()


@pytest.mark.parametrize("command", [["init"], ["wallet", "new", "alice"], ["spawn", "Greeter"]])
def test_what_a_network_begins_with_makes_one_and_says_so(
    run: Any, home: Path, command: list[str]
) -> None:
    assert run(*command).stderr == f"a new network begins in {home}\n"
    assert run("wallet", "new", "bob").stderr == ""


def test_a_folder_of_something_else_does_not_become_a_home(run: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    for command in (["wallet", "new", "alice"], ["init"]):
        done = run(*command, "--home", str(tmp_path), code=1)
        assert f"{tmp_path} holds letter.txt and no network; name a new folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_folder_with_limits_alone_becomes_a_home(run: Any, home: Path) -> None:
    home.mkdir()
    (home / "limits.toml").write_text("data_bytes = 100\n")
    run("wallet", "new", "alice")
    assert "alice" in run("wallet", "list").stdout


@pytest.mark.parametrize("command", [WORKING[0], WORKING[3], WORKING[6]], ids=" ".join)
def test_reading_goes_on_while_another_writes(run: Any, greeter: str, command: list[str]) -> None:
    with Network(os.environ["BENCHPOOL_HOME"]):
        run(*command)


def test_a_second_writer_waits_and_is_told_who_writes(
    run: Any, greeter: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Home.lock, "__defaults__", (0.1,))
    with Network(home):
        done = run("send", "--target", "greeter", code=1)
    assert str(os.getpid()) in done.stderr


def test_the_home_option_goes_before_the_environment(
    run: Any, greeter: str, tmp_path: Path
) -> None:
    other = str(tmp_path / "other")
    run("wallet", "new", "alice", "--home", other)
    assert "alice" in run("wallet", "list", "--home", other).stdout
    assert "alice" not in run("wallet", "list").stdout


def test_an_unexpected_failure_is_one_line(
    run: Any, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(Network, "processes", fail)
    done = run("processes", code=1)
    assert done.stderr == (
        "error: ZeroDivisionError: by nothing; run with BENCHPOOL_DEBUG=1 for the traceback\n"
    )
    monkeypatch.setenv("BENCHPOOL_DEBUG", "1")
    assert "Traceback" in run("processes", code=1).stderr


def test_an_interruption_leaves_the_home_as_of_the_last_commit(
    run: Any, run_json: Any, greeter: str
) -> None:
    done = run("send", "--target", "greeter", "--action", "Interrupt", code=130)
    assert done.stderr == (
        "interrupted; the home is as of the last commit; run the same command again to go on\n"
    )
    assert len(run_json("log", "greeter")) == 1
    run("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you")


def test_an_interrupted_look_says_only_that(
    run: Any, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Network, "processes", interrupted)
    assert run("processes", code=130).stderr == "interrupted\n"


def test_an_interrupted_advance_says_how_much_is_left(
    run: Any, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("advance", "1h")

    def interrupted(self: Network, *_: object) -> int:
        self.clock.set(self.clock.now() + 3_600_000)  # type: ignore[attr-defined]
        self.store.commit(self.clock.now())
        raise KeyboardInterrupt

    monkeypatch.setattr(Network, "advance", interrupted)
    done = run("advance", "1d", code=130)
    assert done.stderr == (
        "interrupted; the home is as of the last commit; go on with: benchpool advance 23h\n"
    )


def test_a_message_in_the_log_need_not_be_sent_again(
    run: Any, run_json: Any, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Network) -> None:
        self.store.commit(self.clock.now())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Network, "run", interrupted)
        args = ["send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you"]
        done = run(*args, code=130)
    assert "was accepted, and the next command that writes goes on with it" in done.stderr
    run("advance", "1s")
    assert len(run_json("inbox")) == 1


def test_what_was_pending_is_resumed(run: Any, run_json: Any, greeter: str, home: Path) -> None:
    with Network(home) as network:
        network.post("greeter", "Greet", {"Who": "you"})
        network.store.commit(network.clock.now())
        network.close(abort=True)
        network.close = lambda **_: None  # type: ignore[method-assign]
    done = run("wallet", "new", "alice")
    assert "resuming 1 message of an interrupted run\n" in done.stderr
    assert run_json("inbox")[0]["From-Name"] == "greeter"


def test_a_reader_that_leaves_early_is_no_error(run: Any, home: Path) -> None:
    run("spawn", "WrappedAR", "--name", "token")
    with Network(home) as network:
        for number in range(2000):
            network.post("token", "Info", {"Number": number})
        network.run()
    done = subprocess.run(
        f"{sys.executable} -m benchpool log token --json --limit 2000 | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[\n"
    assert done.stderr == ""


def _now(home: Path) -> int:
    with Network(home, read_only=True) as network:
        return network.clock.now()


def test_ctrl_c_ends_a_real_command(home: Path) -> None:
    """Cron every second for years: it goes on until somebody stops it."""
    command = [sys.executable, "-m", "benchpool"]
    cron = ["--tag", "Cron-Interval=1-second", "--tag", "Cron-Tag-Action=Info"]
    subprocess.run(
        [*command, "spawn", "WrappedAR", "--name", "token", *cron], check=True, capture_output=True
    )
    with subprocess.Popen([*command, "advance", "1000d"], stderr=subprocess.PIPE, text=True) as job:
        until = time.monotonic() + 60
        while _now(home) < GENESIS_MS + 10_000 and time.monotonic() < until:
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=20)
    assert job.returncode == 130
    assert said.startswith("interrupted; the home is as of the last commit")
    assert "benchpool advance 9" in said
    subprocess.run([*command, "inspect", "token"], check=True, capture_output=True)


def test_text_that_the_terminal_cannot_show(run: Any, greeter: str) -> None:
    run("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=ß→")
    done = subprocess.run(
        [sys.executable, "-m", "benchpool", "log", "default"],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Greeting" in done.stdout


def test_the_readme_has_every_exit_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.BenchpoolError)}
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    told = re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)
    assert {int(code) for code in told} == codes | {0, _INTERRUPTED, _BROKEN_PIPE}
