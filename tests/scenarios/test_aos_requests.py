"""aos 2.0.16 in its default mode: the requests that it was seen to send, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mainnet import Mainnet
from serving import Running

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


def start(ana: Mainnet, name: str) -> str:
    return ana.start(
        "WrappedAR",
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
