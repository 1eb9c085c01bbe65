from fractions import Fraction

import pytest

from benchpool.errors import PoolError
from benchpool.pools.ranking import Standing, rank


def standing(entry, correct, evaluated=10, total=10, joined_at=0, order=0):
    return Standing(entry, correct, evaluated, total, joined_at, order)


def table(*standings):
    return [(place.entry, place.rank) for place in rank(standings)]


def test_ties_share_a_rank_and_the_next_rank_is_skipped():
    assert table(
        standing("a", 5, order=1), standing("b", 7), standing("c", 7, order=2), standing("d", 1)
    ) == [("b", 1), ("c", 1), ("a", 3), ("d", 4)]


def test_a_lucky_start_does_not_top_the_board():
    three_of_three = standing("lucky", 3, evaluated=3, total=100)
    half = standing("steady", 50, evaluated=100, total=100)
    assert table(three_of_three, half) == [("steady", 1), ("lucky", 2)]


def test_scores_are_compared_exactly():
    huge = 10**17
    one_less = standing("less", huge - 1, evaluated=3 * huge, total=3 * huge)
    third = standing("third", huge, evaluated=3 * huge, total=3 * huge)
    also_third = standing("also", 1, evaluated=3, total=3, joined_at=1)
    assert table(one_less, also_third, third) == [("third", 1), ("also", 1), ("less", 3)]


def test_within_a_tie_the_earlier_stands_first_by_time_then_order_then_id():
    assert [
        place.entry
        for place in rank(
            [
                standing("late", 5, joined_at=9, order=0),
                standing("z", 5, joined_at=1, order=2),
                standing("y", 5, joined_at=1, order=1),
                standing("x", 5, joined_at=1, order=2),
            ]
        )
    ] == ["y", "x", "z", "late"]


def test_entries_without_progress_come_last_even_below_none_correct():
    ranked = rank(
        [
            standing("idle", 0, evaluated=0, joined_at=0),
            standing("wrong", 0, joined_at=5),
            standing("idle too", 0, evaluated=0, total=0, joined_at=1),
        ]
    )
    assert [(p.entry, p.rank, p.has_progress) for p in ranked] == [
        ("wrong", 1, True),
        ("idle", 2, False),
        ("idle too", 2, False),
    ]


def test_a_score_is_out_of_all_questions():
    assert standing("a", 2, evaluated=3, total=8).score == Fraction(1, 4)
    assert standing("a", 0, evaluated=0, total=0).score == 0


def test_nobody_can_be_ranked():
    assert rank([]) == []


@pytest.mark.parametrize("counts", [(-1, 1, 1), (2, 1, 3), (1, 4, 3), (0, 0, -1)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(PoolError, match="entry a reports impossible counts"):
        standing("a", *counts)


def test_an_entry_stands_once():
    with pytest.raises(PoolError, match="twice"):
        rank([standing("a", 1), standing("a", 2)])
