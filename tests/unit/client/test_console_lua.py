"""The conversation in Lua, with AO's own modules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ao_modules import ao_module
from small_modules import small_module

from benchpool import Network
from benchpool.ao.message import Result
from benchpool.client.console import Talk, converse
from benchpool.client.console.actions import ActionTalk
from benchpool.client.console.answers import Edit, Evaluated, Failed, Left, Told
from benchpool.client.console.lua import LuaTalk
from benchpool.client.console.lua_probes import MARK, at_cursor, quoted
from benchpool.client.console.outputs import Output, read
from benchpool.units.limits import Limits

MODULES = ("aos.wasm", "aos2_0_1.wasm", "aos2_0_4_32.wasm", "aos2_0_6.wasm")
FUEL = 3_000_000_000


def begin(network: Network, module: str) -> None:
    for name in ("alice", "bob"):
        network.new_wallet(name)
    network.add_module(ao_module(module), name="aos")
    network.spawn("aos", name="Points", sender="alice")


@pytest.fixture
def network() -> Iterator[Network]:
    with Network(seed=1, limits=Limits(wasm_fuel_per_message=FUEL)) as network:
        begin(network, "aos2_0_6.wasm")
        yield network


@pytest.fixture
def talk(network: Network) -> Talk:
    return converse(network, network, "Points", network.wallet("alice"))


def one(talk: Talk, text: str, kind: type = Evaluated) -> Any:
    (answer,) = talk.say(text)
    assert isinstance(answer, kind), answer
    return answer


def value(talk: Talk, text: str) -> str:
    answer = one(talk, text)
    assert not answer.failure, answer
    return str(answer.output.text)


def offered(talk: Talk, text: str) -> list[str]:
    return [each.text for each in talk.complete(text)]


@pytest.mark.parametrize("module", MODULES)
def test_every_aos_can_be_talked_to(module: str) -> None:
    with Network(seed=1) as network:
        begin(network, module)
        talk = converse(network, network, "Points", network.wallet("alice"))
        assert isinstance(talk, LuaTalk)
        assert "Points" in talk.prompt
        assert "aos" in talk.prompt
        talk.say("x = 20")
        assert value(talk, "return x + 1") == "21"
        assert "boom" in one(talk, 'error("boom")').failure
        assert "b" in value(talk, "return {b = 2}")
        assert talk.needs_more("function f()")
        assert not talk.needs_more("x = = 1")
        assert "utils" in offered(talk, "Handlers.ut")


def test_to_begin_leaves_no_trace(network: Network) -> None:
    before = network.logs.last_position(network.resolve("Points"))
    talk = converse(network, network, "Points", network.wallet("alice"))
    talk.needs_more("for i = 1, 2 do")
    talk.complete("Handlers.")
    talk.say(".dryrun Owner = nil")
    assert network.logs.last_position(talk.info.id) == before
    assert value(talk, "return Owner") == network.wallet("alice").address


def test_the_prompt_is_the_process_s_own_with_its_colours(talk: Talk, network: Network) -> None:
    assert "\x1b[32mPoints" in talk.prompt
    assert "Inbox:\x1b[31m1" in talk.prompt
    network.send("Points", "Hello", sender="bob")
    (news,) = talk.news()
    assert news.message.sender == network.wallet("bob").address
    assert "Hello" in news.output.text
    assert "Inbox:\x1b[31m2" in talk.prompt
    talk.say("Name = 'Renamed'")
    assert "Renamed" in talk.prompt


def test_printing_comes_before_the_value(talk: Talk) -> None:
    assert value(talk, "print('one') print('two') return 3") == "one\ntwo\n3"


@pytest.mark.parametrize("code", ["x = ", "return }", "error({})", "error()", "while true do end"])
def test_what_fails_is_told_and_the_process_goes_on(talk: Talk, code: str) -> None:
    talk.say("x = 1")
    assert one(talk, code).failure
    assert value(talk, "return x") == "1"


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("return 1", False),
        ("1 + 1", False),
        ("x", False),
        ("", False),
        ("-- nothing", False),
        ("function f(a)", True),
        ("function f(a)\n  return a\nend", False),
        ("if x then", True),
        ("for i = 1, 3 do print(i)", True),
        ("foo(1,", True),
        ("t = {", True),
        ("x = [[one", True),
        ("--[[ a comment", True),
        ("1 +", True),
        ("repeat", True),
        ("print('a", False),
        ("print('a\\", True),
        ("print('a\\\nb", False),
        ("end", False),
        ("x = ]==]", False),
        ("x = [==[ ]=]", True),
        (".load", False),
        (".editor", False),
        ("... ", False),
        ("x = '<eof>' +", True),
        ("y = nil nil '<eof>'", False),
    ],
)
def test_lua_s_own_parser_says_whether_there_must_be_more(
    talk: Talk, text: str, more: bool
) -> None:
    assert talk.needs_more(text) is more


def test_names_are_offered_from_the_process(talk: Talk) -> None:
    talk.say("Own = {first = 1, ['no name'] = 2, [3] = 3} function Own.second(a) end Text = 'x'")
    assert offered(talk, "Own.") == ["first", "second"]
    assert offered(talk, "x = Own.fi") == ["first"]
    assert offered(talk, "Own:") == ["second"]
    assert "hasMatchingTag" in offered(talk, "print(Handlers.utils.has")
    assert "upper" in offered(talk, "Text:up")
    assert "Own" in offered(talk, "Ow")
    assert "return" in offered(talk, "ret")
    assert offered(talk, "None.") == offered(talk, "Own.first.") == []
    assert offered(talk, "f().upp") == offered(talk, "") == offered(talk, "1 + ") == []
    assert [(each.replaces, each.meaning) for each in talk.complete("Own.se")] == [(2, "function")]


def test_names_are_looked_up_anew_after_each_message(talk: Talk, network: Network) -> None:
    assert "Later" not in offered(talk, "Lat")
    talk.say("Later = 1")
    assert "Later" in offered(talk, "Lat")


def test_a_process_that_breaks_its_own_functions_offers_nothing(talk: Talk) -> None:
    talk.say("string.find = nil")
    assert offered(talk, "Own.") == []
    assert not talk.needs_more("function f(")
    talk.say(
        "getmetatable('').__index = nil;"
        " setmetatable(_G, {__index = function() while 1 do end end})"
    )
    assert "return" in offered(talk, "ret")


def test_commands_and_files_are_offered(
    talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.lua").touch()
    (tmp_path / "other.txt").touch()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.lua").touch()
    assert offered(talk, ".lo") == [".load ", ".load-blueprint "]
    assert offered(talk, ".load ") == ["lib/", "main.lua"]
    assert offered(talk, ".load lib/") == ["a.lua"]
    assert offered(talk, ".load nowhere/") == offered(talk, ".load-blueprint ") == []
    assert "Handlers" in offered(talk, ".dryrun Handl")


def test_a_file_is_loaded_with_what_it_requires(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "main.lua").write_text("local part = require('part')\nTotal = part.one + 1")
    (tmp_path / "part.lua").write_text("return {one = 41}")
    assert one(talk, f".load {tmp_path}/main.lua").failure == ""
    assert value(talk, "return Total") == "42"
    assert one(talk, f".load '{tmp_path}/main.lua'").failure == ""
    assert "cannot be read" in one(talk, f".load {tmp_path}/none.lua", Failed).failure
    assert "file of Lua" in one(talk, ".load notes.txt", Failed).failure
    assert "file of Lua" in one(talk, ".load", Failed).failure


def test_blueprints_come_from_a_folder(network: Network, tmp_path: Path) -> None:
    (tmp_path / "token.lua").write_text("Token = 'here'")
    alice = network.wallet("alice")
    talk = converse(network, network, "Points", alice, blueprints=tmp_path)
    assert offered(talk, ".load-blueprint to") == ["token"]
    assert one(talk, ".load-blueprint token").failure == ""
    assert value(talk, "return Token") == "here"
    for name in ("none", "../token", ""):
        assert "it has token" in one(talk, f".load-blueprint {name}", Failed).failure
    bare = converse(network, network, "Points", alice)
    assert "--blueprints" in one(bare, ".load-blueprint token", Failed).failure


def test_lines_are_collected_until_they_are_done(talk: Talk) -> None:
    assert "lines" in one(talk, ".editor", Told).text
    assert talk.prompt == ""
    for line in ("function f()", "", "  return 7", "wrong", ".delete", "end"):
        assert not talk.needs_more(line)
        assert talk.say(line) == []
    assert one(talk, ".done").failure == ""
    assert value(talk, "f()") == "7"
    talk.say(".editor")
    talk.say("x = 5")
    assert talk.say(".cancel") == []
    assert value(talk, "return x") == ""
    talk.say(".editor")
    assert talk.say(".done") == []
    assert talk.prompt != ""


def test_dry_runs_one_by_one_and_all(talk: Talk) -> None:
    assert value(talk, ".dryrun 1 + 1") == "2"
    one(talk, ".dryrun", Told)
    assert talk.prompt.startswith("\x1b[31m*")
    assert one(talk, "x = 1").id == ""
    assert value(talk, "return x") == ""
    one(talk, ".dryrun", Told)
    assert not talk.prompt.startswith("\x1b[31m*")
    assert one(talk, "x = 1").id != ""
    assert value(talk, "return x") == "1"


def test_other_commands(talk: Talk) -> None:
    assert ".load-blueprint NAME" in one(talk, ".help", Told).text
    one(talk, ".exit", Left)
    one(talk, ".pad", Edit)
    assert "see .help" in one(talk, ".fly", Failed).failure
    assert "nothing to monitor" in one(talk, ".monitor", Failed).failure
    assert "takes nothing" in one(talk, ".exit now", Failed).failure
    assert talk.say("") == talk.say("   ") == []


def test_who_is_not_the_owner_is_told_so_and_can_send(network: Network) -> None:
    talk = converse(network, network, "Points", network.wallet("bob"))
    assert isinstance(talk, ActionTalk)
    assert talk.no_lua == (
        "bob is not the owner of Points, which evaluates Lua of alice alone;"
        " speak as alice with --from alice"
    )
    assert talk.no_lua in one(talk, "return 1", Failed).failure
    (came,) = talk.say("send Hello")
    assert came.failure == ""
    assert "Eval" not in offered(talk, "send ")
    assert network.log("Points")[-1][0].action == "Hello"


def test_the_process_says_who_its_owner_is(network: Network) -> None:
    alice = converse(network, network, "Points", network.wallet("alice"))
    alice.say(f"Owner = '{network.wallet('bob').address}'")
    talk = converse(network, network, "Points", network.wallet("bob"))
    assert isinstance(talk, LuaTalk)
    assert value(talk, "return 2") == "2"
    former = converse(network, network, "Points", network.wallet("alice"))
    assert isinstance(former, ActionTalk)
    assert former.no_lua == "Points evaluates no Lua for alice"


def test_what_is_no_aos_is_talked_to_in_actions() -> None:
    with Network(seed=1) as network:
        network.add_module(small_module(), name="tiny")
        network.spawn("tiny", name="One")
        talk = converse(network, network, "One", network.wallet())
        assert isinstance(talk, ActionTalk)
        (came,) = talk.say("send Hello")
        assert came.failure == ""


def test_a_waiting_handler_goes_on_by_itself(talk: Talk, network: Network) -> None:
    bob = network.wallet("bob")
    assert talk.needs_more("Handlers.add('ask', 'Ask', function(msg)")
    talk.say(
        "Handlers.add('ask', 'Ask', function(msg)"
        f" local m = Receive({{Action = 'Reply', From = '{bob.address}'}}) print('got ' .. m.Data)"
        " end)"
    )
    network.send("Points", "Ask", sender="bob")
    network.send("Points", "Reply", data="it", sender="bob")
    assert "got it" in talk.news()[-1].output.text


@pytest.mark.parametrize(
    ("output", "text", "prompt"),
    [
        ("hello", "hello", ""),
        ({"data": "hello", "prompt": "p> ", "print": True}, "hello", "p> "),
        ({"data": {"output": "hello", "prompt": "p> "}}, "hello", "p> "),
        ({"data": {"output": 7, "prompt": "p> "}, "prompt": "q> "}, "7", "p> "),
        ({"data": {"prompt": "p> "}}, "", "p> "),
        ({"data": {"json": 1}}, '{"json":1}', ""),
        ({"data": None, "prompt": 5}, "", ""),
        ([], "", ""),
        ({}, "", ""),
        (True, "true", ""),
        (None, "", ""),
    ],
)
def test_outputs_of_all_shapes(output: Any, text: str, prompt: str) -> None:
    given = msgspec.json.encode({"Output": output, "Messages": []})
    assert read(Result(given=given)) == Output(text, prompt, "")


@pytest.mark.parametrize("given", [b"", b"{", b"[]", b"7", b'{"Error": "x"}'])
def test_what_is_no_output(given: bytes) -> None:
    assert read(Result(given=given, error="why")).error == "why"


def test_output_of_python_is_what_it_logs() -> None:
    assert read(Result(output="one\ntwo")) == Output("one\ntwo", "", "")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("", "", False)),
        ("Han", ("", "Han", False)),
        ("a.b", ("a", "b", False)),
        ("a . b", ("a", "b", False)),
        ("a.b:c", ("a.b", "c", True)),
        ("x = a.", ("a", "", False)),
        ("f(a.b", ("a", "b", False)),
        ("f().b", ("", "", False)),
        ("a[1].b", ("", "", False)),
        ("é.b", ("", "", False)),
        ("a." * 5_000 + "b", ("", "", False)),
    ],
)
def test_what_stands_at_the_cursor(text: str, found: Any) -> None:
    assert at_cursor(text) == found


@pytest.mark.parametrize(
    "text", ["", "x", "]]", "]=]", "]==] ]=]", "x]", "x]=", "x]==", "\n\nx\n", "[=[", "é\t\\n"]
)
def test_texts_as_literals_of_lua(talk: Talk, text: str) -> None:
    escaped = "".join(f"\\{byte:03}" for byte in text.encode())
    assert value(talk, f"return {quoted(text)} == '{escaped}'") == "true"


def test_the_mark_is_plain() -> None:
    assert MARK.isprintable()
