"""Evaluating without a pool: the numbers of a pool, going on after an end, and comparing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import compiled_files
import pytest
import tiny_gguf
from reading_html import Page
from typer.testing import CliRunner

from benchpool.cli import app
from benchpool.client.deployment import deploy, spawn_dataset, upload_model
from benchpool.client.evaluating.questions import SiqaQuestions, load_questions
from benchpool.client.evaluating.run import Model, evaluate
from benchpool.client.evaluating.samples import read_samples, write_samples
from benchpool.client.evaluating.summary import compare, summarise
from benchpool.client.pools import PoolClient
from benchpool.errors import DatasetError
from benchpool.evaluation.compiled import (
    ChoicesQuestion,
    Header,
    Origin,
    write_compiled,
)
from benchpool.evaluation.protocol import Protocol
from benchpool.evaluation.sample import Sample, to_json
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.engines import MadeEngines
from benchpool.network import Network
from benchpool.process.registry import Registry
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script
from processes.compiled import CompiledDataset

SAMPLES = [  # those of the pools of conftest.py
    Sample(f"Kim met friend {n}.", "How would Kim feel?", ("glad", "sad", "calm"), n % 3 + 1)
    for n in range(6)
]
GOLDS = [sample.gold for sample in SAMPLES]
HEADER = Header(
    format="benchpool-dataset/1",
    name="tiny",
    title="Tiny",
    source="here",
    license="MIT",
    version="1",
    compiled=Origin("", ()),
    kind="choices",
    protocol="cloze",
    metrics=("acc", "acc_norm"),
    filters=(),
    unscored=(),
    count=40,
)


def write_tiny(path: Path, **changes) -> Path:
    """A compiled data set of 40 questions with two or more choices."""
    questions = [
        ChoicesQuestion(
            prompt=f"Question: what is {n}?\nAnswer:",
            choices=tuple(f" {each}" for each in range(2 + n % 3)),
            texts=tuple(str(each) for each in range(2 + n % 3)),
            gold=(1, 2) if n % 7 == 0 else (1 + n % 2,),
            id=f"q{n}",
        )
        for n in range(40)
    ]
    path.write_bytes(write_compiled(HEADER, questions))
    return path


@pytest.fixture
def tiny(tmp_path):
    return tiny_gguf.write_gguf(tmp_path / "tiny.gguf")


@pytest.fixture(autouse=True)
def _machine(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCHPOOL_MODELS", str(tmp_path / "cache" / "models"))
    monkeypatch.setenv("BENCHPOOL_HOME", str(tmp_path / "home"))


def run(*args, code=0):
    result = CliRunner().invoke(app, ["eval", *map(str, args)])
    assert result.exit_code == code, (result.stdout, result.stderr, result.exception)
    return result


@pytest.mark.parametrize("protocol", ["cloze", "letters", "cloze/bf16"])
def test_the_numbers_are_those_of_a_pool(open_pools, tmp_path, protocol):
    pools = open_pools()
    pool = pools.fund(10**9, **{"X-Protocol": protocol})
    pools.join(pool, "ana", [GOLDS[0], *[gold % 3 + 1 for gold in GOLDS[1:]]])
    for _ in range(4):
        pools.network.advance("1d")
    client = PoolClient(pools.network)
    found = client.find(pool)
    model = pools.network.resolve("model-ana")
    rows = client.answers(found, model)
    data = tmp_path / "data.json"
    data.write_text(to_json(SAMPLES))
    questions = load_questions(data, protocol)
    engines = MadeEngines(ScriptedEngines())
    result = evaluate(Model("ana", tmp_path / "ana.gguf"), questions, engines)
    assert [each.prediction for each in result.records] == [row["prediction"] for row in rows]
    assert [each.correct for each in result.records] == [bool(row["correct"]) for row in rows]
    assert [each.margin_nats for each in result.records] == [row["margin_nats"] for row in rows]
    (board,) = client.reports(pool)
    assert summarise(result)["correct"] == board["correct"]
    assert summarise(result)["correct_per_character"] == (
        board["correct_per_character"] if protocol != "letters" else None
    )


def test_an_end_in_between_loses_no_answer(tiny, tmp_path):
    data = write_tiny(tmp_path / "tiny.jsonl")
    questions, answers = load_questions(data), tmp_path / "answers"

    def end(done, _asked, _name):
        if done >= 10:
            raise KeyboardInterrupt

    model = Model("tiny", tiny)
    first = EnginePool(workers=1, answers=answers)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, questions, first, report=end)
    first.close()
    again = EnginePool(workers=1, answers=answers)
    resumed = evaluate(model, questions, again)
    again.close()
    assert again.stats().cached >= 10
    assert again.stats().cached + again.stats().answered == len(questions)
    fresh = EnginePool(workers=1)
    assert evaluate(model, questions, fresh) == resumed
    fresh.close()


def test_a_kill_loses_no_answer(tiny, tmp_path):
    data = write_tiny(tmp_path / "tiny.jsonl")
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from benchpool.client.evaluating.questions import load_questions\n"
        "from benchpool.client.evaluating.run import Model, evaluate\n"
        "from benchpool.inference.engine_pool import EnginePool\n"
        "def end(done, asked, name):\n"
        "    if done >= 10: os.kill(os.getpid(), signal.SIGKILL)\n"
        "data, model, answers = map(Path, sys.argv[1:])\n"
        "pool = EnginePool(workers=1, answers=answers)\n"
        "evaluate(Model('tiny', model), load_questions(data), pool, report=end)\n"
    )
    answers = tmp_path / "answers"
    done = subprocess.run(
        [sys.executable, "-c", program, data, tiny, answers], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    again = EnginePool(workers=1, answers=answers)
    evaluate(Model("tiny", tiny), load_questions(data), again)
    again.close()
    assert again.stats().cached >= 10


def test_the_command_prints_a_table_and_json(tiny, tmp_path):
    data = write_tiny(tmp_path / "tiny.jsonl")
    other = tiny_gguf.write_gguf(tmp_path / "other.gguf", seed=8)
    shown = run(tiny, other, "--data", data)
    assert "tiny is better than other: 23 and 16 of 40 right" in shown.stdout
    assert "exact McNemar p =" in shown.stdout
    assert "95 % interval" in shown.stdout
    told = json.loads(run(tiny, other, "--data", data, "--limit", 30, "--json").stdout)
    assert (told["questions"], told["of"]) == (30, 40)
    assert [each["model"] for each in told["models"]] == ["tiny", "other"]
    first = told["models"][0]
    assert first["questions"] == 30
    assert first["interval"][0] <= first["accuracy"] <= first["interval"][1]
    assert first["accuracy_per_character"] is not None
    assert told["pairs"][0]["models"] == ["tiny", "other"]
    assert (tmp_path / "cache" / "answers").is_dir()


def test_a_page_says_what_the_command_says(tiny, tmp_path):
    data, other = write_tiny(tmp_path / "data.jsonl"), tmp_path / "<i>other.gguf"
    other.write_bytes(tiny.read_bytes())
    file = tmp_path / "report.html"
    told = json.loads(run(tiny, other, "--data", data, "--html", file, "--json").stdout)
    page = Page(file.read_text())
    for row, cells in zip(told["models"], page.tables["board"], strict=True):
        low, high = (f"{100 * bound:.1f} %" for bound in row["interval"])
        assert cells == [
            row["model"],
            f"{100 * row['accuracy']:.1f} %",
            f"{low} to {high}",
            f"{row['correct']} / {row['questions']}",
            str(row["unscored"]),
        ]
        assert row["weights"] in page.text
        assert row["runtime"] in page.text
    assert told["data_sha256"] in page.text
    samples = [row for row in page.tables["samples"] if row[0].isdecimal()]
    assert len(samples) == 40
    for column, row in enumerate(told["models"], start=3):
        assert sum("✓" in each[column] for each in samples) == row["correct"]
    assert "i" not in {tag for tag, _ in page.tags}
    assert "is there already" in run(tiny, "--data", data, "--html", file, code=2).stderr


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_samples_are_read_back_as_they_were(tiny, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    data, file = write_tiny(tmp_path / "tiny.jsonl"), tmp_path / f"samples.{ending}"
    engines = EnginePool(workers=1)
    result = evaluate(Model('ti,"ny', tiny), load_questions(data), engines)
    engines.close()
    write_samples(file, [result])
    assert read_samples(file) == [result]
    assert not list(tmp_path.glob(".*"))


def test_compare_shows_what_only_one_got_right(tiny, tmp_path):
    data = tmp_path / "data.json"
    data.write_text(to_json(SAMPLES))
    engines = MadeEngines(ScriptedEngines())
    sides = []
    for name, answers in (("good", GOLDS), ("bad", [GOLDS[0], *[g % 3 + 1 for g in GOLDS[1:]]])):
        script = tmp_path / f"{name}.gguf"
        script.write_bytes(write_script(name, SAMPLES, answers))
        sides.append(evaluate(Model(name, script), load_questions(data), engines))
        write_samples(tmp_path / f"{name}.jsonl", sides[-1:])
    write_samples(tmp_path / "both.csv", sides)
    result = compare(*sides)
    assert (result["both_right"], result["only_first"], result["only_second"]) == (1, 5, 0)
    assert [each["id"] for each in result["questions"]] == [2, 3, 4, 5, 6]
    shown = run("compare", tmp_path / "good.jsonl", tmp_path / "bad.jsonl", "--limit", 2)
    assert "they cannot be told apart" in shown.stdout
    assert "3 more" in shown.stderr
    by_name = run("compare", "good", "bad", "--in", tmp_path / "both.csv", "--json")
    assert json.loads(by_name.stdout) == json.loads(json.dumps(result))
    missing = run("compare", "good", "none", "--in", tmp_path / "both.csv", code=2)
    assert "it holds good, bad" in " ".join(missing.stderr.split())
    run("compare", tmp_path / "both.csv", tmp_path / "bad.jsonl", code=2)


def test_other_data_cannot_be_compared(tmp_path):
    script = tmp_path / "good.gguf"
    script.write_bytes(write_script("good", SAMPLES, GOLDS))
    engines, protocol = MadeEngines(ScriptedEngines()), Protocol("cloze")
    one, other = (
        evaluate(Model("good", script), SiqaQuestions(str(n), SAMPLES[:n], protocol), engines)
        for n in (4, 5)
    )
    with pytest.raises(DatasetError, match="only answers to the same questions"):
        compare(one, other)


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (["--data", "none.jsonl"], "none.jsonl", 1),
        (["--data", "DATA", "--protocol", "generate"], "but by cloze or letters", 1),
        (["--data", "DATA", "--protocol", "cloze/reordered"], "finished", 1),
        (["--data", "DATA", "--protocol", "cloze/f8"], "not a protocol", 1),
        (["--data", "DATA", "--samples", "x.txt"], ".jsonl, .csv, .parquet", 2),
        (["--data", "DATA", "--samples", "no/x.csv"], "is no folder", 2),
        (["--data", "DATA", "nothing"], "no model 'nothing' in the catalogue", 3),
        (["--data", "DATA", "TINY"], "two models are called tiny", 2),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tiny, tmp_path, monkeypatch, args, said, code):
    monkeypatch.chdir(tmp_path)
    names = {"DATA": write_tiny(tmp_path / "tiny.jsonl"), "TINY": tiny}
    result = run(tiny, *(names.get(each, each) for each in args), code=code)
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no samples"),
        ("{}\n", "line 1: is no sample"),
        ("\xff", "line 1: is no sample"),
        ("[" * 100_000, "line 1: is no sample"),
    ],
)
def test_what_is_no_file_of_samples_is_refused(tmp_path, text, said):
    file = tmp_path / "x.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=said):
        read_samples(file)
    (tmp_path / "x.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError):
        read_samples(tmp_path / "x.csv")


def test_a_model_may_be_data_of_a_home_and_its_answers_are_kept_there(tiny, tmp_path):
    data = write_tiny(tmp_path / "tiny.jsonl")
    with Network(tmp_path / "home", seed=1) as network:
        data_id = network.add_model(tiny)
    told = json.loads(run(data_id, "--data", data, "--json").stdout)
    assert told["models"][0]["model"] == data_id
    assert (tmp_path / "home" / "answers").is_dir()
    assert not (tmp_path / "cache" / "answers").exists()


@pytest.mark.parametrize(
    ("kind", "protocol"), [*((n, "") for n in range(len(compiled_files.KINDS))), (4, "letters")]
)
def test_a_compiled_file_gives_the_numbers_of_its_pool(tiny, tmp_path, kind, protocol):
    data = tmp_path / "mine.jsonl"
    data.write_bytes(compiled_files.KINDS[kind])
    registry = Registry()
    registry.add(CompiledDataset)
    backend = EnginePool(workers=1)
    with Network(seed=1, registry=registry, engine_factory=backend) as network:
        deploy(network)
        dataset = spawn_dataset(network, data, "mine")
        client = PoolClient(network)
        funds = {"Quantity": "9", "Recipient": network.resolve("default")}
        network.send("WrappedAR", "Mint", funds)
        tags = {
            "Recipient": network.resolve("Benchmark"),
            "Quantity": "9",
            "X-Dataset": dataset,
            "X-Protocol": protocol or client.first_protocol(dataset),
            "X-Allocation": "WinnerTakesAll",
            "X-Eligible": "all",
        }
        network.send("WrappedAR", "Transfer", tags)
        (pool,) = client.pools()
        model = upload_model(network, tiny, "tiny")
        wish = json.dumps({"dataset": pool.id, "model": model})
        network.send("Benchmark", "Join-Pool", data=wish)
        network.advance("1d")
        rows = client.answers(pool, model)
        (board,) = client.reports(pool.id)

    engines = EnginePool(workers=1)
    result = evaluate(Model("tiny", tiny), load_questions(data, protocol or None), engines)
    engines.close()
    assert [each.correct for each in result.records] == [bool(row["correct"]) for row in rows]
    assert [each.margin_nats for each in result.records] == [row["margin_nats"] for row in rows]
    assert [bool(each.unscored) for each in result.records] == [
        row["status"] != "done" for row in rows
    ]
    figures = summarise(result)
    assert (figures["correct"], figures["questions"]) == (board["correct"], board["total"])
    assert set(figures["metrics"]) == (
        {"exact_match", "f1"} if kind == 1 else {"exact_match,first"} if kind == 3 else set()
    )
    write_samples(tmp_path / "samples.csv", [result])
    assert read_samples(tmp_path / "samples.csv") == [result]
