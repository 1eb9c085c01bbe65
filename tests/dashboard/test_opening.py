"""`--open`: what the browser of the machine is told to show, by real programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_gguf
from pages import record
from serving import ROOT, up

from benchpool.client.evaluating.run import Evaluation
from benchpool.client.evaluating.samples import write_samples
from benchpool.inference.files.catalogue import Catalogue

Opened = Callable[[], str]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Have a browser that only notes what it shall show; call it to wait for that."""
    noted, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {noted}.part && mv {noted}.part {noted}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))

    def wait() -> str:
        until = time.monotonic() + 200
        while not noted.exists():
            assert time.monotonic() < until, "no browser was called"
            time.sleep(0.05)
        return noted.read_text()

    return wait


def text_of(url: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


@contextmanager
def program(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that goes on until Ctrl-C, and end it so."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchpool", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
                running.wait(60)


def test_up_opens_its_dashboard(tmp_path: Path, opened: Opened) -> None:
    with up(tmp_path / "home", "--open", "--virtual") as (_, addresses):
        assert opened() == addresses["dashboard"]
        page = text_of(addresses["dashboard"])
    assert "<h1>Pools</h1>" in page
    assert "benchpool init" in page, "a home that is new is told what to do first"


def test_up_says_where_to_look_if_there_is_no_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "/bin/false")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with up(tmp_path / "home", "--open", "--virtual") as (running, addresses):
        assert running.stderr is not None
        line = running.stderr.readline()
        while "no browser" not in line:
            assert line, "nothing was said"
            line = running.stderr.readline()
        assert addresses["dashboard"] in line
        assert "<h1>Pools</h1>" in text_of(addresses["dashboard"])


def test_up_opens_nothing_unless_asked(tmp_path: Path, opened: Opened) -> None:
    with up(tmp_path / "home", "--virtual") as (_, addresses):
        text_of(addresses["dashboard"])
    assert not (tmp_path / "opened").exists()


def test_the_demo_opens_its_pool(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With models that are tiny, but models."""
    monkeypatch.setenv("BENCHPOOL_MODELS", str(tmp_path / "models"))
    for seed, name in enumerate(("smollm2-135m", "gemma-3-270m")):
        file = tiny_gguf.write_gguf(tmp_path / f"{name}.gguf", seed=seed)
        Catalogue(tmp_path / "models").add(file, name)
    words = ("demo", "--questions", "2", "--open", "--home", str(tmp_path / "home"))
    with program(*words) as running:
        page = text_of(opened())
        assert "Social IQa demo" in page
        assert "Settlement" in page
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert f"Dashboard: {opened()}" in told


def test_a_file_of_samples_is_opened(tmp_path: Path, opened: Opened) -> None:
    file = tmp_path / "samples.jsonl"
    write_samples(file, [Evaluation("m", [record("m", 1, gold=1, prediction=2)])])
    with program("eval", "view", str(file), "--open"):
        assert "number 1?" in text_of(opened())
