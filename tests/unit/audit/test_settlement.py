"""The audit's writing of the rules, by hand; that both writings agree is a property elsewhere."""

import ast
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from benchpool.audit import settlement
from benchpool.audit.settlement import Claim, recount_settlement
from benchpool.errors import PoolError

THIRD = Fraction(1, 3)
TAGS = {"X-Allocation": "ArithmeticDecrease"}
GIFTS = {"ann": 60, "bob": 30}


def claim(model, right, *, joined=0, seed=None, answered=60, total=60):
    random = Random(seed or model)
    nats = [tuple(-20 * random.random() for _ in range(3)) for _ in range(answered)]
    answers = {key: (key < right, nats[key]) for key in range(answered)}
    return Claim(model, right, answered, total, joined, joined, joined, answers)


def due(claims, gifts=GIFTS, chances=THIRD, **tags):
    names = {name.replace("_", "-"): value for name, value in tags.items()}
    return recount_settlement(claims, gifts, {**TAGS, **names}, chances)


def test_it_shares_nothing_with_what_it_checks():
    tree = ast.parse(Path(settlement.__file__).read_text())
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert {name for name in imported if name.startswith("benchpool")} == {"benchpool.errors"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_guessers_copies_and_the_silent_get_nothing():
    claims = [
        claim("best", 50, seed="w"),
        claim("copy", 50, seed="w", joined=1),
        claim("good", 40, joined=2),
        claim("guess", 20, joined=3),
        claim("mute", 0, answered=0, joined=4),
    ]
    assert due(claims)[:2] == ({"best": 60, "good": 30}, {})
    assert due(claims, X_Eligible="all").payouts == {"best": 45, "good": 30, "guess": 15}
    assert due(claims, X_Places="1").payouts == {"best": 90}
    assert due(claims[3:])[:2] == ({}, GIFTS)


def test_tiers():
    claims = [claim(name, right, joined=k) for k, (name, right) in enumerate(
        {"a": 60, "b": 56, "c": 50, "d": 40}.items()
    )]  # fmt: skip
    paid = due(claims, {"ann": 100}, X_Ties="tiers").payouts
    assert paid == {"a": 35, "b": 35, "c": 20, "d": 10}


def test_many_questions_with_chances_that_differ():
    mixed = [Fraction(1, 4), Fraction(1, 2)] * 600  # a guesser gets 450 right, give or take 16
    for right, paid in ((470, {}), (490, {"a": 90})):
        entry = claim("a", right, answered=1200, total=1200)
        assert due([entry], chances=mixed).payouts == paid


def test_the_odd_winstons_go_by_rank_and_by_gift():
    claims = [claim(name, 50, joined=k) for k, name in enumerate("abc")]
    assert due(claims, {"ann": 5}).payouts == {"a": 2, "b": 2, "c": 1}
    assert due([], {"ann": 1, "bob": 2, "cyd": 0})[:2] == ({}, {"bob": 2, "ann": 1})


def test_an_unknown_rule_is_refused():
    with pytest.raises(PoolError, match="'Roulette'"):
        due([claim("a", 50)], X_Allocation="Roulette")
