"""A machine that runs short of open files or of disk: the server refuses, and goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from benchpool.ao.dataitem import sign
from benchpool.audit.replay import replay_home
from tests.serving import Client, up

DISK_BYTES = 48 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, so small that it is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "benchpool", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_more_connections_than_files_leave_the_network_its_own(tmp_path: Path) -> None:
    with up(tmp_path / "home", files=200) as (program, where), ExitStack() as stack:
        parts = httpx.URL(where["gateway"])
        for _ in range(400):
            line = stack.enter_context(socket.create_connection((parts.host, parts.port or 80)))
            line.sendall(b"GET / HTTP/1.1\r\n")
        client = Client(where["gateway"])
        statuses = []
        for number in range(60):  # each opens files of its own
            answer = client.http.post("/mu", content=spawn(client, number))
            statuses.append(answer.status_code)
        assert statuses[0] == 202
        assert set(statuses) <= {202, 503}
        until = time.monotonic() + 30  # the last may have met the shortage, which is waited out
        while client.http.get("/health").status_code != 200 and time.monotonic() < until:
            time.sleep(0.2)
        assert client.http.get("/health").status_code == 200
        assert program.poll() is None
    assert replay_home(tmp_path / "home").difference is None


def spawn(client: Client, number: int) -> bytes:
    tags = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process")]
    own = [("Module", "SiqaDataset"), ("Scheduler", "any"), ("Number", str(number))]
    return sign(client.signer, tags=[*tags, *own], data=b" ").raw


def test_strangers_fill_a_disk_no_further_than_its_reserve(disk: Path) -> None:
    with up(disk / "home") as (program, where):
        client = Client(where["gateway"])
        token = client.spawn("WrappedAR", Ticker="wAR")
        uploads = [
            client.http.post("/tx", content=sign(client.signer, data=os.urandom(1 << 20)).raw)
            for _ in range(60)
        ]
        statuses = [answer.status_code for answer in uploads]
        assert set(statuses) == {200, 507}
        assert statuses == sorted(statuses)
        assert client.send(token, "Info"), "uploads leave room for messages"
        while client.http.post("/mu", content=noise(client, token)).status_code == 202:
            pass
        answer = client.http.post("/mu", content=noise(client, token))
        assert answer.status_code == 507
        assert client.ask(token, "Info")["Messages"]
        assert program.poll() is None
    assert replay_home(disk / "home").difference is None


def noise(client: Client, token: str) -> bytes:
    return client.item(token, "Info", os.urandom(200_000).hex().encode()).raw


def test_a_disk_that_others_fill_is_waited_for(disk: Path) -> None:
    with up(disk / "home") as (program, where):
        client = Client(where["gateway"])
        token = client.spawn("WrappedAR", Ticker="wAR")
        kept = client.send(token, "Info")
        foreign = disk / "of somebody else"
        with foreign.open("wb", buffering=0) as out, suppress(OSError):
            while True:
                out.write(b"x" * 4096)
        # It looks at the disk a few times a second, and so takes some that it cannot keep.
        statuses = {client.http.post("/mu", content=noise(client, token)).status_code}
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            statuses.add(client.http.post("/mu", content=noise(client, token)).status_code)
        assert statuses <= {202, 503, 507}
        assert program.poll() is None
        foreign.unlink()
        deadline = time.monotonic() + 20
        while client.http.post("/mu", content=noise(client, token)).status_code != 202:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.result(kept, token)["Messages"]
    assert replay_home(disk / "home").difference is None
