# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Machine

from benchpool.ao.clock import BLOCK_MS, DAY_MS, GENESIS_MS, HOUR_MS, WallClock
from benchpool.ao.message import Message, ProcessInfo
from benchpool.ao.tags import Tags
from benchpool.errors import ConfigError
from benchpool.process.process import Process, State, handler
from benchpool.units.cron import CronSchedule, _Due, parse_cron, parse_interval


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


def in_turn(schedule, now_ms, most=1_000_000, busy=()):
    taken = schedule.take_in_turn(now_ms, most, busy)
    return [(tick.process.id, tick.due_ms - GENESIS_MS, tick.entry.text) for tick in taken]


def test_of_the_ticks_that_were_missed_the_last_one_of_each_entry_falls_due():
    schedule = CronSchedule()
    schedule.add(process("2-seconds", "1-hour"), GENESIS_MS)
    assert in_turn(schedule, GENESIS_MS + 1_999) == []
    assert in_turn(schedule, GENESIS_MS + DAY_MS + 1) == [
        ("p", DAY_MS, "2-seconds"),
        ("p", DAY_MS, "1-hour"),
    ]
    assert in_turn(schedule, GENESIS_MS + DAY_MS + 1) == []
    assert schedule.next_due() == GENESIS_MS + DAY_MS + 2_000


def test_a_tick_that_is_late_runs_unless_the_next_one_is_due_too():
    schedule = CronSchedule()
    schedule.add(process("2-seconds"), GENESIS_MS)
    assert in_turn(schedule, GENESIS_MS + 3_999) == [("p", 2_000, "2-seconds")]
    assert in_turn(schedule, GENESIS_MS + 6_000) == [("p", 6_000, "2-seconds")]


def test_processes_tick_in_turn_however_many_crons_one_of_them_has():
    schedule = CronSchedule()
    schedule.add(process(*["1-second"] * 10, name="greedy", order=0), GENESIS_MS)
    for order, name in enumerate("abc", start=1):
        schedule.add(process("1-second", name=name, order=order), GENESIS_MS)
    first = in_turn(schedule, GENESIS_MS + 1_000, 4)
    assert [name for name, *_ in first] == ["greedy", "a", "b", "c"]
    assert schedule.waiting == 1
    assert in_turn(schedule, GENESIS_MS + 1_000, 2) == [("greedy", 1_000, "1-second")] * 2
    # A second later the others are due again, behind it; what it missed is coalesced.
    later = in_turn(schedule, GENESIS_MS + 2_000, 5)
    assert sorted(name for name, *_ in later) == ["a", "b", "c", "greedy", "greedy"]
    assert {due for _, due, _ in later} == {2_000}
    assert schedule.next_due() <= GENESIS_MS + 2_000
    rest = in_turn(schedule, GENESIS_MS + 2_000)
    assert [name for name, *_ in rest] == ["greedy"] * 8
    assert schedule.next_due() == GENESIS_MS + 3_000


def test_who_is_busy_keeps_its_turn():
    schedule = CronSchedule()
    schedule.add(process("1-second", name="a"), GENESIS_MS)
    schedule.add(process("1-second", name="b", order=1), GENESIS_MS)
    assert in_turn(schedule, GENESIS_MS + 1_000, busy={"a"}) == [("b", 1_000, "1-second")]
    assert in_turn(schedule, GENESIS_MS + 1_500, busy={"a"}) == []
    assert in_turn(schedule, GENESIS_MS + 5_000) == [
        ("a", 5_000, "1-second"),
        ("b", 5_000, "1-second"),
    ]


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 5)), max_size=20),
)
def test_in_turn_no_tick_runs_twice_nor_before_it_is_due_and_all_come_to_their_turn(
    intervals, steps
):
    schedule = CronSchedule()
    for order, seconds in enumerate(intervals):
        texts = [f"{each}-seconds" for each in seconds]
        schedule.add(process(*texts, name=f"p{order}", order=order), GENESIS_MS)
    now_ms, seen = GENESIS_MS, {}
    for length_ms, most in steps:
        now_ms += length_ms
        for tick in schedule.take_in_turn(now_ms, most):
            place = (tick.process.id, id(tick.entry))
            assert seen.get(place, GENESIS_MS) < tick.due_ms <= now_ms
            assert now_ms - tick.due_ms < tick.entry.interval_ms
            assert (tick.due_ms - GENESIS_MS) % tick.entry.interval_ms == 0
            seen[place] = tick.due_ms
    now_ms += 9_000
    while ticks := schedule.take_in_turn(now_ms, 3):
        seen |= {(tick.process.id, id(tick.entry)): tick.due_ms for tick in ticks}
    assert len(seen) == sum(map(len, intervals))
    assert all(now_ms - due_ms < 9_000 for due_ms in seen.values())


def test_among_ten_thousand_processes_a_tick_costs_little():
    schedule = CronSchedule()
    for order in range(10_000):
        schedule.add(process("1-second", name=f"p{order}", order=order), GENESIS_MS)
    looked_at = []
    order = _Due.order
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Due, "order", lambda due: looked_at.append(due) or order(due))
        for turn in range(1, 101):
            assert len(schedule.take_in_turn(GENESIS_MS + 1_000 * turn, 10)) == 10
    assert len(looked_at) < 3_000


def test_the_last_tick_that_was_missed_is_due_if_it_was_missed():
    asked = []
    for missed, expected in ((True, 2 * HOUR_MS), (False, 3 * HOUR_MS)):
        schedule = CronSchedule()
        schedule.add(
            process("1-hour", "1-day"),
            GENESIS_MS + 3 * HOUR_MS - 1,
            lambda tick, missed=missed: asked.append(tick.due_ms - GENESIS_MS) or missed,
        )
        assert schedule.next_due() == GENESIS_MS + expected
    assert asked == [2 * HOUR_MS] * 2  # of the daily one there is none


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


TWO_SECONDS = [("Cron-Interval", "2-seconds"), ("Cron-Tag-Action", "Beat")]
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


def test_a_running_network_whose_machine_slept_for_a_day_ticks_once(make_network):
    machine = Machine()
    network = make_network(Heart, clock=machine.clock())
    network.spawn("Heart", TWO_SECONDS, name="heart")
    machine.wait(2_000)
    assert network.live.tick() == 1
    machine.wait(DAY_MS)
    assert network.live.tick() == 1
    machine.wait(2_000)
    assert network.live.turn() == 1
    assert beats(network) == [(at, "Beat") for at in (2_000, DAY_MS + 2_000, DAY_MS + 4_000)]


def test_a_machine_whose_clock_leapt_ahead_makes_no_tick_fall_due(make_network):
    machine = Machine()
    network = make_network(Heart, clock=machine.clock())
    network.spawn("Heart", TWO_SECONDS, name="heart")
    machine.turn(365 * DAY_MS)
    assert network.live.tick() == 0
    machine.wait(2_000)
    assert network.live.tick() == 1
    machine.turn(-365 * DAY_MS)
    assert network.live.tick() == 0
    machine.wait(2_000)
    assert network.live.tick() == 1
    assert beats(network) == [(2_000, "Beat"), (4_000, "Beat")]
    assert network.clock.now() == GENESIS_MS + 4_000


def test_a_home_whose_last_tick_was_not_logged_before_it_was_killed_makes_it_up(
    make_network, tmp_path
):
    machine = Machine()
    network = make_network(Heart, home=tmp_path, clock=machine.clock())
    network.spawn("Heart", HOURLY, name="heart")
    machine.wait(2 * HOUR_MS)
    network.live.tick()
    machine.wait(HOUR_MS)
    network.send("heart", "Hello")  # and commits, behind the time of the tick
    network.close(abort=True)
    for _ in range(2):
        with make_network(Heart, home=tmp_path, clock=machine.clock()) as network:
            network.live.tick()
            assert [at for at, action in beats(network) if action == "Beat"] == [
                2 * HOUR_MS,
                3 * HOUR_MS,
            ]


def test_a_home_that_was_not_run_for_a_year_ticks_once_and_one_from_the_future_not_at_all(
    make_network, tmp_path
):
    machine = Machine()
    with make_network(Heart, home=tmp_path, clock=machine.clock()) as network:
        network.spawn("Heart", HOURLY, name="heart")
    machine.wait(365 * DAY_MS)
    with make_network(Heart, home=tmp_path, clock=machine.clock()) as network:
        assert network.live.tick() == 1
        assert beats(network) == [(365 * DAY_MS, "Beat")]
    machine.turn(-365 * DAY_MS)  # the year was a mistake
    with pytest.raises(ConfigError, match=f"{tmp_path} is at 2026-01-01T00:00:00Z, 365d ahead"):
        make_network(Heart, home=tmp_path, clock=machine.clock())
    with make_network(Heart, home=tmp_path, clock=machine.clock(ahead=True)) as network:
        machine.wait(2 * HOUR_MS)
        assert network.live.tick() == 1
        assert beats(network)[1:] == [(365 * DAY_MS + HOUR_MS, "Beat")]


def test_virtual_time_has_an_end_that_is_told(make_network):
    network = make_network(Heart)
    network.spawn("Heart", [("Cron-Interval", "100-years")])
    with pytest.raises(ConfigError, match="beyond 9000-01-01T00:00:00Z; it is 2025-01-01"):
        network.advance("520000w")
    assert network.clock.now() == GENESIS_MS


def _times(network, identity):
    state = network.process(identity).state
    return zip(state.times, state.actions, strict=True)


def test_the_wall_clock_cannot_be_advanced(make_network):
    with pytest.raises(ConfigError, match="wall clock"):
        make_network(clock=WallClock()).advance("1h")
