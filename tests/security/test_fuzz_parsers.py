import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_parsers.py"


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (optional)"
)
@pytest.mark.parametrize(
    "target", ["message", "dataitem", "dataset", "scenario", "cron", "request"]
)
def test_a_short_fuzz_finds_nothing(target, tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, target, "--runs", "500"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
