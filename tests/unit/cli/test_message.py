from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal import on_a_terminal


def test_send_shows_what_came_of_it_as_a_tree(run: Any, greeter: str) -> None:
    shown = run("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you").stdout
    lines = shown.splitlines()
    assert lines[1] == "Greet  default → greeter  Who=you"
    assert lines[2] == "└─ Greeting  greeter → default  Who=you"
    assert lines[3].strip() == "hello"


def test_send_as_json(run_json: Any, greeter: str) -> None:
    sent = run_json("send", "--target", greeter, "--action", "Greet", "--tag", "Who=you")
    assert set(sent) == {"id", "process", "result", "tree", "replies"}
    assert sent["process"] == greeter
    assert sent["tree"]["message"]["Id"] == sent["id"]
    assert sent["tree"]["message"]["Process-Name"] == "greeter"
    assert sent["tree"]["children"][0]["message"]["Data"] == "hello"
    assert sent["tree"]["children"][0]["result"] is None
    assert [reply["From"] for reply in sent["replies"]] == [greeter]
    assert sent["result"]["Messages"][0]["Data"] == "hello"


def test_a_refused_message_exits_1_with_one_line_and_the_tree(run: Any, greeter: str) -> None:
    done = run("send", "--target", "greeter", "--action", "Greet", code=1)
    assert done.stderr == "error: greeter refused the message: Who is required!\n"
    assert "✗ error: Who is required!" in done.stdout


@pytest.mark.parametrize("command", ["send", "dryrun"])
def test_a_misspelt_action_is_refused_with_what_was_meant(
    run: Any, greeter: str, command: str
) -> None:
    done = run(command, "--target", "greeter", "--action", "greeet", "--json", code=1)
    assert done.stderr == (
        "error: no handler of greeter takes the action 'greeet'; did you mean Greet?\n"
    )
    done = run(command, "--target", "greeter", "--tag", "Action=Zzz", code=1)
    assert "; it takes Greet, Tick, Chain, Fan, Interrupt, Forward-Wrong" in done.stderr


@pytest.mark.parametrize("command", ["send", "dryrun"])
def test_an_answer_that_is_an_error_exits_1(run: Any, greeter: str, command: str) -> None:
    done = run(command, "--target", "greeter", "--action", "Complain", code=1)
    assert done.stderr == "error: greeter answered Complain-Error: it is late\n"
    assert "Complain-Error" in done.stdout


def test_a_message_without_an_action_may_go_to_the_inbox(run: Any, greeter: str) -> None:
    assert run("send", "--target", "greeter", "--data", "hello").stderr == ""
    assert "hello" in run("inbox", "greeter").stdout


def test_a_refusal_further_down_is_marked_and_exits_0(run: Any, greeter: str) -> None:
    done = run("send", "--target", "greeter", "--action", "Forward-Wrong")
    assert "✗ error: Who is required!" in done.stdout
    assert done.stderr == ""


def test_a_value_may_contain_an_equals_sign(run_json: Any, greeter: str) -> None:
    sent = run_json("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=a=b")
    assert {"name": "Who", "value": "a=b"} in sent["replies"][0]["Tags"]


def test_a_value_with_an_at_sign_is_an_id(run: Any, run_json: Any, greeter: str) -> None:
    def greet(who: str) -> str:
        sent = run_json("send", "--target", "greeter", "--action", "Greet", "--tag", f"Who={who}")
        tags = {tag["name"]: tag["value"] for tag in sent["replies"][0]["Tags"]}
        return str(tags["Who"])

    assert greet("@greeter") == greeter
    assert greet("@@greeter") == "@greeter"
    done = run("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=@nobdy", code=1)
    assert "nobdy" in done.stderr


@pytest.mark.parametrize("tag", ["Who", "=you", " =you"])
def test_a_tag_without_name_or_value_is_misuse(run: Any, greeter: str, tag: str) -> None:
    done = run("send", "--target", "greeter", "--action", "Greet", "--tag", tag, code=2)
    assert repr(tag) in done.stderr


@pytest.mark.parametrize("option", ["--data", "--data-file"])
def test_data_from_stdin(run_json: Any, greeter: str, option: str) -> None:
    args = ["send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you", option, "-"]
    assert run_json(*args, stdin="from\nstdin")["replies"][0]["Data"] == "from\nstdin"


def test_data_from_a_file_may_be_bytes(run_json: Any, greeter: str, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"\xff\xfe")
    args = ["send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you"]
    sent = run_json(*args, "--data-file", str(file))
    assert sent["replies"][0]["Data"] == "(2 bytes)"


def test_data_that_cannot_be_read_is_misuse(run: Any, greeter: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert missing in run("send", "--target", "greeter", "--data-file", missing, code=2).stderr
    run("send", "--target", "greeter", "--data", "a", "--data-file", missing, code=2)


def test_too_much_data_names_the_data_store(
    run: Any, greeter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchpool.cli.options.MAX_DATA_BYTES", 10)
    done = run("send", "--target", "greeter", "--data", "-", code=2, stdin="x" * 11)
    assert "benchpool data put FILE" in " ".join(done.stderr.split())


def test_unknown_targets_and_wallets(run: Any, greeter: str) -> None:
    done = run("send", "--target", "greter", code=1)
    assert "did you mean greeter" in done.stderr
    done = run("send", "--target", "greeter", "--from", "nobody", code=1)
    assert "benchpool wallet new nobody" in done.stderr


def test_control_characters_do_not_reach_the_terminal(run: Any, greeter: str) -> None:
    text = "\x1b[31mred\x07"
    done = run("send", "--target", "greeter", "--action", "Greet", "--tag", f"Who={text}")
    assert "\x1b" not in done.stdout
    assert "\\x1b[31mred\\x07" in done.stdout


def test_a_message_to_a_wallet_is_mail(run: Any, run_json: Any, greeter: str) -> None:
    run("wallet", "new", "alice")
    done = run("send", "--target", "alice", "--action", "Hello")
    assert done.stdout.splitlines()[1] == "Hello  default → alice"
    assert run_json("inbox", "alice")[0]["From-Name"] == "default"


def test_a_deep_tree_is_cut(run: Any, run_json: Any, greeter: str) -> None:
    chain = ["send", "--target", "greeter", "--action", "Chain", "--tag", "Left=1500"]
    assert "… and 1,400 messages below" in run(*chain).stdout
    assert "… and 1,490 messages below" in on_a_terminal(*chain, columns=60).text
    tree = run_json(*chain)["tree"]
    depth = 0
    while tree.get("children"):
        tree = tree["children"][0]
        depth += 1
    assert depth + tree["cut"] == 1500


def test_a_wide_tree_is_cut_for_people_only(run: Any, run_json: Any, greeter: str) -> None:
    fan = ["send", "--target", "greeter", "--action", "Fan"]
    assert on_a_terminal(*fan).lines[-1] == "└─ … and 18 more"
    assert len(run(*fan).stdout.splitlines()) == 32
    assert len(run_json(*fan)["tree"]["children"]) == 30


def test_dryrun_keeps_nothing(run: Any, run_json: Any, greeter: str) -> None:
    args = ["dryrun", "--target", "greeter", "--action", "Greet", "--tag", "Who=you"]
    before = run_json("log", "greeter")
    assert "Greeting → default" in run(*args).stdout
    assert run_json(*args)["Messages"][0]["Data"] == "hello"
    assert run_json("inspect", "greeter")["state"] == {"greetings": 0}
    assert run_json("log", "greeter") == before


def test_dryrun_of_a_refused_message_exits_1(run: Any, greeter: str) -> None:
    done = run("dryrun", "--target", "greeter", "--action", "Greet", code=1)
    assert "Who is required!" in done.stderr


def test_dryrun_without_a_default_wallet_uses_another(run: Any) -> None:
    run("wallet", "new", "alice")
    run("spawn", "Greeter", "--name", "hers", "--from", "alice")
    done = run("dryrun", "--target", "hers", "--action", "Greet", "--tag", "Who=x")
    assert "→ alice" in done.stdout


def test_result(run: Any, run_json: Any, greeter: str) -> None:
    sent = run_json("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you")
    assert run_json("result", sent["id"]) == sent["result"]
    assert "Greeting → default" in run("result", sent["id"]).stdout
    assert "no message" in run("result", "x" * 43, code=1).stderr


@pytest.mark.parametrize("named", ["id", "position"])
def test_a_message_is_shown_with_its_result_and_what_came_of_it(
    run: Any, run_json: Any, greeter: str, named: str
) -> None:
    sent = run_json(
        *("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you"),
        *("--data", "good\nmorning"),
    )
    asked = sent["id"] if named == "id" else "greeter@1"
    shown = run("message", asked).stdout
    for text in (
        f"Id             {sent['id']}\n",
        "In the log of  greeter, at 1\n",
        "From           default\n",
        "Who            you\n",
        "\nData\ngood\nmorning\n",
        "\nResult\nGreeting → default\n",
        "└─ Greeting  greeter → default  Who=you",
    ):
        assert text in shown
    assert run_json("message", asked) == sent["tree"]
    assert run_json("result", asked) == sent["result"]


def test_a_message_that_is_not_there(run: Any, greeter: str) -> None:
    assert "has no message at position 7" in run("message", "greeter@7", code=1).stderr
    assert "no message with id" in run("message", "x" * 43, code=1).stderr
    assert "Refuse" not in run("message", "greeter@0").stdout


def test_the_inbox_shows_the_newest_to_people_and_to_programs(
    run: Any, run_json: Any, greeter: str
) -> None:
    for word in ("one", "two", "three"):
        run("send", "--target", "greeter", "--data", word)
    newest = run_json("inbox", "greeter", "--limit", "2")
    assert [each["Data"] for each in newest] == ["two", "three"]
    shown = run("inbox", "greeter", "--limit", "2")
    assert "one" not in shown.stdout
    assert "the last 2 of 3 messages" in shown.stderr


def test_inbox(run: Any, run_json: Any, greeter: str) -> None:
    assert run("inbox").stderr == "default has no messages\n"
    run("send", "--target", "greeter", "--action", "Greet", "--tag", "Who=you")
    run("send", "--target", "greeter", "--action", "Unheard", code=1)
    lines = run("inbox").stdout.splitlines()
    assert lines[0].split() == ["Time", "From", "Action", "Tags", "Data"]
    assert lines[1].split() == ["2025-01-01T00:00:00Z", "greeter", "Greeting", "Who=you", "hello"]
    assert run_json("inbox")[0]["From-Name"] == "greeter"
    tags = run_json("inbox", "greeter")[0]["Tags"]
    assert tags == [{"name": "Action", "value": "Unheard"}]
    run("inbox", "nobody", code=1)
