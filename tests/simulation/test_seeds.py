"""Seeds: whole pool lifecycles with faults, after each of which the invariants hold."""

import os

import pytest

from benchpool.simulation.fuzz import fuzz, run_seed, total

REGRESSIONS = {
    16: "a disk full in a handler was recorded as the message's own failure",
    17: "a private database that could not be made kept its lock",
    38: "a private database was committed before its messages, which a read had written out",
}


@pytest.mark.simulation
@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_found_a_bug_passes(seed):
    report = run_seed(seed)
    assert not report.violations, "\n".join([report.command, *report.scenario])


@pytest.mark.simulation
@pytest.mark.slow
def test_two_hundred_seeds_pass():
    reports = list(fuzz(range(200), workers=os.cpu_count() or 1))
    failed = [report for report in reports if report.violations]
    assert not failed, "\n".join(report.command for report in failed)
    counts = total(reports)
    assert counts["interruptions"] > 500
    assert counts["resumed messages"] > 200
    for fault in ("raise", "refuse", "silent", "late", "twice", "rubbish", "weights", "hang"):
        assert counts[f"fault: {fault}"] > 10
