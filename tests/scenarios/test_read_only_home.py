"""Looking at a home that cannot be written: its folder's mode, or the whole file system."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchpool.cli import app
from benchpool.network import Network

LOOKS = [
    ["processes"],
    ["inspect", "SiqaDataset"],
    ["log", "SiqaDataset"],
    ["dryrun", "--target", "SiqaDataset", "--action", "Info"],
    ["pool", "list"],
    ["pool", "leaderboard", "happy"],
    ["pool", "report", "happy"],
    ["inbox", "funder"],
    ["wallet", "list"],
    ["model", "stats"],
    ["replay", "--verify"],
    ["audit", "happy"],
]
_ROOT_WITHIN_MODES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
_MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
_COMMANDS = """
import json, sys
from typer.testing import CliRunner
from benchpool.cli import app
ends = [CliRunner().invoke(app, words) for words in json.loads(sys.argv[1])]
print(json.dumps([(end.exit_code, end.stdout, end.stderr) for end in ends]))
"""


def sealed_by(way: str, home: Path) -> list[str]:
    """Return how to begin a command that can only read a home; skip where there is no such way."""
    if way == "file system":
        before = ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(home)]
    else:
        for path in (home, *home.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        before = list(_ROOT_WITHIN_MODES) if os.geteuid() == 0 else []
    succeeds = {
        program: subprocess.run([*before, program, file], capture_output=True, check=False)
        for program, file in (("cat", home / "benchpool.sqlite"), ("touch", home / "new"))
        if shutil.which((*before, program)[0])
    }
    if [done.returncode == 0 for done in succeeds.values()] != [True, False]:
        pytest.skip(f"nothing here makes a {way} read-only")
    return before


def run_all(before: list[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Run command lines, one after another in one program; return what each printed."""
    command = [*before, sys.executable, "-c", _COMMANDS, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    for words, (code, _, said) in zip(lines, ends, strict=True):
        assert (code, "error" in said) == (0, False), (words, said)
    return [printed for _, printed, _ in ends]


@pytest.fixture(params=[pytest.param("mode", marks=pytest.mark.slow), "file system"])
def before(request: pytest.FixtureRequest, finished: Path) -> list[str]:
    """How to begin a command on a finished home that can only be read."""
    return sealed_by(request.param, finished)


@pytest.mark.slow
def test_every_command_that_looks_works(before: list[str], finished: Path, tmp_path: Path) -> None:
    exported = ["export", str(tmp_path / "run.jsonl.zst")]
    lines = [[*words, "--home", str(finished)] for words in (*LOOKS, exported)]
    for words, printed in zip(lines, run_all(before, lines), strict=True):
        assert printed or words[:2] == ["model", "stats"] or words[0] == "export", words
    assert (tmp_path / "run.jsonl.zst").stat().st_size


def test_the_shell_is_offered_values(
    before: list[str], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offered() -> str:
        command = [*before, sys.executable, "-m", "benchpool"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    monkeypatch.setenv("_BENCHPOOL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "4")
    monkeypatch.setenv("COMP_WORDS", f"benchpool inspect --home {finished} Siqa")
    assert offered() == "SiqaDataset\n"
    monkeypatch.setenv("COMP_CWORD", "5")
    monkeypatch.setenv("COMP_WORDS", f"benchpool pool show --home {finished} hap")
    assert offered() == "happy\n"


@pytest.mark.parametrize("way", ["mode", "file system"])
def test_what_a_killed_writer_left_in_the_write_ahead_log_is_seen(way: str, finished: Path) -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    spawn = f"from benchpool import Network; n = Network({str(finished)!r}); n.spawn('WrappedAR'); "
    killed = subprocess.run([sys.executable, "-c", spawn + kill], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (finished / "benchpool.sqlite-wal").stat().st_size
    with Network(shutil.copytree(finished, f"{finished}-copy"), read_only=True) as network:
        newest = network.processes()[-1].id
    before = sealed_by(way, finished)
    command = [*before, sys.executable, "-m", "benchpool", "processes", "--home", str(finished)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert newest in shown


MOST = [
    ["processes"],
    ["inspect", "SiqaDataset"],
    ["dryrun", "--target", "SiqaDataset", "--action", "Info"],
    ["replay", "--verify"],
    ["audit", "happy"],
]
KILLED = """
import os
from benchpool.network import Network
from benchpool.simulation.scripted_engine import ScriptedEngines
network = Network({home!r}, engine_factory=ScriptedEngines())
network.advance("1h")
network.spawn("WrappedAR", name="new")
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    "lost",
    [
        "nothing",
        pytest.param("shm", marks=pytest.mark.slow),
        pytest.param("folded", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("way", [pytest.param("mode", marks=pytest.mark.slow), "file system"])
def test_a_killed_home_is_verified_where_it_cannot_be_written(
    way: str, lost: str, finished: Path, tmp_path: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED.format(home=str(finished))], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list((finished / "databases").glob("*-wal"))
    for path in finished.rglob("*-shm") if lost == "shm" else ():
        path.unlink()
    if lost == "folded":  # the private databases are behind the log
        for path in (finished / "databases").glob("*-wal"):
            path.unlink()
    before = sealed_by(way, finished)
    copies = [["backup", str(tmp_path / "b.tar")], ["export", str(tmp_path / "e")]]
    run_all(before, [[*words, "--home", str(finished)] for words in (*MOST, *copies)])
    restore = ["restore", str(tmp_path / "b.tar"), "--home", str(tmp_path / "copy"), "--verify"]
    assert CliRunner().invoke(app, restore).exit_code == 0
