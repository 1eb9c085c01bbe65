"""Every page of pools: as JSON, as HTML, and what is refused."""

from __future__ import annotations

import html
import json
from html.parser import HTMLParser

import pytest
from pages import EVIL, QUESTIONS, Served

from benchpool.client.evaluating.run import Record
from benchpool.client.samples import Sample, sample_of_record
from benchpool.pools.sentences import RULES
from benchpool.server.dashboard.pages.shelf import Outcome, Shelf, confusion


def test_pools_are_cards_with_what_runs_first(served: Served) -> None:
    shown = served.json("/ui/pools.json")["pools"]
    assert [each["id"] for each in shown] == [served.home.open, served.home.paid]
    card = shown[0]
    assert (card["title"], card["status"], card["entries"]) == ("Long pool", "open", 2)
    assert (card["funds"], card["progress"], card["leader"]) == (str(25 * 10**12), 1.0, EVIL)
    assert card["left_ms"] == card["end_time"] - served.json("/ui/pools.json")["now"]


def test_a_board_shows_accuracy_with_its_interval_and_what_is_provisional(served: Served) -> None:
    board = served.json(f"/ui/pools/{served.home.open}.json")
    first, second = board["entries"]
    assert (first["name"], first["correct"], first["n"], first["rank_set"]) == (
        EVIL,
        50,
        60,
        [1, 1],
    )
    assert first["interval"][0] < first["accuracy"] < first["interval"][1]
    assert second["rank"] == 2
    assert first["course"][-1][:2] == [60, 50 / 60]
    assert board["settled"] is False
    assert int(first["reward"]) + int(second["reward"]) == int(board["funds"])
    assert board["chance"] == pytest.approx(1 / 3)
    assert board["rule"].endswith(RULES["ArithmeticDecrease"])
    page = served.html(f"/ui/pools/{served.home.open}")
    assert "Reward, provisional" in page
    assert f"benchpool pool join {served.home.open} --model MODEL" in page


def test_the_message_to_join_with_is_exact(served: Served) -> None:
    join = served.json(f"/ui/pools/{served.home.open}.json")["join"]
    assert join["action"] == "Join-Pool"
    assert json.loads(join["data"]) == {"dataset": served.home.open, "model": "MODEL-PROCESS"}
    assert join["target"]["name"] == "Benchmark"


def test_a_paid_pool_explains_its_settlement_line_by_line(served: Served) -> None:
    board = served.json(f"/ui/pools/{served.home.paid}.json")
    assert board["status"] == "paid"
    assert board["join"] is None
    assert [line["name"] for line in board["settlement"]] == [EVIL, "plain"]
    assert all(line["why"] for line in board["settlement"])
    paid = sum(int(line["reward"]) for line in board["settlement"])
    assert paid + int(board["refunds"]) == int(board["funds"])
    page = html.unescape(served.html(f"/ui/pools/{served.home.paid}"))
    for line in board["settlement"]:
        for why in line["why"]:
            assert why in page


def test_an_entry_shows_every_question_with_what_was_asked_and_answered(served: Served) -> None:
    path = f"/ui/pools/{served.home.paid}/entries/{served.home.good}"
    shown = served.json(f"{path}.json")
    assert [each["question"] for each in shown["picked"]["samples"]] == list(range(1, 21))
    sample = shown["picked"]["samples"][1]
    assert sample["context"] == QUESTIONS[1].context
    assert sample["prompt"].startswith(f"Q: {QUESTIONS[1].context}")
    assert [each["text"] for each in sample["choices"]] == list(QUESTIONS[1].choices)
    assert sum(each["share"] for each in sample["choices"]) == pytest.approx(1)
    assert (sample["correct"], sample["taken"]) == (True, "B")
    assert sample["margin_nats"] > 0
    assert sample["prompt_tokens"] > 0


def test_what_is_right_is_not_told_while_a_pool_asks(served: Served) -> None:
    shown = served.json(f"/ui/pools/{served.home.open}/entries/{served.home.good}.json")
    marks = {each["right"] for sample in shown["picked"]["samples"] for each in sample["choices"]}
    assert marks == {None}
    assert shown["confusion"] is None


@pytest.mark.parametrize(
    ("show", "expected"),
    [
        ("all", list(range(1, 21))),
        ("wrong", list(range(51, 61))),
        ("right", list(range(1, 21))),
        ("unscored", []),
        ("near", []),
    ],
)
def test_filters(served: Served, show: str, expected: list[int]) -> None:
    path = f"/ui/pools/{served.home.open}/entries/{served.home.good}.json?show={show}"
    picked = served.json(path)["picked"]
    assert [each["question"] for each in picked["samples"]] == expected
    counts = {each["name"]: each["count"] for each in picked["filters"]}
    assert counts == {"all": 60, "wrong": 10, "right": 50, "unscored": 0, "near": 0}


def test_pages_go_on_behind_the_last_question_and_back(served: Served) -> None:
    path = f"/ui/pools/{served.home.open}/entries/{served.home.good}.json"
    seen, after = [], 0
    while after is not None:
        picked = served.json(f"{path}?after={after}")["picked"]
        seen += [each["question"] for each in picked["samples"]]
        after = picked["after"]
    assert seen == list(range(1, 61))
    back = served.json(f"{path}?before=41")["picked"]
    assert [each["question"] for each in back["samples"]] == list(range(21, 41))
    assert (back["before"], back["after"]) == (21, 40)
    first = served.json(f"{path}?before=21")["picked"]
    assert (first["before"], first["after"]) == (None, 20)


def test_where_two_entries_differ(served: Served) -> None:
    home = served.home
    path = f"/ui/pools/{home.open}/entries/{home.good}.json?show=differ&beside={home.bad}"
    picked = served.json(path)["picked"]
    assert [each["question"] for each in picked["samples"]] == list(range(31, 51))


def test_search_looks_through_all_texts(served: Served) -> None:
    path = f"/ui/pools/{served.home.open}/entries/{served.home.good}.json"
    for word, expected in (("friend 37", [38]), ("GLAD 12", [13]), ("nowhere", [])):
        picked = served.json(f"{path}?q={word.replace(' ', '+')}")["picked"]
        assert [each["question"] for each in picked["samples"]] == expected


def test_letters_are_confused_as_they_were_taken() -> None:
    def sample(number: int, gold: int, prediction: int) -> Sample:
        asked = Record(
            model="m", weights="", runtime="", data="", data_sha256="", protocol="cloze",
            question=number, id="", prompt="Q", choices=("a", "b", "c"), gold=(gold,), targets=(),
            log_likelihoods=(-1.0, -2.0, -3.0), text=None, prediction=prediction,
            prediction_per_character=None, correct=gold == prediction, correct_per_character=None,
            margin_nats=1.0, scores={}, unscored="",
        )  # fmt: skip
        return sample_of_record(asked)

    samples = [sample(1, 1, 1), sample(2, 1, 3), sample(3, 2, 0), sample(4, 2, 2), sample(5, 2, 2)]
    outcomes = [Outcome(each.question, each.status, each.correct, 1.0, 1) for each in samples]
    found = confusion(Shelf(outcomes, lambda _wanted: samples))
    assert found is not None
    assert found.letters == ["A", "B", "C", "none"]
    assert found.rows == [[1, 0, 1, 0], [0, 2, 0, 1], [0, 0, 0, 0]]


def test_two_entries_are_compared_by_the_paired_test(served: Served) -> None:
    home = served.home
    shown = served.json(f"/ui/pools/{home.open}/compare.json?a={home.good}&b={home.bad}")
    assert (shown["n"], shown["both_right"], shown["only_first"], shown["only_second"]) == (
        60,
        30,
        20,
        0,
    )
    assert shown["p"] == pytest.approx(2**-19)
    assert shown["verdict"] == f"{EVIL} is better"
    apart = served.json(f"/ui/pools/{home.open}/compare.json?a={home.good}&b={home.bad}&show=first")
    assert [pair["first"]["question"] for pair in apart["pairs"]] == list(range(31, 51))


class Tags(HTMLParser):
    """Collects the elements of a page, and attributes that could run or style something."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.inline: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.scripts += [value or "" for name, value in attrs if tag == "script" and name == "src"]


def test_whatever_a_name_or_a_question_holds_is_text(served: Served) -> None:
    for path in served.pages():
        page = served.html(path)
        tags = Tags()
        tags.feed(page)
        assert tags.names.count("script") == len(tags.scripts) == 1, path
        assert tags.scripts[0].startswith("/ui/assets/live.js?v="), path
        assert "img" not in tags.names, path
        assert not tags.inline, path
    assert html.escape(EVIL, quote=False)[:20] in served.html(f"/ui/pools/{served.home.paid}")


def test_every_answer_forbids_what_a_page_does_not_need(served: Served) -> None:
    wanted = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "same-origin",
    }
    for path in [*served.pages(), "/ui/pools.json", "/ui/nothing", "/ui/assets/style.css"]:
        _, headers, _ = served.get(path, Origin="https://evil.example")
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        assert {name: headers[name] for name in wanted} == wanted
        assert "access-control-allow-origin" not in headers, path


def test_json_comes_to_who_asks_for_it(served: Served) -> None:
    _, headers, body = served.get("/ui/pools", Accept="application/json")
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["pools"] == served.json("/ui/pools.json")["pools"]


def test_a_browser_that_comes_to_the_root_sees_the_pools(served: Served) -> None:
    assert "<h1>Pools</h1>" in served.html("/")
    assert json.loads(served.get("/", Accept="*/*")[2])["network"] == "benchpool"


def test_a_page_that_did_not_change_is_not_sent_again(served: Served) -> None:
    _, headers, _ = served.get("/ui/pools", Accept="text/html")
    status, _, body = served.get("/ui/pools", Accept="text/html", If_None_Match=headers["etag"])
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/nothing", 404),
        ("/ui/pools/none", 404),
        ("/ui/pools/../../etc/passwd", 404),
        ("/ui/assets/..%2fpage.py", 404),
        ("/ui/pools/{open}/entries/none", 404),
        ("/ui/pools/{open}/entries/{good}?show=other", 404),
        ("/ui/pools/{open}/entries/{good}?after=x", 404),
        ("/ui/pools/{open}/entries/{good}?after=" + "9" * 400, 404),
        ("/ui/pools/{open}/entries/{good}?beside=none", 404),
        ("/ui/pools/{open}/compare?a={good}&b={good}", 404),
        ("/ui/pools/{open}/compare", 404),
        ("/ui/events?of=/ui/nothing", 404),
        ("/ui/events?of=https://evil.example/", 404),
        ("/ui/events", 404),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(served: Served, path: str, status: int) -> None:
    home = served.home
    url = path.format(open=home.open, good=home.good)
    found, headers, body = served.get(url, Accept="application/json")
    assert found == status, body
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]
    if not url.startswith("/ui/events"):
        found, headers, body = served.get(url, Accept="text/html")
        assert (found, headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert b"<main" in body
