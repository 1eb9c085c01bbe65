import json

from benchpool.ao.ids import module_id
from benchpool.ao.message import (
    AssignRequest,
    Message,
    Outgoing,
    ProcessInfo,
    Result,
    SpawnRequest,
)
from benchpool.ao.shapes import message_json, result_json
from benchpool.ao.tags import Tags

INFO = ProcessInfo(
    id="p" * 43, module="Token", owner="o", tags=Tags(), created_ms=0, created_height=0, order=0
)
RESULT = Result(
    (Outgoing("t", Tags({"Action": "Go"}), b"\xff", 4),),
    (SpawnRequest("Token", Tags(), "", 5),),
    (AssignRequest("m", ("p",)),),
    "line",
    "bad",
)


def test_a_message_bears_ao_s_names():
    message = Message("i", "p", "p", "o", "s", Tags({"A": "1"}), b"12", reference="3")
    shown = message_json(message)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["From"] == "s"
    assert shown["Data"] == "(2 bytes)"
    assert shown["Reference"] == "3"
    assert shown["Tags"] == [{"name": "A", "value": "1"}]
    assert "Pushed-For" not in shown
    assert message_json(Message("i", "p", "p", "o", "s", pushed_for="u"))["Pushed-For"] == "u"


def test_a_result_for_people_holds_what_the_process_said():
    shown = result_json(RESULT)
    assert json.loads(json.dumps(shown)) == shown
    assert list(shown) == ["Messages", "Spawns", "Assignments", "Output", "Error"]
    assert shown["Messages"] == [
        {
            "Target": "t",
            "Tags": [{"name": "Action", "value": "Go"}],
            "Data": "(1 bytes)",
            "Anchor": "0" * 31 + "4",
        }
    ]
    assert shown["Spawns"][0]["Module"] == "Token"
    assert shown["Output"] == "line"
    assert "Error" not in result_json(Result())


def test_a_result_of_a_compute_unit_has_aos_shape():
    shown = result_json(RESULT, INFO)
    assert set(shown) == {"Messages", "Assignments", "Spawns", "Output", "GasUsed", "Error"}
    (message,) = shown["Messages"]
    assert (message["Anchor"], message["Data"]) == ("0" * 31 + "4", "�")
    assert message["Tags"][3:] == [
        {"name": "Reference", "value": "4"},
        {"name": "Action", "value": "Go"},
    ]
    (spawn,) = shown["Spawns"]
    assert spawn["Data"] == "NODATA"
    assert {"name": "From-Module", "value": module_id("Token")} in spawn["Tags"]
    assert shown["Assignments"] == [{"Message": "m", "Processes": ["p"]}]
    assert shown["Output"]["data"] == "line"
    assert "Error" not in result_json(Result(), INFO)
