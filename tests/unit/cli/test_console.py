"""The console as a command: pipes, single lines, JSON, a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_modules import small_module
from terminal import on_a_terminal, typed

from benchpool import Network
from benchpool.cli import output
from benchpool.cli.console_history import LineHistory, history_file
from benchpool.client.console.lua_probes import MARK
from benchpool.store.home import Home


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def hostile(home: Path) -> str:
    """A process that takes all for code, and answers with what a terminal would obey."""
    text = f"{MARK}\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J\ttab\r\nline \x1b[8Aup"
    said = {"data": text, "prompt": "\x1b[32mbad\x1b[2J\nprompt> " + "x" * 1000}
    with Network(home) as network:
        network.wallet()
        network.add_module(small_module.__wrapped__(said), name="hostile")
        return network.spawn("hostile", name="bad")


def test_lines_from_a_pipe(run: Any, greeter: str) -> None:
    done = run("console", "greeter", stdin="send Greet Who=you\n\nstate greetings\r\nstate")
    lines = done.stdout.splitlines()
    assert lines[0] == "Greet  default → greeter  Who=you"
    assert lines[3:] == ["1", "{", '  "greetings": 1', "}"]
    assert done.stderr == ""


def test_a_pipe_ends_at_the_first_line_that_fails(run: Any, greeter: str) -> None:
    done = run("console", "greeter", stdin="send Greet\nsend Greet Who=you\n", code=1)
    assert done.stderr == "error: greeter refused the message: Who is required!\n"
    assert run("console", "greeter", "--run", "state greetings").stdout == "0\n"


def test_what_follows_the_end_is_not_said(run: Any, greeter: str) -> None:
    done = run("console", "greeter", stdin="exit\nsend Greet Who=you\n")
    assert done.stdout == ""
    assert run("console", "greeter", "--run", "state greetings").stdout == "0\n"


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_pipe_is_fine(run: Any, greeter: str, text: str) -> None:
    assert run("console", "greeter", stdin=text).output == ""


def test_a_pipe_that_is_no_text(run: Any, greeter: str) -> None:
    done = run("console", "greeter", stdin=b"state\n\xff\xfe\n", code=2)
    assert done.stderr == "error: stdin is not UTF-8 text\n"


def test_one_line(run: Any, greeter: str) -> None:
    assert "Greeting" in run("console", "greeter", "--run", "send Greet Who=you").stdout
    done = run("console", "greeter", "--run", "send Greeet", code=1)
    assert "did you mean Greet?" in done.stderr
    assert run("console", "nobody", "--run", "state", code=1).stderr.startswith("error: ")


def test_an_interrupted_message_ends_the_console(run: Any, greeter: str) -> None:
    done = run("console", "greeter", "--run", "send Interrupt", code=130)
    assert "interrupted; the home is as of the last commit" in done.stderr
    shown = typed("console", "greeter", steps=[("greeter>", "send Interrupt\r")])
    assert "interrupted; the home is as of the last commit" in " ".join(shown.lines)
    assert run("console", "greeter", "--run", "state greetings").stdout == "0\n"


def test_json_is_one_value_a_line(run: Any, greeter: str) -> None:
    text = "send Greet Who=you\nstate\nhelp\ninbox\ndryrun Greet Who=me\nfly\n"
    done = run("console", "greeter", "--json", stdin=text, code=1)
    sent, state, told, inbox, would, failed = map(json.loads, done.stdout.splitlines())
    assert sent["tree"]["children"][0]["message"]["Data"] == "hello"
    assert sent["id"] == sent["tree"]["message"]["Id"]
    assert state == {"value": {"greetings": 1}}
    assert "send ACTION" in told["note"]
    assert inbox == {"messages": []}
    assert would["result"]["Messages"][0]["Data"] == "hello"
    assert failed == {"error": "there is no command 'fly': see help"}
    assert done.stderr == ""


def test_the_wallet_that_is_named_speaks(run: Any, greeter: str) -> None:
    run("wallet", "new", "bob")
    assert (
        "bob → greeter"
        in run("console", "greeter", "--from", "bob", "--run", "send Greet Who=you").stdout
    )
    done = run("console", "greeter", "--from", "nobody", code=1)
    assert "benchpool wallet new nobody" in done.stderr


def test_a_process_of_lua_in_a_pipe(run: Any, hostile: str) -> None:
    done = run("console", "bad", "--run", "return 1")
    assert done.stdout == MARK + "red\\x1b]0;title\\x07\\x1b[2J  tab\nline \\x1b[8Aup\n"
    shown = json.loads(run("console", "bad", "--run", "return 1", "--json").stdout)
    assert shown["output"].startswith(f"{MARK}red\x1b]0")
    assert shown["prompt"].startswith("bad\x1b[2J\nprompt")
    assert shown["result"]["Output"]["data"].startswith(MARK)


def test_there_is_no_editor_in_a_pipe(run: Any, hostile: str) -> None:
    done = run("console", "bad", stdin=".pad\n", code=2)
    assert done.stderr == "error: there is no terminal to open an editor on\n"


def test_colours_pass_and_nothing_else_does(hostile: str) -> None:
    shown = on_a_terminal("console", "bad", "--run", "return 1")
    assert f"{MARK}\x1b[31mred\x1b[0m" in shown.raw
    assert "\x1b]0" not in shown.raw
    assert "\x1b[2J" not in shown.raw
    assert "\x1b[8A" not in shown.raw
    plain = on_a_terminal("console", "bad", "--run", "return 1", NO_COLOR="1")
    assert "\x1b[31m" not in plain.raw


def test_a_hostile_prompt_is_one_short_line(hostile: str) -> None:
    shown = typed("console", "bad", steps=[("prompt>", "\x04")])
    assert "bad\\x1b[2J prompt> xxx" in shown.text
    assert shown.text.count("x") < 250


def test_a_conversation_on_a_terminal(greeter: str, state: Path) -> None:
    shown = typed(
        "console",
        "greeter",
        steps=[
            ("greeter>", "send Gr\t"),
            ("Greet", " Who=@def\t"),
            ("default", "\r"),
            ("Greeting", "never sent\x03"),
            ("greeter>", "sta\t"),
            ("state", "greetings\r"),
            ("1", "\x1b[A"),
            ("state greetings", "\r"),
            ("1", "fly\r"),
            ("no command", "\x04"),
        ],
    )
    assert "this console has the home to itself" in " ".join(shown.lines)
    assert "Greet  default → greeter  Who=default" in shown.text
    assert shown.text.count("state greetings") == 2
    assert "error: there is no command 'fly': see help" in shown.text
    (file,) = state.rglob("*.jsonl")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        "send Greet Who=@default",
        "state greetings",
        "fly",
    ]


def test_exit_ends_it_and_the_home_is_free_then(run: Any, greeter: str) -> None:
    typed("console", "greeter", steps=[("greeter>", "send Greet Who=me\r"), ("Greeting", "exit\r")])
    assert run("console", "greeter", "--run", "state greetings").stdout == "1\n"


def test_the_editor_of_the_user_is_opened(hostile: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nprintf "return 1" > "$1"; touch {tmp_path}/edited\n')
    editor.chmod(0o755)
    steps = [("prompt>", ".pad\r"), ("red", "\x04")]
    typed("console", "bad", steps=steps, VISUAL=str(editor))
    assert (tmp_path / "edited").exists()
    steps = [("prompt>", ".pad\r"), ("No such file", "\x04")]
    typed("console", "bad", steps=steps, VISUAL=f"{tmp_path}/none")
    steps = [("prompt>", ".pad\r"), ("exit code 1", "\x04")]
    typed("console", "bad", steps=steps, VISUAL="false")


def test_a_history_is_kept_for_each_home_and_process(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    LineHistory(one, "P").store_string("first\nline é")
    LineHistory(one, "P").store_string("second")
    assert list(LineHistory(one, "P").load_history_strings()) == ["second", "first\nline é"]
    assert list(LineHistory(other, "P").load_history_strings()) == []
    assert list(LineHistory(one, "Q").load_history_strings()) == []
    assert list(LineHistory(None, "P").load_history_strings()) == []


def test_a_history_forgets_what_is_old_and_what_is_damaged(tmp_path: Path) -> None:
    home = Home(tmp_path)
    history = LineHistory(home, "P")
    for number in range(2_500):
        history.store_string(str(number))
    assert next(iter(history.load_history_strings())) == "2499"
    file = history_file(tmp_path, "P")
    assert len(file.read_text().splitlines()) == 1_000
    file.write_text('"good"\n{"bad\n7\n"better"\n"cut o')
    assert list(history.load_history_strings()) == ["better", "good"]
    file.write_bytes(b'"good"\n\xff\n')
    assert list(history.load_history_strings()) == []


def test_a_history_that_cannot_be_kept_keeps_nobody_from_talking(
    tmp_path: Path, state: Path
) -> None:
    state.write_text("in the way")
    history = LineHistory(Home(tmp_path), "P")
    history.store_string("lost")
    assert list(history.load_history_strings()) == []
    state.unlink()
    file = history_file(tmp_path, "P")
    file.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").touch()
    file.symlink_to(tmp_path / "elsewhere")
    history.store_string("lost")
    assert (tmp_path / "elsewhere").read_text() == ""
    assert file.is_symlink()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\r\nc", "a\nb\nc"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[31", "\\x1b[31"),
        ("\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15m", "\\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15m"),
        ("\x1b[2K\x9b2J\x00\x7f", "\\x1b[2K\\x9b2J\\x00\\x7f"),
    ],
)
def test_colours_where_there_are_none(text: str, shown: str) -> None:
    assert output.tinted(text) == shown
