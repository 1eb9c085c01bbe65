from __future__ import annotations

from pathlib import Path

import pytest

from benchpool.errors import ScenarioError
from benchpool.simulation.scenario import load_scenario, read_amount

GOOD = """\
seed: 1
wallets:
  alice: {mint: "1.5 wAR"}
  bob:
processes:
  WrappedAR: {module: WrappedAR, owner: alice}
steps:
  - at: 0h
    send: {from: alice, target: WrappedAR, action: Info, tags: {Number: 5, Flag: true}}
"""


def load(folder: Path, text: str) -> object:
    file = folder / "scenario.yaml"
    file.write_text(text)
    return load_scenario(file)


def test_a_good_file(tmp_path: Path) -> None:
    file = load(tmp_path, GOOD).file  # type: ignore[attr-defined]
    assert file.wallets["alice"].mint == 1_500_000_000_000
    assert file.steps[0].send.tags == {"Number": "5", "Flag": "true"}


@pytest.mark.parametrize(
    ("before", "after", "line", "text"),
    [
        ("seed: 1", "sed: 1", 1, "there is no 'sed' here"),
        ('mint: "1.5 wAR"', "mint: 1.5", 3, "an amount"),
        ('mint: "1.5 wAR"', 'mint: "-1"', 3, "an amount"),
        ("  bob:\n", "  alice:\n", 4, "'alice' stands here twice"),
        ("  bob:\n", "  b b:\n", 2, "not a usable name"),
        ("{module: WrappedAR, owner: alice}", "{owner: alice}", 6, "Field required"),
        ("at: 0h", "at: soon", 8, "not a duration"),
        ("at: 0h", "at: 5", 8, "needs a unit"),
        ("action: Info", "acton: Info", 9, "there is no 'acton' here"),
        ("Number: 5", "Number: 1.5", 9, "in quotes"),
        ("    send: {from", "    advance: 1h\n    send: {from", 8, "a step has one of"),
        ("    send: {from", "    save: {a: B}\n    sent: {from", 10, "there is no 'sent'"),
        (
            "  WrappedAR: {module",
            "  Token: {module",
            1,
            "to mint there must be a process WrappedAR",
        ),
        ("steps:", "models: {m: {correct: 1, accuracy: 0.5}}\nsteps:", 7, "exactly one of"),
        ("steps:", "models: {alice: {correct: 1}}\nsteps:", 1, "names stand for one thing only"),
        ("steps:", "steps: [", 8, "expected"),
        ("  - at: 0h", "  - title: x\n  - at: 0h", 8, "does nothing"),
    ],
)
def test_a_fault_is_named_with_its_line(
    tmp_path: Path, before: str, after: str, line: int, text: str
) -> None:
    assert before in GOOD
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, GOOD.replace(before, after, 1))
    first = str(caught.value).splitlines()
    matching = [each for each in first if f"scenario.yaml:{line}:" in each and text in each]
    assert matching, first


def test_every_fault_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, "seed: 1\nfoo: 1\nbar: 2\nsteps: []\n")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["", "[]", "just text"])
def test_what_is_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(ScenarioError, match="scenario is a mapping"):
        load(tmp_path, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="UTF-8"):
        load_scenario(file)


def test_amounts() -> None:
    assert read_amount("5") == 5
    assert read_amount("0.000000000001 wAR") == 1
