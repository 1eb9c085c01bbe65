"""AO's main network (ao.N.1): the requests that its clients send, and what they need back."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from mainnet import READ, SENT, UNSIGNED, Mainnet
from serving import Running

from benchpool.ao.message import Result
from benchpool.errors import ProcessBusy
from benchpool.process import Message, Process, handler
from benchpool.process.registry import Registry

UNKNOWN = "A" * 43
TRANSFER = ("Action", "Transfer")
MINT = (("Action", "Mint"), ("Quantity", "1000"))


@pytest.fixture
def ana(serve: Callable[..., Running]) -> Mainnet:
    return Mainnet(serve().url)


@pytest.fixture
def token(ana: Mainnet) -> str:
    token = ana.start("WrappedAR", ("Name", "Token"))
    ana.push(token, *MINT)
    return token


def path_of(token: str, rest: str, device: str = "~process@1.0") -> str:
    return f"/{token}{device}/{rest}"


# -- spawning and sending ---------------------------------------------------------------------


def test_the_node_tells_the_address_that_processes_are_to_trust(ana: Mainnet) -> None:
    answer = ana.http.get("/~meta@1.0/info/address")
    assert answer.text == ana.http.get("/~meta@1.0/info").json()["address"]
    assert answer.headers["content-type"].startswith("text/plain")
    token = ana.start("WrappedAR")
    pushed = ana.push(token, *MINT)["raw"]["Messages"]
    assert pushed[0]["Target"] == ana.address
    assert ana.http.get("/~meta@1.0/info/address?require-codec=application/json").json() == {
        "ao-result": "body",
        "body": answer.text,
    }


def test_a_message_gets_a_slot_and_its_result_is_that_of_the_legacy_network(
    ana: Mainnet, token: str
) -> None:
    pushed = ana.push(token, TRANSFER, ("Recipient", "bob"), ("Quantity", "7"))
    assert (pushed["slot"], pushed["process"], ana.slot(token)) == (2, token, 2)
    legacy = ana.result(pushed["id"], token)
    for said in (2, pushed["id"]):
        assert ana.result_at(token, said)["raw"] == legacy
    assert pushed["raw"] == legacy
    outbox = ana.result_at(token, 2)["outbox"]
    assert [each["action"] for each in outbox.values()] == ["Debit-Notice", "Credit-Notice"]
    assert outbox["2"]["target"] == "bob"


@pytest.mark.parametrize("device", ["", "~process@1.0"])
@pytest.mark.parametrize(
    "path", ["compute/results=1", "compute=1/results", "compute&slot=1/results"]
)
def test_results_are_read_in_each_clients_way(
    ana: Mainnet, token: str, device: str, path: str
) -> None:
    posted = ana.call(path_of(token, path, device), UNSIGNED)
    gotten = ana.http.get(path_of(token, path, device), headers={"require-codec": "json@1.0"})
    assert posted.json() == gotten.json()
    assert posted.json()["raw"]["Messages"][0]["Target"] == ana.address


def test_messages_in_lower_case_are_understood(ana: Mainnet) -> None:
    token = ana.start("WrappedAR", ("Ticker", "LOW"), lower=True)
    ana.push(token, *MINT, lower=True)
    assert ana.value(path_of(token, f"now/balances/{ana.address}")) == "1000"
    assert ana.value(path_of(token, "now/ticker")) == "LOW"


def test_one_process_is_used_in_both_modes_at_once(ana: Mainnet, token: str) -> None:
    legacy = ana.send(token, "Transfer", Recipient="bob", Quantity="10")
    assert ana.slot(token) == 2
    assert ana.result_at(token, 2)["raw"] == ana.result(legacy, token)
    assert ana.push(token, TRANSFER, ("Recipient", "bob"), ("Quantity", "5"))["slot"] == 3
    assert ana.balance(token, "bob") == "15"


def test_a_pushed_message_may_go_to_the_root_and_to_the_schedule(ana: Mainnet, token: str) -> None:
    for slot, path in enumerate(("/push", path_of(token, "schedule")), 2):
        item = ana.signed([TRANSFER, ("Recipient", "bob"), ("Quantity", "1"), *READ], target=token)
        assert ana.call(path, item.raw).json()["slot"] == slot


def test_a_message_that_is_pushed_async_is_answered_without_its_result(
    ana: Mainnet, token: str
) -> None:
    assert "raw" not in ana.push(token, ("Action", "Info"), ("async", "true"))


def test_a_dry_run_reads_its_tags_from_the_path(ana: Mainnet, token: str) -> None:
    before = ana.slot(token)
    found = ana.dry(token, f"&Action=Balance&Recipient={ana.address}")
    assert found["raw"]["Messages"][0]["Data"] == "1000"
    assert ana.dry(token, "&Action=Transfer&Recipient=bob&Quantity=1")["raw"]["Messages"]
    assert ana.slot(token) == before
    path = path_of(token, f"as=execution/compute&Action=Balance&Recipient={ana.address}")
    for answer in (ana.call(path, UNSIGNED), ana.http.get(path)):
        assert answer.json()["raw"]["Messages"][0]["Data"] == "1000"


def test_values_of_a_dry_run_may_hold_what_divides_paths(ana: Mainnet, token: str) -> None:
    value = "a/b&c%20d%20e%3Ff%C3%BC"
    pairs = "&Action=Transfer&Recipient=bob&Quantity=1"
    found = ana.http.get(path_of(token, f"as=execution/compute{pairs}&X-Note={value}")).json()
    notes = {
        tag["value"]
        for message in found["raw"]["Messages"]
        for tag in message["Tags"]
        if tag["name"] == "X-Note"
    }
    assert notes == {"a/b&c d e?fü"}


def test_a_process_of_aos_that_trusts_the_testnets_messenger_trusts_the_local_one(
    ana: Mainnet,
) -> None:
    testnet = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY"
    token = ana.spawn("WrappedAR")
    ana.send(token, "Mint", Quantity="100")
    trusting = ana.spawn("WrappedAR", Authority=testnet)
    deaf = ana.spawn("WrappedAR", Authority="x" * 43)
    for target in (trusting, deaf):
        ana.send(token, "Transfer", Recipient=target, Quantity="1")
    outputs = [
        [edge["node"]["Output"]["data"] for edge in ana.results(each)] for each in (trusting, deaf)
    ]
    assert not any("not trusted" in text for text in outputs[0])
    assert any("not trusted" in text for text in outputs[1])
    forged = ana.send(trusting, "Transfer", From_Process=token, Recipient="x", Quantity="1")
    assert "not trusted" in ana.result(forged, trusting)["Output"]["data"]


def test_a_process_tells_the_message_that_made_it(ana: Mainnet, token: str) -> None:
    found = ana.http.get(f"/{token}~process@1.0")
    shown = found.json()
    assert (shown["id"], shown["name"], shown["owner"]) == (token, "Token", ana.address)
    assert (shown["execution-device"], shown["authority"]) == (
        "genesis-wasm@1.0",
        ana.http.get("/~meta@1.0/info/address").text,
    )
    assert found.headers["name"] == "Token"
    assert ana.http.get(f"/{UNKNOWN}~process@1.0").status_code == 404


# -- the schedule -----------------------------------------------------------------------------


def test_the_schedule_lists_slots(ana: Mainnet, token: str) -> None:
    found = ana.http.get(path_of(token, "schedule")).json()
    assert (found["type"], found["process"], found["continues"]) == ("schedule", token, False)
    assert list(found["assignments"]) == ["0", "1"]
    mint = found["assignments"]["1"]
    assert (mint["slot"], mint["process"], mint["variant"]) == (1, token, "ao.N.1")
    assert (mint["body"]["action"], mint["body"]["target"]) == ("Mint", token)
    page = ana.http.get(path_of(token, "schedule&from=1&to=5/assignments?require-codec=json%401.0"))
    assert list(page.json()) == ["1"]


def test_the_schedule_is_given_as_the_legacy_scheduler_does(ana: Mainnet, token: str) -> None:
    asked = {"accept": "application/aos-2", "from": "1"}
    found = ana.http.get(path_of(token, "schedule"), params=asked).json()
    assert (found["page_info"]["process"], found["page_info"]["has_next_page"]) == (token, False)
    (edge,) = found["edges"]
    said = edge["node"]["message"]
    assert (edge["cursor"], said["Target"], said["Owner"]) == (1, token, ana.address)
    assert {"name": "Action", "value": "Mint"} in said["Tags"]
    assert {"name": "Nonce", "value": "1"} in edge["node"]["assignment"]["Tags"]


# -- how it answers ---------------------------------------------------------------------------


def test_codecs_are_asked_for_by_header_query_and_tag(ana: Mainnet, token: str) -> None:
    path = path_of(token, "now/at-slot")
    assert ana.http.get(path).text == "1"
    wrapped = {"ao-result": "body", "body": 1}
    json = "application/json"
    assert ana.http.get(path, params={"require-codec": json}).json() == wrapped
    assert ana.http.get(path, headers={"require-codec": "json@1.0"}).json() == wrapped
    assert ana.http.get(path, headers={"accept": json}).json() == wrapped
    assert ana.http.get(path, headers={"accept": json, "require-codec": "httpsig@1.0"}).text == "1"
    assert ana.call(path, ana.signed([("accept", json)]).raw).json() == wrapped
    refused = ana.http.get(path, params={"require-codec": "flat@1.0"})
    assert (refused.status_code, "flat@1.0" in refused.json()["error"]) == (406, True)


def test_pages_of_other_origins_see_all_headers(ana: Mainnet, token: str) -> None:
    asked = {"origin": "https://elsewhere.example"}
    answer = ana.http.get(path_of(token, "now"), headers=asked)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "*"
    assert answer.headers["codec-device"] == "httpsig@1.0"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("{unknown}~process@1.0/compute/results=1", 404),
        ("{unknown}/slot/current", 404),
        ("{unknown}/now/balances", 404),
        ("{unknown}/as=execution/compute&Action=Info", 404),
        ("{token}/compute/results=99", 404),
        ("{token}/compute/results={unknown}", 404),
        ("{token}/compute/results=x", 400),
        ("{token}/compute=99/ticker", 404),
        ("{token}/now/nothing", 404),
        ("{token}/nothing", 404),
        ("{token}~other@1.0/now", 404),
        ("~meta@1.0/info/nothing", 404),
        ("~meta@1.0/build", 404),
        ("~relay@1.0/call", 404),
        ("{token}/now/" + "a/" * 40, 404),
        ("{token}/now/" + "a" * 600, 404),
        ("{token}/push", 405),
        ("push", 405),
    ],
)
def test_errors_are_json_with_their_status(
    ana: Mainnet, token: str, path: str, status: int
) -> None:
    answer = ana.http.get("/" + path.format(token=token, unknown=UNKNOWN))
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True), answer.text


def test_what_is_pushed_is_refused_in_a_sentence(ana: Mainnet, token: str) -> None:
    def refused(path: str, body: bytes, **headers: str) -> tuple[int, str]:
        answer: httpx.Response = ana.http.post(path, content=body, headers={**SENT, **headers})
        return answer.status_code, answer.json()["error"]

    push = path_of(token, "push")
    assert refused(push, UNSIGNED)[0] == 400
    assert refused(push, b"", **{"signature-input": "x"})[0] == 415
    item = ana.signed([], target=UNKNOWN)
    assert refused(push, item.raw) == (
        400,
        f"the path names process {token}, and the item is for {UNKNOWN}",
    )
    assert refused("/push", item.raw)[0] == 404
    lua = [("execution-device", "lua@5.3a"), ("Scheduler", "s"), ("Module", "WrappedAR")]
    status, said = refused("/push", ana.signed(lua, kind="Process", data=b"x = 1").raw)
    assert (status, "lua@5.3a is not here" in said) == (400, True)
    assert refused("/push", ana.signed(lua[:2], kind="Process", data=b"x = 1").raw)[0] == 400
    unknown = [("Scheduler", "s"), ("Module", "m" * 43)]
    status, said = refused("/push", ana.signed(unknown, kind="Process").raw)
    assert (status, "m" * 43 in said) == (400, True)
    forged = bytearray(ana.signed([("Action", "Info")], target=token).raw)
    forged[-1] ^= 1
    assert refused(push, bytes(forged))[0] == 400
    assert ana.slot(token) == 1


class Thinker(Process):
    """Is evaluated in a lane, as what runs a model."""

    heavy = True

    @handler("Ask")
    def ask(self, message: Message) -> None:
        self.reply(message, data="yes")


@pytest.mark.parametrize(("patience", "status"), [(60.0, 200), (0.0, 503)])
def test_a_dry_run_waits_for_a_process_that_is_at_something(
    serve: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, patience: float, status: int
) -> None:
    monkeypatch.setattr("benchpool.server.hyperbeam.node.LONGEST_WAIT_S", patience)
    registry = Registry()
    registry.add(Thinker)
    server = serve(registry=registry)
    ana = Mainnet(server.url)
    process = ana.start("Thinker")
    evaluate, refusals = server.network.live.evaluate_dry, [1, 2, 3]

    def busy_at_first(message: Message, timeout_s: float) -> Result:
        if refusals:
            refusals.pop()
            raise ProcessBusy("Evaluation of the process is in progress.")
        return evaluate(message, timeout_s)

    monkeypatch.setattr(server.network.live, "evaluate_dry", busy_at_first)
    answer = ana.http.get(f"/{process}~process@1.0/as=execution/compute&Action=Ask")
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["raw"]["Messages"][0]["Data"] == "yes"
    else:
        assert "in progress" in answer.json()["error"]
