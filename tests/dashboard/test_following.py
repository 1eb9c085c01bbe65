"""The reader sees what is committed, and open pages are told of what they show."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from open_pages import dashboard_of, following, until
from pages import Served
from serving import Client

from benchpool.errors import Unavailable
from benchpool.network import Network
from benchpool.server.dashboard import events, reader


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send something often: a stream is let go of here when the next line comes."""
    monkeypatch.setattr(events, "ALIVE_S", 0.5)


def mint(served: Served, quantity: int = 5) -> None:
    """Have something committed that no pool shows."""
    client = Client(served.url)
    client.send(served.running.network.resolve("WrappedAR"), "Balance", Quantity=str(quantity))


def test_a_view_shows_what_was_acknowledged(serve: Callable[..., Served]) -> None:
    served = serve()
    before = served.json("/ui/pools.json")["pools"]
    client = Client(served.url)
    benchmark = served.running.network.resolve("Benchmark")
    for number in range(3):
        client.send(benchmark, "Get-Pools")
        reading = dashboard_of(served).reader
        position = _look(served, lambda n: n.logs.last_position(benchmark))
        assert position == served.running.network.store.last_position(benchmark), number
        assert reading.spent_s > 0
    assert served.json("/ui/pools.json")["pools"][0]["id"] == before[0]["id"]


def _look(served: Served, work: Callable[[Network], Any]) -> Any:
    loop = served.running.server._loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(dashboard_of(served).reader.look(work), loop).result(20)


def test_between_two_views_no_moment_is_kept(serve: Callable[..., Served]) -> None:
    served = serve()
    served.json(f"/ui/pools/{served.home.open}.json")
    network = _look(served, lambda n: n)
    dataset = network.resolve("SiqaDataset")
    assert dataset not in network.compute._instances
    assert not network.store._driver.in_transaction


def test_a_page_is_made_once_however_many_look(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.open}"
    served.html(path)
    asked: list[str] = []
    network = _look(served, lambda n: n)
    dry_run = network.dry_run

    def counted(target: str, action: str, *rest: Any, **more: Any) -> Any:
        asked.append(action)
        return dry_run(target, action, *rest, **more)

    monkeypatch.setattr(network, "dry_run", counted)
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: served.html(path), range(50)))
    assert asked == []
    mint(served)  # of another process: the page is looked up, and not made anew
    with ThreadPoolExecutor(10) as threads:
        list(threads.map(lambda _: served.html(path), range(50)))
    assert "Leaderboard" not in asked
    assert "Get-Answers" not in asked


def test_a_page_is_told_of_what_it_shows_alone(serve: Callable[..., Served]) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.open}"
    version = served.html(path).partition('data-version="')[2].partition('"')[0]
    with following(served, path, version) as lines:
        until(lambda: "retry: 2000" in lines)
        mint(served)
        time.sleep(3 * events.TICK_S)
        assert "event: changed" not in lines
        client = Client(served.url)
        client.send(served.running.network.resolve("Benchmark"), "Get-Pools")
        until(lambda: "event: changed" in lines)


def test_a_page_that_is_not_new_any_more_is_told_at_once(serve: Callable[..., Served]) -> None:
    served = serve()
    with following(served, "/ui/pools", "older") as lines:
        until(lambda: "event: changed" in lines)


def test_streams_end_with_the_server(serve: Callable[..., Served]) -> None:
    served = serve()
    with following(served, "/ui/pools") as lines:
        until(lambda: "retry: 2000" in lines)
        began = time.monotonic()
        served.running.server.stop()
        until(lambda: "the end" in lines)
        assert time.monotonic() - began < 15


def test_only_so_many_pages_are_told(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_FOLLOWERS", 2)
    served = serve()
    with following(served, "/ui/pools") as first, following(served, "/ui/pools") as second:
        until(lambda: bool(first and second))
        status, _, body = served.get("/ui/events?of=/ui/pools")
        assert status == 503
        assert "too many" in json.loads(body)["error"]
    until(lambda: not dashboard_of(served).events._followers)
    with following(served, "/ui/pools") as third:
        until(lambda: "retry: 2000" in third)


def test_only_so_many_views_wait(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MOST_WAITING", 2)
    served = serve()
    gate = threading.Event()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(_look, served, lambda _n: gate.wait(10)) for _ in range(2)]
        until(lambda: dashboard_of(served).reader._waiting == 2)
        with pytest.raises(Unavailable, match="too many pages"):
            _look(served, lambda n: n)
        gate.set()
        assert all(each.result() for each in waiting)


def test_what_takes_too_long_is_ended(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve()
    _look(served, lambda n: n)
    monkeypatch.setattr(reader, "LOOK_S", 0.3)

    def endless(network: Network) -> None:
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        for _ in network.store._rows(numbers):  # type: ignore[attr-defined]
            pass

    with pytest.raises(Unavailable, match="takes too long"):
        _look(served, endless)
    monkeypatch.undo()
    assert served.json("/ui/pools.json")["pools"]


def test_an_audit_is_done_beside_and_told(serve: Callable[..., Served]) -> None:
    served = serve()
    path = f"/ui/pools/{served.home.paid}/audit"
    assert served.json(f"{path}.json")["audit"]["state"] == "none"
    request = urllib.request.Request(served.url + path, b"", method="POST")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.url.endswith(path)
    until(lambda: served.json(f"{path}.json")["audit"]["state"] == "done", 60)
    audit = served.json(f"{path}.json")["audit"]
    assert audit["passed"] is True
    assert len(audit["checks"]) > 5
    assert "Every check that was due passed" in served.html(f"/ui/pools/{served.home.paid}")


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_no_foreign_page_begins_an_audit(served: Served, origin: str) -> None:
    path = f"{served.url}/ui/pools/{served.home.paid}/audit"
    request = urllib.request.Request(path, b"", {"Origin": origin}, method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=20)


def test_another_name_for_this_machine_is_refused(served: Served) -> None:
    status, _, _ = served.get("/ui/pools", Host="rebound.example")
    assert status == 421
