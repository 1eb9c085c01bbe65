"""Every scenario file in this folder holds, and would not if its numbers were others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchpool import Network
from benchpool.cli import app

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_scenario_holds(file: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", str(file)])
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert "✗" not in done.stdout


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=() if file.stem == "worker-dies" else pytest.mark.slow)
        for file in FILES
    ],
    ids=lambda file: file.stem,
)
def test_two_runs_give_the_same(file: Path, tmp_path: Path) -> None:
    logs = []
    for number in range(2):
        home = tmp_path / f"home{number}"
        done = CliRunner().invoke(app, ["simulate", str(file), "--home", str(home), "--json"])
        assert done.exit_code == 0, (done.stdout, done.stderr)
        assert json.loads(done.stdout)["ok"]
        with Network(home, read_only=True) as network:
            parties = [info.id for info in network.processes()]
            logs.append([network.log(party) for party in parties])
    assert logs[0] == logs[1]


def _with_one_number_changed() -> list[tuple[str, int]]:
    """Lines of expectations with a number that must make a run fail when it is another one."""
    found = []
    for file in FILES:
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            if re.search(r"^\s+(balances:|supply:|- \{rank|- \{evaluated)", line):
                found.append((file.name, number))
    return found


@pytest.mark.parametrize(("name", "line"), _with_one_number_changed())
def test_a_wrong_number_fails_at_its_line(name: str, line: int, tmp_path: Path) -> None:
    text = (HERE / name).read_text().replace("../../datasets", str(HERE.parents[1] / "datasets"))
    lines = text.splitlines()
    digit = re.search(r"(\d)[^\d]*$", lines[line - 1])
    assert digit is not None
    other = str((int(digit[1]) + 1) % 10)
    start, end = digit.span(1)
    lines[line - 1] = lines[line - 1][:start] + other + lines[line - 1][end:]
    changed = tmp_path / name
    changed.write_text("\n".join(lines))
    done = CliRunner().invoke(app, ["simulate", str(changed)])
    assert done.exit_code == 1, done.stdout
    assert done.stderr.startswith(f"error: {changed}:{line}: "), done.stderr
    assert done.stdout.rstrip().splitlines()[-2].startswith("✗") or "✗" in done.stdout
