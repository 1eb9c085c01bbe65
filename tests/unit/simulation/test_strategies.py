"""What the made-up contests must show of the rules."""

from fractions import Fraction

import numpy as np
import pytest
from contests import build, settled

from benchpool.pools.copies import Answer
from benchpool.pools.settlement import settle
from benchpool.pools.terms import PayoutTerms
from benchpool.simulation.strategies import (
    STRATEGIES,
    Field,
    Luck,
    tabulate,
    terms_of,
    try_strategies,
)


@pytest.fixture(scope="module")
def rows():
    tried = try_strategies(seed=7, contests=30, rules=("ArithmeticDecrease", "Equal"))
    return {(row.strategy, row.terms, row.rule): row for row in tried}


def share(rows, strategy, terms, rule="ArithmeticDecrease"):
    return rows[strategy, terms, rule].share


def test_every_strategy_meets_every_rule(rows):
    assert list(rows) == [
        (strategy, terms, rule)
        for strategy in STRATEGIES
        for terms in terms_of("Equal", Fraction(1, 3))
        for rule in ("ArithmeticDecrease", "Equal")
    ]
    assert all(0 <= row.share <= 1 and row.error >= 0 for row in rows.values())


def test_the_same_seed_gives_the_same_rows():
    again = {"contests": 3, "rules": ("Equal",)}
    assert try_strategies(seed=7, **again) == try_strategies(seed=7, **again)
    assert try_strategies(seed=7, **again) != try_strategies(seed=8, **again)


def test_a_clone_paid_in_the_first_pools_and_pays_no_more(rows):
    assert share(rows, "clone", "first pools") > 1.5 * share(rows, "honest", "first pools")
    assert share(rows, "clone", "default") == share(rows, "honest", "default")
    assert rows["clone", "default", "Equal"].gain == 1.0


def test_a_requantized_copy_is_stopped_where_near_copies_are_merged(rows):
    assert rows["requantized", "default", "ArithmeticDecrease"].gain > 1.5
    assert rows["requantized", "tiers, merge", "ArithmeticDecrease"].gain == 1.0


def test_guessers_get_next_to_nothing(rows):
    assert share(rows, "guessing", "first pools") > 0.4
    assert share(rows, "guessing", "default") < 0.03


def test_flooding_costs_the_weak_and_so_pays_the_strong():
    strong = Field(mine=0.56, rivals=(0.48, 0.46, 0.44))
    tried = try_strategies(seed=7, contests=40, field=strong, rules=("ArithmeticDecrease",))
    gains = {(row.strategy, row.terms): row.gain for row in tried}
    assert gains["flooding", "first pools"] > 1.5
    assert 1.0 < gains["flooding", "default"] < gains["flooding", "first pools"]


def test_only_an_audit_finds_lies(rows):
    assert rows["lying", "default", "ArithmeticDecrease"].gain > 1.5
    assert rows["lying", "default", "ArithmeticDecrease"].found > 0.99
    assert rows["honest", "default", "ArithmeticDecrease"].found == 0.0


def test_coming_late_does_not_pay(rows):
    assert share(rows, "late", "default") < share(rows, "honest", "default")


def test_models_are_as_good_and_disagree_as_much_as_they_should():
    luck = Luck(Field(questions=20_000), (1,))
    one, other = luck.model(0.46, 1), luck.model(0.46, 2)
    near = luck.requantized(0.46, 1, 0)
    assert [each.mean() for each in (one, other, near)] == pytest.approx([0.46] * 3, abs=0.02)
    assert luck.guesser(0).mean() == pytest.approx(1 / 3, abs=0.01)
    assert np.mean(one != other) == pytest.approx(0.26, abs=0.02)
    assert np.mean(one != near) < 0.04


def test_leaving_a_clone_out_is_what_its_log_likelihoods_lead_to():
    luck = Luck(Field(), (3,))
    mine, copy = STRATEGIES["clone"](luck)
    rival = luck.model(0.5, 100)
    nats = np.random.default_rng(5).normal(-20, 5, (2, 180, 3)).tolist()
    entries = [
        build(name, {k: Answer(bool(right[k]), tuple(nats[model][k])) for k in range(180)}, 180,
              joined=joined)
        for joined, (name, model, right) in enumerate(
            [("rival", 0, rival), ("mine", 1, mine.right), ("copy", 1, copy.right)]
        )
    ]  # fmt: skip
    terms = PayoutTerms("ArithmeticDecrease", Fraction(1, 3))
    alone = settled(settle(entries[:2], {"ann": 90}, terms))
    assert settled(settle(entries, {"ann": 90}, terms)) == {**alone, "copy": 0}


def test_the_table_has_a_line_for_each_strategy_and_terms():
    table = tabulate(try_strategies(seed=1, contests=2, rules=("Equal", "WinnerTakesAll")))
    assert table[0] == ["Strategy", "Terms", "Equal", "WinnerTakesAll"]
    assert len(table) == 1 + 3 * len(STRATEGIES)
    assert table[1][:3] == ["honest", "first pools", "20.0% ± 0.0%"]
    assert all(len(line) == 4 for line in table)
