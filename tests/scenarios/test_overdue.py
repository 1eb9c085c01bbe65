"""A pool that should have been settled long ago fails its audit, and says why; others wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchpool.ao.clock import DAY_MS, MINUTE_MS
from benchpool.audit.audit import audit, audit_home
from benchpool.audit.overdue import NAME
from benchpool.audit.statement import Check, Statement
from benchpool.cli import app
from benchpool.errors import HandlerError
from benchpool.network import Network
from benchpool.process import Message
from benchpool.simulation.scripted_engine import ScriptedEngines
from processes.benchmark import Benchmark
from processes.pool.pool import Pool

RIGHTS = [1] * 6


def settling(pools: Any, pool: str) -> Check:
    return next(check for check in audited(pools, pool).checks if check.name == NAME)


def audited(pools: Any, pool: str) -> Statement:
    return audit(pools.network.store, pools.network.data, pool)


def test_a_pool_is_not_overdue_before_its_end_nor_before_the_tick_behind_it(
    open_pools: Any,
) -> None:
    pools = open_pools()
    pools.network.advance("1h")  # so that the end lies between two ticks
    pool = pools.fund(9, **{"X-Duration": "2d"})
    pools.join(pool, "ana", RIGHTS)
    assert settling(pools, pool).passed is None
    assert "due from 2025-01-03T01:00:00Z" in settling(pools, pool).detail
    pools.network.advance("2d")
    assert (settling(pools, pool).passed, audited(pools, pool).status) == (None, "closed")
    assert "the next tick of Allocate-Rewards" in settling(pools, pool).detail
    pools.network.advance("1d")
    assert settling(pools, pool).passed is True
    assert audited(pools, pool).passed


@pytest.mark.parametrize("joined", [True, False])
def test_a_second_top_up_that_was_forgotten_leaves_a_pool_stuck_and_its_audit_says_so(
    open_pools: Any, monkeypatch: pytest.MonkeyPatch, joined: bool
) -> None:
    top_up = Benchmark._top_up

    def forgetful(self: Any, notice: Message, sender: str, quantity: int) -> None:
        pool = self.state.pools[notice.tags["X-Pool"]]
        before = dict(pool.contributions)
        top_up(self, notice, sender, quantity)
        if sender in before:
            pool.contributions[sender] = max(quantity, before[sender])

    monkeypatch.setattr(Benchmark, "_top_up", forgetful)
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})
    if joined:
        pools.join(pool, "ana", RIGHTS)
    pools.transfer(5, **{"X-Pool": pool})
    assert settling(pools, pool).passed is None
    pools.network.advance("4d")
    check = settling(pools, pool)
    assert check.passed is False
    assert "are not its funds" in check.detail
    assert ("Score-Response" if joined else "Allocate-Rewards") in check.detail
    assert not audited(pools, pool).passed


def test_a_pool_that_never_ends_is_overdue(
    open_pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})
    monkeypatch.setattr(Pool, "is_due", lambda *_: False)
    pools.network.advance("2d")
    pools.network.advance("2d")
    assert not audited(pools, pool).passed


def test_a_benchmark_that_never_ticks_is_overdue_after_more_than_a_tick(open_pools: Any) -> None:
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})
    pools.network.timeline._cron._heap.clear()
    pools.network.advance(3 * DAY_MS + MINUTE_MS)
    assert settling(pools, pool).passed is None
    pools.network.advance("1h")
    check = settling(pools, pool)
    assert check.passed is False
    assert "no Allocate-Rewards has been evaluated" in check.detail
    assert "2025-01-03T00:00:00Z" in check.detail


def test_a_pool_whose_evaluation_runs_waits_and_is_settled_when_its_patience_ends(
    open_pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})
    pools.network.timeline._cron._heap = [
        item for item in pools.network.timeline._cron._heap if item[1].entry.interval_ms == DAY_MS
    ]  # nothing is evaluated
    pools.join(pool, "ana", RIGHTS)
    for _ in range(5):
        pools.network.advance("1d")
    check = settling(pools, pool)
    assert (check.passed, audited(pools, pool).status) == (None, "settling")
    assert "1 of 1 entries are not evaluated yet" in check.detail
    assert "2025-01-10" in check.detail
    pools.network.advance("6d")
    assert settling(pools, pool).passed is True


def test_a_tick_that_failed_once_is_told_until_another_one_comes_to_the_pool(
    open_pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})

    def fail(*_: Any) -> None:
        raise HandlerError("no more ink")

    with monkeypatch.context() as patch:
        patch.setattr(Benchmark, "_settle_ended", fail)
        pools.network.advance("2d")
        assert "no more ink" in settling(pools, pool).detail
        assert settling(pools, pool).passed is False
    pools.network.advance("1d")
    assert (settling(pools, pool).passed, audited(pools, pool).status) == (True, "refunded")


def test_nobody_but_the_owner_can_make_a_pool_look_stuck(open_pools: Any) -> None:
    pools = open_pools()
    pool = pools.fund(9, **{"X-Duration": "2d"})
    pools.network.advance("1d")
    pools.network.timeline._cron._heap.clear()
    pools.network.advance("25h")
    pools.network.send("Benchmark", "Allocate-Rewards", sender="funder")
    pools.network.send("Benchmark", "Score-Response", {"X-Reference": "1"}, sender="funder")
    assert settling(pools, pool).passed is None


def test_the_command_ends_with_1_and_says_why(tmp_path: Path, open_pools: Any) -> None:
    home = tmp_path / "home"
    with Network(home, seed=1, engine_factory=ScriptedEngines()) as network:
        pools = type(open_pools())(network, tmp_path)
        pool = pools.fund(9, **{"X-Duration": "1d", "X-Title": "stuck"})
        network.timeline._cron._heap.clear()
        network.advance("4d")
    said = CliRunner().invoke(app, ["audit", "stuck", "--home", str(home)])
    assert said.exit_code == 1
    assert f"✗ {NAME}: " in said.output
    assert "1 of 12 checks failed" in said.output
    assert audit_home(home, pool).status == "closed"


def test_a_pool_that_richer_ones_were_settled_before_waits_for_its_turn(
    open_pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("processes.pool.settling", "benchpool.audit.ticks"):
        monkeypatch.setattr(f"{module}.LARGEST_SIZE", 1)
    pools = open_pools()
    poor, rich = (pools.fund(funds, **{"X-Duration": "2d"}) for funds in (3, 9))
    pools.network.advance("2d")
    assert settling(pools, rich).passed is True
    assert "richer pools came first" in settling(pools, poor).detail
    pools.network.advance("1d")
    assert audited(pools, poor).passed
    assert settling(pools, poor).passed is True
