"""The console with AO's own aos, on a home of one's own and on one that a server runs on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ao_modules import ao_module
from serving import Running, up
from terminal import type_into, typed
from typer.testing import CliRunner

from benchpool import Network
from benchpool.audit.replay import replay_home
from benchpool.cli import app, main
from benchpool.client.console import converse
from benchpool.client.console.answers import Failed
from benchpool.client.served import ServedWriter, open_to_write


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHPOOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Network(tmp_path / "home", seed=1) as network:
        network.new_wallet("alice")
        network.new_wallet("bob")
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos")
        network.spawn("aos", name="Points", sender="alice")
    return tmp_path / "home"


@pytest.fixture
def running(home: Path) -> Iterator[Running]:
    running = Running(home)
    try:
        yield running
    finally:
        running.stop()


def run(*args: str, stdin: str = "", code: int = 0) -> str:
    done = CliRunner().invoke(app, ["console", "Points", "--from", "alice", *args], input=stdin)
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


def test_statements_of_several_lines_come_through_a_pipe(home: Path) -> None:
    lines = "x = 1\nfunction f(a)\n  return a + x\nend\n\nf(41)\n.dryrun f(1)\nreturn {1, 2}\n"
    assert run(stdin=lines) == "42\n2\n{ 1, 2 }\n"
    assert replay_home(home).difference is None  # what was only tried is in no log


def test_what_is_cut_off_fails_as_lua_says(home: Path) -> None:
    assert "'end' expected" in run(stdin="function f()\n  return 1\n", code=1)


def test_errors_point_at_the_line(home: Path, tmp_path: Path) -> None:
    assert run("--run", "error('boom')", code=1).splitlines()[-1].endswith("boom")
    (tmp_path / "main.lua").write_text("local a = 1\nlocal b = a + nil\n")
    failed = run("--run", f".load {tmp_path}/main.lua", code=1)
    assert "    2 | local b = a + nil" in failed


def test_json_has_the_module_s_own_result(home: Path) -> None:
    shown = json.loads(run("--run", "return {a = 1}", "--json"))
    assert shown["output"] == "{\n   a = 1\n}"
    assert shown["prompt"] == "Points@aos-2.0.4[Inbox:1]> "
    assert shown["result"]["Output"]["prompt"].startswith("\x1b[32mPoints")
    assert json.loads(run("--run", ".dryrun 1", "--json"))["id"] is None
    assert "boom" in json.loads(_run_json_failing("error('boom')"))["error"]


def _run_json_failing(code: str) -> str:
    args = ["console", "Points", "--from", "alice", "--run", code, "--json"]
    done = CliRunner().invoke(app, args)
    assert (done.exit_code, done.stderr) == (1, "")
    return done.stdout


def test_a_conversation_on_a_terminal(home: Path) -> None:
    shown = typed(
        "console",
        "Points",
        "--from",
        "alice",
        steps=[
            ("Inbox:1]>", "Handlers.uti\t"),
            ("utils", "._vers\t"),
            ("_version", "\r"),
            ("0.0.", "function g()\r"),
            ("function g()", "return 7\r"),
            ("return 7", "end\r"),
            ("Inbox", "g()\r"),
            ("7", "error('oh')\r"),
            ("error:", ".editor\r"),
            ("write lines", "return 5\r"),
            ("return 5", "+ 6\r"),
            ("+ 6", ".done\r"),
            ("11", ".dryrun\r"),
            ("*Points", "never\x03"),
            ("*Points", ".dryrun\r"),
            ("kept again", "for i = 1, 2 do\r"),
            ("for i", "\r"),  # an empty line insists
            ("'end' expected", "\x04"),
        ],
    )
    assert "\x1b[31m" in shown.raw
    assert "Points@aos-2.0.4[Inbox:1]> g()" in shown.text


def test_a_process_is_talked_to_through_its_server(running: Running) -> None:
    assert run(stdin="function f()\n  return 7\nend\nx = f()\nreturn x\n") == "7\n"
    assert running.network.process("Points") is not None
    with open_to_write(running.network.home.folder) as (network, writer):
        alice = converse(network, writer, "Points", network.wallet("alice"))
        assert alice.served
        assert [each.text for each in alice.complete("Handlers.uti")] == ["utils"]
        running.network.send("Points", "Hello", sender="bob")
        (news,) = alice.news()
        assert "Hello" in news.output.text
        assert "Inbox:\x1b[31m2" in alice.prompt
        (answer,) = alice.say("return #Inbox")
        assert answer.output.text == "2"
        assert alice.news() == []
        (failed,) = alice.say(".advance 1h")
        assert isinstance(failed, Failed)
        assert "wall clock" in failed.failure


def test_what_comes_in_is_shown_while_a_line_is_written(home: Path) -> None:
    def bob_says_hello() -> str:
        arguments = ["send", "--target", "Points", "--action", "Hello", "--from", "bob"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return ""

    with up(home, "--go-live"):
        shown = typed(
            "console",
            "Points",
            "--from",
            "alice",
            steps=[
                ("Inbox:1]>", "1 +"),
                ("1 +", bob_says_hello),
                ("Action = Hello", " 41\r"),
                ("42", ".pause\r"),
                ("not shown", bob_says_hello),
                ("Inbox:3", "'n' .. #Inbox\r"),
                ("n3", "\x04"),
            ],
        )
    assert "this console has the home to itself" not in shown.text
    lines = [line.rstrip() for line in shown.lines]
    assert lines[1] == "Hello  bob → Points"
    assert lines[2].startswith("New Message From ")
    assert lines[3:5] == ["Points@aos-2.0.4[Inbox:2]> 1 + 41", "42"]
    assert shown.text.count("New Message") == 1


def test_who_need_not_wait_goes_on(home: Path) -> None:
    def impatient() -> None:
        wait = ServedWriter.run

        def interrupted(writer: ServedWriter) -> None:
            ServedWriter.run = wait  # type: ignore[method-assign]
            raise KeyboardInterrupt

        ServedWriter.run = interrupted  # type: ignore[method-assign]
        sys.argv = ["benchpool", "console", "Points", "--from", "alice"]
        main()

    with up(home, "--go-live"):
        steps = [("Inbox:1]>", "x = 5\r"), ("server goes on", "x\r"), ("5", "\x04")]
        type_into(impatient, steps)
