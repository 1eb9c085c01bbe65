import math

import pytest
from contests import blurred, build, clone, contender

from benchpool.pools.copies import Answer, find_copies


def with_nats(entry, nats, **more):
    return build(entry, {key: Answer(True, each) for key, each in enumerate(nats)}, 60, **more)


def test_a_correlation_is_that_of_the_choices_relative_to_their_mean():
    # Long questions make all choices unlikely, for every model: that alone is no likeness.
    lengths = [float(-10 * key) for key in range(30)]
    one = with_nats("one", [(n - 1, n - 2, n - 3) for n in lengths])
    other = with_nats("other", [(n - 3, n - 1, n - 2) for n in lengths], joined=1)
    same = with_nats("same", [(2 * n - 2, 2 * n - 4, 2 * n - 6) for n in lengths], joined=2)
    found = find_copies([one, other, same])
    assert found.identical == {}
    assert found.near == {"same": ("one", 30, 1.0)}


def test_the_edge_is_sharp_and_exact():
    # Centred: x = (1, -1, 0) each time; y = (1 + e, -1 + e, -2e): r^2 = 1 / (1 + 3 e^2).
    edge = math.sqrt((1 / 0.9801 - 1) / 3)
    one = with_nats("one", [(1.0, -1.0, 0.0)] * 30)
    for e, expected in ((edge * 1.001, []), (edge * 0.999, ["y"])):
        y = with_nats("y", [(1 + e, -1 + e, -2 * e)] * 30, joined=1)
        assert list(find_copies([one, y]).near) == expected


def test_the_opposite_and_the_indifferent_are_no_copies():
    one = with_nats("one", [(-1.0, -2.0, -3.0)] * 30)
    opposite = with_nats("opposite", [(-3.0, -2.0, -1.0)] * 30, joined=1)
    flat = with_nats("flat", [(-2.0, -2.0, -2.0)] * 30, joined=2)
    assert find_copies([one, opposite, flat]) == ({}, {})


@pytest.mark.parametrize(("questions", "is_copy"), [(19, False), (20, True)])
def test_twenty_questions_are_needed(questions, is_copy):
    original = contender("original", 30)
    few = build("few", dict(list(original.answers.items())[:questions]), 60, joined=1)
    assert ("few" in find_copies([original, few]).identical) == is_copy
    near = blurred(few, "near", 0.1, joined=2)
    assert ("near" in find_copies([original, near]).near) == is_copy


def test_numbers_no_model_gives_are_passed_over():
    wild = [math.inf, -math.inf, math.nan]
    one = with_nats("one", [wild] * 30 + [(-1e300, -1e-300, -0.0)] * 5)
    other = with_nats("other", [wild] * 30 + [(-1e300, -1e-300, -0.0)] * 5, joined=1)
    assert find_copies([one, other]) == ({}, {})
    huge = [(-1e300, -2e300 * (key + 1), -3.0) for key in range(30)]
    assert find_copies([with_nats("a", huge), with_nats("b", huge, joined=1)]).identical
    scaled = [tuple(nats / 2 for nats in each) for each in huge]
    assert find_copies([with_nats("a", huge), with_nats("b", scaled, joined=1)]).near


def test_protocols_without_log_likelihoods_show_no_copies():
    assert find_copies([with_nats("a", [()] * 30), with_nats("b", [()] * 30)]) == ({}, {})


def test_a_copy_of_a_copy_is_one_of_the_original():
    first = contender("first", 30)
    second, third = clone(first, "second", joined=1), clone(first, "third", joined=2)
    found = find_copies([third, second, first])
    assert {entry: each.original for entry, each in found.identical.items()} == {
        "second": "first",
        "third": "first",
    }


def test_only_merged_near_copies_stop_being_originals():
    first = contender("first", 30)
    drift = blurred(first, "drift", 0.4, joined=1)
    again = clone(drift, "again", joined=2)
    assert find_copies([first, drift, again]).identical == {"again": ("drift", 60, 1.0)}
    merged = find_copies([first, drift, again], merge_near=True)
    assert merged.identical == {}
    assert {each.original for each in merged.near.values()} == {"first"}
