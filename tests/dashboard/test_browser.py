"""Pages in a real Chromium: what people see, with and without a mouse, a screen, a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import EVIL, Served
from serving import Client, Running

Look = Callable[..., Any]
Check = Callable[[Any], None]


SEEN = [(390, "light"), (1280, "light"), (390, "dark"), (1280, "dark")]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [SEEN[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in SEEN[1:])],
)
def test_axe_finds_nothing_and_nothing_hangs_over(
    served: Served, look: Look, check: Check, scheme: str, width: int
) -> None:
    page = look(served.url + "/ui/", width=width, scheme=scheme, bypass_csp=True, missing=True)
    for path in [*served.pages(), "/ui/nothing", f"/ui/pools/{served.home.open}/life"]:
        page.goto(served.url + path)
        check(page)


@pytest.mark.parametrize(("width", "scheme"), SEEN)
def test_a_home_that_is_new_says_what_to_do(
    tmp_path: Path, look: Look, check: Check, scheme: str, width: int
) -> None:
    running = Running(tmp_path / "new")
    try:
        page = look(running.url + "/", width=width, scheme=scheme, bypass_csp=True)
        assert "benchpool init" in page.locator("#pools").inner_text()
        for path in ("pools", "messages", "processes", "models"):
            page.goto(f"{running.url}/ui/{path}")
            assert page.locator(".empty .command").count(), path
            check(page)
        page.context.close()
    finally:
        running.stop()


def test_a_home_that_is_new_is_followed_to_its_first_benchmark(tmp_path: Path, look: Look) -> None:
    running = Running(tmp_path / "new")
    try:
        page = look(running.url + "/ui/pools")
        page.locator("#live", has_text="Live").wait_for()
        page.evaluate("window.marked = true")
        wallet = Client(running.url)
        wallet.spawn("Benchmark", WrappedAR=wallet.spawn("WrappedAR"))
        page.get_by_role("link", name="Fund a pool").wait_for()
        assert "benchpool pool create" in page.locator("#pools").inner_text()
        assert page.evaluate("window.marked") is True
        page.context.close()
    finally:
        running.stop()


@pytest.mark.parametrize("width", [960, 1280])
def test_a_short_name_stands_on_one_line(served: Served, look: Look, width: int) -> None:
    page = look(f"{served.url}/ui/pools/{served.home.paid}", width=width)
    name = page.locator("#standings th .unbroken").first
    lines = name.evaluate(
        "each => { each.textContent = 'gemma-3-270m'; return each.getClientRects().length; }"
    )
    assert lines == 1
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0


def test_a_script_in_a_name_is_text(served: Served, look: Look) -> None:
    for path in served.pages():
        page = look(served.url + path)
        assert page.title().endswith("· benchpool")
        page.locator("#live", has_text="Live").wait_for()
        assert not page.title().startswith("taken")
        page.context.close()
    page = look(f"{served.url}/ui/pools/{served.home.open}")
    assert page.locator("tbody th a").first.inner_text() == EVIL


def test_a_page_left_open_follows_and_keeps_what_one_is_at(
    serve: Callable[..., Served], look: Look
) -> None:
    served = serve()
    page = look(f"{served.url}/ui/pools/{served.home.open}")
    page.locator("#live", has_text="Live").wait_for()
    page.evaluate("window.marked = true")
    page.locator("#join-message summary").click()
    page.locator("tbody th a").first.focus()
    page.evaluate("window.scrollTo(0, 120)")
    served.top_up(served.home.open, 10**12)
    page.locator(".figure", has_text="26 wAR").wait_for()
    assert page.evaluate("window.marked") is True
    assert page.locator("#join-message").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.getAttribute('href')").endswith(served.home.good)
    assert page.evaluate("window.scrollY") == 120


def test_a_wrong_answer_is_found_and_two_entries_compared(served: Served, look: Look) -> None:
    page = look(f"{served.url}/ui/pools")
    page.get_by_role("link", name="Long pool").click()
    page.get_by_role("link", name=EVIL).first.click()
    page.get_by_role("navigation", name="Filters").get_by_role("link", name="Wrong").click()
    first = page.locator(".samples summary").first
    assert "wrong" in first.inner_text()
    first.click()
    assert page.locator(".choices tr.taken").first.is_visible()
    page.locator("details details summary").first.click()
    assert page.locator("details details pre").first.inner_text().startswith("Q: Kim met friend 50")
    page.get_by_label("Find").fill("friend 57")
    page.get_by_role("button", name="Find").click()
    assert page.locator(".samples > li").count() == 1
    page.get_by_label("Beside").select_option("plain")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Compare with plain").click()
    page.wait_for_url("**/compare?**")
    assert "is better" in page.locator(".note").first.inner_text()
    page.get_by_role("link", name=f"Only {EVIL}").click()
    assert page.locator(".samples > li").count() == 20


def test_an_audit_is_begun_and_awaited(
    serve: Callable[..., Served], look: Look, check: Check
) -> None:
    served = serve()
    page = look(f"{served.url}/ui/pools/{served.home.paid}", bypass_csp=True)
    page.get_by_role("link", name="audit this pool").click()
    page.get_by_role("button", name="Audit it").click()
    page.get_by_text("Every check that is due passed").wait_for(timeout=60_000)
    for scheme in ("light", "dark"):
        for width in (1280, 390):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            check(page)
    page.get_by_role("link", name=EVIL).first.click()
    assert "Every check that was due passed" in page.locator("#audit").inner_text()


def test_all_is_reached_from_the_keyboard(served: Served, look: Look) -> None:
    page = look(f"{served.url}/ui/pools/{served.home.open}/entries/{served.home.good}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.outerHTML.slice(0, 120)"))
    wanted = page.locator("main a, main button, main select, main input:not([type=hidden])").all()
    there = {each.evaluate("each => each.outerHTML.slice(0, 120)") for each in wanted}
    assert there <= reached
    page.locator(".samples summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".samples details[open]").count() == 1


def test_pages_work_without_scripts(served: Served, look: Look) -> None:
    page = look(f"{served.url}/ui/pools/{served.home.open}", java_script_enabled=False)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?**")
    page.locator(".samples summary").first.click()
    assert page.locator(".samples details[open] .choices").first.is_visible()


def test_nothing_moves_for_who_does_not_want_it(served: Served, look: Look) -> None:
    page = look(f"{served.url}/ui/pools", reduced_motion="reduce")
    moving = page.evaluate(
        """() => { document.querySelector('[data-live]').classList.add('changed');
                   return document.getAnimations().length; }"""
    )
    assert moving == 0


def test_nothing_is_loaded_from_elsewhere(served: Served, look: Look) -> None:
    page = look(served.url + "/ui/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in served.pages():
        page.goto(served.url + path)
    assert asked
    assert all(each.startswith(served.url + "/ui/") for each in asked)
