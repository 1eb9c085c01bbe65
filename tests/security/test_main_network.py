"""What strangers do at the paths of AO's main network: hidden writes, forged headers, too much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchpool.ao.dataitem import sign
from benchpool.process import Message, Process, State, handler
from benchpool.process.registry import Registry
from benchpool.server.hyperbeam import patches
from benchpool.server.hyperbeam.codecs import HEADERS_BYTES, may_be_header
from benchpool.server.hyperbeam.paths import read_path
from benchpool.server.reserves import Reserves
from tests.mainnet import READ, UNSIGNED, Mainnet
from tests.serving import Running

PID = "A" * 43


class Echo(Process):
    """Patches whatever it is told."""

    state: State

    @handler("Patch")
    def patch(self, message: Message) -> None:
        for name, value in json.loads(message.text):
            self.send(self.id, "", tags=[("device", "patch@1.0"), (name, value)])


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    known = Registry()
    known.add(Echo)
    server = Running(tmp_path / "home", registry=known)
    yield server
    server.stop()


@pytest.fixture
def eve(running: Running) -> Mainnet:
    return Mainnet(running.url)


@pytest.fixture
def echo(eve: Mainnet) -> str:
    return eve.start("Echo")


def tell(eve: Mainnet, echo: str, *pairs: tuple[str, str]) -> None:
    eve.push(echo, ("Action", "Patch"), data=json.dumps(pairs).encode())


# -- reads that write, and writes that read ---------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [
        "~process@1.0/compute/results=0",
        "~process@1.0/compute/push",
        "~process@1.0/now/schedule",
        "~process@1.0/as=execution/compute&Action=Patch/push",
        "~process@1.0/as=execution/compute&push=push",
        "/slot/current",
        "/slot/push",
        "/compute=0/results",
        "/%63ompute/results=0",
        "/results/push",
        "~process@1.0",
        "~meta@1.0/push",
        "//compute//results=0",
    ],
)
def test_a_read_is_never_scheduled_whatever_it_carries(eve: Mainnet, echo: str, rest: str) -> None:
    item = eve.signed([("Action", "Patch"), *READ], target=echo, data=b'[["a","b"]]')
    eve.call(f"/{echo}{rest}", item.raw)
    assert eve.slot(echo) == 0
    if "%" not in rest:
        assert eve.http.get(f"/{echo}/now/a").status_code == 404


@pytest.mark.parametrize("path", ["/push", "/{0}/push", "/{0}~process@1.0/schedule", "/{0}/%70ush"])
def test_what_is_posted_to_be_scheduled_is_a_write_for_every_guard(
    eve: Mainnet, echo: str, path: str
) -> None:
    item = eve.signed([("Action", "Patch"), *READ], target=echo, data=b"[]")
    foreign = {"origin": "https://elsewhere.example"}
    answer = eve.http.post(path.format(echo), content=item.raw, headers=foreign)
    assert (answer.status_code, eve.slot(echo)) == (403, 0)
    asked = {**foreign, "access-control-request-method": "POST"}
    assert (
        "access-control-allow-origin"
        not in eve.http.options(path.format(echo), headers=asked).headers
    )
    named = {"host": "evil.example"}
    assert eve.http.post(path.format(echo), content=item.raw, headers=named).status_code == 421
    assert eve.http.get(f"/{echo}/now", headers=named).status_code == 421
    assert eve.slot(echo) == 0


def test_a_page_elsewhere_may_read_by_post(eve: Mainnet, echo: str) -> None:
    answer = eve.http.post(
        f"/{echo}/slot/current", content=UNSIGNED, headers={"origin": "https://elsewhere.example"}
    )
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_no_message_is_taken_when_the_disk_is_nearly_full(
    eve: Mainnet, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = eve.signed([("Action", "Patch"), *READ], target=echo, data=b"[]")
    monkeypatch.setattr(Reserves, "free_bytes", 0)
    for path in ("/mu", "/push", f"/{echo}/push", f"/{echo}~process@1.0/schedule"):
        assert eve.call(path, item.raw).status_code == 507
    assert eve.slot(echo) == 0


def test_the_same_item_is_scheduled_once(eve: Mainnet, echo: str) -> None:
    item = eve.signed([("Action", "Patch"), *READ], target=echo, data=b"[]")
    paths = (f"/{echo}/push", "/push", f"/{echo}~process@1.0/schedule")
    answers = [eve.call(path, item.raw).json() for path in paths]
    assert [(each["slot"], each["id"]) for each in answers] == [(1, item.id)] * 3
    assert eve.http.post("/mu", content=item.raw).status_code == 500
    assert eve.slot(echo) == 1
    address = eve.http.get("/~meta@1.0/info/address").text
    spawn = eve.signed([("Module", "Echo"), ("Scheduler", address)], kind="Process")
    found = [eve.call("/push", spawn.raw).headers["process"] for _ in range(2)]
    assert (found, eve.slot(spawn.id)) == ([spawn.id] * 2, 0)


def test_the_content_of_a_pushed_message_is_not_taken_under_another_signature(
    eve: Mainnet,
) -> None:
    token, other = eve.start("WrappedAR"), eve.start("WrappedAR")
    eve.push(token, ("Action", "Mint"), ("Quantity", "10"))
    eve.push(token, ("Action", "Transfer"), ("Recipient", other), ("Quantity", "1"))
    said = eve.http.get(f"/{other}/schedule?accept=application/aos-2&from=1").json()
    message = said["edges"][0]["node"]["message"]
    tags = [(tag["name"], tag["value"]) for tag in message["Tags"]]
    copied = sign(
        eve.signer,
        target=other,
        anchor=message["Anchor"].encode(),
        tags=tags,
        data=message["Data"].encode(),
    )
    before = eve.slot(other)
    assert eve.call(f"/{other}/push", copied.raw).status_code == 400
    assert eve.slot(other) == before


# -- headers ----------------------------------------------------------------------------------

EVIL = (
    ("set-cookie", "a=b"),
    ("location", "https://evil.example"),
    ("content-length", "0"),
    ("content-security-policy", "default-src *"),
    ("access-control-allow-origin", "https://evil.example"),
    ("transfer-encoding", "chunked"),
    ("clear-site-data", "*"),
    ("refresh", "0;url=https://evil.example"),
    ("x-frame-options", "allow"),
    ("connection", "close"),
    ("service-worker-allowed", "/"),
    ("a\r\nset-cookie: x", "y"),
    ("a b", "c"),
    ("ü", "c"),
    ("", "c"),
    ("at-slot", "999"),
    ("device", "evil@1.0"),
    ("process", "evil"),
    ("ao-result", "evil"),
    ("codec-device", "evil"),
    ("good", "a\r\nset-cookie: x=y"),
    ("wide", "ü"),
    ("spaced", " x "),
    ("long", "x" * 5_000),
    ("fine", "as it is"),
)


def test_no_key_of_a_state_forges_a_header(eve: Mainnet, echo: str) -> None:
    clean = eve.http.head(f"/{echo}/now").headers
    tell(eve, echo, *EVIL)
    for answer in (eve.http.head(f"/{echo}/now"), eve.http.get(f"/{echo}/now")):
        found = answer.headers
        assert set(found) - set(clean) - {"connection"} == {"fine"}
        assert (found["fine"], found["device"]) == ("as it is", "process@1.0")
        assert (found["at-slot"], found["process"]) == ("1", echo)
        assert found["content-security-policy"] == "sandbox"
        assert found["x-content-type-options"] == "nosniff"
    shown = eve.http.get(f"/{echo}/now").json()
    assert shown["set-cookie"] == "a=b"
    assert (shown["at-slot"], shown["process"]) == (1, echo)


@pytest.mark.parametrize("name", [name for name, _ in EVIL[:15]])
def test_names_with_a_meaning_are_no_headers(name: str) -> None:
    assert not may_be_header(name, "x")


def test_the_headers_of_an_answer_are_bounded(eve: Mainnet, echo: str) -> None:
    tell(eve, echo, *((f"key-{number}", "v" * 2_000) for number in range(150)))
    answer = eve.http.head(f"/{echo}/now")
    size = sum(len(name) + len(value) for name, value in answer.headers.items())
    assert answer.status_code == 200
    assert size < HEADERS_BYTES + 2_000


def test_a_page_from_a_state_runs_no_script(eve: Mainnet, echo: str) -> None:
    tell(eve, echo, ("page", "<script>alert(1)</script>"))
    answer = eve.http.get(f"/{echo}/now/page")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["content-security-policy"] == "sandbox"


# -- too much ---------------------------------------------------------------------------------


def test_bodies_of_reads_and_writes_are_bounded(eve: Mainnet, echo: str) -> None:
    for path, size in ((f"/{echo}/slot/current", 2 << 20), (f"/{echo}/push", 11 << 20)):
        answer = eve.call(path, b"x" * size)
        assert (answer.status_code, "larger than" in answer.json()["error"]) == (413, True)


def test_deep_tables_and_deep_paths_are_bounded(eve: Mainnet, echo: str) -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    for _ in range(2):
        tell(eve, echo, ("deep", deep), ("list", "[" * 3_000 + "]" * 3_000))
    assert eve.http.get(f"/{echo}/now/deep").status_code in (200, 413)
    assert eve.http.get(f"/{echo}/now/list").status_code in (200, 413)
    assert eve.http.get(f"/{echo}/now/deep" + "/a" * 25).status_code in (200, 413)
    assert eve.http.get(f"/{echo}/now" + "/a" * 5_000).status_code == 404
    assert eve.http.get("/health").status_code == 200


def test_patches_of_one_process_are_bounded(
    eve: Mainnet, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "LARGEST_BYTES", 10_000)
    tell(eve, echo, *((f"key-{number}", "v" * 2_000) for number in range(6)))
    for _ in range(2):
        refused = eve.http.get(f"/{echo}/now/key-0")
        assert (refused.status_code, "are not shown" in refused.json()["error"]) == (413, True)
    assert eve.http.get(f"/{echo}/compute=0/at-slot").text == "0"


def test_few_patched_states_are_kept(
    eve: Mainnet, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "MOST_KEPT", 1)
    other = eve.start("Echo")
    for process in (echo, other):
        tell(eve, process, ("a", process))
    for process in (echo, other, echo, other):
        assert eve.http.get(f"/{process}/now/a").text == process


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/push/x",
        f"/{PID}",
        f"/{PID}x/now",
        f"/{PID}%2Fpush",
        f"/mu/push/{PID}/0",
        f"/raw/{PID}",
        f"/tx/{PID}",
        "/cu/results/x",
        "/health",
        f"/{'=' * 43}/push",
    ],
)
def test_paths_of_others_stay_theirs(path: str) -> None:
    assert read_path(path) is None


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(eve: Mainnet, echo: str, method: str) -> None:
    for path in (f"/{echo}/now", f"/{echo}/push", "/push", "/~meta@1.0/info"):
        answer: httpx.Response = eve.http.request(method, path)
        assert answer.status_code == 405
    assert eve.slot(echo) == 0
