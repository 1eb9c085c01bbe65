"""Data that comes over HTTP as signed items: kept, found by both ids, and used."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchpool.ao.clock import WallClock
from benchpool.ao.dataitem import DataItem, sign
from benchpool.ao.signers import Ed25519Signer
from benchpool.audit.export import export_home, import_file
from benchpool.audit.replay import replay_home
from benchpool.client.deployment import sample_path
from benchpool.inference.engine import ModelCard, Precision, Runtime
from benchpool.network import Network
from benchpool.server.run import Server
from benchpool.server.sockets import Options
from benchpool.server.transactions import Moment
from benchpool.units.limits import Limits

KEY = Ed25519Signer(b"u" * 32)
PROTOCOL = [("Data-Protocol", "ao"), ("Variant", "ao.TN.1")]
Serve = Callable[..., tuple[httpx.Client, Network]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    """Serve the home, after it was served before too."""
    running: list[tuple[Server, threading.Thread, httpx.Client]] = []

    def stop() -> None:
        while running:
            server, thread, client = running.pop()
            client.close()
            server.stop()
            thread.join(30)
            assert not thread.is_alive()

    def start(**settings: Any) -> tuple[httpx.Client, Network]:
        stop()
        network = Network(home, clock=WallClock(), signed=True, **settings)
        server, ready = Server(network, Options(port=0)), threading.Event()
        found: list[Any] = []

        def take(addresses: Any) -> None:
            found.append(addresses)
            ready.set()

        thread = threading.Thread(target=lambda: asyncio.run(server.serve(take)))
        thread.start()
        assert ready.wait(20)
        client = httpx.Client(base_url=found[0].gateway, timeout=60)
        running.append((server, thread, client))
        return client, network

    yield start
    stop()


def upload(data: bytes, *tags: tuple[str, str], key: Ed25519Signer = KEY) -> DataItem:
    return sign(key, tags=tags, data=data)


def kept(home: Path) -> set[str]:
    return {path.name for path in (home / "data").glob("*")}


def spawned(client: httpx.Client, module: str, **tags: str) -> str:
    own = [("Type", "Process"), ("Module", module), ("Scheduler", "A" * 43)]
    named = [(name.replace("_", "-"), value) for name, value in tags.items()]
    item = sign(KEY, tags=[*PROTOCOL, *own, *named], data=b" ")
    assert client.post("/mu", content=item.raw).status_code == 202
    asked = client.get(f"/cu/result/{item.id}", params={"process-id": item.id, "no-busy": "1"})
    assert "Error" not in asked.json(), asked.text
    return item.id


def test_an_upload_is_found_by_its_id_by_its_tags_and_after_a_restart(
    serve: Serve, home: Path, tmp_path: Path
) -> None:
    client, network = serve()
    text = "questions \u00e4".encode() * 5_000
    item = upload(text, ("Content-Type", "text/plain"), ("App", "Quiz"))
    receipt = client.post("/v1/tx/ethereum", content=item.raw)
    assert receipt.status_code == 200
    said = receipt.json()
    assert (said["id"], said["owner"], said["winc"]) == (item.id, item.address, "0")
    assert said["dataCaches"] == said["fastFinalityIndexes"] == [client.base_url.netloc.decode()]
    assert client.post("/tx", content=item.raw).status_code == 202
    content = network.data.put(text)
    assert kept(home) == {content, f"{item.id}.item"}

    client, _ = serve()
    for path in (f"/{item.id}", f"/raw/{item.id}", f"/{content}", f"/gateway/{item.id}"):
        found = client.get(path)
        assert found.content == text, path
    assert client.get(f"/{item.id}").headers["content-type"].startswith("text/plain")
    assert client.head(f"/{item.id}").headers["content-length"] == str(len(text))
    header = client.get(f"/tx/{item.id}").json()
    assert (header["id"], header["data_size"]) == (item.id, str(len(text)))
    query = '{ transactions(tags: [{name: "App", values: ["Quiz"]}], owners: ["%s"]) {'
    query += " count edges { node { id data { size type } block { height } } } } }"
    asked = client.post("/graphql", json={"query": query % item.address}).json()["data"]
    assert asked["transactions"]["count"] == "1"
    [edge] = asked["transactions"]["edges"]
    assert edge["node"]["id"] == item.id
    assert edge["node"]["data"] == {"size": str(len(text)), "type": "text/plain"}

    export_home(home, tmp_path / "copy.jsonl")
    import_file(tmp_path / "copy.jsonl", tmp_path / "copy")
    with Network(tmp_path / "copy", read_only=True) as copy:
        assert copy.data.get(item.id) == text


def test_what_is_not_signed_too_large_or_a_message_is_refused_and_leaves_nothing(
    serve: Serve, home: Path
) -> None:
    client, _ = serve(limits=Limits(upload_bytes=50_000))
    item = upload(b"x" * 20_000)
    message = sign(KEY, target="A" * 43, tags=[*PROTOCOL, ("Type", "Message")], data=b"hello")
    large = upload(b"x" * 50_000).raw
    for status, body, why in [
        (400, item.raw[:-1] + b"y", "not its owner's"),
        (400, item.raw[:-1], "not its owner's"),
        (400, b"no item" * 100, "signature type"),
        (400, b"", "at least"),
        (400, message.raw, "POST /mu"),
        (413, large, "upload_bytes"),
        (413, iter([large[:30_000], large[30_000:]]), "upload_bytes"),
    ]:
        answer = client.post("/tx", content=body)
        assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
        assert kept(home) == set()
    assert client.post("/tx", content=item.raw).status_code == 200
    assert client.get(f"/{message.id}").status_code == 404


def test_an_upload_that_breaks_off_leaves_nothing(serve: Serve, home: Path) -> None:
    client, _ = serve()
    raw = upload(b"x" * 3_000_000).raw
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as line:
        line.sendall(b"POST /tx HTTP/1.1\r\nHost: localhost\r\n")
        line.sendall(b"Content-Length: %d\r\n\r\n" % len(raw) + raw[:2_000_000])
        while not any(name.startswith("incoming-") for name in kept(home)):
            time.sleep(0.01)
    while kept(home):
        time.sleep(0.01)
    assert client.get("/health").json()["status"] == "ok"


def test_a_changed_file_or_record_is_noticed(serve: Serve, home: Path) -> None:
    client, network = serve()
    item, other = upload(b"the questions"), upload(b"other questions")
    for each in (item, other):
        assert client.post("/tx", content=each.raw).status_code == 200
    assert network.data.get(item.id) == b"the questions"
    forged = (home / "data" / f"{item.id}.item").read_text()
    wrong, right = (network.data.content_id(each.id) for each in (other, item))
    client, network = serve()
    path = home / "data" / f"{item.id}.item"
    path.chmod(0o644)
    path.write_text(forged.replace(right, wrong))
    answer = client.get(f"/{item.id}")
    assert (answer.status_code, "was changed" in answer.json()["error"]) == (400, True)


def test_an_uploaded_data_set_is_used(serve: Serve, home: Path) -> None:
    client, _ = serve()
    questions = "\n".join(sample_path().read_text().splitlines()[:3]).encode()
    item = upload(questions)
    assert client.post("/tx", content=item.raw).status_code == 200
    dataset = spawned(client, "SiqaDataset", DataTxID=item.id)
    info = client.post(
        "/cu/dry-run",
        params={"process-id": dataset},
        json={"Owner": item.address, "Tags": [{"name": "Action", "value": "Info"}]},
    ).json()
    tags = {tag["name"]: tag["value"] for tag in info["Messages"][0]["Tags"]}
    assert tags["Samples"] == "3"
    serve()
    replay_home(home).check()


def test_a_file_that_claims_to_be_a_model_is_tried_before_it_is_kept(
    serve: Serve, home: Path
) -> None:
    client, _ = serve()
    answer = client.post("/tx", content=upload(b"GGUF" + b"\0" * 1_000).raw)
    assert (answer.status_code, "GGUF version" in answer.json()["error"]) == (400, True)
    assert kept(home) == set()


class Loaded:
    """A model that only says what it is."""

    def __init__(self, path: Path, precision: Precision) -> None:
        self.card = ModelCard("small", "none", 1, "F32", 64, 1, 2, "none", path.stat().st_size)
        self.runtime = Runtime("small", "any", precision, "canonical-1")

    def close(self) -> None:
        pass


def test_the_same_weights_are_the_same_whoever_uploaded_them(serve: Serve, home: Path) -> None:
    client, network = serve(engine_factory=Loaded)
    first, second = upload(b"weights"), upload(b"weights", key=Ed25519Signer(b"v" * 32))
    weights = {network.data.put(b"weights")}
    for item in (first, second):
        assert client.post("/tx", content=item.raw).status_code == 200
        worker = spawned(client, "LlamaWorker", Model_Data=item.id)
        info = client.post(
            "/cu/dry-run",
            params={"process-id": worker},
            json={"Owner": first.address, "Tags": [{"name": "Action", "value": "Info"}]},
        ).json()
        [said] = [tag for tag in info["Messages"][0]["Tags"] if tag["name"] == "Weights"]
        assert said["value"] in weights
    serve(engine_factory=Loaded)
    replay_home(home).check()


def test_nobodys_message_waits_for_a_look_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client, _ = serve()
    looking, enough = threading.Event(), threading.Event()
    find = Moment.find

    def slow(self: Moment, *given: Any) -> Any:
        looking.set()
        assert enough.wait(30)
        return find(self, *given)

    monkeypatch.setattr(Moment, "find", slow)
    query = {"query": '{ transaction(id: "%s") { id } }' % ("A" * 43)}
    answers: list[httpx.Response] = []
    asker = threading.Thread(target=lambda: answers.append(client.post("/graphql", json=query)))
    asker.start()
    assert looking.wait(20)
    spawned(client, "WrappedAR")
    assert not answers
    enough.set()
    asker.join(20)
    assert answers[0].json() == {"data": {"transaction": None}}
