import importlib.util
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch):
    pytest.importorskip("pykka")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("bench_bus", BENCHMARKS / "bench_bus.py")
    monkeypatch.setitem(sys.modules, spec.name, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(sys.modules[spec.name])
    return sys.modules[spec.name]


@pytest.fixture
def waiting(bench):
    with bench.about_to_spend(40, None) as (network, token, _):
        yield network, token


def test_the_floor_writes_the_log_that_the_network_writes(bench, waiting):
    network, token = waiting
    floor = bench.Floor(network, token)
    floor.run()
    network.run()
    floor.check(network)
    assert len(floor.log) == 121


def test_a_floor_that_does_less_is_found_out(bench, waiting):
    network, token = waiting
    floor = bench.Floor(network, token)
    floor.parties[token].assignment = bytes(32)
    floor.run()
    network.run()
    with pytest.raises(AssertionError, match="another hash chain"):
        floor.check(network)


def test_the_durable_floor_has_the_rows_of_a_home(bench, tmp_path):
    home, file = tmp_path / "home", tmp_path / "floor.sqlite"
    with bench.about_to_spend(40, home) as (network, token, _):
        floor = bench.Floor(network, token)
        with closing(bench.open_file(file)) as connection:
            floor.run_into(connection)
        network.run()
        floor.check(network)
    query = "SELECT process, position, id_key, cron, message, result FROM log ORDER BY sequence"
    with (
        closing(sqlite3.connect(home / "benchpool.sqlite")) as theirs,
        closing(sqlite3.connect(file)) as ours,
    ):
        rows = ours.execute(query).fetchall()
        assert theirs.execute(query).fetchall()[-len(rows) :] == rows


@pytest.mark.parametrize("what", ["resident", "allocated", "encoded"])
def test_memory_is_measured_in_a_process_of_its_own(bench, what):
    assert bench.measure_apart(what, 200) >= 0
