"""Messages, processes, models, and the life of a pool: as JSON, and what bounds them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pages import EVIL, Served

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message, Result
from benchpool.ao.tags import Tags
from benchpool.network import Network
from benchpool.server.dashboard.acting import forms
from benchpool.server.dashboard.page import Asked
from benchpool.server.dashboard.pages import messages
from benchpool.server.dashboard.pages import process as process_page
from benchpool.server.dashboard.pages.data import MOST_BYTES, MOST_NODES, Node, show_data, tree
from benchpool.server.dashboard.pages.message import cause


def rows(served: Served, query: str = "") -> list[dict[str, Any]]:
    return served.json(f"/ui/messages.json?{query}")["messages"]


def process_of(served: Served, module: str) -> str:
    found = served.json("/ui/processes.json")["processes"]
    return next(each["process"]["id"] for each in found if each["module"] == module)


def test_messages_are_leafed_through_by_place_and_none_is_missed(served: Served) -> None:
    served.settle()
    seen, before = [], None
    while before != "":
        shown = served.json("/ui/messages.json" + (f"?before={before}" if before else ""))
        seen += [each["place"] for each in shown["messages"]]
        before = "" if shown["older"] is None else shown["older"]
    assert seen == list(range(seen[0], 0, -1))
    middle = seen[120]
    back = served.json(f"/ui/messages.json?after={middle}")
    assert [each["place"] for each in back["messages"]] == list(range(middle + 50, middle, -1))
    assert rows(served, f"before={back['older']}")[0]["place"] == middle


def test_messages_are_filtered_by_process_action_sender_and_time(served: Served) -> None:
    joins = rows(served, "process=Benchmark&action=Join-Pool")
    assert len(joins) == 4
    assert {each["sender"]["name"] for each in joins} == {"bob"}
    assert rows(served, "action=Join-Pool&sender=ann") == []
    assert {each["action"] for each in rows(served, "sender=ann&process=WrappedAR")} == {"Transfer"}
    times = [each["time"] for each in rows(served, "since=2025-01-02T00:00&until=2025-01-02T05:00")]
    assert times
    assert min(times) >= 1735776000000
    assert max(times) <= 1735776000000 + 5 * 3_600_000


@pytest.mark.parametrize("query", ["process=nobody", "since=yesterday", "sender=%00"])
def test_a_wish_that_cannot_be_met_is_told_beside_the_form(served: Served, query: str) -> None:
    shown = served.json(f"/ui/messages.json?{query}")
    assert shown["trouble"]
    assert shown["messages"] == []


def test_a_message_tells_what_caused_it_and_what_it_caused(served: Served) -> None:
    first = rows(served, "process=Benchmark&action=Join-Pool")[-1]
    shown = served.json(f"/ui/messages/{first['id']}.json")
    assert (shown["sender"]["name"], shown["causes"], shown["cause_known"]) == ("bob", [], True)
    assert set(json.loads(shown["data"]["text"])) == {"dataset", "model"}
    ahead = shown["caused"]
    assert [each["action"] for each in ahead] == ["Get-Model"]
    answer = ahead[0]["children"][0]
    assert answer["action"] == "Get-Model-Response"
    last = next(each for each in answer["children"] if each["action"] == "Benchmark")["children"][0]
    found = served.json(f"/ui/messages/{last['id']}.json?process={last['process']['id']}")
    assert found["cause_known"]
    assert [each["action"] for each in found["causes"]] == [
        "Join-Pool",
        "Get-Model",
        "Get-Model-Response",
        "Benchmark",
    ]
    assert found["causes"][0]["id"] == first["id"]


def test_what_came_of_a_cron_tick_leads_back_to_it(served: Served) -> None:
    tick = rows(served, "action=Evaluate&until=2025-01-01T01:30")[-1]
    asked = served.json(f"/ui/messages/{tick['id']}.json")
    assert asked["cron"]
    assert asked["caused_cut"], "120 inferences with their answers are more than a tree shows"
    inference = asked["caused"][0]
    back = served.json(f"/ui/messages/{inference['id']}.json")
    assert back["causes"][0]["id"] == tick["id"]


def test_a_process_shows_its_handlers_state_cron_and_log(served: Served) -> None:
    shown = served.json("/ui/processes/Benchmark.json")
    assert (shown["module"], shown["kind"]) == ("Benchmark", "Python")
    by_name = {each["name"]: each for each in shown["handlers"]}
    assert by_name["Commit-Entry"]["requires"] == ["Commitment"]
    assert [tags for each in shown["cron"] for _, tags in each["tags"]] == [
        "Update-Leaderboard",
        "Allocate-Rewards",
    ]
    state = {each["name"]: each for each in shown["state"]["children"]}
    assert state["pools"]["text"] == "{2}"
    assert len(state["pools"]["children"]) == 2


def test_the_life_of_a_pool_tells_hundreds_of_alike_messages_once(served: Served) -> None:
    shown = served.json(f"/ui/pools/{served.home.paid}/life.json")
    names = [each["name"] for each in shown["lanes"]]
    assert names[:5] == ["ann", "WrappedAR", "Benchmark", "SiqaDataset", "LlamaRouter"]
    steps = [step for scene in shown["scenes"] for step in scene["steps"]]
    counts = {(step["action"], names[step["source"]]): step["count"] for step in steps}
    assert counts["Inference", "SiqaDataset"] == 120
    assert len(steps) < 60
    last = shown["scenes"][-1]["steps"]
    paid = [names[each["target"]] for each in last if each["action"] == "Credit-Notice"]
    assert paid == ["bob"]
    assert served.html(f"/ui/pools/{served.home.paid}/life").count('class="arrow"') == len(steps)


def test_models_and_workers(served: Served) -> None:
    shown = served.json("/ui/models.json")
    assert [(each["name"], each["workers"], each["queue"]) for each in shown["models"]] == [
        (EVIL, 1, 0),
        ("plain", 1, 0),
    ]
    assert dict(shown["models"][0]["facts"])["Architecture"] == "scripted"
    assert [(each["model"], each["open"]) for each in shown["workers"]] == [(EVIL, 0), ("plain", 0)]
    assert shown["memory_bytes"] > 1_000_000


# -- bounds ---------------------------------------------------------------------------------------


def a_message(process: str, position: int) -> Message:
    return Message(
        id=encode_id(position.to_bytes(32, "big")),
        process=process,
        target=process,
        owner="o" * 43,
        sender="o" * 43,
        tags=Tags([("Action", "Tick" if position % 1000 else "Rare")]),
        timestamp=position,
        position=position,
        nonce=position,
    )


def test_a_page_of_messages_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """Counted in rows that SQLite hands out, not in seconds."""
    seen: dict[int, list[int]] = {}
    with Network(tmp_path / "home", seed=1) as network:
        process = network.spawn("WrappedAR", {"Name": "W"}, name="W")
        store, fetched = network.store, []
        begin = store.last_position(process) + 1
        part = type(store).part

        def counted(self: Any, *given: Any, **bounds: Any) -> Any:
            found = part(self, *given, **bounds)
            fetched.append(len(found))
            return found

        monkey = pytest.MonkeyPatch()
        monkey.setattr(type(store), "part", counted)
        try:
            for size in (1_000, 30_000):
                for position in range(begin, begin + size):
                    message = a_message(process, position)
                    store.append(message, mail=False)
                    store.record(message, Result())
                begin += size
                store.commit(1)
                seen[size] = []
                for query in (
                    {},
                    {"before": "900"},
                    {"process": "W"},
                    {"process": "W", "until": "500"},
                ):
                    fetched.clear()
                    shown = messages.view(network, Asked({}, query))
                    assert len(shown.messages) == messages.PAGE
                    seen[size].append(sum(fetched))
            fetched.clear()
            shown = messages.view(network, Asked({}, {"action": "Never"}))
            assert shown.cut
            assert sum(fetched) <= messages.MOST_LOOKED_AT + 500
            assert messages.view(
                network, Asked({}, {"action": "Never", "before": str(shown.older)})
            ).looked_at
        finally:
            monkey.undo()
    for few, many in zip(*seen.values(), strict=True):
        assert many <= few + 200, seen


def test_a_cause_that_is_far_back_is_not_looked_for_for_ever(tmp_path: Path) -> None:
    with Network(tmp_path / "home", seed=1) as network:
        process = network.spawn("WrappedAR", {"Name": "W"}, name="W")
        for position in range(1, 6_000):
            message = a_message(process, position)
            network.store.append(message, mail=False)
            network.store.record(message, Result())
        network.store.commit(1)
        lost = Message(
            id="x" * 43, process=process, target=process, owner="o", sender=process,
            reference="77", timestamp=10_000,
        )  # fmt: skip
        asked: list[str] = []
        network.store._driver.set_trace_callback(asked.append)
        assert cause(network, lost) is None
        assert len(asked) < 60


def test_data_is_shown_as_what_it_is() -> None:
    assert show_data("").kind == "empty"
    assert show_data(b'{"a": [1]}').kind == "json"
    assert show_data("{not json").kind == "text"
    assert show_data("[" * 50_000).kind == "text"
    bytes_shown = show_data(bytes(range(256)) * 100)
    assert (bytes_shown.kind, bytes_shown.size, bytes_shown.cut) == ("binary", 25_600, True)
    assert bytes_shown.hex.startswith("0000  00 01 02")
    assert len(bytes_shown.hex.splitlines()) == MOST_BYTES // 16
    long = show_data("x" * 200_000)
    assert (long.folded, long.cut, len(long.text)) == (True, True, 100_000)


def count(node: Node) -> int:
    return 1 + sum(map(count, node.children))


def test_a_state_is_shown_in_bounds() -> None:
    wide = tree({"all": {str(n): {"inner": [1, 2, 3]} for n in range(100_000)}, "small": 1})
    assert count(wide) <= MOST_NODES + 1
    assert wide.children[1].text == "1"
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert count(tree(deep)) < 30
    assert len(tree("x" * 10_000).text) < 500
    assert len(tree({"x" * 10_000: 1}).children[0].name) < 500


def test_a_state_of_any_size_is_shown_without_writing_all_of_it(tmp_path: Path) -> None:
    with Network(tmp_path / "home", seed=1) as network:
        network.spawn("WrappedAR", {"Name": "W"}, name="W")
        state: Any = network.process("W").state
        for number in range(200_000):
            state.balances[f"{number:043}"] = 10**20 + number
        state.supply = 10**30
        network.process("W").commit()
        process_page.view(network, Asked({"process": "W"}, {}))
        tracemalloc.start()
        try:
            shown = process_page.view(network, Asked({"process": "W"}, {}))
            forms.send(network, Asked({}, {"target": "W", "action": "Transfer"}))
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 1_000_000
    assert len(msgspec.json.encode(shown)) < 50_000
    by_name = {each.name: each for each in shown.state.children}
    assert by_name["supply"].text == f'"{10**30}"', "money is text, as in the JSON of a state"
    balances = by_name["balances"]
    assert (balances.text, balances.children[0].text) == ("{200,000}", f'"{10**20}"')
    assert balances.more == 200_000 - len(balances.children)
