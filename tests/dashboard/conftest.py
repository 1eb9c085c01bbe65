"""A served home with pools, and a real browser to look at its pages."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pages import Home, Served, make_home
from serving import Running

from benchpool.simulation.scripted_engine import ScriptedEngines

HERE = Path(__file__).parent


def unavailable(reason: str) -> NoReturn:
    """Skip, but fail where everything must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The home, made once."""
    return make_home(tmp_path_factory.mktemp("dashboard"))


@pytest.fixture
def serve(made: Home, tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serve copies of the home."""
    running: list[Running] = []

    def start(**options: Any) -> Served:
        folder = tmp_path / f"served{len(running)}"
        shutil.copytree(made.folder, folder)
        running.append(Running(folder, engine_factory=ScriptedEngines(), **options))
        found = Served(running[-1], Home(folder, made.open, made.paid, made.good, made.bad))
        found.settle()
        return found

    yield start
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def served(made: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The home served, for tests that only look."""
    folder = tmp_path_factory.mktemp("served") / "home"
    shutil.copytree(made.folder, folder)
    running = Running(folder, engine_factory=ScriptedEngines())
    found = Served(running, Home(folder, made.open, made.paid, made.good, made.bad))
    found.settle()
    yield found
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser, for one module: while it is there, no test can run a loop of its own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        unavailable("the browser tests need Playwright: pip install playwright")
    found = os.environ.get("BENCHPOOL_CHROMIUM") or shutil.which("chromium")
    if found is None:
        unavailable("the browser tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The script that looks for what keeps people out of pages."""
    npm = shutil.which("npm")
    if npm is None:
        unavailable("axe needs npm: https://nodejs.org")
    lock, kept = HERE / "package-lock.json", HERE / "node_modules" / ".installed-lock.json"
    if not kept.exists() or kept.read_bytes() != lock.read_bytes():
        command = [npm, "ci", "--ignore-scripts", "--fetch-retries=1", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            unavailable(f"npm ci failed in tests/dashboard (offline?):\n{done.stderr[-500:]}")
        shutil.copy(lock, kept)
    return (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open pages in the browser; whatever they report as an error fails the test."""
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(url: str, *, width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults
