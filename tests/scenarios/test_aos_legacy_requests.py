"""aos 2.0.16 with --legacy, and talking to Python in both modes: what it was seen to send."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ao_modules import ao_module
from mainnet import Mainnet
from serving import PROTOCOL, Client, Running

from benchpool.ao.dataitem import sign
from benchpool.audit.replay import replay_home
from benchpool.network import Network

AOS = "ISShJH1ij-hPPt9St5UFFr_8Ys3Kj5cyg7zrMGt7H9s"
TESTNET = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY"
"""The messenger of AO's legacy network, which aos names in all that it spawns in that mode."""
FIND = """query ($owners: [String!]!) {
  transactions(first: 10, owners: $owners, tags: [
    { name: "Data-Protocol", values: ["ao"] },
    { name: "Type", values: ["Process"] },
    { name: "Name", values: ["mine"] }
  ]) { edges { node { id tags { name value } } } }
}"""
LOADED = """

-- module: "told"
local function _loaded_mod_told()
return {x = "told is here"}

end

_G.package.loaded["told"] = _loaded_mod_told()

local t = require("told")
return t.x
"""
"""What `.load main.lua` makes of two files."""


class Legacy(Client):
    """aos --legacy NAME."""

    def find(self) -> list[dict[str, Any]]:
        asked = {"query": FIND, "variables": {"owners": [self.address, ""]}}
        found = self.http.post("/graphql", json=asked).json()
        return [edge["node"] for edge in found["data"]["transactions"]["edges"]]

    def start(self) -> str:
        scheduler = self.http.get("/su").json()["address"]
        tags = [("App-Name", "aos"), ("Name", "mine"), ("Authority", TESTNET)]
        tags += [("aos-Version", "2.0.16"), ("Content-Type", "text/plain"), ("SDK", "aoconnect")]
        tags += [*PROTOCOL, ("Type", "Process"), ("Module", AOS), ("Scheduler", scheduler)]
        tags += [("Timestamp", str(1764360000000))]
        return self.post(sign(self.signer, tags=tags, data=b" "))

    def evaluate(self, process: str, lua: str) -> dict[str, Any]:
        tags = [("Action", "Eval"), ("SDK", "aoconnect"), *PROTOCOL, ("Type", "Message")]
        tags += [("Number", str(next(self.numbers)))]
        sent = self.post(sign(self.signer, target=process, tags=tags, data=lua.encode()))
        return self.result(sent, process)

    def dry(self, process: str, lua: str) -> dict[str, Any]:
        said = {
            "Id": "1234",
            "Target": process,
            "Owner": self.address,
            "Anchor": "0",
            "Data": lua,
            "Tags": [
                {"name": name, "value": value}
                for name, value in [("Action", "Eval"), *PROTOCOL, ("Type", "Message")]
            ],
        }
        answer = self.http.post("/cu/dry-run", params={"process-id": process}, json=said)
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def lua(serve: Callable[..., Running], home: Path) -> Running:
    with Network(home, signed=True) as network:
        network.add_module(ao_module("aos2_0_6.wasm"), name="aos", ids=[AOS])
    return serve()


def shown(result: dict[str, Any]) -> Any:
    """Return what aos prints of a result: its data, else all of its Output."""
    output = result["Output"]
    return output["data"] or output


def wait_for(look: Callable[[], Any]) -> Any:
    """Ask again until there is something, as aos does every other second."""
    for _ in range(200):
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing came")


def test_aos_works_in_its_legacy_mode(lua: Running, home: Path) -> None:
    ana = Legacy(lua.url)
    assert ana.find() == []
    process = ana.start()
    (found,) = ana.find()
    assert found["id"] == process
    assert {"name": "Variant", "value": "ao.TN.1"} in found["tags"]
    version = ana.evaluate(process, "require('.process')._version")
    assert "mine" in version["Output"]["prompt"]
    assert shown(ana.evaluate(process, "1 + 1")) == "2"
    nothing = ana.evaluate(process, "Balances = {alice = 100}")
    assert set(shown(nothing)) == {"prompt", "test", "data"}  # aos prints it whole, as on AO
    assert "alice" in shown(ana.evaluate(process, "Balances"))
    assert '[string "aos"]:1: oh' in ana.evaluate(process, "error('oh')")["Error"]
    assert shown(ana.evaluate(process, LOADED)) == "told is here"
    assert ana.dry(process, "Zed = 5")["Output"]["data"] == ""
    assert shown(ana.evaluate(process, "Zed or 'none'")) == "none"
    first = ana.http.get(f"/cu/results/{process}", params={"sort": "DESC", "limit": 5}).json()
    (*_, oldest) = first["edges"]
    assert int(json.loads(b64decode(oldest["cursor"]))["ordinate"]) > 0
    lua.stop()
    assert replay_home(home).difference is None


ASK = "Send({{Target = '{0}', Action = 'Info'}})"


def test_aos_and_a_python_process_talk_in_both_modes(lua: Running, home: Path) -> None:
    legacy, main = Legacy(lua.url), Mainnet(lua.url, seed=2)
    messenger = legacy.http.get("/~meta@1.0/info/address").text
    token = legacy.spawn("WrappedAR", Name="Token", Authority=messenger)
    process = legacy.start()
    asked = legacy.evaluate(process, ASK.format(token))
    assert asked["Messages"][0]["Target"] == token
    heard = "#Inbox > 1 and Inbox[#Inbox].Tags.Ticker"  # though it trusts the testnet's messenger
    wait_for(lambda: shown(legacy.evaluate(process, heard)) == "wAR")
    legacy.evaluate(process, f"Got = {ASK.format(token)}.receive().Tags.Ticker")
    wait_for(lambda: shown(legacy.evaluate(process, "tostring(Got)")) == "wAR")

    other = main.start(AOS, ("App-Name", "aos"), ("Name", "other"), ("aos-version", "2.0.16"))
    seen = main.push(other, ("Action", "Eval"), data=ASK.format(token).encode())["slot"]
    wait_for(lambda: main.slot(other) > seen)
    output = main.result_at(other, main.slot(other))["raw"]["Output"]
    assert output["print"] is True  # what aos shows above its prompt
    assert "New Message From" in output["data"]
    greeting = legacy.send(other, "Hello", data=b"from outside")
    assert "Hello" in legacy.result(greeting, other)["Output"]["data"]
    assert main.result_at(other, main.slot(other))["raw"]["Output"]["print"] is True
    lua.stop()
    assert replay_home(home).difference is None
