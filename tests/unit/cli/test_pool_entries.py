"""A pool's terms, its entries and what became of them, told by the commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from old_homes import unpack

from benchpool import Network
from benchpool.client.deployment import deploy
from benchpool.evaluation.sample import Sample, samples_hash, seal, to_json
from benchpool.pools.commitment import commitment
from benchpool.simulation.scripted_engine import ScriptedEngines, write_script
from benchpool.store.data import file_id

SAMPLES = [
    Sample(f"Context {n}.", "What then?", ("a", "b", "a very long one"), n % 3 + 1)
    for n in range(30)
]
WAR = 10**12
GOOD, FAIR, GUESSER = range(26), range(8, 30), range(10)
"""Which questions models get right; no two of these agree on 20."""
CREATE = ["pool", "create", "--dataset", "SiqaDataset", "--funds", "1.5", "--from", "alice"]
WINNER = [*CREATE, "--title", "First", "--duration", "2d", "--allocation", "WinnerTakesAll"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which all is deployed, to be copied."""
    folder = tmp_path_factory.mktemp("made") / "home"
    with Network(folder) as network:
        deploy(network, samples=to_json(SAMPLES).encode())
        for name in ("alice", "bob", "cyd"):
            wallet = network.new_wallet(name)
            grant = {"Quantity": str(5 * WAR), "Recipient": wallet.address}
            network.send("WrappedAR", "Mint", grant)
    return folder


@pytest.fixture(autouse=True)
def deployed(made: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = ScriptedEngines()
    defaults = dict(Network.__init__.__kwdefaults__)
    monkeypatch.setattr(Network.__init__, "__kwdefaults__", {**defaults, "engine_factory": engines})
    shutil.copytree(made, home)


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str, Iterable[int]], str]:
    def write(name: str, right: Iterable[int]) -> str:
        file, known = tmp_path / f"{name}.gguf", set(right)
        choices = [each.gold if n in known else each.gold % 3 + 1 for n, each in enumerate(SAMPLES)]
        file.write_bytes(write_script(name, SAMPLES, choices))
        return str(file)

    return write


@pytest.fixture
def join(run: Any, model: Any) -> Callable[..., str]:
    def enter(pool: str, name: str, right: Iterable[int], who: str, *more: str) -> str:
        options = ("--model", model(name, right), "--from", who)
        return str(run("pool", "join", pool, *options, *more).stdout.strip())

    return enter


def balance(home: Path, name: str) -> int:
    with Network(home, read_only=True) as network:
        asked = {"Recipient": network.resolve(name)}
        return int(network.dry_run("WrappedAR", "Balance", asked).messages[0].data)


# -- terms ---------------------------------------------------------------------------------------


def test_the_terms_reach_the_pool(run: Any, run_json: Any) -> None:
    terms = ["--eligible", "all", "--near-copies", "merge", "--ties", "tiers", "--places", "2"]
    terms += ["--bond", "0.01", "--data", samples_hash(SAMPLES), "--start", "1h"]
    made = run_json(*WINNER, *terms, "--join-until", "1d")
    with_time = run_json(*CREATE, "--allocation", "Equal", "--join-until", "2025-01-02T00:00:00Z")
    hour = 3_600_000
    assert int(made["binding"]["join_until"]) == made["start_time"] + 24 * hour
    assert made["end_time"] == made["start_time"] + 48 * hour
    assert made["start_time"] == with_time["start_time"] + hour
    assert int(with_time["binding"]["join_until"]) == with_time["start_time"] + 24 * hour
    named = {"eligible": "all", "near_copies": "merge", "ties": "tiers", "places": "2"}
    named |= {"bond": "10000000000", "samples": "30", "samples_sha_256": samples_hash(SAMPLES)}
    assert {key: made["binding"][key] for key in named} == named
    shown = " ".join(run("pool", "show", "First").stdout.split())
    for line in (
        "Eligible all: Every entry that answered anything takes a place, guessers too.",
        "Places 2: Only the first 2 places are paid, as if there were no others.",
        f"Questions 30, SHA-256 {samples_hash(SAMPLES)}",
        "Asked by SiqaDataset",
        "Its owner default",
        "Router LlamaRouter",
        "Join until 2025-01-02T01:00:00Z",
        "Bond 0.01 wAR",
    ):
        assert line in shown
    plain = run_json(*CREATE, "--allocation", "Equal")
    assert not {"eligible", "near_copies", "ties", "places", "bond"} & set(plain["binding"])


def test_controls_are_asked_for(run: Any, run_json: Any) -> None:
    asked = run_json(*CREATE, "--allocation", "Equal", "--controls", "answers-only")
    assert asked["binding"]["controls"] == "answers-only"
    assert "answers-only" in run("pool", "show", asked["id"]).stdout


def test_the_hint_and_its_warning_follow_the_terms(run: Any) -> None:
    steps = [*CREATE, "--allocation", "ArithmeticDecrease"]
    said = run(*steps, "--places", "2").stderr
    assert "the ranks would get 1, 0.5, 0, 0, 0 wAR" in said
    assert "finer than the data can tell" in said
    assert "finer" not in run(*steps, "--ties", "tiers").stderr


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["--eligible", "some"], 1, "X-Eligible is one of above-chance, all, not 'some'"),
        (["--ties", "loose"], 1, "X-Ties is one of"),
        (["--near-copies", "x"], 1, "X-Near-Copies is one of"),
        (["--places", "0"], 2, "greater than or equal to 1"),
        (["--bond", "0"], 2, "a bond needs more than nothing"),
        (["--join-until", "soon"], 2, "'soon' is no time; write it like 2025-01-31T00:00:00Z"),
        (["--join-until", "9d"], 1, "X-Join-Until must lie after the start"),
        (["--start", "2024-01-01"], 1, "is past"),
        (["--data", "0" * 64], 1, "X-Data: the questions of the data set have the SHA-256"),
        (["--controls", "none"], 1, "X-Controls names each once of answers-only, reordered"),
        (["--sealed", "0" * 64], 1, "X-Sealed: the data set has questions already"),
    ],
)
def test_create_says_which_term_cannot_be(
    run: Any, home: Path, args: list[str], code: int, text: str
) -> None:
    assert text in run(*WINNER, *args, code=code).stderr
    assert balance(home, "alice") == 5 * WAR


# -- commitments ---------------------------------------------------------------------------------


def test_who_committed_first_is_the_original(
    run: Any, run_json: Any, home: Path, model: Any, join: Any
) -> None:
    run(*WINNER)
    file = model("good", GOOD)
    made = run_json("pool", "commit", "--model", file, "--from", "alice")
    assert made["commitment"] == commitment(made["salt"], made["participant"], made["weights"])
    kept = home / "commitments.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    run("advance", "1h")
    join("First", "good", GOOD, "bob")  # the same file, somehow
    entered = run_json("pool", "join", "First", "--model", file, "--from", "alice")
    assert entered["committed"]
    run("advance", "4d")
    rows = run_json("pool", "leaderboard", "First")
    fates = {row["participant"]: (row["fate"], row["reward"]) for row in rows}
    assert fates.pop(made["participant"]) == ("placed", str(3 * WAR // 2))
    assert list(fates.values()) == [("copy", "0")]
    shown = run("pool", "leaderboard", "First").stdout
    assert "Fate" in shown
    assert "copy" in shown


def test_a_commitment_is_made_once(run: Any, run_json: Any, model: Any) -> None:
    commit = ["pool", "commit", "--model", model("good", GOOD), "--from"]
    first = run_json(*commit, "alice")
    run("advance", "1h")
    assert run_json(*commit, "alice") == first
    assert run_json(*commit, "bob")["salt"] != first["salt"]
    other = run_json(*commit, "alice", "--salt", "mine")
    assert (other["salt"], other["committed_at"]) == ("mine", first["committed_at"] + 3_600_000)
    shown = run(*commit, "alice")
    assert f"Commitment  {other['commitment']}" in shown.stdout
    assert "Since       2025-01-01T01:00:00Z" in shown.stdout
    assert "commitments.json, where pool join finds it" in shown.stderr


def test_join_takes_a_salt(run: Any, run_json: Any, home: Path, model: Any) -> None:
    run(*WINNER)
    file = model("good", GOOD)
    made = run_json("pool", "commit", "--model", file, "--from", "alice")
    (home / "commitments.json").unlink()  # as if it was made in another home
    joining = ["pool", "join", "First", "--model", file, "--from", "alice", "--salt"]
    wrong = run(*joining, "wrong", code=1).stderr
    assert f"nobody has committed to weights {made['weights']}" in wrong
    assert "held since they were committed to" in run(*joining, made["salt"]).stderr
    (home / "commitments.json").write_text("{}[")
    assert "commitments.json cannot be read" in run(*joining[:-1], code=1).stderr


# -- bonds ---------------------------------------------------------------------------------------


def test_a_bond_is_paid_and_comes_back_or_is_lost(
    run: Any, run_json: Any, home: Path, join: Any, model: Any
) -> None:
    run(*WINNER, "--bond", "0.1")
    file = model("good", GOOD)
    said = run("pool", "join", "First", "--model", file, "--from", "bob").stderr
    assert "joining costs a bond of 0.1 wAR" in said
    join("First", "guesser", GUESSER, "cyd")
    assert balance(home, "bob") == balance(home, "cyd") == 5 * WAR - WAR // 10
    again = run("pool", "join", "First", "--model", file, "--from", "bob", code=1).stderr
    assert "in the pool already" in again
    poor = ["pool", "join", "First", "--model", model("poor", FAIR)]
    assert "Insufficient Balance!" in run(*poor, code=1).stderr
    assert balance(home, "bob") == 5 * WAR - WAR // 10
    run("advance", "4d")
    assert balance(home, "bob") == 5 * WAR + 3 * WAR // 2
    assert balance(home, "cyd") == 5 * WAR - WAR // 10
    assert balance(home, "alice") == 5 * WAR - 3 * WAR // 2 + WAR // 10
    told = run("pool", "explain", "First").stdout.splitlines()
    assert told == [
        "good (bob): 1.5 wAR",
        "  26 of 30 right: better than guessing (p = 2.3e-09; corrected for 2 entries 4.6e-09, at"
        " most 0.05 allowed)",
        "  place 1",
        "  100.00% of 1500000000000 winston by WinnerTakesAll: 1500000000000",
        "  its bond of 0.1 wAR comes back",
        "guesser (cyd): 0 wAR",
        "  10 of 30 right: no better than a guesser may be (p = 0.57; corrected for 2 entries 0.57,"
        " at most 0.05 allowed)",
        "  takes no place",
        "  its bond of 0.1 wAR is lost to the contributors",
        "alice gave 1.5 wAR: 0.1 wAR back",
        "1.5 wAR to entries and 0.1 wAR back are 1.5 wAR of funds and 0.1 wAR of lost bonds",
    ]
    found = run_json("pool", "explain", "First")
    given = int(found["rewards"]) + int(found["refunds"])
    assert given == int(found["funds"]) + int(found["lost_bonds"]) == 16 * WAR // 10


# -- explaining ----------------------------------------------------------------------------------


def test_an_open_pool_is_explained_as_it_stands(run: Any, run_json: Any, join: Any) -> None:
    run(*WINNER, "--ties", "tiers")
    join("First", "good", GOOD, "bob")
    join("First", "fair", FAIR, "cyd")
    run("advance", "25h")
    shown = run("pool", "explain", "First")
    assert "good (bob): 0.75 wAR" in shown.stdout
    assert "shares places 1 to 2: the answers do not tell them apart" in shown.stdout
    assert "this pool is not settled" in shown.stderr
    assert "copies are looked for by their weights alone" in shown.stderr
    assert "Ties tiers: Down the board" in " ".join(shown.stderr.split())
    (only,) = run_json("pool", "explain", "First", "fair")["entries"]
    assert (only["name"], only["places"], only["reward"]) == ("fair", [1, 2], str(3 * WAR // 4))
    one = run("pool", "explain", "First", "fair").stdout
    assert one.startswith("fair (cyd): 0.75 wAR\n")
    assert "good" not in one
    assert "no entry 'Nope'" in run("pool", "explain", "First", "Nope", code=1).stderr
    run("advance", "4d")
    assert "not settled" not in run("pool", "explain", "First").stderr


def test_a_pool_without_entries_is_explained(run: Any, run_json: Any) -> None:
    run(*WINNER)
    run("advance", "4d")
    assert run("pool", "explain", "First").stdout.splitlines() == [
        "no model entered",
        "alice gave 1.5 wAR: 1.5 wAR back",
        "0 wAR to entries and 1.5 wAR back are 1.5 wAR of funds",
    ]


def test_reports_say_what_became_of_an_entry(run: Any, run_json: Any, join: Any) -> None:
    run(*WINNER)
    join("First", "guesser", GUESSER, "cyd")
    run("advance", "4d")
    (facts,) = run_json("pool", "report", "First")
    assert facts["fate"] == "not above chance"
    assert "Fate           10 of 30 right: no better" in run("pool", "report", "First").stdout
    assert "no entry is above chance" in run("pool", "show", "First").stdout


# -- settled another way -------------------------------------------------------------------------


@pytest.fixture
def settled(run: Any, join: Any) -> None:
    run(*WINNER, "--bond", "0.1")
    for name, right, who in (("good", GOOD, "bob"), ("fair", FAIR, "cyd"), ("bad", GUESSER, "cyd")):
        join("First", name, right, who)
    run("advance", "4d")


OTHER = ("pool", "counterfactual", "First")


@pytest.mark.usefixtures("settled")
def test_another_rule_says_who_would_gain(run: Any, run_json: Any) -> None:
    found = run_json(*OTHER, "--rule", "Equal")
    rows = {
        row["name"]: (row["place_paid"], row["place"], row["difference"])
        for row in found["entries"]
    }
    assert rows == {
        "good": (1, 1, str(-3 * WAR // 4)),
        "fair": (0, 2, str(3 * WAR // 4)),
        "bad": (0, 0, "0"),
    }
    assert sum(map(int, found["differences"].values())) == 0
    shown = run(*OTHER, "--rule", "Equal").stdout.splitlines()
    assert shown[-2:] == ["cyd gains 0.75 wAR", "bob loses 0.75 wAR"]


@pytest.mark.usefixtures("settled")
def test_the_same_terms_change_nothing(run: Any, run_json: Any) -> None:
    found = run_json(*OTHER, "--rule", "WinnerTakesAll", "--protocol", "cloze")
    assert found["differences"] == {}
    said = run(*OTHER, "--eligible", "above-chance", "--ties", "exact").stdout
    assert said.endswith("nobody gains or loses anything\n")


@pytest.mark.usefixtures("settled")
def test_bonds_follow_the_terms_too(run: Any, run_json: Any) -> None:
    found = run_json(*OTHER, "--eligible", "all")
    bad = next(row for row in found["entries"] if row["name"] == "bad")
    assert (bad["place"], bad["paid"], bad["would_get"]) == (3, "0", str(WAR // 10))
    (alice,) = found["contributors"]
    assert (alice["paid"], alice["would_get"]) == (str(WAR // 10), "0")
    assert sum(map(int, found["differences"].values())) == 0
    assert "alice would get 0 wAR back, not 0.1 wAR" in run(*OTHER, "--eligible", "all").stdout


@pytest.mark.usefixtures("settled")
def test_answers_per_character_are_in_the_log(run: Any, run_json: Any) -> None:
    found = run_json(*OTHER, "--per-character")
    report = {
        row["name"]: row["correct_per_character"] for row in run_json("pool", "report", "First")
    }
    assert {row["name"]: row["correct"] for row in found["entries"]} == report
    assert report["good"] != 26


@pytest.mark.slow
@pytest.mark.usefixtures("settled")
def test_answers_by_another_protocol_must_be_in_the_log(run: Any, run_json: Any, join: Any) -> None:
    missing = run(*OTHER, "--protocol", "letters", code=1).stderr
    assert "the log has no answers of good by letters, only by cloze" in missing
    second = [*CREATE, "--allocation", "Equal", "--protocol", "letters", "--title", "Second"]
    run(*second)
    for name, right, who in (("good", GOOD, "bob"), ("fair", FAIR, "cyd"), ("bad", GUESSER, "cyd")):
        join("Second", name, right, who)
    open_pool = run("pool", "counterfactual", "Second", "--rule", "Equal", code=1).stderr
    assert "is not settled; what would be decided now: benchpool pool explain" in open_pool
    assert "only by cloze" in run(*OTHER, "--protocol", "letters", code=1).stderr  # still
    run("advance", "2h")
    found = run_json(*OTHER, "--protocol", "letters")
    assert (found["missing"], found["differences"]) == ({}, {})
    run("advance", "40d")
    letters = ("pool", "counterfactual", "Second", "--per-character")
    assert "by letters have no log-likelihoods" in run(*letters, code=1).stderr
    assert run_json("pool", "counterfactual", "Second", "--protocol", "cloze")["differences"] == {}


def test_a_counterfactual_names_what_is_different(run: Any) -> None:
    assert "name what is to be different" in run(*OTHER, code=2).stderr
    assert "no pool" in run(*OTHER, "--rule", "Equal", code=1).stderr


def test_pools_of_before_are_explained_and_settled_another_way(
    run: Any, run_json: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCHPOOL_HOME", str(unpack("plain", tmp_path / "old")))
    assert run("pool", "explain", "happy", "model-ana").stdout.splitlines() == [
        "model-ana (ana): 0.666666666671 wAR",
        "  6 of 6 right",
        "  place 1",
        "  66.67% of 1000000000006 winston by ArithmeticDecrease: 666666666671, 1 of them left over"
        " by the division",
    ]
    old = ("pool", "counterfactual", "happy")
    assert run_json(*old, "--near-copies", "flag")["differences"] == {}
    found = run_json(*old, "--ties", "tiers")
    assert {row["name"]: row["difference"] for row in found["entries"]} == {
        "model-ana": "-166666666668",
        "model-ben": "166666666668",
    }
    assert "Eligible all: Every entry" in run(*old, "--ties", "tiers").stderr


# -- sealed --------------------------------------------------------------------------------------


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "secret.json"
    file.write_text(f"{to_json(SAMPLES)}\n")  # not the bytes that the other data set has
    return file


def test_questions_are_hashed_whatever_their_form(
    run: Any, run_json: Any, tmp_path: Path, questions: Path
) -> None:
    lines = tmp_path / "lines.jsonl"
    rows = json.loads(questions.read_text())
    lines.write_text("\n".join(map(json.dumps, rows)))
    assert run("data", "hash", str(lines)).stdout == f"{samples_hash(SAMPLES)}\n"
    found = run_json("data", "hash", str(questions), "--dataset", "SiqaDataset")
    assert found == {"samples": 30, "samples_sha256": samples_hash(SAMPLES)}
    made = run_json("data", "seal", str(questions))
    assert made["seal"] == seal(made["salt"], SAMPLES)
    assert made["samples_sha256"] == samples_hash(SAMPLES)
    shown = run("data", "seal", str(questions), "--salt", "mine")
    assert f"Seal       {seal('mine', SAMPLES)}" in shown.stdout
    assert "keep the salt" in shown.stderr
    assert "cannot be read" in run("data", "hash", str(tmp_path / "no"), code=1).stderr


def test_a_sealed_pool_from_seal_to_payout(
    run: Any, run_json: Any, tmp_path: Path, questions: Path, join: Any
) -> None:
    tags = ("--tag", "LlamaRouter=@LlamaRouter", "--tag", "Benchmark=@Benchmark")
    ticks = ("--tag", "Cron-Interval=1-hour", "--tag", "Cron-Tag-Action=Evaluate")
    run("spawn", "SiqaDataset", "--name", "Secret", *tags, *ticks, "--from", "cyd")
    made = run_json("data", "seal", str(questions))
    sealed = ["--dataset", "Secret", "--sealed", made["seal"], "--join-until", "1d"]
    run(*WINNER, *sealed)
    join("First", "good", GOOD, "bob")
    assert "a secret still" in run("pool", "show", "First").stdout
    assert run("pool", "leaderboard", "First").exit_code == 0
    assert (
        "nothing is answered yet: its questions are sealed" in run("pool", "report", "First").stderr
    )
    assert "its questions are sealed still" in run("pool", "explain", "First").stderr
    reveal = ["pool", "reveal", "First", "--file", str(questions), "--from", "cyd", "--salt"]
    assert "models can join pool" in run(*reveal, made["salt"], code=1).stderr
    run("advance", "25h")
    assert f"has sealed {made['seal']}, but salt and file" in run(*reveal, "x", code=1).stderr
    stranger = [*reveal[:-2], "bob", "--salt", made["salt"]]
    assert "who owns the data set, can reveal" in run(*stranger, code=1).stderr
    assert file_id(questions) not in [each["id"] for each in run_json("data", "list")]
    assert run(*reveal, made["salt"]).stdout == f"{samples_hash(SAMPLES)}\n"
    assert "waits for no questions" in run(*reveal, made["salt"], code=1).stderr
    run("advance", "3d")
    assert run_json("pool", "show", "First")["status"] == "paid"
    run("audit", "First")
    assert samples_hash(SAMPLES) in run("pool", "report", "First").stdout


def test_a_reveal_that_would_refund_another_pool_is_not_sent(
    run: Any, run_json: Any, questions: Path
) -> None:
    run(
        "spawn",
        "SiqaDataset",
        "--name",
        "Secret",
        "--tag",
        "LlamaRouter=@LlamaRouter",
        "--tag",
        "Benchmark=@Benchmark",
    )
    made = run_json("data", "seal", str(questions))
    sealed = ["--dataset", "Secret", "--sealed"]
    run(*WINNER, *sealed, made["seal"], "--join-until", "1d")
    other = run_json(*CREATE, "--allocation", "Equal", *sealed, made["seal"])["id"]
    run("advance", "25h")
    reveal = ["pool", "reveal", "First", "--file", str(questions), "--salt", made["salt"]]
    assert f"models can join pool {other} for 28d23h more" in run(*reveal, code=1).stderr
    plain = run(*CREATE, "--allocation", "Equal", "--title", "Plain")
    not_sealed = ["pool", "reveal", plain.stdout.strip(), *reveal[3:]]
    assert "is not sealed" in run(*not_sealed, code=1).stderr
