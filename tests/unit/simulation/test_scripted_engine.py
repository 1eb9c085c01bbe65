from __future__ import annotations

from pathlib import Path

import pytest

from benchpool.errors import ModelDied, ModelFileError
from benchpool.evaluation import prompts
from benchpool.evaluation.sample import Sample
from benchpool.evaluation.scorers import retrieve_letter, score_cloze
from benchpool.inference.engine import (
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    Precision,
    Unanswered,
)
from benchpool.simulation.scripted_engine import (
    ScriptedEngine,
    ScriptedEngines,
    choose,
    write_script,
)

SAMPLES = [
    Sample(f"Context {n}.", "What then?", ("one", "two!", "three"), n % 3 + 1) for n in range(10)
]


@pytest.mark.parametrize("correct", [0, 1, 7, 10])
def test_exactly_so_many_are_right_by_either_protocol(correct: int) -> None:
    choices = choose(SAMPLES, correct, seed="s")
    with ScriptedEngine(write_script("m", SAMPLES, choices)) as engine:
        clozes = engine.answer([ChoicesRequest(*prompts.cloze(each)) for each in SAMPLES])
        letters = engine.answer([GenerateRequest(prompts.letters(each).user) for each in SAMPLES])
    picked = []
    for answer, sample in zip(clozes, SAMPLES, strict=True):
        assert isinstance(answer, ChoicesAnswer)
        nats = [each.nats for each in answer.log_likelihoods]
        picked.append(score_cloze(nats, sample.choices).prediction)
    assert picked == choices
    assert [
        retrieve_letter(each.text) for each in letters if isinstance(each, Generation)
    ] == choices
    assert sum(a == sample.gold for a, sample in zip(picked, SAMPLES, strict=True)) == correct


def test_the_seed_decides_which() -> None:
    assert choose(SAMPLES, 5, seed="a") == choose(SAMPLES, 5, seed="a")
    assert choose(SAMPLES, 5, seed="a") != choose(SAMPLES, 5, seed="b")


def test_a_question_that_it_does_not_know_is_unanswered() -> None:
    engine = ScriptedEngine(write_script("m", SAMPLES, [1] * 10))
    assert isinstance(engine.answer([ChoicesRequest("?", (" a", " b"))])[0], Unanswered)
    assert engine.card.architecture == "scripted"


def test_a_killed_model_fails_until_it_is_revived(tmp_path: Path) -> None:
    file = tmp_path / "m"
    file.write_bytes(write_script("m", SAMPLES, [1] * 10))
    engines = ScriptedEngines()
    engine = engines(file)
    asked = ChoicesRequest(*prompts.cloze(SAMPLES[0]))
    engines.kill("m")
    with pytest.raises(ModelDied, match="killed by the scenario"):
        engine.answer([asked])
    engines.revive("m")
    progress: list[tuple[int, int]] = []
    engine.answer([asked, asked], lambda done, total: progress.append((done, total)))
    assert progress == [(1, 2), (2, 2)]


def test_other_files_go_to_the_usual_engine(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    asked = []

    def usual(path: Path, precision: Precision) -> ScriptedEngine:
        asked.append((path, precision))
        raise ModelFileError("no model")

    with pytest.raises(ModelFileError):
        ScriptedEngines(usual)(file, "bf16")
    assert asked == [(file, "bf16")]


def test_a_damaged_script() -> None:
    with pytest.raises(ModelFileError, match="not a scripted model"):
        ScriptedEngine(b'{"benchpool":"scripted model"}')
