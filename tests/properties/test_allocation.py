"""What holds for every rule, whatever the scores."""

from fractions import Fraction
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from benchpool.pools.allocation import RULES, allocate
from benchpool.pools.ranking import Standing, rank

rules = st.sampled_from(list(RULES))
funds = st.one_of(st.integers(0, 200), st.integers(0, 10**30))
chances = st.sampled_from([Fraction(0), Fraction(1, 4), Fraction(1, 3), Fraction(1, 2)])


@st.composite
def boards(draw):
    """Pools with few different scores and joining times, so that ties are common."""
    total = draw(st.integers(1, 12))
    standings = []
    for order in range(draw(st.integers(0, 25))):
        evaluated = draw(st.integers(0, total))
        correct = draw(st.integers(0, evaluated))
        joined_at = draw(st.integers(0, 3))
        standings.append(Standing(f"m{order}", correct, evaluated, total, joined_at, order))
    return standings


def amounts(rule, funds, standings, chance):
    """Payouts in winston of every entry, best first, zeros included."""
    ranked = rank(standings)
    paid = {p.entry: p.winston for p in allocate(rule, funds, ranked, chance=chance)}
    return [(place, paid.get(place.entry, 0)) for place in ranked]


@given(rules, funds, boards(), chances)
def test_payouts_sum_to_the_funds_or_nobody_can_be_paid(rule, funds, standings, chance):
    payouts = allocate(rule, funds, rank(standings), chance=chance)
    if payouts:
        assert sum(p.winston for p in payouts) == funds
        assert all(p.winston > 0 for p in payouts)
    else:
        payable = [s for s in standings if s.has_progress]
        if rule == "Proportional":
            payable = [s for s in payable if s.score > chance]
        assert funds == 0 or not payable


@given(rules, funds, boards(), chances)
def test_tied_entries_differ_by_at_most_one_winston(rule, funds, standings, chance):
    paid = amounts(rule, funds, standings, chance)
    for _, tied in groupby(paid, key=lambda pair: pair[0].rank):
        shares = [share for _, share in tied]
        assert max(shares) - min(shares) <= 1


@given(rules, funds, boards(), chances)
def test_a_better_place_is_never_paid_less(rule, funds, standings, chance):
    shares = [share for _, share in amounts(rule, funds, standings, chance)]
    assert shares == sorted(shares, reverse=True)


@given(rules, funds, boards(), chances)
def test_entries_without_progress_are_not_paid(rule, funds, standings, chance):
    for place, share in amounts(rule, funds, standings, chance):
        assert place.has_progress or share == 0


@given(rules, funds, boards(), chances, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(rule, funds, standings, chance, random):
    shuffled = list(standings)
    random.shuffle(shuffled)
    ranked = rank(shuffled)
    assert ranked == rank(standings)
    expected = allocate(rule, funds, ranked, chance=chance)
    random.shuffle(ranked)
    assert allocate(rule, funds, ranked, chance=chance) == expected


@given(boards())
def test_ranks_count_the_better_entries(standings):
    for place in rank(standings):
        mine = place.standing
        better = sum((s.has_progress, s.score) > (mine.has_progress, mine.score) for s in standings)
        assert place.rank == better + 1
