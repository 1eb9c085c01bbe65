from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

import benchpool
from benchpool.cli import app

COMMAND: Any = get_command(app)
LAZY = ("pydantic", "sqlalchemy", "apscheduler", "benchpool.network", "rich", "llama_cpp", "numpy")


def commands() -> Iterator[tuple[str, ...]]:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), COMMAND)]
    while waiting:
        names, command = waiting.pop()
        yield names
        for name, child in getattr(command, "commands", {}).items():
            waiting.append(((*names, name), child))


@pytest.mark.parametrize("names", sorted(commands()), ids=" ".join)
def test_every_help_says_what_for_and_shows_an_example(run: Any, names: tuple[str, ...]) -> None:
    text = " ".join(run(*names, "--help").stdout.split())
    assert f"Example: benchpool {' '.join(names[:1])}".strip() in text


@pytest.mark.parametrize("names", sorted(commands()), ids=" ".join)
def test_every_option_says_what_for(names: tuple[str, ...]) -> None:
    command = COMMAND
    for name in names:
        command = command.commands[name]
    for option in command.params:
        assert option.name == "help" or getattr(option, "help", None), (names, option.name)


def test_version(run: Any) -> None:
    assert run("--version").stdout == f"benchpool {benchpool.__version__}\n"


def test_help_imports_nothing_slow() -> None:
    program = (
        "import sys; sys.argv = ['benchpool', '--help']\n"
        "from benchpool.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {LAZY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_no_command_shows_help_and_is_misuse(run: Any) -> None:
    assert "Usage: benchpool" in run(code=2).output


def test_a_near_miss_is_suggested(run: Any) -> None:
    assert "'send'" in run("sned", code=2).stderr
