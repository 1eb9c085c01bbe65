"""The files of `pool report`: every number is that of the other commands; nothing runs or loads."""

from __future__ import annotations

import builtins
import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from reading_html import Page

from benchpool import Network
from benchpool.client.deployment import deploy
from benchpool.client.evaluating.run import Evaluation, Record
from benchpool.client.evaluating.samples import read_samples
from benchpool.client.evaluating.summary import compare_all, summarise
from benchpool.client.pools import PoolClient
from benchpool.evaluation.sample import Sample, to_json
from benchpool.server.report.page import eval_page
from benchpool.server.report.picture import pool_svg
from benchpool.server.report.views import eval_report, pool_report
from benchpool.simulation.scripted_engine import ScriptedEngines, choose, write_script
from benchpool.winston import format_war

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
SAMPLES = [
    Sample(f"Context {n}. {EVIL if n == 3 else ''}", "What then?", ("one", "two", EVIL), n % 3 + 1)
    for n in range(30)
]
CREATE = ["pool", "create", "--dataset", "SiqaDataset", "--from", "alice"]


@pytest.fixture(autouse=True)
def deployed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = ScriptedEngines()
    defaults = dict(Network.__init__.__kwdefaults__)
    monkeypatch.setattr(Network.__init__, "__kwdefaults__", {**defaults, "engine_factory": engines})
    with Network(home) as network:
        deploy(network, samples=to_json(SAMPLES).encode())
        alice = network.new_wallet("alice")
        network.send("WrappedAR", "Mint", {"Quantity": str(5 * 10**12), "Recipient": alice.address})


@pytest.fixture
def enter(tmp_path: Path, run_json: Any) -> Callable[..., None]:
    def enter(pool: str, name: str, correct: int, *, as_name: str = "") -> None:
        file = tmp_path / f"{as_name or name}.gguf"
        file.write_bytes(write_script(name, SAMPLES, choose(SAMPLES, correct, seed=name)))
        run_json("pool", "join", pool, "--model", str(file), "--from", "alice")

    return enter


@pytest.fixture
def pool(run_json: Any, enter: Callable[..., None]) -> str:
    created = run_json(
        *CREATE, *("--allocation", "ArithmeticDecrease", "--funds", "1.5", "--title", EVIL)
    )
    enter(created["id"], "good", 27)
    enter(created["id"], "fair", 20, as_name="<b onclick=alert(3)>fair")
    enter(created["id"], "weak", 11)
    return str(created["id"])


def page_of(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def test_every_number_of_the_page_is_that_of_the_other_commands(
    run: Any, run_json: Any, pool: str, tmp_path: Path, home: Path
) -> None:
    run("advance", "31d")
    file = tmp_path / "report.html"
    run("pool", "report", pool, "--html", str(file))
    page, board = page_of(file), run_json("pool", "leaderboard", pool)
    assert len(board) == 3
    for row, cells in zip(board, page.tables["standings"], strict=True):
        low, high = row["interval"]
        assert cells[0] == str(row["rank"])
        assert cells[1] == "–".join(dict.fromkeys(map(str, row["rank_set"])))
        assert cells[2].startswith(f"{row['name']} by alice")
        assert cells[3] == percent(row["accuracy"])
        assert cells[4].startswith(f"{percent(low)} to {percent(high)}")
        assert cells[5:7] == [str(row["correct"]), f"{row['evaluated']} / {row['total']}"]
        assert cells[7] == format_war(int(row["reward"]))
    drawn = [attrs for tag, attrs in page.tags if attrs.get("class") == "interval"]
    assert len(drawn) == 3
    explained = run_json("pool", "explain", pool)
    for entry in explained["entries"]:
        assert all(text in page.text for text in entry["why"])
        assert format_war(int(entry["reward"])) in page.text
    audited = run_json("audit", pool)
    assert audited["passed"] is True
    assert "every check that was due passed" in page.text
    assert all(each["name"] in page.text for each in audited["checks"])
    for report in run_json("pool", "report", pool):
        assert report["weights"] in page.text
        assert report["model"] in page.text
    with Network(home, read_only=True) as network:
        client = PoolClient(network)
        found = client.get(pool)
        answers = [client.answers(found, row["model"]) for row in board]
    rows = [row for row in page.tables["samples"] if row[0].isdecimal()]
    assert [int(row[0]) for row in rows] == [each["question"] for each in answers[0]]
    for row, *told in zip(rows, *answers, strict=True):
        assert row[2] == "ABC"[SAMPLES[int(row[0]) - 1].gold - 1]
        for cell, each in zip(row[3:], told, strict=True):
            mark = "✓" if each["correct"] else "✗"
            near = "≈ " if each["margin_nats"] < 0.1 else ""
            letter = "ABC"[each["prediction"] - 1]
            assert cell == f"{letter} {mark} {near}{each['margin_nats']:.2f}"
    assert found.binding["samples_sha_256"] in page.text


def test_what_anybody_says_is_text_and_nothing_is_loaded(
    run: Any, pool: str, tmp_path: Path
) -> None:
    run("advance", "1d")
    file = tmp_path / "report.html"
    run("pool", "report", pool, "--html", str(file))
    page = page_of(file)
    (policy,) = [attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    for kind in ("script", "style"):
        (inside,) = page.inside[kind]
        digest = b64encode(sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for tag, attrs in page.tags:
        assert tag not in {"img", "iframe", "object", "link", "b", "base"}
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "src")]
        assert not (attrs.get("href") or "#").partition("#")[0]
    assert page.inside["title"] == [f"{EVIL} · benchpool report"]
    assert EVIL in page.text
    assert "<b onclick=alert(3)>fair" in page.text


def test_tables_hold_every_answer(run: Any, pool: str, tmp_path: Path, home: Path) -> None:
    run("advance", "31d")
    comma, parquet = tmp_path / "all.csv", tmp_path / "all.parquet"
    pytest.importorskip("pyarrow")
    done = run("pool", "report", pool, "--csv", str(comma), "--parquet", str(parquet))
    assert "90 samples" in done.stderr
    found = read_samples(comma)
    assert found == read_samples(parquet)
    with Network(home, read_only=True) as network:
        client = PoolClient(network)
        told = client.get(pool)
        for row, evaluation in zip(told.facts["models"], found, strict=True):
            answers = client.answers(told, row["model"])
            assert evaluation.model == row["name"]
            for record, answer in zip(evaluation.records, answers, strict=True):
                assert record.question == answer["question"]
                assert record.prediction == answer["prediction"]
                assert record.correct is answer["correct"]
                assert record.margin_nats == answer["margin_nats"]
                assert record.gold == (SAMPLES[record.question - 1].gold,)
                assert record.data_sha256 == told.binding["samples_sha_256"]
    run("eval", "compare", "good", "weak", "--in", str(comma))


def test_entries_of_one_name_are_told_apart(
    run: Any, run_json: Any, enter: Callable[..., None], pool: str, tmp_path: Path
) -> None:
    enter(pool, "other", 15, as_name="good")
    run("advance", "1d")
    file = tmp_path / "all.csv"
    run("pool", "report", pool, "--csv", str(file))
    names = [each.model for each in read_samples(file)]
    assert len(set(names)) == 4
    assert sum(name.startswith("good ") for name in names) == 2


def test_pools_of_which_nothing_is_known_have_a_page(
    run: Any, run_json: Any, enter: Callable[..., None], tmp_path: Path
) -> None:
    pool = run_json(*CREATE, "--allocation", "WinnerTakesAll", "--funds", "1")["id"]
    file = tmp_path / "report.html"
    run("pool", "report", pool, "--html", str(file))
    page = page_of(file)
    assert "No model has joined" in page.text
    assert "Nothing is told of single questions yet" in page.text
    enter(pool, "good", 20)
    run("pool", "report", pool, "--html", str(file), "--force")
    (cells,) = page_of(file).tables["standings"]
    assert cells[0] == "–"
    run("advance", "1d")
    run("pool", "report", pool, "--html", str(file), "--force")
    page = page_of(file)
    assert "provisional until the pool is paid" in page.text
    assert "a secret" in page.text  # what is right, while a pool asks
    lonely = run_json(*CREATE, "--allocation", "WinnerTakesAll", "--funds", "1")["id"]
    run("advance", "32d")
    run("pool", "report", lonely, "--html", str(file), "--force")
    assert "Everything was given back: no model entered" in page_of(file).text


def test_a_text_stands_under_the_model_that_wrote_it() -> None:
    record = Record(
        **dict.fromkeys(("model", "weights", "runtime", "data", "data_sha256"), "x"),
        protocol="generate",
        question=1,
        id="q1",
        prompt="Say it.",
        choices=(),
        gold=(),
        targets=("it", "that"),
        log_likelihoods=(),
        text="<i>It.",
        prediction="It",
        prediction_per_character=None,
        correct=False,
        correct_per_character=None,
        margin_nats=None,
        scores={"exact_match": 0.0},
        unscored="",
    )
    left = replace(record, text=None, prediction=None, unscored="the model <failed>")
    found = [Evaluation("a", [record]), Evaluation("b", [record]), Evaluation("c", [left])]
    about = {"data": "tiny", "data_sha256": "00", "protocol": "generate", "of": 1}
    page = Page(
        eval_page(
            eval_report(about, found, [summarise(each) for each in found], compare_all(found))
        ).decode()
    )
    assert "a wrote: <i>It. b wrote: <i>It. The prompt" in page.text
    (row,) = page.tables["samples"]
    assert row[2:] == ["it or that", "It ✗", "It ✗", "– the model <failed>"]
    assert page.tables["board"][0][-1] == "0.0000"


def test_nothing_is_overwritten_silently(run: Any, pool: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("mine")
    refused = run("pool", "report", pool, "--html", str(file), code=2)
    assert "is there already" in refused.stderr
    assert file.read_text() == "mine"
    run("pool", "report", pool, "--html", str(file), "--force")
    assert file.read_text().startswith("<!doctype html>")
    assert "no folder" in run("pool", "report", pool, "--html", "no/where.html", code=2).stderr
    assert "end in .csv" in run("pool", "report", pool, "--csv", "a.parquet", code=2).stderr
    same = ("--csv", str(tmp_path / "a.csv"), "--html", str(tmp_path / "a.csv"))
    assert "a name of its own" in run("pool", "report", pool, *same, code=2).stderr
    assert list(tmp_path.glob("*.csv")) == []


def test_a_picture_needs_its_renderer(
    run: Any, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = builtins.__import__

    def without(name: str, *args: Any, **how: Any) -> Any:
        if name == "resvg_py":
            raise ImportError(name)
        return find(name, *args, **how)

    monkeypatch.setattr(builtins, "__import__", without)
    refused = run("pool", "report", pool, "--png", str(tmp_path / "a.png"), code=3)
    assert "benchpool[png]" in refused.stderr


def test_the_picture_is_laid_out_in_pixels(run: Any, pool: str, tmp_path: Path, home: Path) -> None:
    run("advance", "31d")
    with Network(home, read_only=True) as network:
        client = PoolClient(network)
        drawn = pool_svg(pool_report(network, client, client.get(pool))[0])
    tree = ElementTree.fromstring(drawn)
    texts = [each.text or "" for each in tree.iter() if each.tag.endswith("text")]
    assert EVIL in texts
    assert any("good" in text for text in texts)
    for element in tree.iter():
        for name in ("x", "x1", "x2", "cx", "width", "height", "viewBox"):
            assert "%" not in element.get(name, "")
        assert "viewBox" not in element.attrib
    assert "var(" not in drawn
    assert "@media" not in drawn


def test_a_picture_is_a_png(run: Any, pool: str, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    run("advance", "1d")
    file = tmp_path / "board.png"
    run("pool", "report", pool, "--png", str(file))
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_the_report_in_the_terminal_stays(run: Any, run_json: Any, pool: str) -> None:
    run("advance", "1d")
    assert re.search(r"Margin +median", run("pool", "report", pool).stdout)
    assert json.loads(run("pool", "report", pool, "--json").stdout)[0]["name"] == "good"
