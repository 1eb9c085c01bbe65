"""The harness bites: every planted bug is found, by the invariant that is about it.

Run with `-s` to see the table of docs/simulation.md.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

from benchpool.simulation.fuzz import run_seed
from processes.dataset.statements import statements


def _load():
    path = Path(__file__).with_name("planted_bugs.py")
    spec = importlib.util.spec_from_file_location("planted_bugs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.BUGS


BUGS = _load()
ENOUGH = 120

pytestmark = [pytest.mark.simulation, pytest.mark.slow]


@pytest.fixture
def fresh_statements():
    """SQL statements are made once; a planted bug must neither miss them nor stay in them."""
    statements.cache_clear()
    yield
    statements.cache_clear()


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name, monkeypatch, fresh_statements, capsys):
    bug = BUGS[name]
    bug.plant(monkeypatch)
    for seed in range(ENOUGH):
        broken = {each.invariant for each in run_seed(seed, shrink=False).violations}
        if broken:
            break
    with capsys.disabled():
        sys.stdout.write(
            f"| {name} | {bug.plant.__doc__} | {', '.join(sorted(broken))} | {seed + 1} |\n"
        )
    assert broken & bug.found_by
