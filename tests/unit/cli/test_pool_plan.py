"""What a funder is told before a pool is funded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from benchpool import Network
from benchpool.client.deployment import deploy
from benchpool.evaluation.controls import CONTROLS
from benchpool.evaluation.sample import Sample, to_json
from benchpool.pools.allocation import RULES
from benchpool.pools.sentences import CONDITIONS
from benchpool.pools.sentences import CONTROLS as SENTENCES
from benchpool.pools.terms import PayoutTerms

PLAN = ("pool", "plan", "--questions", "180")


def test_every_term_is_listed_with_its_sentence(run: Any, run_json: Any) -> None:
    said, listed = run("pool", "rules").stdout, run_json("pool", "rules")
    named = {
        tag: [each["name"] for each in listed if each["term"] == tag]
        for tag in ("X-Allocation", *CONDITIONS)
    }
    assert named == {"X-Allocation": list(RULES)} | {
        tag: list(values) for tag, values in CONDITIONS.items()
    }
    assert [each["name"] for each in listed if each["default"]] == [
        *("above-chance", "flag", "exact", "")
    ]
    for each in listed:
        assert each["name"] in said
        assert each["summary"] in said


def test_every_control_has_its_sentence() -> None:
    assert tuple(SENTENCES) == CONTROLS


def test_what_a_funder_reads_of_the_terms_is_what_they_are() -> None:
    read = PayoutTerms.read({"X-Allocation": "Equal"}, Fraction(1, 3))
    defaults = [next(iter(values)) for values in CONDITIONS.values()]
    assert defaults == [read.eligible, read.near_copies, read.ties, ""]
    for tag, values in CONDITIONS.items():
        for word in values:
            given = {"X-Allocation": "Equal", tag: word.replace("K", "3")}
            assert (PayoutTerms.read(given, Fraction(1, 3)) == read) is (word in defaults)


def test_a_plan_says_what_the_data_can_tell(run: Any, run_json: Any) -> None:
    plan = run_json(*PLAN, "--entries", "2", "--funds", "25")
    assert round(100 * plan["smallest_difference"], 1) == 10.6
    assert (plan["inferences"], plan["ticks"]) == (360, 1)
    assert plan["rewards"] == ["16666666666667", "8333333333333"]
    assert plan["warning"] == (
        "the payouts are finer than the data can tell: 180 questions tell models apart from 10.6"
        " points on, but by ArithmeticDecrease one rank more or less is worth up to 33 % of the"
        " funds"
    )
    shown = run(*PLAN, "--entries", "2", "--funds", "25")
    assert "16.666666666667 wAR" in shown.stdout
    assert f"warning: {plan['warning']}" in " ".join(shown.stderr.split())
    larger = run_json("pool", "plan", "--questions", "1954", "--entries", "30")
    assert "from 3.2 points on" in larger["warning"]
    assert larger["ticks"] == 59


@pytest.mark.parametrize(
    "terms",
    [
        ("--allocation", "Equal"),
        ("--allocation", "Proportional"),
        ("--ties", "tiers"),
        ("--entries", "1"),
        pytest.param(("--questions", "33410"), marks=pytest.mark.slow),
    ],
)
def test_what_noise_cannot_decide_gets_no_warning(run_json: Any, terms: tuple[str, ...]) -> None:
    assert run_json(*PLAN, *terms)["warning"] is None


def test_a_plan_says_whom_the_test_against_guessing_drops(run: Any, run_json: Any) -> None:
    test = run_json(*PLAN, "--entries", "5")["eligible"]
    assert stats.binomtest(test["alone"], 180, 1 / 3, "greater").pvalue <= 0.05
    assert stats.binomtest(test["strictest"] - 1, 180, 1 / 3, "greater").pvalue > 0.05 / 5
    for accuracy, passing in test["passing"].items():
        assert passing == pytest.approx(stats.binom.sf(test["strictest"] - 1, 180, float(accuracy)))
    # About half of honest models between 40 and 46 % are dropped.
    assert 0.4 < sum(test["passing"].values()) / len(test["passing"]) < 0.7
    assert "would pass, by their accuracy: 40 %: 30 of 100" in run(*PLAN).stdout
    assert run_json(*PLAN, "--eligible", "all")["eligible"] is None
    hopeless = run("pool", "plan", "--questions", "2").stdout
    assert "nobody: even all right does not rule out a guesser" in hopeless


def test_the_rate_gives_the_hours(run: Any, run_json: Any) -> None:
    assert run_json(*PLAN, "--rate", "0.5")["computing_seconds"] == 5 * 180 / 0.5
    assert "0.50 hours at 0.5 questions a second" in run(*PLAN, "--rate", "0.5").stdout


def test_places_leave_the_others_without(run_json: Any) -> None:
    plan = run_json(*PLAN, "--entries", "4", "--places", "2", "--allocation", "Equal")
    assert plan["rewards"] == ["500000000000"] * 2 + ["0"] * 2


def test_questions_are_counted_in_a_file(run_json: Any, tmp_path: Path) -> None:
    file = tmp_path / "questions.json"
    file.write_text(to_json([Sample("C.", "Q?", ("a", "b", "c"), 1)] * 7))
    assert run_json("pool", "plan", "--file", str(file))["questions"] == 7


def test_a_data_set_tells_its_questions_and_its_fees(run_json: Any, home: Path) -> None:
    samples = to_json([Sample(f"C{n}.", "Q?", ("a", "b", "c"), 1) for n in range(7)]).encode()
    with Network(home) as network:
        ids = deploy(network, samples=samples)
        paid = {"LlamaRouter": ids.LlamaHerder, "Herder": "true", "WrappedAR": ids.WrappedAR}
        network.spawn("SiqaDataset", paid, name="Paid")
    plan = run_json("pool", "plan", "--dataset", "SiqaDataset")
    assert (plan["questions"], plan["fees"]) == (7, None)
    with Network(home) as network:
        network.send("Paid", "Load-Data", data=samples)
    paid_plan = run_json("pool", "plan", "--dataset", "Paid")
    assert paid_plan["fees"] == {"base": "1000", "token": "10"}


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        ((), 2, "name one of"),
        (("--questions", "5", "--file", "x"), 2, "name one of"),
        (("--questions", "5", "--allocation", "Roulette"), 1, "no allocation rule 'Roulette'"),
        (("--questions", "5", "--chance", "often"), 1, "such as 1/3"),
        (("--questions", "5", "--eligible", "some"), 1, "X-Eligible is one of"),
        (("--questions", "5", "--funds", "1e3"), 1, "1.5"),
    ],
)
def test_a_plan_says_why_not(run: Any, args: tuple[str, ...], code: int, text: str) -> None:
    assert text in run("pool", "plan", *args, code=code).stderr
