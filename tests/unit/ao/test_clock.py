import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Machine

from benchpool.ao.clock import (
    DAY_MS,
    GENESIS_HEIGHT,
    GENESIS_MS,
    HOUR_MS,
    LEAP_MS,
    VirtualClock,
    WallClock,
    block_height,
    format_duration,
    parse_duration,
)
from benchpool.errors import ConfigError


def test_virtual_time_moves_only_when_told():
    clock = VirtualClock()
    assert clock.now() == GENESIS_MS
    clock.set(GENESIS_MS + 5)
    assert clock.now() == GENESIS_MS + 5
    clock.set(GENESIS_MS + 5)
    assert clock.now() == GENESIS_MS + 5


def test_virtual_time_cannot_run_backwards():
    with pytest.raises(ValueError, match="backwards"):
        VirtualClock().set(GENESIS_MS - 1)


def test_the_wall_clock_is_the_machine_s():
    before_ms = time.time_ns() // 1_000_000
    assert before_ms <= WallClock().now() <= time.time_ns() // 1_000_000


def test_a_machine_that_slept_is_followed_at_once():
    machine = Machine()
    clock = machine.clock()
    for length_ms in (1, HOUR_MS, 365 * DAY_MS):
        before_ms = clock.now()
        machine.wait(length_ms)
        assert clock.now() == before_ms + length_ms
    assert clock.trouble() == ""


@pytest.mark.parametrize("seconds", [1, 299, 300])
def test_a_clock_that_was_a_little_slow_is_followed(seconds):
    machine = Machine()
    clock = machine.clock()
    machine.turn(seconds * 1000)
    assert clock.now() == GENESIS_MS + seconds * 1000
    assert clock.trouble() == ""


def test_a_leap_of_the_clock_is_told_and_not_followed_until_it_comes_back(caplog):
    machine = Machine()
    clock = machine.clock()
    machine.turn(365 * DAY_MS)
    assert clock.now() == GENESIS_MS
    machine.wait(10 * DAY_MS)
    assert clock.now() == GENESIS_MS + 10 * DAY_MS
    assert "leapt ahead by 365d and is not followed" in clock.trouble()
    assert clock.off_ms == 365 * DAY_MS
    machine.turn(-365 * DAY_MS)
    machine.wait(1)
    assert clock.now() == GENESIS_MS + 10 * DAY_MS + 1
    assert clock.trouble() == ""
    assert [record.getMessage().split(" and is")[0] for record in caplog.records] == [
        "the machine's clock leapt ahead by 365d",
        "the machine's clock is right again",
    ]


def test_one_bad_reading_does_no_harm():
    machine = Machine()
    clock = machine.clock()
    machine.turn(365 * DAY_MS)
    clock.now()
    machine.turn(-365 * DAY_MS)
    machine.wait(1000)
    assert clock.now() == GENESIS_MS + 1000
    machine.turn(-DAY_MS)
    assert clock.now() == GENESIS_MS + 1000
    machine.turn(DAY_MS)
    machine.wait(1000)
    assert clock.now() == GENESIS_MS + 2000


def test_ahead_of_a_clock_that_was_set_back_time_goes_at_half_pace_until_they_meet(caplog):
    machine = Machine()
    clock = machine.clock()
    machine.turn(-HOUR_MS)
    assert clock.now() == GENESIS_MS
    for minute in range(1, 120):
        machine.wait(60_000)
        assert clock.now() == GENESIS_MS + minute * 30_000
    machine.wait(60_000)
    for _ in range(3):
        assert clock.now() == machine.wall_ns // 1_000_000
        machine.wait(60_000)
    assert "network's time is 1h ahead of the machine's clock" in caplog.text
    assert (len(caplog.records), clock.trouble()) == (2, "")


def test_half_pace_is_half_pace_however_often_the_clock_is_read():
    machine = Machine()
    clock = machine.clock()
    machine.turn(-HOUR_MS)
    for _ in range(10_000):
        machine.wall_ns += 300_000
        machine.steady_ns += 300_000
        clock.now()
    assert clock.now() == GENESIS_MS + 1500


@given(st.lists(st.tuples(st.integers(0, DAY_MS), st.integers(-400 * DAY_MS, 400 * DAY_MS))))
def test_the_wall_clock_never_runs_backwards_nor_faster_than_time_but_by_small_leaps(steps):
    machine = Machine()
    clock = machine.clock()
    latest_ms = clock.now()
    for length_ms, turn_ms in steps:
        machine.wait(length_ms)
        machine.turn(turn_ms)
        now_ms = clock.now()
        assert latest_ms + length_ms // 2 <= now_ms <= latest_ms + length_ms + LEAP_MS
        latest_ms = now_ms


def test_a_home_that_was_not_run_for_a_year_goes_on_today():
    machine = Machine()
    clock = machine.clock()
    clock.go_on_from(GENESIS_MS - 365 * DAY_MS, "home")
    assert (clock.now(), clock.trouble()) == (GENESIS_MS, "")


def test_a_home_that_is_a_little_ahead_goes_on_from_there():
    machine = Machine()
    clock = machine.clock()
    clock.go_on_from(GENESIS_MS + LEAP_MS, "home")
    machine.wait(1000)
    assert (clock.now(), clock.trouble()) == (GENESIS_MS + LEAP_MS + 500, "")


def test_a_clock_that_was_set_back_meanwhile_keeps_no_home_from_being_opened_again():
    machine = Machine()
    clock = machine.clock()
    machine.turn(-HOUR_MS)
    clock.go_on_from(clock.now(), "home")
    assert clock.now() == GENESIS_MS


def test_a_home_that_is_far_ahead_is_refused_or_goes_on_at_half_pace():
    machine = Machine()
    kept_ms = GENESIS_MS + 365 * DAY_MS
    said = (
        "/a/home is at 2026-01-01T00:00:00Z, 365d ahead of this machine's clock,"
        " 2025-01-01T00:00:00Z: set the clock if it is wrong; .* benchpool up --ahead"
    )
    with pytest.raises(ConfigError, match=said):
        machine.clock().go_on_from(kept_ms, "/a/home")
    clock = machine.clock(ahead=True)
    clock.go_on_from(kept_ms, "/a/home")
    machine.wait(HOUR_MS)
    assert clock.now() == kept_ms + HOUR_MS // 2
    assert "365d ahead of the machine's clock" in clock.trouble()


def test_a_block_comes_every_two_minutes():
    assert block_height(GENESIS_MS) == GENESIS_HEIGHT
    assert block_height(GENESIS_MS + 119_999) == GENESIS_HEIGHT
    assert block_height(GENESIS_MS + 120_000) == GENESIS_HEIGHT + 1


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", 90_000),
        ("24h", DAY_MS),
        ("1d12h", DAY_MS * 3 // 2),
        ("2w", 14 * DAY_MS),
        ("5m", 300_000),
        ("250ms", 250),
        (" 30D ", 30 * DAY_MS),
    ],
)
def test_durations_are_read_in_their_units(text, ms):
    assert parse_duration(text) == ms


def test_a_bare_number_is_milliseconds_on_the_wire_and_refused_elsewhere():
    assert parse_duration("1234", bare_ms=True) == 1234
    with pytest.raises(ConfigError, match="needs a unit: '1234'; write for instance 90s, 24h"):
        parse_duration("1234")
    with pytest.raises(ConfigError, match="not a duration"):
        parse_duration("0", bare_ms=True)


@pytest.mark.parametrize(
    "text", ["", "0s", "-5", "5 x", "h", "1.5h", "1h 30m", "٣h", "1e3", "9" * 16]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError, match="not a duration"):
        parse_duration(text)


@given(st.integers(1, 10**14))
def test_a_duration_reads_back_as_it_was_written(ms):
    assert parse_duration(format_duration(ms)) == ms


def test_no_time_at_all_is_written_as_such():
    assert format_duration(0) == "0ms"
