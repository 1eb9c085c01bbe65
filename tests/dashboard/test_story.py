"""A pool's whole life from the pages of `benchpool up`, in a real browser and with real models."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from serving import up

from benchpool.client.deployment import deploy, sample_path
from benchpool.errors import PrerequisiteError
from benchpool.inference.files.catalogue import Catalogue
from benchpool.network import Network

MODELS = ("smollm2-135m", "gemma-3-270m")
QUESTIONS = 12
WAR = 10**12
LONGEST_MS = 180_000
"""Models answer before time goes on: on a machine that has much else to do, that takes long."""

pytestmark = [pytest.mark.slow, pytest.mark.model]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home in which a pool can be funded, as `benchpool init` makes it."""
    for model in MODELS:
        try:
            Catalogue().find(model)
        except PrerequisiteError as missing:
            pytest.skip(str(missing))
    samples = b"".join(sample_path().read_bytes().splitlines(keepends=True)[:QUESTIONS])
    with Network(tmp_path / "home", seed=1) as network:
        for name in ("fay", "tom"):
            network.new_wallet(name)
        deploy(network, samples=samples)
        granted = {"Quantity": str(10 * WAR), "Recipient": network.resolve("fay")}
        network.send("WrappedAR", "Mint", granted)
    return tmp_path / "home"


def shown(url: str) -> Any:
    """What a page shows, as JSON."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_fund_join_watch_compare_settle_and_audit(home: Path, look: Callable[..., Any]) -> None:
    with up(home, "--virtual") as (_, addresses):
        parts = urlsplit(addresses["dashboard"])
        root = f"{parts.scheme}://{parts.netloc}"
        board = look(f"{root}/ui/")
        board.set_default_timeout(LONGEST_MS)

        board.get_by_role("link", name="Fund a pool").click()
        board.get_by_label("Token").fill(addresses["token"])
        board.get_by_role("button", name="Sign in").click()
        board.get_by_label("Wallet").select_option("fay")
        board.get_by_label("Funds in wAR").fill("3")
        board.get_by_label("For how long").fill("3d")
        board.get_by_label("Title").fill("Told by a page")
        board.get_by_label("Eligible").select_option("all")
        board.get_by_label("Entries that you expect").fill("2")
        board.get_by_role("button", name="Work out the plan").click()
        plan = board.get_by_role("group", name="What to expect")
        plan.get_by_text(f"{2 * QUESTIONS}, in 1 hourly tick").wait_for()
        assert plan.get_by_role("cell", name="2 wAR").is_visible()
        board.get_by_role("button", name="Fund", exact=True).click()
        board.get_by_role("heading", name="Told by a page").wait_for()
        assert "No model has joined yet" in board.locator("#board").inner_text()
        board.evaluate("window.marked = true")

        # From here on the board stays open, and everything is done from another page.
        act = board.context.new_page()
        act.set_default_timeout(LONGEST_MS)

        def move_on(how_far: str) -> None:
            act.goto(f"{root}/ui/act/advance")
            act.get_by_label("How far").fill(how_far)
            act.get_by_role("button", name="Move on").click()
            act.get_by_role("status").filter(has_text="cron ticks ran").wait_for()

        for number, model in enumerate(MODELS, start=1):
            act.goto(f"{root}/ui/act/join")
            act.get_by_label("Pool").select_option(label="Told by a page")
            act.get_by_label("Model").select_option(model)
            act.get_by_label("Wallet").select_option("tom")
            act.get_by_role("button", name="Enter").click()
            act.get_by_role("heading", name="Told by a page").wait_for()
            rows = board.locator("#standings tbody tr")
            rows.nth(number - 1).wait_for()
            assert rows.count() == number
        assert board.locator("#standings .dot").count() == 0
        move_on("1d")
        board.locator("#standings .dot").nth(1).wait_for()
        assert board.locator("#standings").get_by_text(f"{QUESTIONS} / {QUESTIONS}").count() == 2
        assert board.locator("svg.plot .stroke").count() == 2

        act.goto(f"{root}/ui/models")
        for card in act.locator("#models .card").all():
            assert "tokens a second" in card.inner_text()
        entries = [row["name"] for row in shown(board.url)["entries"]]
        assert sorted(entries) == sorted(MODELS)
        pool = board.url
        board.get_by_role("link", name=MODELS[0]).first.click()
        board.get_by_role("link", name="Wrong").click()
        wrong = board.locator(".samples > li").first
        wrong.locator("summary").first.click()
        assert "taken" in wrong.locator("tr.taken").inner_text()
        wrong.get_by_text("Prompt as sent").click()
        assert wrong.locator("pre").first.inner_text().startswith("Q: ")
        board.get_by_label("Beside").select_option(label=MODELS[1])
        board.get_by_role("button", name="Show").click()
        board.get_by_role("link", name=f"Compare with {MODELS[1]}").click()
        board.get_by_text(f"{QUESTIONS} questions that both have met").wait_for()
        assert board.locator("#samples > .samples > li").count() == QUESTIONS

        board.goto(pool)
        board.evaluate("window.marked = true")
        move_on("4d")
        board.locator("#head .status", has_text="paid").wait_for()
        assert board.evaluate("window.marked") is True
        assert board.get_by_role("heading", name="Settlement", exact=True).is_visible()
        paid = shown(pool)
        assert paid["settled"]
        given = sum(int(line["reward"]) for line in paid["settlement"]) + int(paid["refunds"])
        assert given == int(paid["funds"]) == 3 * WAR
        for line in paid["settlement"]:
            for why in line["why"]:
                assert board.locator("#settlement").get_by_text(why, exact=True).first.is_visible()

        board.get_by_role("link", name="audit this pool").click()
        board.get_by_role("button", name="Audit it").click()
        board.get_by_text("Every check that is due passed").wait_for()
        assert board.locator("#audit tbody tr").count() > 5
        assert board.locator("#audit .bad").count() == 0
        board.goto(pool)
        assert "Every check that was due passed" in board.locator("#audit").inner_text()
        board.context.close()  # before the server, which the page would miss
