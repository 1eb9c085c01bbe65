"""States as URLs: what a process shows at any slot, of itself and of what it patched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from mainnet import Mainnet
from pydantic import Field
from serving import Running

from benchpool.audit.replay import replay_home
from benchpool.network import Network
from benchpool.process import Message, Process, State, handler
from benchpool.process.registry import Registry


class Board(State):
    """What the test's process remembers."""

    views: ClassVar[tuple[str, ...]] = ("best",)

    title: str = "board"
    open: bool = True
    nothing: str | None = None
    large: int = 1 << 60
    scores: dict[str, int] = Field(default_factory=dict)
    rounds: list[dict[str, int]] = Field(default_factory=list)

    def best(self) -> dict[str, int]:
        return {"score": max(self.scores.values(), default=0)}


class Patching(Process):
    """Leaves what it is told at its URLs."""

    state: Board

    @handler("Note")
    def note(self, message: Message) -> None:
        name, value = message.tags.get("Who"), int(message.tags.get("Score"))
        self.state.scores[name] = value
        self.state.rounds.append({name: value})

    @handler("Patch")
    def patch(self, message: Message) -> None:
        marked = ("Method", "PATCH") if message.tags.get("As") else ("device", "patch@1.0")
        tags = [marked, ("Cache", message.text), ("when", str(message.nonce))]
        self.send(self.id, "", tags=tags)

    @handler("Fill")
    def fill(self, message: Message) -> None:
        for number in range(int(message.tags.get("Times"))):
            self.state.scores[f"{message.nonce}-{number:0100d}"] = number


def registry() -> Registry:
    known = Registry()
    known.add(Patching)
    return known


@pytest.fixture
def ana(serve: Callable[..., Running]) -> Mainnet:
    return Mainnet(serve(registry=registry()).url)


@pytest.fixture
def board(ana: Mainnet) -> str:
    board = ana.start("Patching", ("Name", "Board"))
    for who, score in (("ana", 7), ("ben/jo", 9)):
        ana.push(board, ("Action", "Note"), ("Who", who), ("Score", str(score)))
    return board


def patch(ana: Mainnet, board: str, value: Any, *tags: tuple[str, str]) -> Any:
    return ana.push(board, ("Action", "Patch"), *tags, data=json.dumps(value).encode())


def text(ana: Mainnet, path: str) -> tuple[int, str]:
    answer = ana.http.get(path)
    return answer.status_code, answer.text


def test_scalars_are_text_and_all_else_is_json(ana: Mainnet, board: str) -> None:
    for root in (f"/{board}~process@1.0/now", f"/{board}/compute", f"/{board}/now/"):
        assert text(ana, f"{root}/scores/ana") == (200, "7")
        assert text(ana, f"{root}/scores/ben%2Fjo") == (200, "9")
        assert text(ana, f"{root}/open") == (200, "true")
        assert text(ana, f"{root}/nothing")[0] == 404
        assert text(ana, f"{root}/large") == (200, str(1 << 60))
        assert ana.http.get(f"{root}/scores").json() == {"ana": 7, "ben/jo": 9}
        assert ana.http.get(f"{root}/rounds").json() == [{"ana": 7}, {"ben/jo": 9}]
        assert text(ana, f"{root}/rounds/2/ben%2Fjo") == (200, "9")
        assert text(ana, f"{root}/at-slot") == (200, "2")


def test_values_as_json_are_wrapped_and_tables_are_not(ana: Mainnet, board: str) -> None:
    root = f"/{board}~process@1.0/now"
    assert ana.value(f"{root}/scores/ana") == 7
    assert ana.value(f"{root}/open") is True
    assert ana.value(f"{root}/large") == str(1 << 60)
    assert ana.value(f"{root}/rounds") == [{"ana": 7}, {"ben/jo": 9}]
    asked = {"require-codec": "application/json"}
    assert ana.http.get(f"{root}/scores", params=asked).json() == {"ana": 7, "ben/jo": 9}
    whole = ana.http.get(root, params=asked).json()
    assert (whole["title"], whole["at-slot"], whole["process"]) == ("board", 2, board)


@pytest.mark.parametrize("path", ["scores/eva", "scores/ana/x", "rounds/0", "rounds/3", "title/x"])
def test_a_key_that_is_not_there_is_404(ana: Mainnet, board: str, path: str) -> None:
    assert text(ana, f"/{board}~process@1.0/now/{path}")[0] == 404


def test_views_are_shown_beside_fields_and_other_methods_are_not(ana: Mainnet, board: str) -> None:
    assert text(ana, f"/{board}/now/best/score") == (200, "9")
    assert text(ana, f"/{board}/compute=1/best/score") == (200, "7")
    for name in ("views", "model_dump", "_journal", "__class__", "copy"):
        assert text(ana, f"/{board}/now/{name}")[0] == 404


def test_a_state_is_shown_behind_any_slot(ana: Mainnet, board: str) -> None:
    patch(ana, board, {"a": 1})
    patch(ana, board, {"b": {"c": 2}})
    for slot, scores, cache in (
        (0, {}, None),
        (1, {"ana": 7}, None),
        (4, {"ana": 7, "ben/jo": 9}, {"a": 1, "b": {"c": 2}}),
        (3, {"ana": 7, "ben/jo": 9}, {"a": 1}),
    ):
        for step in (f"compute={slot}", f"compute&slot={slot}", f"compute&slot+integer={slot}"):
            root = f"/{board}~process@1.0/{step}"
            assert ana.http.get(f"{root}/scores").json() == scores
            found = ana.http.get(f"{root}/cache")
            assert (found.json() if found.status_code == 200 else None) == cache
            assert text(ana, f"{root}/at-slot") == (200, str(slot))
    assert text(ana, f"/{board}/compute=9/scores")[0] == 404


def test_patches_are_merged_over_the_state_and_are_not_sent(ana: Mainnet, board: str) -> None:
    first = patch(ana, board, {"a": {"x": 1}, "list": [1, 2]})
    assert len(first["raw"]["Messages"]) == 1
    patch(ana, board, {"a": {"y": 2}, "list": [3]}, ("As", "method"))
    assert ana.slot(board) == 4
    now = f"/{board}~process@1.0/now"
    assert ana.http.get(f"{now}/cache").json() == {"a": {"x": 1, "y": 2}, "list": [3]}
    assert text(ana, f"{now}/cache/a/y") == text(ana, f"{now}/Cache/a/y") == (200, "2")
    assert text(ana, f"{now}/when") == (200, "4")
    pushed = ana.http.post(f"/mu/push/{first['id']}/0", params={"process-id": board})
    assert (pushed.status_code, ana.slot(board)) == (202, 4)
    assert text(ana, f"{now}/device") == (200, "process@1.0")
    assert text(ana, f"{now}/title") == (200, "board")


def test_patches_are_a_fold_over_the_log(serve: Callable[..., Running], home: Path) -> None:
    running = serve(registry=registry())
    ana = Mainnet(running.url)
    board = ana.start("Patching")
    for number in range(3):
        patch(ana, board, {str(number): number})
    shown = ana.http.get(f"/{board}/now/cache").json()
    running.stop()
    assert replay_home(home, registry=registry()).difference is None
    again = Mainnet(serve(registry=registry()).url)
    assert again.http.get(f"/{board}/now/cache").json() == shown == {"0": 0, "1": 1, "2": 2}


def test_head_shows_scalars_as_headers(ana: Mainnet, board: str) -> None:
    for step in ("now", "compute", "compute=1"):
        answer = ana.http.head(f"/{board}~process@1.0/{step}")
        found = answer.headers
        assert (answer.status_code, answer.content) == (200, b"")
        assert (found["device"], found["title"], found["open"]) == ("process@1.0", "board", "true")
        assert found["at-slot"] == ("1" if step == "compute=1" else "2")
    assert ana.http.head(f"/{board}/now/scores/ana").status_code == 200
    assert ana.http.head(f"/{board}/now/scores/eva").status_code == 404


def test_results_are_a_part_of_the_state(ana: Mainnet, board: str) -> None:
    patch(ana, board, {"a": 1})
    root = f"/{board}~process@1.0"
    for step in ("now", "compute", "compute=3"):
        assert text(ana, f"{root}/{step}/results/raw/Messages/1/Target") == (200, board)
        assert text(ana, f"{root}/{step}/results/outbox/1/device") == (200, "patch@1.0")


def test_a_large_state_is_asked_for_by_key(ana: Mainnet, board: str) -> None:
    for _ in range(3):
        ana.push(board, ("Action", "Fill"), ("Times", "20000"))
    now = f"/{board}~process@1.0/now"
    for path in (now, f"{now}/scores"):
        refused = ana.http.get(path)
        assert (refused.status_code, "ask for a key" in refused.json()["error"]) == (413, True)
    assert ana.http.head(now).headers["title"] == "board"
    assert text(ana, f"{now}/scores/ana") == (200, "7")


def test_an_amount_is_text_whatever_its_size(ana: Mainnet) -> None:
    token = ana.start("WrappedAR", ("Name", "Token"))
    ana.push(token, ("Action", "Mint"), ("Quantity", "1000"))
    as_json = {"require-codec": "application/json"}
    for path in (f"balances/{ana.address}", "supply"):
        url = f"/{token}~process@1.0/now/{path}"
        assert ana.http.get(url, params=as_json).json()["body"] == "1000"
        assert ana.http.get(url).text == "1000"
    whole = ana.http.get(f"/{token}~process@1.0/now/balances", params=as_json).json()
    assert whole == {ana.address: "1000"}


def test_a_process_is_read_by_its_name_and_written_by_its_id(
    home: Path, serve: Callable[..., Running]
) -> None:
    with Network(home, signed=True) as network:
        network.new_wallet("ana")
        network.spawn("WrappedAR", name="Bank", sender="ana")
    ana = Mainnet(serve().url)
    assert ana.http.get("/Bank~process@1.0/now/ticker").text == "wAR"
    assert ana.http.get("/Bank~process@1.0/slot/current").text == "0"
    assert ana.http.get("/Nobody~process@1.0/now/ticker").status_code == 404
    process = ana.http.get("/Bank~process@1.0/now/process").text
    item = ana.signed([("Action", "Mint"), ("Quantity", "1")], target=process)
    assert ana.call("/Bank~process@1.0/push", item.raw).status_code == 400
    assert ana.http.get("/Bank~process@1.0/slot/current").text == "0"
