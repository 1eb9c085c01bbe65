from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from benchpool.cli import output


def on_a_terminal(*args: str, **environment: str) -> str:
    """Run a command with a pseudo-terminal as its stdout and stderr."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "benchpool", *args],
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    ) as job:
        os.close(follower)
        shown = b""
        try:
            while block := os.read(leader, 65536):
                shown += block
        except OSError:  # Linux says so when the other side has closed
            pass
        job.wait()
    os.close(leader)
    return shown.decode()


@pytest.fixture
def token(run: Any) -> None:
    run("spawn", "WrappedAR", "--name", "token")


def test_people_see_short_ids_and_colour(token: None, run_json: Any) -> None:
    full = run_json("processes")[0]["id"]
    shown = on_a_terminal("processes")
    assert full not in shown
    assert f"{full[:8]}…" in shown
    assert "\x1b[" in on_a_terminal("inspect", "token")


def test_no_color(token: None) -> None:
    assert "\x1b[" not in on_a_terminal("processes", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal("inspect", "token", NO_COLOR="1")
    assert "\x1b[31m" in on_a_terminal("inspect", "nobody")
    assert "\x1b[" not in on_a_terminal("inspect", "nobody", NO_COLOR="1")


def test_json_is_the_same_on_a_terminal(token: None, run: Any) -> None:
    shown = on_a_terminal("processes", "--json").replace("\r\n", "\n")
    assert shown == run("processes", "--json").stdout


def test_a_piped_table_is_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["Name", "Count"], [("a", 5), ("[bold]b", 12)], right=["Count"])
    assert capsys.readouterr().out == "Name     Count\na            5\n[bold]b     12\n"


def test_progress_is_silent_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as report:
        report(1, 2, "half")
    assert capsys.readouterr().err == ""


def test_shorten() -> None:
    assert output.shorten("a\nb", 5) == "a b"
    assert output.shorten("abcdef", 4) == "abc…"
    assert output.clean("a\x00\u202eb") == "a\\x00\\u202eb"
