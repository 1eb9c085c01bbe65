import re

import pytest

from benchpool.ao.message import Message
from benchpool.ao.tags import Tags
from benchpool.errors import HandlerError
from benchpool.process.handlers import HandlerTable, Verdict, judge, matches


def message(action="Go", tags=(), **fields):
    pairs = [("Action", action)] if action is not None else []
    base = {"id": "i", "process": "p", "target": "p", "owner": "o", "sender": "alice"}
    return Message(tags=Tags([*pairs, *Tags(tags)]), **(base | fields))


class Runs:
    """Notes which handlers ran, in order."""

    def __init__(self):
        self.names = []
        self.table = HandlerTable()

    def handle(self, name):
        return lambda message: self.names.append(name)

    def add(self, name, pattern=lambda m: True, verb="add", **options):
        getattr(self.table, verb)(name, pattern, self.handle(name), **options)

    def run(self, given=None):
        self.names.clear()
        handled = self.table.evaluate(given or message(), self.handle("default"))
        return handled, list(self.names)

    def order(self):
        return [row.name for row in self.table]


@pytest.fixture
def runs():
    return Runs()


def test_handlers_are_tried_in_order_and_the_first_break_ends_it(runs):
    runs.add("a", lambda m: False)
    runs.add("b")
    runs.add("c")
    assert runs.run() == (True, ["b"])


@pytest.mark.parametrize("verb", ["add", "append", "prepend"])
def test_a_handler_of_the_same_name_is_replaced_in_place(runs, verb):
    for name in "abc":
        runs.add(name)
    runs.add("b", "Other", verb=verb)
    assert runs.order() == ["a", "b", "c"]
    assert list(runs.table)[1].pattern == "Other"
    assert len(runs.table) == 3


def test_append_puts_at_the_end_and_prepend_at_the_front(runs):
    runs.add("a")
    runs.add("b", verb="append")
    runs.add("c", verb="prepend")
    assert runs.order() == ["c", "a", "b"]


def test_before_and_after_put_a_handler_beside_another(runs):
    for name in "ab":
        runs.add(name)
    runs.table.before("b").add("x", "X", runs.handle("x"))
    runs.table.after("a").add("y", "Y", runs.handle("y"))
    assert runs.order() == ["a", "y", "x", "b"]


def test_beside_a_missing_handler_nothing_is_added(runs):
    runs.table.before("none").add("x", "X", runs.handle("x"))
    runs.table.after("none").add("y", "Y", runs.handle("y"))
    assert runs.order() == []


def test_removing_takes_a_handler_out_and_a_missing_one_is_no_error(runs):
    runs.add("a")
    runs.add("b")
    runs.table.remove("a")
    runs.table.remove("none")
    assert runs.order() == ["b"]
    assert runs.run() == (True, ["b"])


def test_once_runs_first_and_a_single_time(runs):
    runs.add("a")
    name = runs.table.once("Go", runs.handle("once"))
    assert name == "_once_0"
    assert runs.table.once("Never", runs.handle("never")) == "_once_1"
    assert runs.run() == (True, ["once"])
    assert runs.run() == (True, ["a"])
    assert runs.order() == ["_once_1", "a"]


def test_once_takes_a_name(runs):
    assert runs.table.once("Go", runs.handle("x"), name="mine") == "mine"
    assert runs.order() == ["mine"]


def test_a_handler_with_a_number_of_runs_is_gone_after_them(runs):
    runs.add("twice", "Go", max_runs=2)
    assert [runs.run()[1] for _ in range(3)] == [["twice"], ["twice"], ["default"]]


def test_a_run_that_fails_is_not_counted(runs):
    def fail(message):
        raise HandlerError("no")

    runs.table.add("a", "Go", fail, 1)
    with pytest.raises(HandlerError):
        runs.run()
    assert runs.order() == ["a"]


def test_an_action_matches_whatever_its_case(runs):
    runs.add("a", "Credit-Notice")
    for action in ("Credit-Notice", "credit-notice", "CREDIT-NOTICE"):
        assert runs.run(message(action)) == (True, ["a"])
    assert runs.run(message("Credit")) == (False, ["default"])


def test_without_a_handler_the_default_runs(runs):
    assert runs.run() == (False, ["default"])
    assert runs.run(message(None)) == (False, ["default"])


def test_only_the_last_action_tag_counts(runs):
    runs.add("a", "First")
    runs.add("b", "Second")
    assert runs.run(message("First", [("Action", "Second")])) == (True, ["b"])


@pytest.mark.parametrize(
    ("answer", "ran"),
    [
        (True, ["f"]),
        (False, ["last"]),
        ("continue", ["f", "last"]),
        ("break", ["f"]),
        ("skip", ["last"]),
        ("whatever", ["last"]),
        (-1, ["f"]),
        (-7, ["f"]),
        (0, ["last"]),
        (1, ["f", "last"]),
        (12, ["f", "last"]),
        (Verdict.BREAK, ["f"]),
        (Verdict.SKIP, ["last"]),
        (Verdict.CONTINUE, ["f", "last"]),
    ],
)
def test_a_pattern_function_answers_break_skip_or_continue(runs, answer, ran):
    runs.add("f", lambda m: answer)
    runs.add("last")
    assert runs.run() == (True, ran)


@pytest.mark.parametrize("answer", [None, 1.5, [], {"a": 1}])
def test_a_pattern_function_without_a_verdict_is_an_error(runs, answer):
    runs.add("odd", lambda m: answer)
    with pytest.raises(HandlerError, match="handler odd answered"):
        runs.run()


def test_the_default_runs_after_handlers_that_only_continued(runs):
    runs.add("f", lambda m: "continue")
    runs.add("g", "Go", then=Verdict.CONTINUE)
    runs.add("h", {"Action": "Go"}, then=Verdict.CONTINUE)
    assert runs.run() == (False, ["f", "g", "h", "default"])


def test_actions_and_functions_keep_their_common_order(runs):
    runs.add("a", "Go", then=Verdict.CONTINUE)
    runs.add("f", lambda m: "continue")
    runs.add("b", "go", then=Verdict.CONTINUE)
    runs.add("other", "Stop")
    runs.add("t", {"Size": "_"}, then=Verdict.CONTINUE)
    assert runs.run(message(tags={"Size": "1"}))[1] == ["a", "f", "b", "t", "default"]


def test_a_change_while_evaluating_counts_from_the_next_message(runs):
    def change(message):
        runs.names.append("change")
        runs.table.remove("b")
        runs.add("c", verb="prepend")

    runs.table.add("a", lambda m: "continue", change)
    runs.add("b")
    assert runs.run() == (True, ["change", "b"])
    assert runs.run() == (True, ["c"])


def test_a_spent_handler_does_not_hide_the_one_behind_it(runs):
    runs.table.once(lambda m: "continue", runs.handle("once"))
    runs.add("next")
    assert runs.run() == (True, ["once", "next"])
    assert runs.run() == (True, ["next"])


@pytest.mark.parametrize(
    ("pattern", "tags", "matched"),
    [
        ({"Size": "_"}, {"Size": "anything"}, True),
        ({"Size": "_"}, {}, False),
        ({"Size": "_"}, {"Size": ""}, True),
        ({"size": "LARGE"}, {"Size": "large"}, True),
        ({"Size": "large"}, {"Size": "larger"}, False),
        ({"Size": re.compile("^[0-9]+$")}, {"Size": "12"}, True),
        ({"Size": re.compile("^[0-9]+$")}, {"Size": "12a"}, False),
        ({"Size": re.compile("b")}, {"Size": "abc"}, True),
        ({"Size": ["1", "2"]}, {"Size": "2"}, True),
        ({"Size": ("1", re.compile("x"))}, {"Size": "axe"}, True),
        ({"Size": ["1", "2"]}, {"Size": "3"}, False),
        ({"Size": []}, {"Size": "3"}, False),
        ({"Size": lambda value, m: value == m.sender}, {"Size": "alice"}, True),
        ({"Size": lambda value, m: None}, {"Size": "alice"}, False),
        ({"From": "alice", "Size": "1"}, {"Size": "1"}, True),
        ({"From": "bob", "Size": "1"}, {"Size": "1"}, False),
        ({"From": "bob"}, {"From": "bob"}, False),
        ({"Size": "1"}, [("Size", "1"), ("Size", "2")], False),
        ({"Size": "2"}, [("Size", "1"), ("Size", "2")], True),
        ({"x_key": "1"}, {"X-Key": "1"}, True),
        ({}, {}, True),
    ],
)
def test_a_tag_table_matches_if_every_key_does(pattern, tags, matched):
    assert matches(pattern, message(tags=tags)) is matched


def test_a_pattern_of_another_kind_is_refused():
    with pytest.raises(HandlerError, match="cannot hold a int"):
        matches({"Size": 5}, message(tags={"Size": "5"}))


def test_judge_tells_the_verdict_of_one_row():
    table = HandlerTable()
    table.add("a", "Go", print)
    table.add("b", {"Action": "Stop"}, print)
    first, second = table
    assert judge(first, message()) is Verdict.BREAK
    assert judge(first, message("Stop")) is Verdict.SKIP
    assert judge(second, message()) is Verdict.SKIP


def test_rows_say_in_words_what_they_answer_to():
    def big(value, message):
        return True

    table = HandlerTable()
    table.add("a", "Go", print)
    table.add("b", {"Action": "Go", "Size": "_", "N": re.compile("^1"), "F": big}, print)
    table.add("c", big, print)
    assert [row.describe() for row in table] == [
        "Action = Go",
        "Action = Go, Size = anything, N = /^1/, F = function big",
        "function big",
    ]
