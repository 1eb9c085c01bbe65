"""The plan of a large contest: its arithmetic, and its refusals."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[2] / "scripts" / "plan_scale.py"
PLAN: dict[str, Any] = runpy.run_path(str(SCRIPT), run_name="plan_scale")


def plan(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *options], capture_output=True, text=True, check=False
    )


def cells(text: str, name: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in found.strip("|").split("|")]


@given(st.floats(1e-6, 1e3), st.floats(0.1, 3))
def test_a_curve_finds_the_power_that_made_its_points(factor: float, exponent: float) -> None:
    points = [(n, factor * n**exponent) for n in (20, 100, 500)]
    curve = PLAN["Curve"].through(points)
    assert curve.exponent == pytest.approx(exponent, abs=1e-6)
    assert curve.at(10_000) == pytest.approx(factor * 10_000**exponent, rel=1e-6)
    assert curve.size_of(curve.at(77)) == pytest.approx(77)


def test_two_sizes_are_no_curve() -> None:
    with pytest.raises(PLAN["ScaleError"], match="three sizes"):
        PLAN["Curve"].through([(1, 1.0), (2, 2.0), (2, 2.1)])


def test_twice_the_nodes_halve_the_inference_until_the_bus_is_the_end() -> None:
    done = plan("--nodes", "1", "2", "1000000", "--models", "10", "--questions", "1000")
    assert done.returncode == 0, done.stderr
    one, two, many = (cells(done.stdout, nodes) for nodes in ("1", "2", "1,000,000"))
    assert float(one[1].replace(",", "")) == pytest.approx(2 * float(two[1].replace(",", "")), 0.01)
    assert one[3] == two[3]
    assert (one[5], many[5]) == ("inference", "bus")


def test_what_is_asked_is_what_is_counted() -> None:
    done = plan("--models", "3", "--questions", "7", "--smallest", "2", "--largest", "2")
    assert cells(done.stdout, "questions asked")[1] == "21"
    # 21 questions of 37.2 tokens, two operations a parameter
    assert cells(done.stdout, "floating point operations")[1] == f"{2 * 2e9 * 37.2 * 21:.2e}"
    assert cells(done.stdout, "bytes of all models")[1] == "12.0 GB"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--inputs", "nowhere.json"), "nowhere.json: No such file"),
        (("--smallest", "8", "--largest", "2"), "--largest is less than --smallest"),
        (("--models", "0"), "0 is less than one"),
        (("--node-price", "nan"), "nan is no number above zero"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_line(options: tuple[str, ...], said: str) -> None:
    done = plan(*options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps({"evaluated": []}))
    done = plan("--inputs", str(file))
    assert done.returncode == 2
    assert f"error: {file} is not what bench_scale.py --inputs wrote" in done.stderr
