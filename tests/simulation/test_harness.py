"""The harness itself: the same seed does the same, and what fails is made small and said."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchpool.ao.clock import HOUR_MS
from benchpool.cli import app
from benchpool.simulation import fuzz
from benchpool.simulation.driver import Driver
from benchpool.simulation.faults import Crash, CrashPoints, Faults, SimulatedCrash
from benchpool.simulation.fuzz import kinds, run_plan, run_seed, shrink_plan
from benchpool.simulation.generate import make_plan
from benchpool.simulation.invariants import Violation, broken_links
from benchpool.simulation.plan import Operation, Plan, Say
from benchpool.units.messenger import MessengerUnit


def _small_plan(*operations, rates=None):
    setup = (
        Operation(0, "wallet", name="bank"),
        Operation(0, "wallet", name="alice"),
        Operation(0, "spawn", name="WrappedAR", module="WrappedAR", sender="bank"),
    )
    return Plan(5, (*setup, *operations), rates or {})


def _mint(quantity="100", **fields):
    tags = (("Recipient", "@alice"), ("Quantity", quantity))
    return Operation(0, "send", messages=(Say("bank", "WrappedAR", "Mint", tags),), **fields)


def test_a_seed_makes_the_same_plan_always():
    assert make_plan(3) == make_plan(3)
    assert make_plan(3) != make_plan(4)


@pytest.mark.slow
def test_a_seed_gives_the_same_report_whatever_the_order_of_sets():
    code = "from benchpool.simulation.fuzz import run_seed; print(run_seed(1).view())"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True,
            check=True,
        ).stdout
        for number in ("1", "2")
    }
    assert len(said) == 1


def test_every_write_of_a_small_run_is_a_place_to_crash():
    """Killed before each write in turn, the run ends as the one that was never stopped."""
    seen = 0
    for number in range(1, 200):
        plan = _small_plan(_mint(crashes=(Crash(number),)))
        report = run_plan(plan)
        assert not report.violations
        if not report.counts.get("crash: kill"):
            break
        seen += 1
    assert seen > 3


@pytest.mark.parametrize("kind", ["kill", "full", "blip"])
def test_a_message_that_was_not_accepted_may_be_given_up(kind):
    operations = [_mint(crashes=(Crash(1, kind),), patient=False), _mint("7")]
    report = run_plan(_small_plan(*operations))
    assert not report.violations
    assert report.counts["interruptions"] == 1


def test_a_crash_lasts_until_the_home_is_opened_again():
    points = CrashPoints()
    points.arm(Crash(2))
    points._write("INSERT")
    for _ in range(3):
        with pytest.raises(SimulatedCrash):
            points._write("INSERT")
    assert points.taken == {"kill": 1}
    points.arm(None)
    points._write("INSERT")


def test_a_disk_may_have_room_again():
    points = CrashPoints()
    points.arm(Crash(1, "blip"))
    with pytest.raises(Exception, match="disk is full"):
        points._write("INSERT")
    points._write("INSERT")
    assert points.tripped


def test_a_fault_strikes_the_same_keys_always():
    one, other = (Faults("1", {"late": 0.5}) for _ in range(2))
    struck = [key for key in map(str, range(100)) if one.strikes("late", key)]
    assert struck == [key for key in map(str, range(100)) if other.strikes("late", key)]
    assert 30 < len(struck) < 70
    assert not any(one.strikes("twice", key) for key in struck)


@pytest.mark.slow
def test_a_failing_plan_is_made_small(monkeypatch):
    monkeypatch.setattr(MessengerUnit, "resume", lambda self: 0)
    plan = make_plan(1)
    assert kinds(run_plan(plan)) == {"StoreError"}
    small = shrink_plan(plan, lambda each: "StoreError" in kinds(run_plan(each)))
    assert len(small.operations) < len(plan.operations) / 2
    assert kinds(run_plan(small)) == {"StoreError"}
    assert any(each.crashes or each.kind == "restart" for each in small.operations)


def test_a_run_that_raises_is_a_failure(monkeypatch):
    def fail(self, network, operation):
        raise RuntimeError("surprise")

    monkeypatch.setattr(Driver, "_do_wait", fail)
    report = run_seed(2, shrink=False)
    assert report.violations == (Violation("the run ends", "RuntimeError: surprise"),)
    assert kinds(report) == {"RuntimeError"}


def test_a_gap_and_a_broken_link_are_seen():
    driver = Driver(_small_plan(_mint(), _mint()), None)
    network = driver.run()
    token = network.resolve("WrappedAR")
    log = [message for message, _ in network.log(token)]
    driver.close()
    assert list(broken_links(token, log)) == []
    assert any("nonce 2 follows 0" in text for text in broken_links(token, [log[0], log[2]]))
    forged = [log[0], log[1], type(log[2])(**{**_fields(log[2]), "hash_chain": log[1].hash_chain})]
    assert any("hash chain breaks at nonce 2" in text for text in broken_links(token, forged))


def _fields(message):
    return {name: getattr(message, name) for name in message.__struct_fields__}


def test_a_plan_reads_like_a_scenario():
    operation = replace(_mint(crashes=(Crash(3, "full"),), patient=False), at_ms=HOUR_MS)
    assert str(operation) == (
        "        1h  bank -> WrappedAR: Mint Recipient=@alice Quantity=100"
        " [disk full from write 3] [not sent again]"
    )
    assert _small_plan(rates={"late": 0.1}).describe()[0] == "faults: late 10%"


def test_the_command_prints_what_it_did():
    done = CliRunner().invoke(app, ["fuzz", "--seeds", "1", "--start", "4", "--workers", "1"])
    assert done.exit_code == 0
    assert "1, 0 failed" in done.stdout
    assert re.search(r"^WrappedAR Mint +\d+ +- +- +\d+", done.stdout, re.MULTILINE)
    assert "handlers never met: " in done.stdout
    shown = CliRunner().invoke(app, ["fuzz", "--seeds", "1", "--workers", "1", "--json"])
    answer = json.loads(shown.stdout)
    assert (answer["ok"], answer["seeds"], answer["engine"]) == (True, 1, "scripted")
    met = answer["coverage"]
    assert met["operations"]["send"] > 1
    assert met["actions"]["WrappedAR Mint"]["wallets"] >= met["actions"]["WrappedAR Mint"]["ok"] > 0
    assert "LlamaHerder Check-Leases" in met["handlers_never_met"]


def test_the_command_prints_how_to_run_a_failing_seed_again(monkeypatch):
    monkeypatch.setattr(MessengerUnit, "resume", lambda self: 0)
    monkeypatch.setattr(fuzz, "MOST_TRIES", 5)
    done = CliRunner().invoke(app, ["fuzz", "--seeds", "1", "--start", "1", "--workers", "1"])
    assert done.exit_code == 1
    assert "the run ends" in done.stdout
    assert "benchpool fuzz --seeds 1 --start 1" in done.stdout
    assert "the shortest scenario that still fails" in done.stdout
