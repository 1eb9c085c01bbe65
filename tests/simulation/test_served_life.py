"""Served lives: a network as a server runs it, in an order that the seed decides."""

from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from benchpool.ao.clock import DAY_MS, GENESIS_MS, HOUR_MS
from benchpool.evaluation.sample import Sample
from benchpool.simulation.faults import Crash, CrashPoints, SimulatedCrash
from benchpool.simulation.fuzz import run_plan
from benchpool.simulation.generate import make_plan
from benchpool.simulation.plan import Operation, Plan, Say
from benchpool.simulation.record import read_record
from benchpool.simulation.scripted_engine import write_script
from benchpool.simulation.served_life import ServedLife
from benchpool.units.lanes import Lanes
from benchpool.units.messenger import MessengerUnit

SAMPLES = [Sample("Kim met Bo.", "How?", ("glad", "sad", "calm"), 1)]
TICKS = (("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Info"))


def plan(*operations: Operation, seed: int = 5) -> Plan:
    spawn = [
        Operation(
            0,
            "spawn",
            name=name,
            module="LlamaWorker",
            sender="alice",
            tags=(("Model-Data", "%data"), *(TICKS if name == "one" else ())),
            data=write_script(name, SAMPLES, [1]),
        )
        for name in ("one", "two")
    ]
    setup = (Operation(0, "wallet", name="bank"), Operation(0, "wallet", name="alice"), *spawn)
    return Plan(seed, (*setup, *operations), served=True)


def ask(*actions: str, to: str = "one", at_ms: int = 0, **fields) -> Operation:
    says = tuple(Say("alice", to, action.partition("=")[0], _tags(action)) for action in actions)
    return Operation(at_ms, "send", messages=says, **fields)


def _tags(action: str) -> tuple[tuple[str, str], ...]:
    name, _, value = action.partition("=")
    return ((name.removeprefix("Set-"), value),) if value else ()


BOTH = ask("Set-Max-Tokens=3", "Info")
WAIT = Operation(DAY_MS, "wait")


def test_a_batch_of_several_is_evaluated_in_a_lane():
    driver = ServedLife(plan(BOTH, WAIT), None)
    driver.run()
    driver.close()
    assert driver.counts["live batches of several"] >= 1
    assert driver.counts["live ticks"] >= 10


def test_lanes_are_done_in_an_order_that_the_seed_decides():
    def told(seed: int) -> list[str]:
        driver = ServedLife(plan(BOTH, ask("Info", to="two"), WAIT, seed=seed), None)
        try:
            return [m.tags.get("Name") for m in driver.run().inbox("alice") if m.action == "Info"]
        finally:
            driver.close()

    orders = {seed: tuple(told(seed)[:2]) for seed in range(8)}
    assert orders == {seed: tuple(told(seed)[:2]) for seed in range(8)}
    assert {("one", "two"), ("two", "one")} <= set(orders.values())


def test_missed_ticks_are_coalesced_and_none_comes_early():
    driver = ServedLife(plan(replace(WAIT, at_ms=10 * DAY_MS)), None)
    network = driver.run()
    ticks = [m.timestamp - GENESIS_MS for m, _ in network.log("one") if m.cron]
    driver.close()
    assert ticks == sorted(set(ticks))
    assert all(each % HOUR_MS == 0 and each <= 10 * DAY_MS for each in ticks)
    assert 150 < len(ticks) < 240
    assert ticks[-1] == 10 * DAY_MS


@pytest.mark.simulation
def test_every_write_of_a_served_run_is_a_place_to_crash():
    seen = 0
    for number in range(1, 100, 3):
        crash = Crash(number, ("kill", "full", "blip")[number % 3])
        made = plan(BOTH, ask("Info", to="two", crashes=(crash, Crash(2))), ask("Info"), WAIT)
        report = run_plan(made)
        assert not report.violations
        if not report.counts.get("interruptions"):
            break
        seen += 1
    assert seen > 2


@pytest.mark.parametrize("turned", ["results", "messages"])
def test_a_batch_that_is_turned_round_is_found(monkeypatch, turned):
    finish = MessengerUnit.finish

    def reverse(self, batch, outcome, seconds):
        if not isinstance(outcome, BaseException):
            outcome = outcome[::-1]
            batch = batch[::-1] if turned == "messages" else batch
        finish(self, batch, outcome, seconds)

    monkeypatch.setattr(MessengerUnit, "finish", reverse)
    found = {each.invariant for each in run_plan(plan(BOTH, WAIT)).violations}
    wanted = "replay verifies" if turned == "results" else "messages keep their order"
    assert wanted in found


def test_what_a_lane_forgets_is_found(monkeypatch):
    divert = Lanes.divert

    def forget(self, batch):
        return divert(self, [each for each in batch if each.action != "Info"])

    monkeypatch.setattr(Lanes, "divert", forget)
    assert run_plan(plan(BOTH)).violations


@pytest.mark.parametrize(
    ("kind", "error"),
    [("kill", SimulatedCrash), ("full", OperationalError), ("blip", OperationalError)],
)
def test_a_crash_is_told_by_the_commits_before_it(kind, error):
    points = CrashPoints()
    points.arm(Crash(4, kind))
    points._write("INSERT")
    points._commits(None)
    points._write("INSERT")
    with pytest.raises(error):
        points._commits(None)
    last = points.last_commit()
    assert (last, str(last)) == (Crash(1, "commit"), "killed after commit 1")
    points.arm(last)
    points._write("INSERT")
    points._commits(None)
    with pytest.raises(SimulatedCrash):
        points._write("INSERT")


def test_a_crash_that_did_not_come_stays_what_it_was():
    points = CrashPoints()
    for crash in (None, Crash(9), Crash(1, "answer")):
        points.arm(crash)
        points._write("INSERT")
        assert points.last_commit() == crash


def test_some_seeds_are_served_and_some_are_signed():
    plans = [make_plan(seed) for seed in range(60)]
    kinds = {(each.served, each.signed) for each in plans}
    assert kinds == {(a, b) for a in (False, True) for b in (False, True)}
    served = next(each for each in plans if each.served)
    assert served.describe()[0].startswith("network: served")


@pytest.mark.simulation
def test_a_served_seed_does_the_same_always():
    made = next(each for seed in range(60) if (each := make_plan(seed)).served)
    records = []
    for _ in range(2):
        driver = ServedLife(made, None)
        records.append(read_record(driver.run()))
        driver.close()
    assert records[0].logs == records[1].logs
