from fractions import Fraction

import pytest

from benchpool.errors import PoolError
from benchpool.pools.terms import PayoutTerms

THIRD = Fraction(1, 3)


def test_a_pool_without_the_tags_looks_for_guessers_and_copies():
    terms = PayoutTerms.read({"X-Allocation": "Equal"}, THIRD)
    assert terms == PayoutTerms("Equal", THIRD)
    assert (terms.eligible, terms.distinct, terms.near_copies, terms.ties, terms.places) == (
        "above-chance", True, "flag", "exact", None,
    )  # fmt: skip


def test_every_tag_is_read():
    tags = {
        "X-Allocation": "Equal",
        "X-Eligible": "all",
        "X-Near-Copies": "merge",
        "X-Ties": "tiers",
        "X-Places": "3",
    }
    terms = PayoutTerms.read(tags, THIRD)
    assert (terms.eligible, terms.near_copies, terms.ties, terms.places) == (
        "all", "merge", "tiers", 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tag", "value", "said"),
    [
        ("X-Allocation", "Roulette", "no allocation rule 'Roulette'"),
        ("X-Eligible", "ALL", "X-Eligible is one of above-chance, all, not 'ALL'"),
        ("X-Near-Copies", "keep", "X-Near-Copies is one of flag, merge"),
        ("X-Ties", "random", "X-Ties is one of exact, tiers"),
        ("X-Places", "0", "X-Places must be a whole number from 1"),
        ("X-Places", "1000001", "X-Places must be"),
        ("X-Places", "٣", "X-Places must be"),
        ("X-Places", " 3", "X-Places must be"),
    ],
)
def test_a_wrong_tag_is_named(tag, value, said):
    with pytest.raises(PoolError, match=said):
        PayoutTerms.read({"X-Allocation": "Equal", tag: value}, THIRD)


def test_impossible_chances_and_places_are_refused():
    with pytest.raises(PoolError, match="blind guess"):
        PayoutTerms("Equal", (THIRD, Fraction(1)))
    with pytest.raises(PoolError, match="-1 places"):
        PayoutTerms("Equal", THIRD, places=-1)


def test_the_mean_chance():
    assert PayoutTerms("Equal", THIRD).mean_chance == THIRD
    assert PayoutTerms("Equal", (THIRD, Fraction(2, 3))).mean_chance == Fraction(1, 2)
    assert PayoutTerms("Equal", ()).mean_chance == 0
