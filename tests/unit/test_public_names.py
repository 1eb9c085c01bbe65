import subprocess
import sys

import benchpool


def test_dir_shows_what_a_program_may_import():
    shown = "import benchpool; print(*dir(benchpool))"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert set(benchpool.__all__) <= set(done.stdout.split())
    for name in benchpool.__all__:
        assert getattr(benchpool, name).__name__ == name


def test_a_network_keeps_few_names():
    names = [name for name in dir(benchpool.Network) if not name.startswith("_")]
    assert len(names) <= 35, names
