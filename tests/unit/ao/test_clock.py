import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.ao.clock import (
    DAY_MS,
    GENESIS_HEIGHT,
    GENESIS_MS,
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


def test_the_wall_clock_never_runs_backwards(monkeypatch):
    clock = WallClock()
    before = clock.now()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now() == before


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
