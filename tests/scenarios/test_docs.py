"""The tutorial, followed word by word: every console line is run, every line shown is found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue

ROOT = Path(__file__).parents[2]


def console_blocks(page: Path) -> list[tuple[str, list[str]]]:
    """Return (command, lines shown under it) of every console block of a page."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


@pytest.mark.model
@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path):
    try:
        Catalogue().find("smollm2-135m")
    except PrerequisiteError as error:
        pytest.skip(str(error))
    (tmp_path / "datasets").mkdir()
    shutil.copy(ROOT / "datasets" / "siqa-sample.jsonl", tmp_path / "datasets")
    steps = console_blocks(ROOT / "docs" / "tutorial.md")
    assert len(steps) > 20
    # One shell for all of it, so that DATA and POOL live on; a mark tells the outputs apart.
    script = "\n".join(f"{command} 2>&1; echo '@@@'" for command, _ in steps)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "BENCHPOOL_HOME"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = done.stdout.split("@@@\n")
    for (command, shown), printed in zip(steps, outputs, strict=False):
        refused = any(line.startswith("error:") for line in shown)
        assert ("error:" in printed) == refused, f"{command}\n{printed}"
        for line in shown:
            assert line.strip() in printed, f"{command}\n{printed}"
