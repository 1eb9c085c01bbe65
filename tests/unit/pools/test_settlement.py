"""Contests with a thief in them, told entry by entry."""

from dataclasses import replace
from fractions import Fraction

import pytest
from contests import THIRD, blurred, build, clone, contender, settled

from benchpool.errors import PoolError
from benchpool.pools.settlement import settle
from benchpool.pools.terms import PayoutTerms

FUNDS = {"ann": 60, "bob": 30}


def terms(rule="ArithmeticDecrease", **more):
    return PayoutTerms(rule, THIRD, **more)


def paid(entries, funds=FUNDS, **more):
    return settled(settle(entries, funds, terms(**more)))


def why(result, entry):
    return "; ".join(next(each.why for each in result.decisions if each.entry == entry))


def guessers(count, total=60):
    """Entries that get a third right, each another third."""
    return [contender(f"g{k}", range(k % 3, total, 3), total, joined=10 + k) for k in range(count)]


def test_two_honest_models_are_paid_by_the_rule():
    result = settle([contender("a", 50), contender("b", 40, joined=1)], FUNDS, terms())
    assert settled(result) == {"a": 60, "b": 30}
    assert result.refunds == {}
    assert why(result, "a") == (
        "50 of 60 right: better than guessing (p = 2e-15; corrected for 2 entries 4e-15,"
        " at most 0.05 allowed); place 1; 66.67% of 90 winston by ArithmeticDecrease: 60"
    )


def test_a_changed_byte_of_metadata_gains_nothing():
    honest, winner = contender("honest", 45), contender("winner", 50)
    alone = paid([winner, honest])
    result = settle([winner, honest, clone(winner, "again")], FUNDS, terms())
    assert settled(result) == {**alone, "again": 0}
    assert why(result, "again") == (
        "a copy of winner, which was first: the same log-likelihoods, bit for bit, on 60 questions"
    )


def test_the_earlier_commit_owns_the_weights():
    thief = contender("thief", 50, seed="weights", joined=1)
    owner = contender("owner", 50, seed="weights", joined=5, committed=0)
    assert paid([thief, owner]) == {"owner": 90, "thief": 0}
    assert paid([thief, replace(owner, committed_at=None)]) == {"owner": 0, "thief": 90}


def test_a_copy_that_differs_here_and_there_is_a_copy():
    original = contender("original", 50)
    answers = dict(original.answers)
    for key in range(40):
        answers[key] = answers[key]._replace(log_likelihoods=(-1.0 * key, -2.0, -3.0))
    assert paid([original, build("patched", answers, 60, joined=9)])["patched"] == 0
    answers[40] = answers[40]._replace(log_likelihoods=(-1.0, -2.0, -3.0))
    assert paid([original, build("patched", answers, 60, joined=9)])["patched"] > 0  # 19 in common


def test_eight_guessers_get_nothing():
    honest = contender("honest", 45)
    assert paid([honest, *guessers(8)])["honest"] == 90
    result = settle([honest, *guessers(8)], FUNDS, terms())
    assert "no better than a guesser may be (p = 0.55" in why(result, "g1")
    assert why(result, "g1").endswith("takes no place")


def test_if_all_guess_everything_goes_back():
    result = settle(guessers(8), FUNDS, terms())
    assert result.payouts == []
    assert result.refunds == FUNDS


def test_all_can_be_let_in():
    result = settle([contender("honest", 45), *guessers(2)], FUNDS, terms(eligible="all"))
    assert settled(result) == {"honest": 46, "g0": 22, "g1": 22}
    assert why(result, "honest").endswith("46, 1 of them left over by the division")
    assert why(result, "g0") == (
        "20 of 60 right; shares places 2 to 3: the same score;"
        " 25.00% of 90 winston by ArithmeticDecrease: 22"
    )


def test_one_that_answers_only_what_it_knows_is_measured_by_all_questions():
    picky = contender("picky", 14, answered=14)
    assert picky.standing.score == Fraction(14, 60)
    assert paid([picky, contender("honest", 40)]) == {"honest": 90, "picky": 0}


def test_entries_that_answered_nothing_make_the_test_no_stricter():
    weak = contender("weak", 29)
    alone = settle([weak], FUNDS, terms())
    assert settled(alone) == {"weak": 90}
    shams = [contender(f"s{k}", 0, answered=0) for k in range(140)]
    result = settle([weak, *shams], FUNDS, terms())
    assert settled(result)["weak"] == 90
    assert why(result, "weak") == why(alone, "weak")
    assert why(result, "s0") == "answered nothing"


def test_copies_of_a_guesser_make_the_test_no_stricter_for_rivals():
    weak, strong, guesser = contender("weak", 30), contender("strong", 50), guessers(1)[0]
    before = paid([weak, strong, guesser])
    assert before["weak"] == 30
    flood = [clone(guesser, f"c{k}") for k in range(100)]
    assert paid([weak, strong, guesser, *flood])["weak"] == 30


def test_a_near_copy_is_flagged_and_merged_only_where_asked():
    winner, honest = contender("winner", 50), contender("honest", 45)
    entries = [winner, honest, blurred(winner, "bf16", 0.4)]
    flagged = settle(entries, FUNDS, terms())
    assert settled(flagged)["bf16"] > 0
    assert "a near copy of winner, which was first: log-likelihoods correlate by 0.99" in why(
        flagged, "bf16"
    )
    merged = settle(entries, FUNDS, terms(near_copies="merge"))
    assert settled(merged) == {"winner": 60, "honest": 30, "bf16": 0}
    assert why(merged, "bf16").endswith("over 60 questions, and this pool merges near copies")
    coarse = [winner, honest, blurred(winner, "q4", 4.0)]
    assert paid(coarse, near_copies="merge")["q4"] > 0  # no more is promised


def test_nobody_can_chain_a_rival_to_an_earlier_entry():
    first, victim = contender("first", 50), contender("victim", 45, joined=2)
    answers = {key: (first if key < 30 else victim).answers[key] for key in range(60)}
    bridge = build("bridge", answers, 60, joined=1)
    assert paid([first, victim, bridge]) == {"first": 60, "victim": 30, "bridge": 0}


def demo(ties):
    """91 against 84 of 180, with 47 disagreements: McNemar's p is 0.38."""
    gemma = contender("gemma", range(91), 180)
    smol = contender("smol", [*range(64), *range(91, 111)], 180)
    return settle([gemma, smol], {"ann": 90}, terms(ties=ties))


def test_models_that_the_data_cannot_tell_apart_share_in_tiers():
    assert settled(demo("exact")) == {"gemma": 60, "smol": 30}
    tiers = demo("tiers")
    assert settled(tiers) == {"gemma": 45, "smol": 45}
    assert "shares places 1 to 2: the answers do not tell them apart" in why(tiers, "smol")


def test_tiers_are_drawn_down_the_board_from_their_heads():
    # Questions right: a 0-59, b 0-55, c 0-49, d 0-39: a beats c by 10:0 and d by 20:0.
    entries = [
        contender(name, n, joined=k)
        for k, (name, n) in enumerate(zip("abcd", (60, 56, 50, 40), strict=True))
    ]
    result = settle(entries, {"ann": 100}, terms(ties="tiers"))
    # c cannot be told from b, but the head of the tier is a.
    assert [(each.entry, each.rank, each.last_place) for each in result.decisions] == [
        ("a", 1, 2), ("b", 1, 2), ("c", 3, 3), ("d", 4, 4),
    ]  # fmt: skip
    assert settled(result) == {"a": 35, "b": 35, "c": 20, "d": 10}


def test_equal_scores_stay_in_one_tier_whoever_joined_first():
    # near is told from the head by 9:0; far, with the same score, is not: 25:16.
    head = contender("head", range(41))
    near = contender("near", range(32), joined=1)
    far = contender("far", [*range(16), *range(41, 57)], joined=2)
    result = settle([head, near, far], {"ann": 60}, terms(ties="tiers"))
    assert settled(result) == {"head": 20, "near": 20, "far": 20}
    swapped = [head, replace(near, standing=replace(near.standing, joined_at=3)), far]
    assert settled(settle(swapped, {"ann": 60}, terms(ties="tiers"))) == settled(result)


@pytest.mark.parametrize(
    ("rule", "places", "expected"),
    [
        ("ArithmeticDecrease", 2, [60, 30, 0, 0]),
        ("GeometricDecrease", 3, [52, 26, 12, 0]),
        ("Equal", 3, [30, 30, 30, 0]),
        ("WinnerTakesAll", 3, [90, 0, 0, 0]),
        ("Proportional", 2, [50, 40, 0, 0]),  # 30 and 24 sixtieths above a third
        ("Equal", 9, [23, 23, 22, 22]),  # no more places than entries
    ],
)
def test_a_rule_may_pay_so_many_places(rule, places, expected):
    entries = [contender(f"m{k}", right, joined=k) for k, right in enumerate((50, 44, 40, 36))]
    result = settle(entries, FUNDS, terms(rule, places=places))
    assert list(settled(result).values()) == expected
    assert f"by {rule} of {places} places" in why(result, "m0")


def test_a_tie_across_the_last_paid_place_shares_it():
    entries = [contender(f"m{k}", right, joined=k) for k, right in enumerate((50, 40, 40))]
    assert paid(entries, rule="Equal", places=2) == {"m0": 46, "m1": 22, "m2": 22}


def test_what_goes_back_goes_in_proportion_to_what_came():
    # Below chance nobody is paid by Proportional, even where all may play.
    result = settle(
        guessers(2), {"ann": 2, "bob": 5, "cyd": 0}, terms("Proportional", eligible="all")
    )
    assert result.refunds == {"ann": 2, "bob": 5}
    assert why(result, "g0").endswith("0.00% of 7 winston by Proportional: 0")


def test_chances_may_differ_by_question():
    # 22 of 60 are not much among three choices each, but among ten.
    entry = contender("a", 22)
    assert paid([entry]) == {"a": 0}
    easy = PayoutTerms("Equal", (THIRD,) * 20 + (Fraction(1, 10),) * 40)
    assert settled(settle([entry], FUNDS, easy)) == {"a": 90}


def test_a_pool_of_as_many_entries_as_a_month_can_evaluate():
    entries = [contender(f"m{k}", 80 + k % 60, 180, joined=k) for k in range(120)]
    entries += [clone(entries[k], f"c{k}") for k in range(40)]
    result = settle(entries, {"ann": 10**30}, terms(ties="tiers", near_copies="merge"))
    assert len(result.copies.identical) == 40
    assert sum(payout.winston for payout in result.payouts) == 10**30


def test_what_cannot_be_settled_is_refused():
    entry = contender("a", 30)
    with pytest.raises(PoolError, match="30 of 60 answers right, but reports 31 of 60"):
        paid([replace(entry, standing=replace(entry.standing, correct=31))])
    with pytest.raises(PoolError, match="no answers to draw tiers by"):
        paid([replace(entry, answers={})], ties="tiers")
    with pytest.raises(PoolError, match="stands twice"):
        paid([entry, entry])
    with pytest.raises(PoolError, match="less than nothing"):
        paid([entry], {"ann": -1})
    with pytest.raises(PoolError, match="60 questions, the chances are of 59"):
        settle([entry], FUNDS, PayoutTerms("Equal", (THIRD,) * 59))
    assert paid([]) == {}


def test_counts_alone_are_enough_without_tiers():
    entries = [replace(contender("a", 50), answers={}), replace(contender("b", 40), answers={})]
    assert paid(entries) == {"a": 60, "b": 30}
