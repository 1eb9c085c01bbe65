"""benchpool simulate strategies: a table, JSON, a plot; the same seed gives the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

FEW = ("simulate", "strategies", "--contests", "2", "--rule", "Equal", "--rule", "WinnerTakesAll")


def test_a_line_for_each_strategy_and_terms_and_bars_of_their_means(run: Any) -> None:
    shown = run(*FEW)
    table, bars = shown.stdout.split("\n\n")
    assert table.splitlines()[1].split() == ["Strategy", "Terms", "Equal", "WinnerTakesAll"]
    strategies = ("honest", "clone", "requantized", "guessing", "flooding", "late", "lying")
    lines = [line.split()[0] for line in table.splitlines()[2:]]
    assert lines == [name for name in strategies for _ in range(3)]
    (honest,) = (line for line in bars.splitlines() if line.startswith("honest       first pools"))
    assert honest.endswith("10.0%  ████")
    assert "an audit that asks 90 answers again" in shown.stderr


def test_json_bears_seed_field_and_a_row_for_each_number(run_json: Any) -> None:
    shown = run_json(*FEW, "--seed", "5")
    assert (shown["schema"], shown["seed"], shown["contests"]) == ("strategies/1", 5, 2)
    assert shown["field"] == {
        "questions": 180,
        "chance": "1/3",
        "rivals": [0.52, 0.48, 0.44, 0.41],
        "mine": 0.46,
    }
    assert len(shown["rows"]) == 7 * 3 * 2
    assert {row["rule"] for row in shown["rows"]} == {"Equal", "WinnerTakesAll"}


def test_the_seed_decides_all(run: Any) -> None:
    once = run(*FEW, "--seed", "3").stdout
    assert run(*FEW, "--seed", "3").stdout == once
    assert run(*FEW, "--seed", "4").stdout != once


def test_the_plot_has_a_bar_for_each_number_and_stays_in_its_frame(
    run: Any, tmp_path: Path
) -> None:
    run(*FEW, "--svg", str(tmp_path / "plot.svg"))
    drawn = ElementTree.fromstring((tmp_path / "plot.svg").read_text())
    svg = "{http://www.w3.org/2000/svg}"
    frame, *boxes = drawn.iter(f"{svg}rect")
    assert frame.get("width") == "100%"
    assert len(boxes) == 3 + 7 * 3 * 2  # the legend, then the bars
    assert max(float(box.get("x", 0)) + float(box.get("width", 0)) for box in boxes) <= float(
        drawn.get("width", 0)
    )
    words = {text.text for text in drawn.iter(f"{svg}text")}
    assert {"Equal", "WinnerTakesAll", "lying", "default", "100%"} <= words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rule", "Nothing"), "no rule 'Nothing'; there are ArithmeticDecrease"),
        (("--contests", "0"), "greater than or equal to 1"),
        (("--rule", "Equal", "--contests", "1", "--svg", "/nowhere/x.svg"), "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said(run: Any, words: tuple[str, ...], said: str) -> None:
    assert said in " ".join(run("simulate", "strategies", *words, code=2).stderr.split())


def test_a_scenario_file_needs_no_word_before_it(run: Any, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.yaml")
    spoken = [run("simulate", *words, missing, code=2).stderr for words in ((), ("scenario",))]
    assert spoken[0] == spoken[1]
    assert "none.yaml" in spoken[0]
