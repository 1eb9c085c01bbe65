# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchpool.ao.clock import BLOCK_MS, DAY_MS, GENESIS_MS, HOUR_MS, WallClock
from benchpool.ao.message import Message, ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import ConfigError
from benchpool.process.process import Process, State, handler
from benchpool.units.cron import CronSchedule, parse_cron, parse_interval


def process(*intervals, created_ms=GENESIS_MS, order=0, name="p"):
    pairs = []
    for text in intervals:
        pairs += [("Cron-Interval", text), ("Cron-Tag-Action", text)]
    return ProcessInfo(
        id=name,
        module="M",
        owner="owner",
        tags=Tags(pairs),
        created_ms=created_ms,
        created_height=0,
        order=order,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-second", (1_000, False)),
        ("90-seconds", (90_000, False)),
        ("1-minutes", (60_000, False)),
        ("24-hours", (DAY_MS, False)),
        ("1-Day", (DAY_MS, False)),
        ("2-weeks", (14 * DAY_MS, False)),
        ("1-month", (30 * DAY_MS, False)),
        ("1-year", (365 * DAY_MS, False)),
        ("10-blocks", (10 * BLOCK_MS, True)),
        ("5000-milliseconds", (5_000, False)),
        ("1500-milliseconds", (1_000, False)),
    ],
)
def test_intervals_are_read_in_their_units(text, expected):
    assert parse_interval(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "0-hours", "500-milliseconds", "-1-hours", "1 hour", "1-fortnight", "hours"),
        *("1.5-hours", "1-hourss", "01-hours", "٣-hours", "1-", "9999999999-hours"),
        *("101-years", "999999999-years"),
    ],
)
def test_other_intervals_are_refused(text):
    with pytest.raises(ConfigError, match="cron interval"):
        parse_interval(text)


def test_cron_tags_belong_to_the_interval_before_them():
    tags = [
        ("Name", "n"),
        ("Cron-Interval", "1-hour"),
        ("Cron-Tag-Action", "A"),
        ("Cron-Tag-X-Extra", "e"),
        ("Other", "o"),
        ("cron-interval", "2-hours"),
        ("cron-tag-Action", "B"),
    ]
    first, second = parse_cron(Tags(tags))
    assert list(first.tags) == [("Action", "A"), ("X-Extra", "e")]
    assert list(second.tags) == [("Action", "B")]
    assert parse_cron(Tags()) == []


def test_a_cron_tag_before_any_interval_is_refused():
    with pytest.raises(ConfigError, match="Cron-Tag-Action stands before"):
        parse_cron(Tags([("Cron-Tag-Action", "A"), ("Cron-Interval", "1-hour")]))


def drain(schedule, now_ms):
    found = []
    while ticks := schedule.take(now_ms):
        found += [(tick.due_ms, tick.process.id, tick.entry.text) for tick in ticks]
    return found


@given(
    st.integers(0, 3_000),
    st.integers(1, 40),
    st.integers(0, 100_000),
    st.integers(0, 200_000),
)
def test_ticks_fall_on_whole_multiples_after_the_process_s_own_second(
    offset_ms, seconds, skipped_ms, length_ms
):
    created_ms = GENESIS_MS + offset_ms
    start_ms = created_ms + skipped_ms
    schedule = CronSchedule()
    schedule.add(process(f"{seconds}-seconds", created_ms=created_ms), start_ms)
    origin_s = created_ms // 1_000
    expected = [
        second * 1_000
        for second in range(origin_s + seconds, (start_ms + length_ms) // 1_000 + 1, seconds)
        if second * 1_000 > start_ms
    ]
    assert [due for due, *_ in drain(schedule, start_ms + length_ms)] == expected


def test_of_ticks_that_coincide_blocks_come_first_then_short_then_old():
    schedule = CronSchedule()
    schedule.add(process("1-day", "1-hour", name="b", order=1), GENESIS_MS)
    schedule.add(process("720-blocks", "1-hour", name="c", order=2), GENESIS_MS)
    schedule.add(process("1-hour", "24-hours", name="a", order=0), GENESIS_MS)
    last = drain(schedule, GENESIS_MS + DAY_MS)[-6:]
    assert {due for due, *_ in last} == {GENESIS_MS + DAY_MS}
    assert [(name, text) for _, name, text in last] == [
        ("c", "720-blocks"),
        ("a", "1-hour"),
        ("b", "1-hour"),
        ("c", "1-hour"),
        ("a", "24-hours"),
        ("b", "1-day"),
    ]


def test_a_tick_speaks_for_the_owner_and_has_an_id_of_its_own():
    schedule = CronSchedule()
    schedule.add(process("1-hour"), GENESIS_MS)
    [first] = schedule.take(GENESIS_MS + HOUR_MS)
    [second] = schedule.take(GENESIS_MS + 2 * HOUR_MS)
    item = first.item()
    assert (item.owner, item.sender, item.target) == ("owner", "owner", "p")
    assert list(item.tags) == [("Action", "1-hour")]
    assert first.id() != second.id()
    assert len(first.id()) == 43


class Beats(State):
    times: list[int] = []
    actions: list[str] = []


class Heart(Process):
    state: Beats

    @handler({"From": "_"})
    def beat(self, message: Message) -> None:
        self.state.times.append(message.timestamp)
        self.state.actions.append(message.action)
        if message.cron:
            self.send(self.id, "Echo")


def beats(network, identity="heart"):
    state = network.process(identity).state
    return [
        (time - GENESIS_MS, action)
        for time, action in zip(state.times, state.actions, strict=True)
        if action != "Echo"
    ]


HOURLY = [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Beat")]


def test_advancing_many_days_runs_every_tick_once(make_network):
    network = make_network(Heart)
    network.spawn("Heart", HOURLY, name="heart")
    seen = []
    assert network.advance("30d", seen.append) == 720
    assert beats(network) == [(hour * HOUR_MS, "Beat") for hour in range(1, 721)]
    assert seen == [GENESIS_MS + hour * HOUR_MS for hour in range(1, 721)]
    assert network.clock.now() == GENESIS_MS + 30 * DAY_MS
    assert network.process("heart").state.actions[:4] == ["Beat", "Echo", "Beat", "Echo"]
    [(entry, next_ms)] = network.timeline.entries(network.resolve("heart"))
    assert entry.text == "1-hour"
    assert next_ms == GENESIS_MS + 721 * HOUR_MS


def test_advancing_in_steps_is_advancing_at_once(make_network):
    logs = []
    for steps in (["51h"], ["1h", "30m", "90m", "1ms", "2d", 7_199_999 - 3_600_000]):
        network = make_network(Heart)
        network.spawn("Heart", [*HOURLY, ("Cron-Interval", "7-minutes")], name="heart")
        for step in steps:
            network.advance(step)
        network.advance(GENESIS_MS + 3 * DAY_MS - network.clock.now())
        logs.append(network.log("heart"))
    assert logs[0] == logs[1]


def test_a_tick_comes_from_the_owner_and_is_trusted(make_network):
    network = make_network(Heart)
    alice = network.new_wallet("alice")
    network.spawn("Heart", HOURLY, name="heart", sender=alice)
    network.advance("1h")
    tick = network.log("heart")[1][0]
    assert tick.cron
    assert tick.sender == tick.owner == alice.address
    assert network.result(tick.id).error == ""


def test_a_reopened_home_neither_repeats_nor_skips_a_tick(make_network, tmp_path):
    for day in range(1, 4):
        network = make_network(Heart, home=tmp_path)
        if day == 1:
            network.spawn("Heart", HOURLY, name="heart")
        network.advance("24h" if day != 2 else "23h")
        network.close()
    network = make_network(Heart, home=tmp_path)
    assert beats(network) == [(hour * HOUR_MS, "Beat") for hour in range(1, 72)]


def test_a_bad_cron_tag_leaves_no_process(make_network):
    network = make_network(Heart)
    with pytest.raises(ConfigError, match="stands before"):
        network.spawn("Heart", {"Cron-Tag-Action": "A"}, name="heart")
    assert network.processes() == []
    network.spawn("Heart", HOURLY, name="heart")


def test_live_cron_fires_by_the_wall_clock_for_old_and_new_processes(make_network):
    network = make_network(Heart, clock=WallClock())
    fired = threading.Event()
    seen = set()
    stop = network.live.start()
    try:
        first = network.spawn("Heart", [("Cron-Interval", "1-second"), ("Cron-Tag-Action", "B")])
        for _ in range(60):
            fired.wait(0.05)
            seen = {each.action for each in [m for m, _ in network.log(first)]}
            if "Echo" in seen:
                break
    finally:
        stop()
    assert {"B", "Echo"} <= seen
    assert all(time % 1_000 == 0 for time, action in _times(network, first) if action == "B")


def _times(network, identity):
    state = network.process(identity).state
    return zip(state.times, state.actions, strict=True)


def test_the_wall_clock_cannot_be_advanced(make_network):
    with pytest.raises(ConfigError, match="wall clock"):
        make_network(clock=WallClock()).advance("1h")
