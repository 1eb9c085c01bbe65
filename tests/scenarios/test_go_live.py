"""A home of virtual time goes live: only if its owner says so; missed cron ticks then run."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import Client, Running, up

from benchpool import Network
from benchpool.ao.clock import DAY_MS, GENESIS_MS, VirtualClock

PATIENCE_S = 20
DAILY = {"Cron-Interval": "24-hours", "Cron-Tag-Action": "Info"}


@pytest.fixture
def virtual(home: Path) -> Path:
    """A home in which a day of virtual time has passed."""
    with Network(home) as network:
        network.spawn("WrappedAR", DAILY, name="token")
        network.advance("36h")
    return home


def facts(home: Path) -> tuple[int, int, bool]:
    """Return the time of a home, how many messages it holds, and whether it signs."""
    with Network(home, read_only=True) as network:
        return network.clock.now(), network.store.count(), network.keys.signed


BEFORE = (GENESIS_MS + DAY_MS * 3 // 2, 3, False)  # the spawn, a tick, its answer


def begin(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(home), *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_a_script_must_say_so_and_nothing_is_changed_if_it_does_not(virtual: Path) -> None:
    done = begin(virtual, "--port", "0")
    assert done.returncode == 2
    assert "lives in virtual time, at 2025-01-02T12:00:00Z" in done.stderr
    assert ("--go-live" in done.stderr, len(done.stderr.splitlines())) == (True, 1)
    assert facts(virtual) == BEFORE


def test_a_script_that_says_so_goes_live(virtual: Path) -> None:
    with up(virtual, "--go-live") as (program, _):
        program.send_signal(signal.SIGINT)
        assert program.wait(PATIENCE_S) == 0
    now_ms, _, signed = facts(virtual)
    assert (now_ms > GENESIS_MS + 30 * DAY_MS, signed) == (True, True)
    with up(virtual) as (_, addresses):  # once and for all
        assert addresses["gateway"]


@pytest.mark.parametrize(
    ("typed", "code"),
    [pytest.param("n\n", 1, marks=pytest.mark.slow), ("\n", 1), ("Ctrl-C", 130), ("y\n", 0)],
)
def test_on_a_terminal_it_asks(virtual: Path, typed: str, code: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "benchpool", "up", "--home", str(virtual), "--port", "0"]
    with subprocess.Popen(
        command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True
    ) as program:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1024)
        if typed == "Ctrl-C":
            program.send_signal(signal.SIGINT)
        else:
            os.write(ours, typed.encode())
        if code == 0:
            assert program.stdout is not None
            assert "Messenger unit" in program.stdout.readline()
            program.send_signal(signal.SIGINT)
        assert program.wait(PATIENCE_S) == code
    os.close(ours)
    assert (facts(virtual) == BEFORE) == (code != 0)


def test_a_port_that_is_taken_changes_nothing(virtual: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = begin(virtual, "--go-live", "--port", str(taken.getsockname()[1]))
    assert (done.returncode, "cannot be listened on" in done.stderr) == (2, True)
    assert facts(virtual) == BEFORE


def test_of_the_ticks_that_were_missed_the_last_of_each_interval_runs_at_the_start(
    home: Path, serve: Callable[..., Running]
) -> None:
    began_ms = time.time_ns() // 1_000_000 - 3 * DAY_MS - 60_000
    with Network(home, clock=VirtualClock(began_ms), signed=True) as network:
        token = network.spawn("WrappedAR", DAILY)
    running = serve()
    client = Client(running.url)
    deadline = time.monotonic() + PATIENCE_S
    while len(client.results(token)) < 2:
        assert time.monotonic() < deadline, "no tick came"
        time.sleep(0.01)
    running.stop()
    with Network(home, read_only=True) as network:
        (tick,) = [message for message, _ in network.log(token) if message.cron]
        assert tick.timestamp == began_ms - began_ms % 1000 + 3 * DAY_MS
        ((_, due_ms),) = network.timeline.entries(network.resolve(token))
    assert due_ms > began_ms + 3 * DAY_MS
