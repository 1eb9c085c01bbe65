"""AO's own JavaScript client, unmodified, against `benchpool up`.

The tests themselves are in suite/, one file a topic. Each of them is one test here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.mark.model
def test_aoconnect(file: str, name: str, outcome: Callable[[str, str], Any], facts: Path):
    if file.endswith("pool.test.mjs") and "model" not in json.loads(facts.read_text())["data"]:
        pytest.skip("run `benchpool model pull smollm2-135m` first")
    found = outcome(file, name)
    assert found.passed, f"{file}: {name}\n{found.error}"


@pytest.mark.model
@pytest.mark.slow
def test_aoconnect_on_three_ports(
    suite: list[tuple[str, str]], on_three_ports: Callable[[str], dict[str, Any]]
):
    for file in sorted({file for file, _ in suite}):
        ran = on_three_ports(file)
        failed = {name: each.error for name, each in ran.items() if not each.passed}
        assert failed == {}, file
        assert ran.keys() - {""} == {name for of, name in suite if of == file}


def test_no_two_tests_of_a_file_have_the_same_name(suite: list[tuple[str, str]]):
    assert [case for case, count in Counter(suite).items() if count > 1] == []


def test_every_test_of_the_suite_is_collected(suite: list[tuple[str, str]]):
    for path in (HERE / "suite").glob("*.test.mjs"):
        begun = len(re.findall(r"^\s*test\(", path.read_text(), re.MULTILINE))
        assert begun == sum(file == path.name for file, _ in suite), path.name


def test_the_client_is_pinned_and_the_lock_file_names_no_host():
    package = json.loads((HERE / "package.json").read_text())
    assert package["dependencies"]["@permaweb/aoconnect"] == "0.0.98"
    lock = (HERE / "package-lock.json").read_text()
    assert json.loads(lock)["packages"][""]["dependencies"] == package["dependencies"]
    assert "://" not in lock


def test_the_script_of_the_how_to_does_what_it_says(node: str, server: Any):
    page = (HERE.parents[1] / "docs" / "how-to" / "use-aoconnect.md").read_text()
    (script,) = re.findall(r"^```js\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (shown,) = re.findall(r"^prints `(.*)`\.$", page, re.MULTILINE)
    done = subprocess.run(
        [node, "--input-type=module", "--eval", script],
        cwd=HERE,
        env=os.environ | {"BENCHPOOL_URL": server.addresses["gateway"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == shown
    assert len(script.splitlines()) <= 25
