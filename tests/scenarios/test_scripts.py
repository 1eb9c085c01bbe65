"""The scripts, run as a user runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def test_spawn_sets_a_home_up_so_that_send_works_right_after_it(tmp_path: Path):
    home = str(tmp_path / "home")
    names = json.loads(run("scripts/spawn.py", "--home", home, "--json").stdout)
    assert set(names) == {"WrappedAR", "Benchmark", "SiqaDataset", "LlamaRouter", "LlamaHerder"}

    sent = run(
        *("-m", "benchpool", "send", "--target", "WrappedAR", "--action", "Info"),
        *("--home", home, "--json"),
    )
    replies = json.loads(sent.stdout)["replies"]
    assert {"name": "Ticker", "value": "wAR"} in replies[0]["Tags"]
    again = json.loads(run("scripts/spawn.py", "--home", home, "--json").stdout)
    assert again == names


def test_spawn_names_the_line_of_a_bad_data_file(tmp_path: Path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"context": "x"}\n')
    done = run("scripts/spawn.py", "--home", str(tmp_path / "h"), "--data", str(bad), code=1)
    assert f"{bad}, line 1" in done.stderr
    assert not (tmp_path / "h").exists()


def test_wrapped_ar_mints_and_transfers_and_refuses_what_is_not_there(tmp_path: Path):
    script = ("scripts/wrapped_ar.py", "--home", str(tmp_path / "home"), "--json")
    run(*script, "mint", "100", "--to", "alice")
    shown = json.loads(run(*script, "transfer", "2.5", "--from", "alice", "--to", "bob").stdout)
    assert shown["supply"] == str(100 * 10**12)
    assert shown["balances"] == {"alice": "97500000000000", "bob": "2500000000000"}

    refused = run(*script, "transfer", "3", "--from", "bob", "--to", "alice", code=1)
    assert "Insufficient Balance!" in refused.stderr
    assert json.loads(run(*script).stdout) == shown


@pytest.mark.model
@pytest.mark.slow
def test_siqa_scores_a_real_model_through_the_processes(tmp_path: Path):
    home = str(tmp_path / "home")
    words = ("scripts/siqa.py", "--home", home, "--questions", "6", "--json")
    score = json.loads(run(*words).stdout)
    assert (score["evaluated"], score["total"]) == (6, 6)
    assert 0 <= score["correct"] <= 6
    assert score["score"] == pytest.approx(score["correct"] / 6, abs=1e-6)
    assert json.loads(run(*words).stdout) == score
