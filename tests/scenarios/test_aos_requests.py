"""aos 2.0.16 in its default mode: the requests that it was seen to send, in their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ao_modules import ao_module
from mainnet import UNSIGNED, Mainnet
from serving import Running

from benchpool.audit.replay import replay_home
from benchpool.network import Network

AOS = "ISShJH1ij-hPPt9St5UFFr_8Ys3Kj5cyg7zrMGt7H9s"
"""The module that aos names where it is given none."""
FIND = """query ($owners: [String!]!, $names: [String!]!) {
  transactions(
    first: 10, owners: $owners,
    tags: [
      { name: "Data-Protocol", values: ["ao"] },
      { name: "Type", values: ["Process"] },
      { name: "Name", values: $names }
    ]
  ) { edges { node { id tags { name value } } } }
}"""


@pytest.fixture
def ana(serve: Callable[..., Running]) -> Mainnet:
    return Mainnet(serve().url)


def look_up(ana: Mainnet, name: str) -> list[dict[str, Any]]:
    variables = {"owners": [ana.address, ""], "names": [name]}
    answer = ana.http.post("/graphql", json={"query": FIND, "variables": variables}).json()
    return [edge["node"] for edge in answer["data"]["transactions"]["edges"]]


def start(ana: Mainnet, name: str, module: str = "WrappedAR") -> str:
    return ana.start(
        module,
        ("App-Name", "aos"),
        ("Name", name),
        ("aos-version", "2.0.16"),
        ("process-timestamp", "1764360000000"),
    )


def test_aos_finds_its_process_by_name_or_spawns_it(ana: Mainnet) -> None:
    assert look_up(ana, "mine") == []
    process = start(ana, "mine")
    (found,) = look_up(ana, "mine")
    assert found["id"] == process
    # aos goes on in its legacy mode if it reads ao.TN.1 here
    assert {"name": "Variant", "value": "ao.N.1"} in found["tags"]


def test_aos_evaluates_and_shows_what_comes_back(ana: Mainnet) -> None:
    process = start(ana, "mine")
    stamp = ("message-timestamp", "1764360000001")
    slot = ana.push(process, ("Action", "Eval"), stamp, data=b"require('.process')._version")[
        "slot"
    ]
    found = ana.result_at(process, slot)["raw"]
    assert "Python" in found["Error"]  # what aos prints of a module that runs no Lua
    info = ana.push(process, ("Action", "Info"))["slot"]
    assert ana.result_at(process, info)["raw"]["Output"]["prompt"] == "mine> "


def test_aos_polls_for_what_others_send(ana: Mainnet) -> None:
    process = start(ana, "mine")
    ben = Mainnet(str(ana.http.base_url), seed=2)
    seen = ana.slot(process)
    ben.push(process, ("Action", "Hello"))
    assert ana.slot(process) == seen + 1
    output = ana.result_at(process, ana.slot(process))["raw"]["Output"]
    assert set(output) >= {"data", "prompt"}


# -- with the module that aos asks for ---------------------------------------------------------


@pytest.fixture
def lua(serve: Callable[..., Running], home: Path) -> Running:
    with Network(home, signed=True) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos", ids=[AOS])
    return serve()


def evaluate(ana: Mainnet, process: str, text: str) -> Any:
    stamp = ("message-timestamp", "1764360000001")
    slot = ana.push(process, ("Action", "Eval"), stamp, data=text.encode())["slot"]
    return ana.result_at(process, slot)["raw"]


def test_aos_evaluates_lua_in_its_default_mode(lua: Running, home: Path) -> None:
    ana = Mainnet(lua.url)
    process = start(ana, "mine", AOS)
    version = evaluate(ana, process, "require('.process')._version")
    assert "mine" in version["Output"]["prompt"]
    assert evaluate(ana, process, "1 + 1")["Output"]["data"] == "2"
    evaluate(ana, process, 'Handlers.add("Hi", "Hi", function(m) m.reply({Data = "yo"}) end)')
    (reply,) = ana.push(process, ("Action", "Hi"))["raw"]["Messages"]
    assert (reply["Target"], reply["Data"]) == (ana.address, "yo")
    (dry,) = ana.dry(process, "&Action=Hi")["raw"]["Messages"]
    assert dry["Data"] == "yo"
    before = ana.slot(process)
    evaluate(
        ana, process, "Send({device = 'patch@1.0', scores = {ana = 7, ben = {1, 2}}, title = 'x'})"
    )
    evaluate(ana, process, "Send({Target = ao.id, device = 'patch@1.0', scores = {eva = 9}})")
    assert ana.slot(process) == before + 2
    now = f"/{process}~process@1.0/now"
    shown = {"ana": 7, "ben": [1, 2], "eva": 9}
    assert ana.http.get(f"{now}/scores").json() == shown
    assert ana.http.get(f"{now}/scores/ben/2").text == "2"
    assert ana.value(f"/{process}/compute={before + 1}/title") == "x"
    assert ana.http.get(f"/{process}/compute={before + 1}/scores/eva").status_code == 404
    assert ana.http.get(f"/{process}/compute={before}/scores").status_code == 404
    assert ana.http.head(now).headers["title"] == "x"
    assert ana.call(f"{now}/at-slot", UNSIGNED).text == str(before + 2)
    lua.stop()
    assert replay_home(home).difference is None
