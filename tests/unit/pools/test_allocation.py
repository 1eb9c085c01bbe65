import time
from fractions import Fraction

import pytest

from benchpool.errors import PoolError
from benchpool.pools.allocation import RULES, allocate, find_rule
from benchpool.pools.ranking import Standing, rank

THIRD = Fraction(1, 3)


def board(*correct, total=12):
    """Entries a, b, c, ... that joined in this order; None stands for no progress."""
    return rank(
        [
            Standing(
                entry=chr(ord("a") + place),
                correct=right or 0,
                evaluated=0 if right is None else total,
                total=total,
                joined_at=place,
                order=place,
            )
            for place, right in enumerate(correct)
        ]
    )


def paid(rule, funds, ranked, chance=THIRD):
    return {p.entry: p.winston for p in allocate(rule, funds, ranked, chance=chance)}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Weights 3, 2, 1 of 6: floors 50, 33, 16; the winston left over goes to the first.
        ("ArithmeticDecrease", {"a": 51, "b": 33, "c": 16}),
        # Weights 4, 2, 1 of 7: floors 57, 28, 14; one left over.
        ("GeometricDecrease", {"a": 58, "b": 28, "c": 14}),
        ("WinnerTakesAll", {"a": 100}),
        # Floors 33, 33, 33; one left over.
        ("Equal", {"a": 34, "b": 33, "c": 33}),
        # Scores 10/12, 7/12, 5/12; above 1/3 that is 6, 3, 1 of 10 twelfths.
        ("Proportional", {"a": 60, "b": 30, "c": 10}),
    ],
)
def test_each_rule_by_hand(rule, expected):
    assert paid(rule, 100, board(10, 7, 5)) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # a and b pool 3 + 2, so 5/2, 5/2, 1 of 6: floors 41, 41, 16; two left over, by joining.
        ("ArithmeticDecrease", {"a": 42, "b": 42, "c": 16}),
        # 3, 3, 1 of 7: floors 42, 42, 14; two left over.
        ("GeometricDecrease", {"a": 43, "b": 43, "c": 14}),
        ("WinnerTakesAll", {"a": 50, "b": 50}),
        ("Equal", {"a": 34, "b": 33, "c": 33}),
        # 6, 6, 1 of 13: floors 46, 46, 7; one left over.
        ("Proportional", {"a": 47, "b": 46, "c": 7}),
    ],
)
def test_ties_pool_their_places_by_hand(rule, expected):
    assert paid(rule, 100, board(10, 10, 5)) == expected


def test_a_tie_in_the_middle_and_one_of_three():
    # Places 4 | 3 + 2 | 1 of 10 parts.
    assert paid("ArithmeticDecrease", 100, board(9, 5, 5, 1)) == {
        "a": 40, "b": 25, "c": 25, "d": 10,
    }  # fmt: skip
    # 100 by three: floors of 33, the odd winston to whom joined first.
    assert paid("WinnerTakesAll", 100, board(1, 8, 8, 8)) == {"b": 34, "c": 33, "d": 33}


def test_more_winners_than_winston():
    assert paid("Equal", 2, board(8, 8, 8)) == {"a": 1, "b": 1}


def test_payouts_come_in_rank_order_with_their_ranks():
    payouts = allocate("ArithmeticDecrease", 100, board(5, 10, 10), chance=THIRD)
    assert [(p.entry, p.rank) for p in payouts] == [("b", 1), ("c", 1), ("a", 3)]


@pytest.mark.parametrize("rule", RULES)
def test_entries_without_progress_take_no_place(rule):
    assert paid(rule, 100, board(10, None, 7, 5, None)) == {
        {"b": "c", "c": "d"}.get(entry, entry): winston
        for entry, winston in paid(rule, 100, board(10, 7, 5)).items()
    }


@pytest.mark.parametrize("rule", RULES)
def test_nobody_to_pay(rule):
    assert allocate(rule, 100, [], chance=THIRD) == []
    assert allocate(rule, 100, board(None, None), chance=THIRD) == []
    assert allocate(rule, 0, board(10, 7), chance=THIRD) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_single_entry_gets_everything(rule):
    assert paid(rule, 99, board(10)) == {"a": 99}


def test_proportional_pays_nothing_at_or_below_chance():
    assert paid("Proportional", 100, board(10, 4, 3)) == {"a": 100}
    assert paid("Proportional", 100, board(4, 4, 1)) == {}
    assert paid("Proportional", 100, board(3, 1), chance=Fraction(0)) == {"a": 75, "b": 25}


def test_a_list_that_lost_entries_is_ranked_anew():
    ranked = board(10, 7, 5, 3)
    assert paid("ArithmeticDecrease", 60, ranked[1:]) == {"b": 30, "c": 20, "d": 10}
    assert paid("ArithmeticDecrease", 60, ranked[::-1]) == paid("ArithmeticDecrease", 60, ranked)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("step", [1, 7])
def test_thousands_of_entries_and_huge_funds_are_exact_and_fast(rule, step):
    n, funds = 5_000, 10**30 + 1
    ranked = rank([Standing(f"m{i}", (n + i) // step, 2 * n, 2 * n, i % 50, i) for i in range(n)])
    began = time.perf_counter()
    payouts = allocate(rule, funds, ranked, chance=THIRD)
    assert time.perf_counter() - began < 5
    assert sum(p.winston for p in payouts) == (funds if payouts else 0)


def test_an_unknown_rule_is_refused_with_those_there_are():
    with pytest.raises(PoolError, match=r"'equal'; there are ArithmeticDecrease, Geom.*, Propor"):
        allocate("equal", 1, board(1), chance=THIRD)
    assert find_rule("Equal").name == "Equal"


def test_negative_funds_and_impossible_chance_are_refused():
    with pytest.raises(PoolError, match="-1 winston"):
        allocate("Equal", -1, board(1), chance=THIRD)
    for chance in (Fraction(-1, 3), Fraction(1)):
        with pytest.raises(PoolError, match="blind guess"):
            allocate("Equal", 1, board(1), chance=chance)


def test_every_rule_stands_under_its_own_name_and_says_what_it_does():
    assert all(name == rule.name and rule.summary.endswith(".") for name, rule in RULES.items())
