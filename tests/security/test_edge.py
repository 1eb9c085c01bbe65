"""What strangers do to a server by how they speak to it: too much, too slowly, or for others."""

from __future__ import annotations

import base64
import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchpool.ao.dataitem import sign
from benchpool.server.bounds import Bounds, connections_for
from benchpool.server.sockets import Options
from benchpool.units.limits import Limits
from tests.serving import Client, Running

QUICK = Bounds(
    connections=8,
    look_s=0.05,
    head_s=0.5,
    pace_s=0.5,
    closing_s=0.5,
    bodies_bytes=4 << 20,
    unsent_bytes=16 << 20,
    uploads=2,
)
Serve = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    running: list[Running] = []

    def start(bounds: Bounds = QUICK, options: Options = Options(port=0), **given: Any) -> Running:  # noqa: B008
        running.append(Running(tmp_path / f"home{len(running)}", options, bounds, **given))
        return running[-1]

    yield start
    for each in running:
        each.stop()


def line_to(server: Running) -> socket.socket:
    parts = httpx.URL(server.url)
    line = socket.create_connection((parts.host, parts.port or 80))
    line.settimeout(20)
    return line


def everything(line: socket.socket) -> bytes:
    """Read until the server closes the connection, in whatever way."""
    found = b""
    try:
        while part := line.recv(1 << 16):
            found += part
    except ConnectionError:
        pass
    return found


def pour(line: socket.socket, part: bytes, most: int) -> int:
    """Send the same again and again until the server has enough; return how many bytes it took."""
    sent = 0
    try:
        while sent < most:
            line.sendall(part)
            sent += len(part)
    except (ConnectionError, TimeoutError):
        pass
    return sent


# -- too much ---------------------------------------------------------------------------------

START = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /mu HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (START, b"X-More: " + b"x" * 1000 + b"\r\n"),
        (START + b"X-Long: ", b"x" * 1000),
        (START + b"X", b"x" * 1000),
        (b"GET /", b"x" * 1000),
        (b"", b"\r\n" * 500),
        (POST + b"1\r\nx\r\n0\r\nX-After: ", b"x" * 1000),
        (POST + b"1\r\nx\r\n0\r\n", b"X-After: x\r\n" * 100),
        (POST + b"1;", b"x" * 1000),
    ],
    ids=["headers", "header", "name", "path", "lines", "trailer", "trailers", "extension"],
)
def test_a_head_without_end_is_ended(serve: Serve, start: bytes, part: bytes) -> None:
    server = serve(Bounds())
    with line_to(server) as line:
        line.sendall(start)
        assert pour(line, part, 64 << 20) < 32 << 20, "the server took all of it"
        answer = everything(line)
    assert answer == b"" or answer.split(b" ")[1] in (b"431", b"400")
    assert Client(server.url).http.get("/health").status_code == 200


def test_a_large_head_is_refused_with_its_status(serve: Serve) -> None:
    client = Client(serve(Bounds()).url).http
    answer = client.get("/health", headers={"X-Large": "x" * 70_000})
    assert answer.status_code == 431
    assert "larger than 65,536 bytes" in answer.json()["error"]
    assert client.get("/health", headers={"X-Large": "x" * 60_000}).status_code == 200


def test_requests_that_do_not_wait_for_answers_are_all_answered_in_turn(serve: Serve) -> None:
    server = serve(Bounds())
    count = 3_000
    with line_to(server) as line:
        asked = b"GET /mu/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * (count - 1)
        last = b"GET /mu/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        line.sendall(asked + last)
        assert everything(line).count(b"ao messenger unit") == count


def test_requests_whose_answers_nobody_takes_are_read_no_further(serve: Serve) -> None:
    server = serve()
    with line_to(server) as line:
        line.settimeout(0.3)
        asked = b"GET /mu/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
        assert pour(line, asked, 256 << 20) < 64 << 20
    assert Client(server.url).http.get("/health").status_code == 200


def test_bodies_of_all_requests_together_have_a_bound(serve: Serve) -> None:
    server = serve(Bounds(bodies_bytes=4 << 20))
    head = b"POST /mu HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
    with ExitStack() as stack:
        lines = [stack.enter_context(line_to(server)) for _ in range(4)]
        for line in lines:
            pour(line, head + b"x" * 3_000_000, 1)
        time.sleep(0.5)
        answers = [_now(line) for line in lines]
        assert sum(answer.startswith(b"HTTP/1.1 503") for answer in answers) == 3
        # A small message still has its place, and when they go there is room again.
        client = Client(server.url)
        client.spawn("WrappedAR", Ticker="wAR")
    _wait(lambda: server.server.context.connections.bodies_bytes == 0)
    assert client.http.post("/mu", content=b"x" * 3_000_000).status_code == 500


def _now(line: socket.socket) -> bytes:
    line.setblocking(False)
    try:
        return line.recv(1 << 16)
    except (BlockingIOError, ConnectionError):
        return b""


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_answers_that_nobody_takes_have_a_bound(serve: Serve) -> None:
    server = serve(Bounds(unsent_bytes=16 << 20))
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    large = client.send(token, "Info", b"x" * 8_000_000)
    with ExitStack() as stack:
        for _ in range(12):
            line = stack.enter_context(line_to(server))
            line.sendall(b"GET /raw/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % large.encode())
        connections = server.server.context.connections
        time.sleep(1)
        assert connections.unsent_bytes() <= (16 << 20) + 8_000_000
        assert len(client.http.get(f"/raw/{large}").content) == 8_000_000


# -- too slowly -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n",
        b"GET /health HT",
        START,
        b"POST /mu HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx",
        b"POST /tx HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx",
        START + b"\r\n" + b"GET /health HT",
    ],
    ids=["nothing", "lines", "start", "headers", "body", "upload", "second"],
)
def test_who_stops_in_the_midst_of_it_is_let_go(serve: Serve, said: bytes) -> None:
    server = serve()
    with line_to(server) as line:
        line.sendall(said)
        everything(line)  # to its end
    _wait(lambda: len(server.server.context.connections) == 0)


def test_an_idle_connection_makes_room_for_a_new_one(serve: Serve) -> None:
    server = serve(Bounds(connections=8))
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(line_to(server))
        client = Client(server.url)
        client.spawn("WrappedAR", Ticker="wAR")
        assert len(server.server.context.connections) <= 8


def test_slow_bodies_make_room_too(serve: Serve) -> None:
    server = serve(Bounds(connections=4))
    head = b"POST /mu HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nx"
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(line_to(server)).sendall(head)
        assert httpx.get(f"{server.url}/health").status_code == 200


def test_a_body_in_memory_has_its_time(serve: Serve) -> None:
    server = serve(Bounds(body_s=0.3))
    with line_to(server) as line:
        line.sendall(b"POST /mu HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\nx")
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 408")


def test_who_does_not_take_an_answer_is_let_go(serve: Serve) -> None:
    server = serve(replace(QUICK, bodies_bytes=64 << 20))
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    large = client.send(token, "Info", b"x" * 9_000_000)
    with line_to(server) as line:
        line.sendall(b"GET /raw/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % large.encode())
        client.http.close()
        _wait(lambda: len(server.server.context.connections) == 0)


def test_few_open_files_leave_most_for_the_network() -> None:
    assert connections_for(1 << 16, 1000) == 1000
    assert connections_for(1024, 1000) == 512
    assert connections_for(256, 1000) == 64
    assert connections_for(16, 1000) == 32


# -- for others -------------------------------------------------------------------------------


def test_a_name_that_was_pointed_here_is_not_answered(serve: Serve) -> None:
    url = serve().url
    port = httpx.URL(url).port
    for name, status in {
        "evil.example": 421,
        f"evil.example:{port}": 421,
        "localhost.evil.example": 421,
        "127.0.0.1.evil.example": 421,
        "": 421,
        f"localhost:{port}": 200,
        f"LOCALHOST:{port}": 200,
        "a.localhost": 200,
        "127.0.0.1": 200,
        "[::1]:4000": 200,
        "192.168.1.7:4000": 200,
    }.items():
        for path in ("/health", "/su/timestamp", "/openapi.json", "/metrics"):
            answer = httpx.get(url + path, headers={"Host": name})
            assert answer.status_code == status, (name, path)
    refused = httpx.get(f"{url}/health", headers={"Host": "evil.example"}).json()["error"]
    assert "--allow-host evil.example" in refused
    open_to_it = serve(options=Options(port=0, allow_hosts=("pool.example",)))
    answer = httpx.get(f"{open_to_it.url}/health", headers={"Host": "pool.example:80"})
    assert answer.status_code == 200


PAGES = {
    "https://evil.example": False,
    "http://localhost.evil.example": False,
    "http://127.0.0.1.evil.example": False,
    "https://cookbook.example:8443": False,
    "null": False,
    "file://": False,
    "http://localhost:3000": True,
    "https://127.0.0.1": True,
    "http://[::1]:8080": True,
}


@pytest.mark.parametrize(("page", "may"), PAGES.items())
def test_a_page_may_read_and_only_those_of_this_machine_write(
    serve: Serve, page: str, may: bool
) -> None:
    server = serve()
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    said = {"Origin": page}
    info = client.item(token, "Info").raw
    upload = sign(client.signer, data=b"a file").raw
    for path, raw in (("/mu", info), ("/su", info), ("/tx", upload), ("/gateway/tx", upload)):
        answer = client.http.post(path, content=raw, headers=said)
        assert (answer.status_code != 403) == may, (path, answer.text)
        assert answer.headers.get("Access-Control-Allow-Origin") == (page if may else None)
    for path in (f"/mu/monitor/{token}", "/mu/push/x/0?process-id=x"):
        assert (client.http.post(path, headers=said).status_code != 403) == may
    before = {**said, "Access-Control-Request-Method": "POST"}
    answer = client.http.options("/mu", headers=before)
    assert (answer.status_code == 204) == may
    read = client.http.get("/su/timestamp", headers=said)
    assert (read.status_code, read.headers["Access-Control-Allow-Origin"]) == (200, "*")
    query = {"query": "{transactions{edges{node{id}}}}"}
    read = client.http.post("/graphql", json=query, headers=said)
    assert (read.status_code, read.headers["Access-Control-Allow-Origin"]) == (200, "*")
    dry = client.http.post(f"/cu/dry-run?process-id={token}", json={"Tags": []}, headers=said)
    assert dry.status_code == 200


def test_pages_that_are_named_may_write(serve: Serve) -> None:
    server = serve(options=Options(port=0, allow_origins=("https://Cookbook.example",)))
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    for page, status in (("https://cookbook.example", 202), ("https://other.example", 403)):
        raw = client.item(token, "Info").raw
        answer = client.http.post("/mu", content=raw, headers={"Origin": page})
        assert answer.status_code == status


def test_a_page_from_a_message_runs_no_script(serve: Serve) -> None:
    client = Client(serve().url)
    page = sign(client.signer, tags=[("Content-Type", "text/html")], data=b"<script>1</script>")
    client.http.post("/tx", content=page.raw)
    answer = client.http.get(f"/{page.id}")
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.http.get("/docs").status_code == 404  # it would load scripts from elsewhere


# -- a full disk ------------------------------------------------------------------------------


def test_a_disk_that_is_nearly_full_takes_no_uploads_and_then_no_messages(serve: Serve) -> None:
    server = serve()
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    reserves = server.server.context.reserves
    free = reserves.free_bytes
    steps = ((1, 200, 202), (free * 2 // 3, 507, 202), (free * 2, 507, 507))
    for reserve, uploads, messages in steps:
        reserves.reserve_bytes = reserve
        item = sign(client.signer, data=b"upload %d" % reserve)
        assert client.http.post("/tx", content=item.raw).status_code == uploads
        message = client.item(token, "Info")
        answer = client.http.post("/mu", content=message.raw)
        assert answer.status_code == messages
        assert client.http.get("/health").status_code == 200
    assert "nearly full" in answer.json()["error"]
    assert client.ask(token, "Info")["Messages"], "reading goes on"
    reserves.reserve_bytes = 1
    client.send(token, "Info")


def test_uploads_have_a_quota_and_places(serve: Serve) -> None:
    server = serve(limits=Limits(uploads_bytes=10_000))
    client = Client(server.url)
    for number, status in enumerate((200, 200, 507)):
        item = sign(client.signer, data=bytes([number]) * 4_000)
        assert client.http.post("/tx", content=item.raw).status_code == status
    big = sign(client.signer, data=b"x" * 20_000).raw
    assert client.http.post("/tx", content=iter([big[:9000], big[9000:]])).status_code == 507
    head = b"POST /tx HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\nx"
    with line_to(server) as one, line_to(server) as two:
        one.sendall(head)
        two.sendall(head)
        _wait(lambda: server.server.context.reserves.uploads == 2)
        assert client.http.post("/tx", content=b"x").status_code == 503


# -- what is told -----------------------------------------------------------------------------


def test_a_refusal_names_no_folder_of_the_machine(serve: Serve) -> None:
    server = serve()
    client = Client(server.url)
    home = server.network.home
    assert home is not None
    texts = []
    item = sign(client.signer, data=b"GGUF" + b"\xff" * 100)
    texts.append(client.http.post("/tx", content=item.raw).text)
    kept = sign(client.signer, data=b"a file to be changed")
    client.http.post("/tx", content=kept.raw)
    record = home.data / f"{kept.id}.item"
    record.chmod(0o644)
    record.write_text("{")
    server.network.data._uploads = None  # as after a restart
    texts.append(client.http.get(f"/{kept.id}").text)
    assert all('"error"' in text for text in texts), texts
    assert not [text for text in texts if str(home.folder) in text or "/tmp" in text]


def test_a_damaged_item_is_left_out_and_reported(serve: Serve) -> None:
    server = serve()
    client = Client(server.url)
    home = server.network.home
    assert home is not None
    items = [sign(client.signer, data=b"file %d" % n, tags=[("Mark", "y")]) for n in range(3)]
    for each in items:
        client.http.post("/tx", content=each.raw)
    record = home.data / f"{items[1].id}.item"
    record.chmod(0o644)
    record.write_text("{")
    server.network.data._uploads = None  # as after a restart
    query = '{transactions(tags: [{name: "Mark", values: ["y"]}]) {edges {node {id}}}}'
    for _ in range(2):
        edges = client.http.post("/graphql", json={"query": query}).json()["data"]["transactions"]
        found = {edge["node"]["id"] for edge in edges["edges"]}
        assert found == {items[0].id, items[2].id}
    assert client.http.get("/health").json()["damaged"] == [items[1].id]


def test_a_message_that_was_damaged_hides_no_other(serve: Serve) -> None:
    server = serve()
    client = Client(server.url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    sent = [client.send(token, "Info", Mark="z") for _ in range(3)]
    home = server.network.home
    assert home is not None

    with sqlite3.connect(home.database) as database:
        database.execute("UPDATE items SET head = x'00' WHERE message = ?", (sent[1],))
    database.close()
    query = '{transactions(tags: [{name: "Mark", values: ["z"]}]) {edges {node {id}}}}'
    edges = client.http.post("/graphql", json={"query": query}).json()["data"]["transactions"]
    assert {edge["node"]["id"] for edge in edges["edges"]} == {sent[0], sent[2]}
    assert client.http.get(f"/tx/{sent[1]}").status_code == 400


@pytest.mark.parametrize(
    "cursor",
    [
        {"timestamp": 1e999, "ordinate": "1"},
        {"timestamp": "1", "ordinate": 1e999},
        {"timestamp": 10**30, "ordinate": "1"},
        {"timestamp": "1", "ordinate": 10**30},
        {"timestamp": 1, "ordinate": "1", "cron": float("nan")},
        {"timestamp": "9" * 5000, "ordinate": "1"},
        {"timestamp": -(10**30), "ordinate": "-5"},
        {"timestamp": True, "ordinate": "1"},
    ],
)
def test_numbers_without_bounds_in_a_cursor_are_refused(serve: Serve, cursor: Any) -> None:

    client = Client(serve().url)
    token = client.spawn("WrappedAR", Ticker="wAR")
    text = base64.b64encode(json.dumps(cursor).encode()).decode()
    for bound in ("from", "to"):
        answer = client.http.get(f"/cu/results/{token}", params={bound: text})
        assert answer.status_code == 500
        assert "not a cursor" in answer.json()["error"], answer.text
