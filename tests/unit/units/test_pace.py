import pytest

from benchpool.units.pace import IDLE_S, MOST, SLICE_S, Pace


class Stopwatch:
    now_s = 100.25

    def __call__(self):
        return self.now_s


def run(pace, watch, each_s):
    """Run what is allowed; return how much."""
    count = pace.allowed()
    if count:
        watch.now_s += count * each_s
        pace.spent(count, count * each_s)
    return count


def seconds(pace, watch, each_s, until_s):
    """Tick whenever it is allowed; return how many ticks, and how many the longest slice had."""
    count, longest = 0, 0
    while watch.now_s < until_s:
        ran = run(pace, watch, each_s)
        count, longest = count + ran, max(longest, ran)
        watch.now_s += max(pace.wait_s(), 1e-6)
    return count, longest


def test_so_many_ticks_a_second_run_and_no_more():
    watch = Stopwatch()
    pace = Pace(50, watch)
    assert seconds(pace, watch, 0.0001, 101)[0] == 50
    assert seconds(pace, watch, 0.0001, 104)[0] == 150


def test_ticks_take_half_of_the_time_at_most_and_slices_are_short():
    watch = Stopwatch()
    pace = Pace(1000, watch)
    count, longest = seconds(pace, watch, 0.005, 110)
    assert longest * 0.005 <= SLICE_S
    assert 900 < count < 1000


def test_a_tick_that_takes_longer_than_a_slice_runs_alone():
    watch = Stopwatch()
    pace = Pace(1000, watch)
    assert seconds(pace, watch, 1.0, 200) == (50, 1)


def test_a_slice_grows_again_when_ticks_are_quick_again():
    watch = Stopwatch()
    pace = Pace(1000, watch)
    run(pace, watch, 1.0)
    assert seconds(pace, watch, 0.0001, 170)[1] == MOST


def test_where_nothing_can_run_it_waits_for_a_moment():
    watch = Stopwatch()
    pace = Pace(10, watch)
    pace.spent(0, 0.0)
    assert pace.wait_s() == pytest.approx(IDLE_S)
    assert pace.allowed() == 0
