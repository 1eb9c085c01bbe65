"""Coverage: what seeds meet of all that can be said is counted, and nothing sayable is missed."""

import pytest

from benchpool.ao.message import Message, Result
from benchpool.ao.tags import Tags
from benchpool.process.registry import Registry
from benchpool.simulation.coverage import OUTCOMES, Coverage, handlers, sayable, total
from benchpool.simulation.driver import Driver
from benchpool.simulation.generate import make_plan
from benchpool.simulation.record import read_record
from benchpool.simulation.sayings import FORGERIES, ORDERS, QUESTIONS


def met(coverage: Coverage) -> set[str]:
    return {key for outcome in OUTCOMES for key in getattr(coverage, outcome)}


def run(seed: int) -> Coverage:
    """Run a seed's plan in memory, without checking anything."""
    driver = Driver(make_plan(seed), None)
    try:
        return Coverage.of(driver.plan, read_record(driver.run()))
    finally:
        driver.close()


def few_seeds_that_say_all(seeds: range) -> tuple[list[int], set[str]]:
    said = {seed: sayable(make_plan(seed)) for seed in seeds}
    everything = set().union(*said.values())
    left, chosen = set(everything), []
    while left:
        chosen.append(max(seeds, key=lambda seed: len(said[seed] & left)))
        left -= said[chosen[-1]]
    return chosen, everything


@pytest.mark.simulation
def test_whatever_the_generator_says_is_met():
    seeds, everything = few_seeds_that_say_all(range(120))
    assert len(seeds) < 15
    coverage = total(run(seed) for seed in seeds)
    assert everything - met(coverage) == set()
    assert coverage.wallets.keys() >= everything


def test_every_saying_of_the_tables_is_said():
    _, everything = few_seeds_that_say_all(range(120))
    actions = {key.partition(" ")[2] for key in everything}
    assert {saying.action for saying in (*QUESTIONS, *ORDERS, *FORGERIES)} <= actions


def test_messages_are_counted_by_sender_and_outcome():
    coverage = Coverage()
    mint, tick, sent = (
        Message("i", "p", "p", "o", "s", Tags({"Action": "Mint"}), **more)
        for more in ({}, {"cron": True}, {"from_module": "Benchmark"})
    )
    spawn = Message("p", "p", "p", "o", "s", type="Process")
    coverage._add("WrappedAR", spawn, Result())
    coverage._add("WrappedAR", mint, Result(error="no"))
    coverage._add("WrappedAR", mint, Result(output="Message is not trusted! From: a - Owner: b"))
    coverage._add("WrappedAR", tick, Result())
    coverage._add("WrappedAR", sent, None)
    actions = total([coverage, coverage]).actions()
    assert actions["WrappedAR Mint"] == {
        "wallets": 4,
        "processes": 2,
        "ticks": 2,
        "ok": 2,
        "error": 2,
        "refused": 2,
    }
    assert actions["WrappedAR (spawn)"]["ok"] == 2
    never = coverage.never()
    assert "WrappedAR Mint" not in never
    assert {"WrappedAR Burn", "Benchmark Create-Pool", "LlamaRouter Watch"} <= set(never)


def test_what_was_only_refused_was_met_by_no_handler():
    coverage = Coverage()
    mint = Message("i", "p", "p", "o", "s", Tags({"Action": "mint"}))
    coverage._add("WrappedAR", mint, Result(output="Message is not trusted! From: a - Owner: b"))
    assert "WrappedAR Mint" in coverage.never()
    coverage._add("WrappedAR", mint, Result(error="Quantity is required!"))
    assert "WrappedAR Mint" not in coverage.never()


def test_the_handlers_are_those_of_the_installed_modules():
    found = handlers(Registry())
    assert {module for module, _, _ in found} == set(Registry().names())
    assert ("Benchmark", "Create-Pool", "Credit-Notice") in found
    assert ("LlamaRouter", "Watch", None) in found
