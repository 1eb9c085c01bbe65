"""Pages of a home with 100,000 messages do the work that those of one with 2,000 do.

Work is counted in what SQLite does for a page, by its own virtual machine, not in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from open_pages import dashboard_of, following, until
from pages import Home, Served
from serving import Running

from benchpool.network import Network
from benchpool.server.dashboard import events
from benchpool.server.dashboard.page import Asked
from benchpool.server.dashboard.pages import message, messages, process
from benchpool.simulation.scripted_engine import ScriptedEngines

pytestmark = pytest.mark.slow

FEW, MANY = 2_000, 100_000
STEP = 100
"""So many steps of SQLite's virtual machine are counted as one."""


def make(folder: Path, size: int) -> Path:
    """Make a home of so many messages of one token, and a few of another one in the middle."""
    with Network(folder / f"home{size}", seed=1) as network:
        network.spawn("WrappedAR", name="token")
        network.spawn("WrappedAR", name="rare")
        me = network.wallet().address
        network.send("token", "Mint", {"Quantity": "1000000", "Recipient": me})
        given = {"Quantity": "1", "Recipient": "r" * 43, "Cast": "true"}
        while (left := size - network.store.count()) > 0:
            for _ in range(min(left, size // 20)):
                network.post("token", "Transfer", given)
            network.run()
            network.advance(1_000)
            if abs(left - size // 2) <= size // 40:
                network.post("rare", "Balance")
        network.run()
        assert network.home is not None
        return network.home.folder


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("many")
    return {size: make(folder, size) for size in (FEW, MANY)}


class Seen(NamedTuple):
    """What was asked of SQLite."""

    queries: list[str]
    steps: list[int]


@contextmanager
def watched(network: Network) -> Iterator[Seen]:
    """See what is asked of a network's log, queries with their values in them."""
    seen = Seen([], [])
    store: Any = network.store
    driver = store._driver
    driver.set_trace_callback(seen.queries.append)
    driver.set_progress_handler(lambda: seen.steps.append(1), STEP)
    try:
        yield seen
    finally:
        driver.set_trace_callback(None)
        driver.set_progress_handler(None, 0)


def scanned(network: Network, queries: list[str]) -> list[str]:
    """Return the queries that go through the whole log."""
    store: Any = network.store
    found = []
    for query in queries:
        if query.startswith(("SELECT", "WITH")):
            plan = store._all(f"EXPLAIN QUERY PLAN {query}")
            if any(row[3].startswith("SCAN log") for row in plan):
                found.append(query)
    return found


def middle(network: Network) -> tuple[int, int]:
    """Return a place in the middle, and its time."""
    place = network.store.end() // 2
    return place, network.store.part(beyond=place - 1, limit=1)[0].message.timestamp


PAGES: dict[str, Callable[[Network], dict[str, str]]] = {
    "the first": lambda _: {},
    "the middle": lambda n: {"before": str(middle(n)[0])},
    "the last": lambda _: {"before": "51"},
    "towards the newest": lambda n: {"after": str(middle(n)[0])},
    "far beyond": lambda _: {"before": "9" * 18},
    "of a process": lambda _: {"process": "token"},
    "of a process, the middle": lambda n: {"process": "token", "before": str(middle(n)[0])},
    "of an action": lambda _: {"action": "Transfer"},
    "of an action and a sender": lambda _: {"action": "Transfer", "sender": "default"},
    "until": lambda n: {"until": str(middle(n)[1])},
    "since": lambda n: {"since": str(middle(n)[1]), "after": "1"},
    "between": lambda n: {"since": str(middle(n)[1]), "until": str(middle(n)[1])},
    "of a process until": lambda n: {"process": "token", "until": str(middle(n)[1])},
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_many_messages_is_as_much_work_as_one_of_few(
    homes: dict[int, Path], name: str
) -> None:
    steps = {}
    for size, folder in homes.items():
        with Network(folder, read_only=True) as network:
            asked = Asked({}, PAGES[name](network))
            with watched(network) as seen:
                shown = messages.view(network, asked)
                messages.follows(network, asked)
            assert not shown.trouble
            assert len(shown.messages) == messages.PAGE
            assert shown.looked_at <= 500
            assert scanned(network, seen.queries) == []
            steps[size] = len(seen.steps)
    assert steps[MANY] <= steps[FEW] + 60, steps  # to find a time takes log2 as many steps


def test_what_is_rare_is_looked_for_in_bounds(homes: dict[int, Path]) -> None:
    with Network(homes[MANY], read_only=True) as network:
        query, looks = {"action": "Balance"}, 0
        with watched(network) as seen:
            while True:
                shown = messages.view(network, Asked({}, query))
                looks += 1
                assert shown.looked_at <= messages.MOST_LOOKED_AT
                if not shown.cut:
                    break
                query["before"] = str(shown.older)
            assert looks <= network.store.end() // messages.MOST_LOOKED_AT + 1
        assert scanned(network, seen.queries) == []
        with watched(network) as seen:
            shown = messages.view(network, Asked({}, {"process": "rare", "action": "Balance"}))
        assert [each.action for each in shown.messages] == ["Balance"]
        assert len(seen.steps) < 20


def test_other_pages_of_messages_scan_nothing(homes: dict[int, Path]) -> None:
    steps = {}
    for size, folder in homes.items():
        with Network(folder, read_only=True) as network:
            place, _ = middle(network)
            one = network.store.part(beyond=place, limit=1)[0].message
            with watched(network) as seen:
                asked = Asked({"message": one.id}, {})
                assert message.view(network, asked).id == one.id
                message.follows(network, asked)
                process.follows(network, Asked({"process": "token"}, {}))
                process.follows_all(network, Asked({}, {}))
                assert process.view_all(network, Asked({}, {}))
            assert scanned(network, seen.queries) == []
            steps[size] = len(seen.steps)
    assert steps[MANY] <= steps[FEW] + 60, steps


@pytest.fixture
def served(homes: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(events, "ALIVE_S", 0.5)
    running = Running(homes[MANY], engine_factory=ScriptedEngines())
    found = Served(running, Home(homes[MANY], "", "", "", ""))
    found.settle()
    yield found
    running.stop()


def test_pages_are_leafed_through_by_place_while_one_is_left_open(served: Served) -> None:
    def leaf(query: str) -> Any:
        body = served.html(f"/ui/messages?{query}")
        assert len(body) < 100_000
        return json.loads(served.get(f"/ui/messages.json?{query}")[2])

    first = leaf("")
    mark = served.html("/ui/messages").partition('data-version="')[2].partition('"')[0]
    with following(served, "/ui/messages", mark) as lines:
        until(lambda: "retry: 2000" in lines)
        second = leaf(f"before={first['older']}")
        places = [each["place"] for each in first["messages"] + second["messages"]]
        assert places == list(range(places[0], places[0] - 2 * messages.PAGE, -1))
        back = leaf(f"after={second['newer']}")
        assert [each["id"] for each in back["messages"]] == [e["id"] for e in first["messages"]]
        last = leaf("before=30")
        assert last["messages"][-1]["place"] == 1
        assert last["older"] is None

        job = served.running.server.context
        assert job is not None
        network = served.running.network
        post = [lambda: network.post("token", "Transfer", {"Quantity": "1"})] * 3
        for each in post:
            job.bus.post(each)
        until(lambda: "event: changed" in lines)
        assert leaf("")["messages"][0]["place"] == places[0] + len(post)
        older = leaf(f"before={first['older']}")  # stands still
        assert older["messages"] == second["messages"]
    reading = dashboard_of(served).reader._network
    assert reading is not None
    assert not reading.compute.following.positions()  # nothing of it needed a process
