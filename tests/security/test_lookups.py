"""Look-ups that cost: none holds up another one for long, or a server that is to end."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchpool.ao.ids import encode_id
from benchpool.server import gateway, transactions
from benchpool.server.bounds import Bounds
from benchpool.server.lookups import View
from tests.serving import Client, Running, up

UNKNOWN = [encode_id(number.to_bytes(32, "big")) for number in range(1, 20_001)]
HANGS = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "home", bounds=Bounds(search_s=1.0))
    yield running
    running.stop()


def asked(client: httpx.Client, query: str, **variables: Any) -> dict[str, Any]:
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


IDS = "query($ids: [ID!]) {transactions(ids: $ids, first: 1000) {edges {node {id}}}}"


def test_what_an_id_costs_does_not_grow_with_the_modules(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []

    def count(module: object) -> str:
        read.append(module)
        return "source"

    monkeypatch.setattr(transactions.inspect, "getsource", count)
    client = Client(server.url).http
    assert asked(client, IDS, ids=UNKNOWN[:1000])["data"]["transactions"]["edges"] == []
    asked(client, IDS, ids=UNKNOWN[:1000])
    assert len(read) <= len(server.network.registry.names())
    assert inspect.getsource is count


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("{" + " ".join(f"a{n}: transactions {{count}}" for n in range(11)) + "}", "10 lists"),
        (
            "{"
            + " ".join(f'a{n}: transaction(id: "{UNKNOWN[n]}") {{id}}' for n in range(20))
            + "}",
            "10 lists",
        ),
        (
            "{transactions {edges {node {" + " ".join(f"a{n}: id" for n in range(999)) + "}}}}",
            "fields",
        ),
        (
            "{" + " ".join(f"a{n}: transactions {{...f}}" for n in range(9)) + "}"
            " fragment f on TransactionConnection {edges {node {" + "a: id " * 99 + "}}}",
            "fields",
        ),
        ("{" * 500, "Syntax"),
        ("{transactions " + "{edges " * 2000 + "}" * 2000, ""),
        ("{a(b:" + "[" * 3000, ""),
        ("query q {...a} fragment a on Query {...b} fragment b on Query {...a}", "itself"),
    ],
)
def test_a_query_that_asks_for_much_is_refused(server: Running, query: str, why: str) -> None:
    answer = Client(server.url).http.post("/graphql", json={"query": query})
    # On a busy machine the time of a look-up can end first.
    assert answer.status_code in (200, 413, 503), answer.text
    said = answer.json()
    assert why in str(said.get("errors", said)), said


def test_too_many_ids_are_refused(server: Running) -> None:
    client = Client(server.url).http
    errors = asked(client, IDS, ids=UNKNOWN[:1001])["errors"]
    assert "1,000 ids" in errors[0]["message"]
    twice = "query($i: [ID!]) {a: transactions(ids: $i) {count} b: transactions(ids: $i) {count}}"
    assert "1,000 ids" in asked(client, twice, i=UNKNOWN[:600])["errors"][0]["message"]


def test_tools_may_ask_what_there_is(server: Running) -> None:
    from graphql import get_introspection_query

    assert "errors" not in asked(Client(server.url).http, get_introspection_query())


def test_an_answer_has_a_bound_in_bytes_and_the_next_page_goes_on(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchpool.server.graphql.PAGE_BYTES", 1_000)
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    sent = [client.send(token, "Info", Mark="m", Long="x" * 400) for _ in range(6)]
    query = (
        "query($after: String) {transactions(first: 100, sort: HEIGHT_ASC, after: $after, tags:"
        ' [{name: "Mark", values: ["m"]}]) {pageInfo {hasNextPage} edges {cursor node {id}}}}'
    )
    found: list[str] = []
    after, pages = None, 0
    while True:
        page = asked(client.http, query, after=after)["data"]["transactions"]
        found += [edge["node"]["id"] for edge in page["edges"]]
        pages += 1
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["edges"][-1]["cursor"]
    assert (found, pages) == (sent, 2)


def endless(_self: object, view: View) -> Any:
    """Look for ever, as a search in a long log would, until the look-up is told to end."""
    while True:
        view.check()
        time.sleep(0.01)


def test_a_search_ends_at_its_time_and_ids_are_found_meanwhile(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    monkeypatch.setattr(gateway, "execute", lambda _all, view, *_: endless(None, view))
    answers: list[httpx.Response] = []

    def search() -> None:
        answers.append(
            httpx.post(f"{server.url}/graphql", json={"query": "{transactions {count}}"})
        )

    searches = [threading.Thread(target=search) for _ in range(4)]
    for each in searches:
        each.start()
    assert client.http.get(f"/tx/{token}").status_code == 200
    for each in searches:
        each.join(HANGS)
        assert not each.is_alive()
    assert [answer.status_code for answer in answers] == [503] * 4


def test_a_query_of_sqlite_itself_ends_at_its_time(server: Running) -> None:
    """One statement that runs for ever is ended from within SQLite."""
    client = Client(server.url).http
    lookups = server.server.context.lookups  # type: ignore[union-attr]
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def count_for_ever(view: View) -> Any:
        return view.store._rows(forever).fetchall()  # type: ignore[attr-defined]

    execute = "benchpool.server.gateway.execute"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, lambda _transactions, view, *_: count_for_ever(view))
        answer = client.post("/graphql", json={"query": "{transactions {count}}"})
    assert answer.status_code == 503
    assert "takes too long" in answer.json()["error"]
    assert asked(client, "{transactions {count}}")["data"]
    assert lookups is not None


def test_a_search_ends_when_its_client_has_left(tmp_path: Path) -> None:
    server = Running(tmp_path / "home", bounds=Bounds(search_s=3600.0))
    began, ended = threading.Event(), threading.Event()

    def look(_transactions: object, view: View, *_: object) -> None:
        began.set()
        try:
            endless(None, view)
        finally:
            ended.set()

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchpool.server.gateway.execute", look)
            parts = httpx.URL(server.url)
            with socket.create_connection((parts.host, parts.port or 80)) as line:
                body = b'{"query": "{transactions {count}}"}'
                head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                line.sendall(head % len(body) + body)
                assert began.wait(HANGS)
            assert ended.wait(HANGS)
    finally:
        server.stop()


def test_a_server_ends_though_a_search_is_under_way(tmp_path: Path) -> None:
    server = Running(tmp_path / "home", bounds=Bounds(search_s=3600.0))
    began = threading.Event()

    def look(_transactions: object, view: View, *_: object) -> None:
        began.set()
        endless(None, view)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchpool.server.gateway.execute", look)
        query = {"query": "{transactions {count}}"}
        asking = threading.Thread(
            target=lambda: httpx.post(f"{server.url}/graphql", json=query, timeout=60)
        )
        asking.start()
        assert began.wait(HANGS)
        server.stop()
        asking.join(HANGS)


BUSY = """
import sys, time
from benchpool import Process, handler
from benchpool.process.registry import Registry
from benchpool.server.program import Program, serve_home, Hooks
from benchpool.server.sockets import Options
import benchpool.server.program as program
from pathlib import Path

program.END_S = 2

class Busy(Process):
    @handler("Spin")
    def spin(self, message):
        print("spinning", flush=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                time.sleep(0.01)
            except BaseException:
                pass

registry = Registry()
registry.add(Busy)
hooks = Hooks(on_ready=lambda addresses, resumed: print(addresses.gateway, flush=True))
serve_home(Program(Path(sys.argv[1]), Options(port=0), hooks, registry))
"""


def test_sigterm_ends_a_server_whose_handler_goes_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            client = Client(url)
            process = client.spawn("Busy")
            raw = client.item(process, "Spin").raw

            def send() -> None:
                with pytest.raises(httpx.HTTPError):
                    httpx.post(f"{url}/mu", content=raw, timeout=60)

            sending = threading.Thread(target=send)
            sending.start()
            assert program.stdout.readline() == "spinning\n"
            program.send_signal(signal.SIGTERM)
            program.wait(HANGS)
            sending.join(HANGS)
        finally:
            program.kill()


def test_sigterm_ends_a_server_that_is_asked_for_much(tmp_path: Path) -> None:
    with up(tmp_path / "home") as (program, where):
        body = b'{"query": "{transactions {count}}"}'
        parts = httpx.URL(where["gateway"])
        lines = [socket.create_connection((parts.host, parts.port or 80)) for _ in range(50)]
        for line in lines:
            head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
            line.sendall((head % len(body) + body) * 20)
        program.send_signal(signal.SIGTERM)
        assert program.wait(HANGS) == 0
        for line in lines:
            line.close()


def test_pages_of_large_messages_and_results_end_early(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("evaluations", "scheduler"):
        monkeypatch.setattr(f"benchpool.server.{module}.PAGE_BYTES", 1_000)
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    sent = [client.send(token, "Balances", b"x" * 700) for _ in range(5)]
    page = client.http.get(f"/su/{token}", params={"from-nonce": 0, "limit": 100}).json()
    assert [edge["node"]["message"]["id"] for edge in page["edges"]] == sent[:2]
    assert page["page_info"]["has_next_page"]
    found, after = [], ""
    while True:
        page = client.http.get(f"/cu/results/{token}", params={"from": after, "limit": 100}).json()
        found += page["edges"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["edges"][-1]["cursor"]
    assert len(found) == 6
