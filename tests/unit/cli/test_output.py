from __future__ import annotations

import sys
from typing import Any

import pytest
from terminal import on_a_terminal, watch

from benchpool.cli import output

BOARD = (["Rank", "Model"], [(1, "gemma"), (2, "smollm2")])


@pytest.fixture
def token(run: Any) -> None:
    run("spawn", "WrappedAR", "--name", "token")


def test_ids_are_short_where_they_do_not_fit(token: None, run: Any, run_json: Any) -> None:
    full = run_json("processes")[0]["id"]
    assert full in on_a_terminal("processes", columns=100).text
    narrow = on_a_terminal("processes", columns=90).text
    assert full not in narrow
    assert f"{full[:8]}…" in narrow
    assert full in run("processes").stdout


def test_colour_is_for_terminals(token: None, run: Any) -> None:
    assert "\x1b[" in on_a_terminal("processes").raw
    assert "\x1b[31m" in on_a_terminal("inspect", "nobody").raw
    for command in (["processes"], ["inspect", "token"]):
        assert "\x1b[" not in on_a_terminal(*command, NO_COLOR="1").raw
        assert "\x1b[" not in run(*command).stdout
    assert "\x1b[" not in on_a_terminal("inspect", "nobody", NO_COLOR="1").raw


def test_json_is_the_same_on_a_terminal(token: None, run: Any) -> None:
    for command in (["processes"], ["log", "token"]):
        shown = on_a_terminal(*command, "--json", columns=200).raw.replace("\r\n", "\n")
        assert shown == run(*command, "--json").stdout


def test_a_piped_table_is_plain_aligned_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 60
    output.table(["Name", "Count"], [("a", 5), ("[bold]b", 12)], right=["Count"])
    output.table(["Text"], [(long,)])
    assert output.one_line(f"{long}\n{long}", 10) == f"{long} {long}"
    shown = capsys.readouterr().out
    assert shown.startswith("Name     Count\na            5\n[bold]b     12\n")
    assert shown.endswith(f"Text\n{long.rstrip()}\n")


# -- progress --------------------------------------------------------------------------------


def test_progress_is_silent_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as report:
        report(1, 2, "half")
    assert capsys.readouterr().err == ""


def test_what_is_printed_beside_progress_stands() -> None:
    def work() -> None:
        with output.progress() as report:
            for day in range(3):
                report(day, 3, "questions to gemma")
                report(day, 3, "questions to smollm2")
                output.line(f"day {day}")
                report(day + 1, 3, "questions to gemma")
                output.table(*BOARD)
                report(day + 1, 3, "questions to gemma")
                output.note("so far")

    shown = watch(work)
    assert "questions to gemma" in shown.raw
    expected = [
        [f"day {day}", "Rank  Model", "1     gemma", "2     smollm2", "so far"] for day in range(3)
    ]
    assert shown.lines == [line for day in expected for line in day]


def test_data_goes_into_a_pipe_while_progress_is_shown(tmp_path: Any) -> None:
    file = tmp_path / "out"

    def work() -> None:
        sys.stdout = file.open("w")
        with output.progress() as report:
            report(1, 3, "questions")
            output.line("data")
            report(2, 3, "questions")
            output.table(*BOARD)

    assert watch(work).lines == []
    assert file.read_text() == "data\nRank  Model\n1     gemma\n2     smollm2\n"


# -- the width of a terminal -----------------------------------------------------------------


def test_no_word_is_split_and_no_column_lost() -> None:
    headers = ["Rank", "Model", "What came of it"]
    said = "a sentence of quite a few words that goes on beyond the edge"
    rows = [(1, "gemma-3-270m", said), (2, "smollm2-135m", "short")]
    shown = watch(lambda: output.table(headers, rows, right=["Rank"]), columns=50)
    assert shown.lines == [
        "Rank  Model         What came of it",
        "   1  gemma-3-270m  a sentence of quite a few",
        "                    words that goes on beyond the",
        "                    edge",
        "   2  smollm2-135m  short",
    ]


def test_what_cannot_stand_side_by_side_stands_one_below_the_other() -> None:
    rows = [("gemma-3-270m", "16.666666666667 wAR"), ("smollm2-135m", "8 wAR")]
    shown = watch(lambda: output.table(["Model", "Reward"], rows, right=["Reward"]), columns=26)
    assert shown.lines == [
        "Model   gemma-3-270m",
        "Reward  16.666666666667",
        "        wAR",
        "",
        "Model   smollm2-135m",
        "Reward  8 wAR",
    ]


def test_wide_characters_take_two_columns() -> None:
    shown = watch(lambda: output.table(["Name", "Next"], [("世界世界", "x"), ("abc", "y")]))
    assert shown.raw.splitlines()[1:] == ["世界世界  x", "abc       y"]


def test_a_tree_keeps_its_guides(greeter: str) -> None:
    send = ["send", "--target", "greeter", "--action", "Forward-Wrong"]
    shown = on_a_terminal(*send, "--tag", "Text=one two three four five six seven", columns=60)
    assert len(shown.lines[0]) == 43
    assert shown.lines[1:4] == [
        "Forward-Wrong  default → greeter  Text=one two three four",
        "│    five six seven",
        "└─ Greet  greeter → greeter",
    ]
    assert "✗ error: Who is required!" in shown.lines[4]
    assert max(map(len, shown.lines)) <= 60


def test_errors_and_notes_are_wrapped(run: Any) -> None:
    shown = on_a_terminal("inspect", "nobody", columns=40)
    assert max(map(len, shown.lines)) <= 40
    assert " ".join(shown.lines).startswith("error: ")


# -- words -----------------------------------------------------------------------------------


def test_control_characters_are_escaped() -> None:
    assert output.clean("a\x00\u202eb") == "a\\x00\\u202eb"


def test_people_see_the_beginning_of_a_long_line() -> None:
    def work() -> None:
        output.line(output.one_line("abcdef\nghi", 4))

    assert watch(work).lines == ["abc…"]


def test_one_thing_is_no_plural() -> None:
    said = [output.count(number, "cron tick") for number in (0, 1, 2000)]
    assert said == ["0 cron ticks", "1 cron tick", "2,000 cron ticks"]
