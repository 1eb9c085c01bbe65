"""The page of a report in a real browser: from a file, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import EVIL, Home, Served

from benchpool.client.pools import PoolClient
from benchpool.network import Network
from benchpool.server.report.page import pool_page
from benchpool.server.report.views import pool_report

ROWS = "#samples > tbody > tr"


@pytest.fixture(scope="module")
def written(made: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of the pool that is paid; its address."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    with Network(made.folder, read_only=True) as network:
        client = PoolClient(network)
        report, _ = pool_report(network, client, client.get(made.paid))
    file.write_bytes(pool_page(report))
    return Path(file).as_uri()


def shown(page: Any) -> list[int]:
    """The numbers of the questions that are seen."""
    rows = page.locator(f"{ROWS}:visible > th")
    return [int(text) for text in rows.all_inner_texts()]


def test_questions_are_filtered(look: Callable[..., Any], written: str) -> None:
    page = look(written)
    assert EVIL in page.title()
    assert shown(page) == list(range(1, 61))
    page.get_by_label("Answers of").select_option(label=EVIL)
    page.get_by_label("that are").select_option("wrong")
    assert shown(page) == list(range(51, 61))
    page.get_by_label("that are").select_option("")
    page.get_by_label("only where entries differ").check()
    assert shown(page) == list(range(31, 51))
    page.get_by_label("Search").fill("FRIEND 4")
    assert shown(page) == list(range(41, 51))
    assert page.get_by_role("status").inner_text() == "10 of 60"
    page.locator(f"{ROWS}:visible summary").first.click()
    assert page.locator(f"{ROWS}:visible").first.get_by_text("The prompt as sent:").is_visible()


def test_without_scripts_all_questions_stand_there(look: Callable[..., Any], written: str) -> None:
    page = look(written, java_script_enabled=False)
    assert shown(page) == list(range(1, 61))
    assert not page.locator("#filter").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(
    look: Callable[..., Any],
    check: Callable[[Any], None],
    written: str,
    scheme: str,
    width: int,
) -> None:
    check(look(written, width=width, scheme=scheme, bypass_csp=True))


def test_its_board_is_that_of_the_page(
    served: Served, look: Callable[..., Any], written: str
) -> None:
    """The same columns, cells and roles, but for links."""
    drawn = """[...document.querySelectorAll('#standings [role]')].map(each =>
        [each.tagName, each.getAttribute('role'), each.dataset.label, each.innerText])"""
    report, page = look(written), look(f"{served.url}/ui/pools/{served.home.paid}")
    found = report.evaluate(drawn)
    assert found == page.evaluate(drawn)
    heads = [text for _, role, _, text in found if role == "columnheader"]
    assert [text.split("\n")[0] for text in heads] == [
        "Rank",
        "May be",
        "Model",
        "Accuracy",
        "95 % interval",
        "Right",
        "Answered",
        "Reward",
    ]
    assert report.locator("#standings a").count() == 0
