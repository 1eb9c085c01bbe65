"""Fuzz: run the plans of many seeds, check the invariants, make failing plans small."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchpool.process.registry import Registry
from benchpool.simulation.coverage import Coverage
from benchpool.simulation.driver import Driver
from benchpool.simulation.generate import make_plan
from benchpool.simulation.invariants import Evidence, Violation, violations
from benchpool.simulation.plan import Operation, Plan
from benchpool.simulation.record import read_record
from benchpool.simulation.served_life import ServedLife

FAILED_TO_RUN: Final = "the run ends"
"""The invariant that is broken when a run raises what no fault explains."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
MOST_TRIES: Final = 400
"""Runs that shrinking one seed may take."""


@dataclass(frozen=True, slots=True)
class Report:
    """How a seed went."""

    seed: int
    violations: tuple[Violation, ...]
    counts: dict[str, int] = field(default_factory=dict)
    """What took place: operations, messages, writes, crashes, faults."""
    coverage: Coverage = field(default_factory=Coverage)
    scenario: tuple[str, ...] = ()
    """The shortest plan that still fails, one line an operation."""

    def view(self) -> dict[str, Any]:
        """Show it as JSON, without what it met."""
        return {
            "seed": self.seed,
            "violations": [violation._asdict() for violation in self.violations],
            "counts": self.counts,
            "scenario": list(self.scenario),
            "command": self.command,
        }

    @property
    def command(self) -> str:
        """What runs this seed again."""
        return f"benchpool fuzz --seeds 1 --start {self.seed}"


def run_seed(seed: int, *, shrink: bool = True, modules: Registry | None = None) -> Report:
    """Run one seed; if it fails, find a shorter plan that fails in the same way."""
    plan = make_plan(seed)
    report = run_plan(plan, modules=modules)
    if not report.violations or not shrink:
        return report
    broken = kinds(report)
    smaller = shrink_plan(plan, lambda each: bool(kinds(run_plan(each, modules=modules)) & broken))
    return replace(report, scenario=tuple(smaller.describe()))


def run_plan(plan: Plan, *, modules: Registry | None = None) -> Report:
    """Run a plan twice, interrupted and not, or interrupted elsewhere, and check the invariants."""
    with tempfile.TemporaryDirectory(
        prefix="benchpool-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None
    ) as folder:
        kind = ServedLife if plan.served else Driver
        driver = kind(plan, Path(folder) / "home", modules=modules)
        whole: Driver | None = None
        counts, coverage = dict[str, int](), Coverage()
        try:
            network = driver.run()
            counts, record = _counts(driver), read_record(network)
            coverage = Coverage.of(plan, record)
            whole = _second(driver, Path(folder) / "second", modules)
            expected = read_record(whole.run())
            evidence = Evidence(
                plan,
                record,
                expected,
                driver.acknowledged,
                network,
                driver.registry,
            )
            found = tuple(violations(evidence))
        except Exception as error:
            found = (Violation(FAILED_TO_RUN, f"{type(error).__name__}: {error}"),)
            counts = counts or _counts(driver)
        finally:
            driver.close()
            if whole is not None:
                whole.close()
        return Report(plan.seed, found, counts, coverage)


def _second(driver: Driver, home: Path, modules: Registry | None) -> Driver:
    """Make the run that must end as the first one did.

    In virtual time, it is not interrupted at all; what was never accepted, and not sent again, is
    left out. What is in the lanes of a served network when it ends begins anew with what has come
    since, so when it ended is a part of what happened. Its second run ends as often, each time as
    soon as what the first one left is written.
    """
    if not driver.plan.served:
        return Driver(driver.plan, None, modules=modules, skip=frozenset(driver.given_up))
    operations = tuple(
        replace(operation, crashes=tuple(driver.crashes.get(place, ())))
        for place, operation in enumerate(driver.plan.operations)
    )
    return ServedLife(replace(driver.plan, operations=operations), home, modules=modules)


def _counts(driver: Driver) -> dict[str, int]:
    points = driver.points
    counts = Counter(driver.counts)
    counts["writes"] = points.writes
    counts["commits"] = points.commits
    counts["inferences"] = points.answers
    counts.update({f"crash: {kind}": number for kind, number in points.taken.items()})
    counts.update({f"fault: {kind}": number for kind, number in driver.faults.injected.items()})
    return dict(counts)


def kinds(report: Report) -> set[str]:
    """Return what is broken: invariants, and of a run that raises the name of the exception.

    A smaller plan must fail in the same way: without a token, say, it may raise something else.
    """
    return {
        text.partition(":")[0] if invariant == FAILED_TO_RUN else invariant
        for invariant, text in report.violations
    }


def shrink_plan(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """Drop faults, operations, messages and crashes while the plan still fails."""
    left = MOST_TRIES

    def try_out(candidate: Plan) -> bool:
        nonlocal left, plan
        left -= 1
        if left >= 0 and fails(candidate):
            plan = candidate
            return True
        return False

    for fault in list(plan.rates):
        try_out(replace(plan, rates={k: v for k, v in plan.rates.items() if k != fault}))
    size = max(len(plan.operations) // 2, 1)
    while size:
        place = len(plan.operations)
        while place > 0:
            start = max(place - size, 0)
            kept = plan.operations[:start] + plan.operations[place:]
            try_out(replace(plan, operations=kept))
            place = start
        size //= 2
    for place in range(len(plan.operations)):
        for part in ("crashes", "messages"):
            for index in reversed(range(len(getattr(plan.operations[place], part)))):
                _drop(plan, place, part, index, try_out)
    return plan


def _drop(plan: Plan, place: int, part: str, index: int, try_out: Callable[[Plan], bool]) -> None:
    operation: Operation = plan.operations[place]
    values = getattr(operation, part)
    smaller: Any = {part: values[:index] + values[index + 1 :]}
    changed = list(plan.operations)
    changed[place] = replace(operation, **smaller)
    try_out(replace(plan, operations=tuple(changed)))


def fuzz(seeds: Iterable[int], *, workers: int = 1) -> Iterator[Report]:
    """Run seeds, several at a time, and give each report as it comes, in the order of the seeds."""
    if workers <= 1:
        yield from map(run_seed, seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(run_seed, seeds, chunksize=4)


def total(reports: Iterable[Report]) -> dict[str, int]:
    """Add the counts of many reports up."""
    counts: Counter[str] = Counter()
    for report in reports:
        counts.update(report.counts)
    return dict(sorted(counts.items()))
