"""The sugar of pools, on the real processes; a scripted model stands in for a GGUF file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import pytest

from benchpool import Network
from benchpool.client.deployment import deploy
from benchpool.evaluation.sample import Sample, to_json
from benchpool.pools.allocation import RULES
from benchpool.simulation.scripted_engine import ScriptedEngines, choose, write_script

SAMPLES = [
    Sample(f"Context {n}.", "What then?", ("one", "two", "three"), n % 3 + 1) for n in range(9)
]
COMPARE = ("pool", "compare", "First", "good", "weak")
CREATE = ["pool", "create", "--dataset", "SiqaDataset", "--allocation", "WinnerTakesAll"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which all is deployed, to be copied."""
    folder = tmp_path_factory.mktemp("made") / "home"
    with Network(folder) as network:
        deploy(network, samples=to_json(SAMPLES).encode())
        alice = network.new_wallet("alice")
        network.send("WrappedAR", "Mint", {"Quantity": str(5 * 10**12), "Recipient": alice.address})
    return folder


@pytest.fixture(autouse=True)
def deployed(made: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = ScriptedEngines()
    defaults = dict(Network.__init__.__kwdefaults__)
    monkeypatch.setattr(Network.__init__, "__kwdefaults__", {**defaults, "engine_factory": engines})
    shutil.copytree(made, home)


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str, int], str]:
    def write(name: str, correct: int) -> str:
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(write_script(name, SAMPLES, choose(SAMPLES, correct, seed=name)))
        return str(file)

    return write


@pytest.fixture
def pool(run_json: Any) -> str:
    created = run_json(*CREATE, "--funds", "1.5", "--title", "First", "--from", "alice")
    assert created["funds"] == "1500000000000"
    return str(created["id"])


def test_create_prints_the_id(run: Any, run_json: Any) -> None:
    done = run(*CREATE, "--funds", "1.5", "--duration", "2d", "--from", "alice")
    pool = run_json("pool", "list")[0]
    assert done.stdout.strip() == pool["id"]
    assert pool["funds"] == "1500000000000"
    assert pool["end_time"] - pool["start_time"] == 2 * 86_400_000


def test_create_says_what_ranks_would_get_and_what_they_rest_on(run: Any) -> None:
    shares = [*CREATE, "--funds", "1.5", "--from", "alice", "--allocation"]
    said = run(*shares, "ArithmeticDecrease").stderr
    assert "of 5 entries the ranks would get 0.5, 0.4, 0.3, 0.2, 0.1 wAR" in said
    assert "warning: the payouts are finer than the data can tell: 9 questions can hardly" in said
    assert "warning" not in run(*shares, "Equal").stderr
    assert "ranks would get" not in run(*shares, "Proportional").stderr


def test_two_entries_are_compared(
    run: Any, run_json: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    for name, correct in (("weak", 1), ("good", 8)):
        run("pool", "join", "First", "--model", model(name, correct), "--from", "alice")
    run("advance", "25h")
    running = run("pool", "compare", "First", "good", "weak")
    assert "the pool is not paid yet" in running.stderr
    assert "which choice is right is told when no pool asks any more" in running.stderr
    assert {each["gold"] for each in run_json(*COMPARE)["questions"]} == {None}
    run("advance", "30d")
    found = run_json(*COMPARE)
    assert (found["n"], found["first"]["correct"], found["second"]["correct"]) == (9, 8, 1)
    only = found["only_first"], found["only_second"]
    assert only[0] - only[1] == 7
    assert sum(only) + found["both_right"] + found["neither"] == 9
    assert found["p"] == 2 * sum(comb(sum(only), k) for k in range(only[1] + 1)) / 2 ** sum(only)
    assert found["difference"] == pytest.approx(7 / 9)
    for bounds in ("interval", "bootstrap"):
        assert found[bounds][0] < found["difference"] < found[bounds][1]
    assert len(found["questions"]) == sum(only)
    for each in found["questions"]:
        sample = SAMPLES[each["id"] - 1]
        assert (each["context"], each["gold"]) == (sample.context, sample.gold)
        assert (each["first"] == sample.gold) is not (each["second"] == sample.gold)
    shown = run("pool", "compare", "First", "good", found["second"]["model"], "--limit", "2")
    assert "Verdict        good is better" in shown.stdout
    assert f"{sum(only) - 2} more: --limit {sum(only)}" in shown.stderr
    assert "not paid yet" not in shown.stderr
    turned = run_json("pool", "compare", "First", "weak", "good")
    assert turned["interval"] == [-each for each in reversed(found["interval"])]


def test_compare_says_why_not(run: Any, pool: str, model: Callable[[str, int], str]) -> None:
    run("pool", "join", "First", "--model", model("good", 8), "--from", "alice")
    compare = ("pool", "compare", "First", "good")
    assert "no entry 'Nope' in the pool; there are good" in run(*compare, "Nope", code=1).stderr
    assert "with itself" in run(*compare, "good", code=1).stderr


def test_create_takes_the_protocol_that_the_data_set_names_first(run: Any, run_json: Any) -> None:
    tags = ("--tag", "LlamaRouter=@LlamaRouter", "--tag", "Benchmark=@Benchmark")
    run("spawn", "Letters", "--name", "Letters", *tags)
    run("send", "--target", "Letters", "--action", "Load-Data", "--data", to_json(SAMPLES))
    letters = [*CREATE, "--dataset", "Letters", "--funds", "1", "--from", "alice"]
    assert run_json(*letters)["protocol"] == "letters"
    assert run_json(*letters, "--protocol", "letters/bf16")["protocol"] == "letters/bf16"


def test_the_messages_are_shown_with_verbose(run: Any) -> None:
    done = run(*CREATE, "--funds", "1", "--from", "alice", "-v")
    assert "Transfer  alice → WrappedAR  Recipient=Benchmark" in done.stderr
    assert "Pool-Created" in done.stderr
    assert len(done.stdout.split()) == 1
    assert "dry run: Get-Pools → Benchmark" in run("pool", "list", "-v").stderr


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--funds", "1.5"], 1, "Insufficient Balance!"),  # of the default wallet
        (["--funds", "100", "--from", "alice"], 1, "Insufficient Balance!"),
        (["--funds", "0", "--from", "alice"], 2, "more than nothing"),
        (["--funds", "1e3", "--from", "alice"], 2, "1.5"),
        (["--funds", "1", "--duration", "soon", "--from", "alice"], 2, "not a duration"),
        (["--funds", "1", "--duration", "5", "--from", "alice"], 2, "needs a unit: '5'; write"),
        (["--funds", "1", "--allocation", "Nope", "--from", "alice"], 1, "Nope"),
        (["--funds", "1", "--protocol", "nope", "--from", "alice"], 1, "nope"),
        (["--funds", "1", "--dataset", "Nope", "--from", "alice"], 1, "'Nope'"),
        (["--funds", "1", "--benchmark", "Nope", "--from", "alice"], 1, "'Nope'"),
    ],
)
def test_create_says_why_not(run: Any, args: list[str], code: int, text: str) -> None:
    done = run(*CREATE, *args, code=code)
    assert text in done.stderr
    assert done.stdout == ""


def test_reading_leaves_no_trace(run: Any, run_json: Any, pool: str) -> None:
    before = run_json("log", "Benchmark")
    run("pool", "list")
    run("pool", "show", pool)
    run("pool", "leaderboard", pool)
    assert run_json("log", "Benchmark") == before


@pytest.mark.parametrize("name", ["First", "id", "prefix"])
def test_a_pool_is_found_by_title_id_or_prefix(run_json: Any, pool: str, name: str) -> None:
    wanted = {"First": "First", "id": pool, "prefix": pool[:6]}[name]
    assert run_json("pool", "show", wanted)["id"] == pool


def test_a_title_that_two_pools_have_is_refused(run: Any, run_json: Any, pool: str) -> None:
    run(*CREATE, "--funds", "1", "--title", "First", "--from", "alice")
    assert "'First' is the title of 2 pools" in run("pool", "show", "First", code=1).stderr
    assert "benchpool pool list" in run("pool", "show", "Second", code=1).stderr
    assert run_json("pool", "show", pool)["title"] == "First"


def test_a_file_becomes_a_worker_and_joins(
    run: Any, run_json: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    file = model("good", 8)
    worker = run("pool", "join", "First", "--model", file, "--from", "alice").stdout.strip()
    tags = {tag["name"]: tag["value"] for tag in run_json("inspect", worker)["tags"]}
    assert tags["Model-Name"] == "good"
    assert tags["Router"] == run_json("inspect", "LlamaRouter")["id"]
    done = run("pool", "join", "First", "--model", file, "--from", "alice", code=1)
    assert "in the pool already" in done.stderr
    workers = [each for each in run_json("processes") if each["module"] == "LlamaWorker"]
    assert [each["id"] for each in workers] == [worker]  # it was not spawned again


def test_the_leaderboard(
    run: Any, run_json: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    assert "no entries yet" in run("pool", "leaderboard", "First").stderr
    for name, correct in (("weak", 3), ("good", 8)):
        run("pool", "join", "First", "--model", model(name, correct), "--from", "alice")
    run("advance", "25h")
    rows = run_json("pool", "leaderboard", "First")
    assert [(row["rank"], row["name"], row["correct"]) for row in rows] == [
        (1, "good", 8),
        (2, "weak", 3),
    ]
    lines = run("pool", "leaderboard", "First").stdout.splitlines()
    assert headers(lines[1]) == (
        ["1", "1–2", "good", "alice", "0.8889", "0.565–0.980", "9/9", "1.5 wAR"]
    )
    assert "First" in run("pool", "list").stdout
    assert "1.5 wAR" in run("pool", "show", "First").stdout


BOARD = ["Rank", "May be", "Model", "Participant", "Accuracy", "95 % interval", "Evaluated"]
BOARD += ["Reward"]


def headers(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_before_the_first_ranking_the_board_says_so(
    run: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    run("pool", "join", "First", "--model", model("good", 8), "--from", "alice")
    run("advance", "2h")
    done = run("pool", "leaderboard", "First")
    assert done.stdout.splitlines()[1].split() == [*"––", "good", "alice", *"––––"]
    assert "nothing is ranked yet; ranked first at 2025-01-02T00:00:00Z" in done.stderr
    assert "0.0000" not in done.stdout
    assert "Next ranking  2025-01-02T00:00:00Z" in run("pool", "show", "First").stdout
    assert "Score          –  (0 of 0 answers)" in run("pool", "report", "First").stdout
    run("advance", "1d")
    assert "Score          0.8889  (8 of 9 answers)" in run("pool", "report", "First").stdout
    done = run("pool", "leaderboard", "First")
    assert "0.8889" in done.stdout
    assert "ranked again at 2025-01-03T00:00:00Z" in done.stderr


def test_an_entry_that_joined_since_comes_last(
    run: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    run("pool", "join", "First", "--model", model("old", 0), "--from", "alice")
    run("advance", "25h")
    run("pool", "join", "First", "--model", model("new", 9), "--from", "alice")
    rows = [headers(line)[:3] for line in run("pool", "leaderboard", "First").stdout.splitlines()]
    assert rows == [BOARD[:3], ["1", "1–2", "old"], ["–", "–", "new"]]


def test_the_columns_are_the_same_everywhere(
    run: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    run("pool", "join", "First", "--model", model("good", 8), "--from", "alice")
    run("advance", "25h")
    assert headers(run("pool", "leaderboard", "First").stdout.splitlines()[0]) == BOARD
    for command in (["pool", "show"], ["audit"]):
        shown = run(*command, "First").stdout
        assert re.search(r"^Allocation +WinnerTakesAll: The best entry", shown, re.MULTILINE)
        assert [*BOARD, "Joined"] in map(headers, shown.splitlines())


def test_a_pool_is_shown_without_json(
    run: Any, pool: str, model: Callable[[str, int], str]
) -> None:
    run("pool", "join", "First", "--model", model("good", 8), "--from", "alice")
    fund = ["send", "--target", "WrappedAR", "--action", "Transfer", "--from", "alice"]
    run("wallet", "new", "bob")
    give = ["--tag", "Recipient=bob", "--tag", "Quantity=1000000000000"]
    run(*fund, *give)
    fund[-1] = "bob"
    run(*fund, "--tag", "Recipient=Benchmark", "--tag", "Quantity=5", "--tag", f"X-Pool={pool}")
    shown = run("pool", "show", "First").stdout
    assert not set(shown) & set("{}[]")
    assert "alice             1.5 wAR" in shown
    assert "bob    0.000000000005 wAR" in shown


def test_every_rule_is_explained_where_it_is_named(run: Any, pool: str) -> None:
    said = " ".join(run("pool", "create", "--help").stdout.split())
    for rule in RULES.values():
        assert f"{rule.name}: {rule.summary}" in said
    sentence = f"WinnerTakesAll: {RULES['WinnerTakesAll'].summary}"
    assert sentence in run("pool", "list").stderr
    assert sentence in run("pool", "show", "First").stdout
    assert sentence in run("pool", "leaderboard", "First").stderr
    done = run(*CREATE, "--funds", "1", "--from", "alice")
    assert f"1 wAR by {sentence}" in done.stderr


@pytest.mark.parametrize(
    ("rule", "correct", "why"),
    [
        ("Equal", None, "no model entered"),
        ("Proportional", 0, "no entry scored above a blind guess"),
    ],
)
def test_a_refund_says_why(
    run: Any, model: Callable[[str, int], str], rule: str, correct: int | None, why: str
) -> None:
    create = ["pool", "create", "--dataset", "SiqaDataset", "--allocation", rule]
    run(*create, "--funds", "1", "--duration", "1d", "--title", "Back", "--from", "alice")
    if correct is not None:
        run("pool", "join", "Back", "--model", model("bad", correct), "--from", "alice")
    run("advance", "3d")
    assert f"Refunded    {why}" in run("pool", "show", "Back").stdout
    assert f"refunded: {why}" in run("pool", "leaderboard", "Back").stderr
    assert f"refunded: {why}" in run("pool", "report", "Back").stderr
    audit = run("audit", "Back").stdout
    assert f"Refunded    {why}" in audit
    assert f"refund: {why}" in audit


def test_the_report(run: Any, run_json: Any, pool: str, model: Callable[[str, int], str]) -> None:
    assert "no entries yet" in run("pool", "report", "First").stderr
    run("pool", "join", "First", "--model", model("good", 8), "--from", "alice")
    run("advance", "25h")
    (facts,) = run_json("pool", "report", "First")
    assert (facts["name"], facts["correct"], facts["evaluated"]) == ("good", 8, 9)
    assert sum(facts["predictions"].values()) == 9
    assert facts["labels"] == {"A": 3, "B": 3, "C": 3}
    assert (facts["rank_set"], facts["provisional"]) == ([1, 1], True)
    assert [each["answers"] for each in facts["runtimes"]] == [9]
    shown = run("pool", "report", "First").stdout
    assert "0.8889  (8 of 9 answers)" in shown
    assert "0.5650–0.9801; guessing 0.3333" in shown
    assert "Rank may be    1, provisional until the pool is paid" in shown
    assert "stored, 9 answers: " + facts["runtimes"][0]["runtime"] in shown


def test_join_says_why_not(run: Any, pool: str, tmp_path: Path) -> None:
    join = ["pool", "join", "First", "--from", "alice", "--model"]
    assert "is no file" in run(*join, str(tmp_path / "none.gguf"), code=2).stderr
    assert "benchpool model add PATH" in run(*join, "nothing", code=3).stderr
    assert "unknown model" in run(*join, "WrappedAR", code=1).stderr


def test_join_with_a_model_of_this_machine_names_the_pull(run: Any, pool: str) -> None:
    done = run("pool", "join", "First", "--model", "smollm2-135m", code=3)
    assert "benchpool model pull smollm2-135m" in done.stderr
