"""What open pages cost: one look however many are open, and no message folded a second time."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from open_pages import dashboard_of, following, until
from pages import Served
from serving import Client

from benchpool.network import Network
from benchpool.server.dashboard import events, reader
from benchpool.server.dashboard.page import Asked
from benchpool.server.dashboard.pages import messages
from benchpool.server.dashboard.shown import Place
from benchpool.units import following as followed
from benchpool.units import taking_up

MANY = 3 * followed.FEW


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "ALIVE_S", 0.5)
    monkeypatch.setattr(events, "TICK_S", 0.1)


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is folded for pages, by process."""
    counts: Counter[str] = Counter()
    fold = taking_up.fold

    def counted(instance: Any, *rest: Any, **more: Any) -> Any:
        if threading.current_thread().name.startswith("benchpool-pages"):
            counts[instance.process.id] += 1
        return fold(instance, *rest, **more)

    monkeypatch.setattr(taking_up, "fold", counted)
    return counts


def on_bus(served: Served, work: Callable[[Network], Any]) -> Any:
    """Have the network changed by the thread that uses it."""
    server, network = served.running.server, served.running.network
    assert server.context is not None
    assert server._loop is not None
    job = server.context.bus.write(lambda: work(network))
    return asyncio.run_coroutine_threadsafe(job, server._loop).result(20)


def post(served: Served, process: str, action: str, count: int = 1, **tags: str) -> None:
    """Have messages committed together."""

    def work(network: Network) -> None:
        for _ in range(count):
            network.post(process, action, tags)

    on_bus(served, work)


def count_made(served: Served, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each page is made from now on."""
    counts: Counter[str] = Counter()
    gallery = dashboard_of(served).gallery
    made = gallery._made

    def counted(content: Any, place: Any) -> Any:
        counts[place.url] += 1
        return made(content, place)

    monkeypatch.setattr(gallery, "_made", counted)
    return counts


def count_looks(served: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often the reader looks from now on."""
    looks: list[int] = []
    reading = dashboard_of(served).reader
    look = reading._look

    def counted(*args: Any) -> Any:
        looks.append(1)
        return look(*args)

    monkeypatch.setattr(reading, "_look", counted)
    return looks


# -- many pages cost what one costs ------------------------------------------------------------


def test_ten_pages_are_one_look_and_one_page_made(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.open}"
    mark = served.html(path).partition('data-version="')[2].partition('"')[0]
    with ExitStack() as open_pages:
        streams = [open_pages.enter_context(following(served, path, mark)) for _ in range(10)]
        until(lambda: all(streams))
        made, looks = count_made(served, monkeypatch), count_looks(served, monkeypatch)
        post(served, "Benchmark", "Get-Pools")
        until(lambda: all("event: changed" in lines for lines in streams))
        with ThreadPoolExecutor(10) as threads:
            told = {"Accept": "text/html", "X_Told": "1"}
            bodies = list(threads.map(lambda _: served.get(path, **told)[2], range(10)))
    assert made == {path.removeprefix("/ui"): 1}
    assert len(looks) == 1
    assert len(set(bodies)) == 1
    assert f'data-version="{mark}"'.encode() not in bodies[0]


def test_pages_opened_together_are_no_look_each(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.open}"
    served.html(path)
    looks = count_looks(served, monkeypatch)
    with ExitStack() as open_pages:
        for stream in [open_pages.enter_context(following(served, path)) for _ in range(10)]:
            until(lambda lines=stream: "retry: 2000" in lines)
    assert not looks


def test_requests_that_wait_together_share_what_is_made(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.open}"
    served.html(path)
    reading = dashboard_of(served).reader
    gate = threading.Event()
    loop = served.running.server._loop
    assert loop is not None
    asyncio.run_coroutine_threadsafe(reading.look(lambda _: gate.wait(10)), loop)
    until(lambda: reading._waiting == 1)
    post(served, "Benchmark", "Get-Pools")
    made = count_made(served, monkeypatch)
    with ThreadPoolExecutor(10) as threads:
        asked = [threads.submit(served.html, path) for _ in range(10)]
        until(lambda: reading._waiting == 11)
        gate.set()
        assert len({each.result() for each in asked}) == 1
    assert made == {path.removeprefix("/ui"): 1}


def test_who_was_not_told_sees_what_was_acknowledged(serve: Callable[..., Served]) -> None:
    served = serve()
    path = "/ui/messages"
    before = served.html(path)
    post(served, "WrappedAR", "Balance")
    _, _, told = served.get(path, Accept="text/html", X_Told="1")
    assert told.decode() == before  # what lay ready
    assert served.html(path) != before
    assert served.get(path, Accept="text/html", X_Told="1")[2] != told  # never one that is older


class Still:
    """A reader and a gallery whose pages take the time that is said."""

    def __init__(self, look_s: float) -> None:
        self.look_s = look_s
        self.spent_s = 0.0
        self.moment = 0
        self.renewed: list[str] = []

    async def renew(self, place: Place) -> str:
        self.spent_s += self.look_s
        self.renewed.append(place.url)
        return f"{place.url} at {self.moment}"


def followed_pages(still: Still, *, places: int, each: int = 1) -> events.Events:
    """Have pages open whose marks are known."""
    found = events.Events(still, still)  # type: ignore[arg-type]
    for number in range(places * each):
        place = Place(messages.PAGES[0], Asked({}, {}), str(number % places))
        follower = events.Follower(place)
        follower.mark = f"{place.url} at 0"
        found._followers.add(follower)
    return found


@pytest.mark.parametrize(("places", "each"), [(1, 1), (1, 100), (128, 1), (3, 40)])
@pytest.mark.parametrize("look_s", [0.001, 0.05, 0.5])
def test_looking_takes_its_share_however_many_pages_are_open(
    places: int, each: int, look_s: float
) -> None:
    still = Still(look_s)
    open_pages = followed_pages(still, places=places, each=each)
    rested_s = 0.0
    for _ in range(200):
        still.moment += 1
        rest_s = asyncio.run(open_pages.turn())
        assert events.TICK_S <= rest_s <= events.LONGEST_S
        rested_s += rest_s
    assert still.spent_s <= 1.7 * rested_s / events.SHARE  # the last look may go beyond its time
    counts = Counter(still.renewed)
    assert len(counts) == places
    assert max(counts.values()) - min(counts.values()) <= 1  # all in turn


def test_nothing_is_looked_at_while_nothing_is_committed() -> None:
    still = Still(0.1)
    open_pages = followed_pages(still, places=3, each=2)
    asyncio.run(open_pages.turn())
    assert asyncio.run(open_pages.turn()) == events.TICK_S
    assert sorted(still.renewed) == ["0", "1", "2"]


# -- nothing is folded twice -------------------------------------------------------------------


def test_pages_do_not_fold_what_the_bus_has_folded(
    serve: Callable[..., Served], folded: Counter[str]
) -> None:
    served = serve()
    benchmark = served.running.network.resolve("Benchmark")
    path = f"/ui/pools/{served.home.open}"
    served.html(path)
    folded.clear()
    for _ in range(3):
        post(served, benchmark, "Get-Pools", MANY)
        served.html(path)
    assert not folded
    post(served, benchmark, "Get-Pools", followed.FEW)  # not worth a memory
    served.html(path)
    assert folded == {benchmark: followed.FEW}


def test_no_process_is_folded_that_no_page_shows(
    serve: Callable[..., Served], folded: Counter[str]
) -> None:
    served = serve()
    token = served.running.network.resolve("WrappedAR")
    served.html("/ui/processes/WrappedAR")
    folded.clear()
    pool = f"/ui/pools/{served.home.open}"
    for _ in range(3):
        post(served, token, "Balance", followed.FEW)
        served.html(pool)
        served.html("/ui/messages")
    assert token not in folded
    assert f"{served.running.network.store.last_position(token) + 1:,}" in served.html(
        "/ui/processes/WrappedAR"
    )
    assert token not in folded  # by now there is enough for a memory


@pytest.mark.parametrize(
    "path", ["/ui/messages", "/ui/messages?process=WrappedAR", "/ui/messages/{}", "/ui/processes"]
)
def test_pages_of_messages_need_no_process(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    served = serve()
    path = path.format(served.home.open)
    served.html(path)
    network = dashboard_of(served).reader._network
    assert network is not None
    asked: list[str] = []
    monkeypatch.setattr(network.compute.following, "take_up", asked.append)
    monkeypatch.setattr(network.compute, "instance", asked.append)
    with following(served, path) as lines:
        until(lambda: "retry: 2000" in lines)
        post(served, "WrappedAR", "Balance", MANY)
        served.html(path)
        until(lambda: "event: changed" in lines)
    assert not asked
    assert not network.compute.following.positions()


def test_what_is_taken_over_is_what_would_have_been_folded(serve: Callable[..., Served]) -> None:
    served = serve()
    client = Client(served.url)
    token = served.running.network.resolve("WrappedAR")
    before = served.json("/ui/processes/WrappedAR.json")
    given = {"Recipient": client.address, "Quantity": "7"}
    on_bus(served, lambda network: [network.post(token, "Mint", given) for _ in range(MANY)])
    after = served.json("/ui/processes/WrappedAR.json")
    assert after["messages"] > before["messages"] + MANY - 1
    network = served.running.network
    fresh = network.compute.past(token, network.store.last_position(token)).process
    memory = fresh.dump()
    mine = dashboard_of(served).reader._network
    assert mine is not None
    assert mine.compute.instance(token).process.dump() == memory


def test_a_bus_that_is_at_something_long_is_not_waited_for(
    serve: Callable[..., Served], folded: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    benchmark = served.running.network.resolve("Benchmark")
    path = f"/ui/pools/{served.home.open}"
    served.html(path)
    folded.clear()
    post(served, benchmark, "Get-Pools", MANY)
    monkeypatch.setattr(reader, "MEMORIES_S", 0.05)
    gate = threading.Event()
    server = served.running.server
    assert server.context is not None
    assert server._loop is not None
    asyncio.run_coroutine_threadsafe(server.context.bus.read(lambda: gate.wait(20)), server._loop)
    try:
        served.html(path)
    finally:
        gate.set()
    assert folded == {benchmark: MANY}
