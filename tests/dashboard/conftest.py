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


@pytest.fixture(scope="session")
def check(axe: str) -> Callable[[Any], None]:
    """Check that everybody can read a page, all of it unfolded, and that nothing hangs over."""

    def find(page: Any) -> None:
        for each in page.locator("details").all():
            each.evaluate("each => { each.open = true; }")
        page.evaluate(axe)
        told = [
            f"{page.url}: {each['id']}: {node['html'][:150]} {node['failureSummary']}"
            for each in page.evaluate("axe.run()")["violations"]
            for node in each["nodes"]
        ]
        assert not told, "\n".join(told)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, page.url
        assert page.locator("h1").count() == 1, page.url
        assert page.locator("main").count() == 1, page.url

    return find


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open pages in the browser; whatever they report as an error fails the test.

    But that a page is not there, with `missing`.
    """
    contexts: list[Any] = []
    faults: list[str] = []

    def open_page(
        url: str,
        *,
        width: int = 1280,
        scheme: str = "light",
        missing: bool = False,
        **options: Any,
    ) -> Any:
        def note(said: Any) -> None:
            if said.type == "error" and not (missing and "404 (Not Found)" in said.text):
                faults.append(said.text)

        context = chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", note)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults
