"""The conversation in actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchpool import Message, Network, Process, State, handler
from benchpool.client.console import Talk, converse
from benchpool.client.console.actions import part_of, read_message
from benchpool.client.console.answers import Came, Failed, Left, Listed, Shown, Told, Would
from benchpool.errors import ConfigError, HandlerError, UnknownProcess
from benchpool.process.registry import Registry
from benchpool.units.limits import Limits


class Notes(State):
    by_title: dict[str, str] = {}  # noqa: RUF012 - a model
    count: int = 0


class Keeper(Process):
    """Keeps notes."""

    state: Notes

    @handler("Keep", requires=("Title",))
    def keep(self, message: Message) -> None:
        self.state.by_title[message.tags["Title"]] = message.text
        self.state.count += 1
        self.reply(message, "Kept", {"Title": message.tags["Title"]})

    @handler("Refuse")
    def refuse(self, message: Message) -> None:
        raise HandlerError("never \x1b[2J!")

    @handler("Loop")
    def loop(self, message: Message) -> None:
        self.send(self.id, "Loop")

    @handler("Tick")
    def tick(self, message: Message) -> None:
        self.log("ticked")


@pytest.fixture
def network() -> Iterator[Network]:
    registry = Registry()
    registry.add(Keeper)
    with Network(seed=1, registry=registry, limits=Limits(push_depth=20)) as network:
        network.new_wallet("alice")
        network.new_wallet("bob")
        network.spawn(
            "Keeper",
            {"Cron-Interval": "1-hour", "Cron-Tag-Action": "Tick"},
            name="notes",
            sender="alice",
        )
        yield network


@pytest.fixture
def talk(network: Network) -> Talk:
    return converse(network, network, "notes", network.wallet("alice"))


def one(talk: Talk, text: str, kind: type) -> Any:
    (answer,) = talk.say(text)
    assert isinstance(answer, kind), answer
    return answer


def test_a_message_is_sent_with_tags_and_data(talk: Talk, network: Network) -> None:
    came = one(talk, 'send Keep Title="a note" hello, you = me', Came)
    assert came.failure == ""
    assert came.trace.message.tags["Title"] == "a note"
    assert came.trace.message.data == "hello, you = me"
    assert came.trace.message.owner == network.wallet("alice").address
    assert [each.action for each in network.inbox("alice")] == ["Kept"]


def test_names_stand_for_ids_as_they_do_in_other_commands(talk: Talk, network: Network) -> None:
    came = one(talk, "send Keep Title=@bob Recipient=bob Other=@@bob", Came)
    bob = network.resolve("bob")
    tags = came.trace.message.tags
    assert (tags["Title"], tags["Recipient"], tags["Other"]) == (bob, bob, "@bob")
    assert "nobody" in one(talk, "send Keep Title=@nobody", Failed).failure


def test_a_dry_run_keeps_nothing(talk: Talk, network: Network) -> None:
    before = network.logs.last_position(talk.info.id)
    would = one(talk, "dryrun Keep Title=x", Would)
    assert [each.tags["Action"] for each in would.result.messages] == ["Kept"]
    assert network.logs.last_position(talk.info.id) == before
    assert one(talk, "state count", Shown).value == 0


@pytest.mark.parametrize("command", ["send", "dryrun"])
def test_what_a_message_did_not_do_is_told(talk: Talk, command: str) -> None:
    kind = Came if command == "send" else Would
    assert "Title is required!" in one(talk, f"{command} Keep", kind).failure
    assert "did you mean Keep?" in one(talk, f"{command} keepp", kind).failure
    assert "never" in one(talk, f"{command} Refuse", kind).failure


def test_a_chain_without_end_is_told_and_the_conversation_goes_on(talk: Talk) -> None:
    assert "20" in one(talk, "send Loop", Failed).failure
    assert one(talk, "send Keep Title=x", Came).failure == ""


def test_the_state_and_parts_of_it_are_shown(talk: Talk) -> None:
    talk.say("send Keep Title=a.b first")
    assert one(talk, "state", Shown).value == {"by_title": {"a.b": "first"}, "count": 1}
    assert one(talk, "state by_title.a.b", Shown).value == "first"
    assert "by_title, count" in one(talk, "state none", Failed).failure


def test_handlers_info_help_and_inbox(talk: Talk, network: Network) -> None:
    assert one(talk, "handlers", Shown).value[0].startswith("Keep: ")
    about = one(talk, "info", Shown).value
    assert (about["name"], about["module"], about["owner"]) == ("notes", "Keeper", "alice")
    told = one(talk, "help", Told).text
    assert all(each.name in told for each in talk.commands)
    network.send("notes", "", data="unasked", sender="bob")
    assert [each.data for each in one(talk, "inbox", Listed).messages] == ["unasked"]


@pytest.mark.parametrize("line", ["exit", "  exit  "])
def test_the_conversation_ends(talk: Talk, line: str) -> None:
    one(talk, line, Left)


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_nothing_means_nothing(talk: Talk, line: str) -> None:
    assert talk.say(line) == []


@pytest.mark.parametrize(
    "line", ["fly", "Keep Title=x", "inbox alice", "send", "send Title=x", "advance", "advance x"]
)
def test_what_means_nothing_is_said_in_one_line(talk: Talk, line: str) -> None:
    before = talk.network.logs.last_position(talk.info.id)
    failed = one(talk, line, Failed)
    assert failed.failure
    assert "\n" not in failed.failure
    assert talk.network.logs.last_position(talk.info.id) == before


def test_news_are_what_others_say_and_ticks(talk: Talk, network: Network) -> None:
    talk.say("send Keep Title=mine")
    assert talk.news() == []
    network.send("notes", "Keep", {"Title": "bob's"}, sender="bob")
    network.send("notes", "Refuse", sender="bob")
    assert one(talk, "advance 1h", Told).text == "1 cron tick ran"
    news = talk.news()
    assert [each.message.action for each in news] == ["Keep", "Refuse", "Tick"]
    assert [bool(each.failure) for each in news] == [False, True, False]
    assert news[2].output.text == "ticked"
    assert talk.news() == []


def test_news_can_be_paused(talk: Talk, network: Network) -> None:
    talk.say("pause")
    network.send("notes", "Tick", sender="bob")
    assert talk.news() == []
    talk.say("live")
    network.send("notes", "Tick", sender="bob")
    assert len(talk.news()) == 1  # what came during the pause is over


def test_what_was_before_the_conversation_is_no_news(network: Network) -> None:
    network.send("notes", "Tick", sender="bob")
    talk = converse(network, network, "notes", network.wallet("alice"))
    assert talk.news() == []


def test_what_may_follow_is_offered(talk: Talk) -> None:
    talk.say("send Keep Title=x")

    def offered(text: str) -> list[tuple[str, int]]:
        return [(each.text, each.replaces) for each in talk.complete(text)]

    assert offered("he") == [("help", 2)]
    assert ("send ", 0) in offered("")
    assert offered("send Ke") == [("Keep", 2)]
    assert [text for text, _ in offered("dryrun ")] == ["Keep", "Refuse", "Loop", "Tick"]
    assert offered("send Keep Title=@al") == [("alice", 2)]
    assert offered("send Keep Title=al") == []
    assert offered("state by_") == [("by_title", 3)]
    assert offered("state by_title.") == [("x", 0)]
    assert offered("state none.") == offered("info x") == []


def test_a_wallet_is_no_process(network: Network) -> None:
    with pytest.raises(UnknownProcess, match="is a wallet"):
        converse(network, network, "alice", network.wallet("alice"))


def test_a_line_that_ends_with_a_backslash_goes_on(talk: Talk) -> None:
    assert talk.needs_more("send Keep Title=x one\\")
    assert not talk.needs_more("send Keep Title=x one\\\ntwo")
    assert one(talk, "send Keep Title=x one\\\ntwo", Came).trace.message.data == "one\ntwo"


@pytest.mark.parametrize(
    ("text", "tags", "data"),
    [
        ("A", [], ""),
        ("A some text", [], "some text"),
        ("A B=1 C=", [("B", "1"), ("C", "")], ""),
        ("A B=1=2", [("B", "1=2")], ""),
        ('A B="x y" C=\'z "w"\'', [("B", "x y"), ("C", 'z "w"')], ""),
        (r'A B="a \"b\" \\c"', [("B", 'a "b" \\c')], ""),
        ('A {"a": 1, "b": "c=d"}', [], '{"a": 1, "b": "c=d"}'),
        ("""A '{"a": 1}'""", [], '{"a": 1}'),
        ('A "two words"', [], "two words"),
        ("A B=1 rest C=2", [("B", "1")], "rest C=2"),
        ("A B=1 -- C=2", [("B", "1")], "C=2"),
        ("A --", [], ""),
        ("A X-Y=1 x.y=2", [("X-Y", "1"), ("x.y", "2")], ""),
        ('A B="unclosed', [], 'B="unclosed'),
        ("A B='x'y", [], "B='x'y"),
        ("A it's", [], "it's"),
    ],
)
def test_messages_as_they_are_written(text: str, tags: Any, data: str) -> None:
    assert read_message(text) == ("A", tags, data)


@pytest.mark.parametrize(
    ("path", "part"),
    [("", {"a": [{"b.c": 1}]}), ("a", [{"b.c": 1}]), ("a.0", {"b.c": 1}), ("a.0.b.c", 1)],
)
def test_parts_of_a_state(path: str, part: Any) -> None:
    assert part_of({"a": [{"b.c": 1}]}, path) == part


@pytest.mark.parametrize("path", ["b", "a.1", "a.x", "a.0.b", "a.0.b.c.d", "a.-1", "."])
def test_what_a_state_lacks(path: str) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        part_of({"a": [{"b.c": 1}]}, path)
