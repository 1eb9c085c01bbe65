from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from benchpool.inference import ChoicesRequest, GenerateRequest, Runtime, Unanswered
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.runs import Run

QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd", " neither")) for n in range(40)]
ASKED = [*QUESTIONS, GenerateRequest("hi"), ChoicesRequest("Q", ("",))]


@pytest.fixture
def cache(tmp_path):
    cache = AnswerCache(tmp_path / "cache")
    yield cache
    cache.close()


@contextmanager
def open_model(path, cache, precision="stored", **options):
    pool = EnginePool(answers=cache.path.parent, **options)
    try:
        with pool.open(path, precision) as engine:
            engine.stats = pool.stats()
            yield engine
    finally:
        pool.close()


def test_the_same_model_is_asked_once(tiny, cache, tmp_path):
    with open_model(tiny, cache) as engine:
        first = engine.answer(ASKED)
        assert engine.answer(ASKED[:3]) == first[:3]
    steps = []
    copy = tmp_path / "other-name.gguf"
    copy.write_bytes(tiny.read_bytes())
    with open_model(copy, cache, workers=2) as again:
        assert again.answer(ASKED, lambda *step: steps.append(step)) == first
        assert again.stats.cached == len(ASKED) - 1  # what was not answered is asked again
        assert again.stats.tokens == 0
    assert steps == [(len(ASKED) - 1, len(ASKED)), (len(ASKED), len(ASKED))]


def test_two_models_never_share_an_answer(tiny, cache, write_gguf, tmp_path):
    other = write_gguf(tmp_path / "tiny.gguf", output_weight=0.01)
    with (
        open_model(tiny, cache) as one,
        open_model(other, cache) as two,
    ):
        first = one.answer(QUESTIONS)
        second = two.answer(QUESTIONS)
        assert (one.stats.cached, two.stats.cached) == (0, 0)
        assert first != second
        assert one.answer(QUESTIONS) == first
        assert two.answer(QUESTIONS) == second


def test_other_runtimes_have_answers_of_their_own(tiny, cache, tmp_path):
    options = [
        ("stored", {}),
        ("stored", {"layout": "canonical-2"}),
        ("bf16", {"copies": tmp_path}),
    ]
    for precision, option in options:
        with open_model(tiny, cache, precision, **option) as engine:
            engine.answer(QUESTIONS[:2])
            assert engine.stats.cached == 0


def test_an_interruption_keeps_what_was_answered(tiny, cache):
    def interrupt(done, _asked):
        if done == 20:
            raise KeyboardInterrupt

    with open_model(tiny, cache, workers=3) as engine:
        with pytest.raises(KeyboardInterrupt):
            engine.answer(QUESTIONS, interrupt)
        resumed = engine.answer(QUESTIONS)
        assert engine.stats.cached >= 20
    with IsolatedEngine(tiny, threads=1) as engine:
        assert engine.answer(QUESTIONS) == resumed


def test_what_was_not_answered_is_not_kept(cache):
    runtime = Runtime("build", "cpu", "stored", "canonical-2")
    cache.keep("0" * 64, runtime, [(QUESTIONS[0], Unanswered("too long"))])
    assert cache.find("0" * 64, runtime, QUESTIONS) == {}


def test_the_facts_of_each_run_stand_beside_the_answers(tiny, cache):
    with open_model(tiny, cache, workers=2) as engine:
        engine.answer(ASKED)
        engine.answer(ASKED[:10])
        runtime, card, spent = engine.runtime, engine.card, engine.stats
    (total,) = cache.runs()
    assert (total.model, total.runtime, total.quantization) == (card.sha256, runtime, "F32")
    assert (total.runs, total.requests, total.cached) == (2, 52, 10)
    assert (total.answered, total.unanswered) == (42, 1)
    assert (total.tokens, total.rows) == (spent.tokens, spent.rows)
    assert total.tokens_per_second > 0


def test_facts_are_there_for_the_next_program(cache, tmp_path):
    run = Run(
        "m", "n", Runtime("b", "c", "bf16", "canonical-2"), "Q4_1", None, 3, 2, 1, 0, 9, 4, 0, 0, 0
    )
    cache.note(replace(run, milliseconds=500.0, started=1000, ended=3000))
    cache.note(replace(run, name="earlier", answered=0, tokens=0, started=0, ended=1000))
    again = AnswerCache(tmp_path / "cache")
    (total,) = again.runs()
    again.close()
    assert total.tokens_per_second == 18
    assert total.questions_per_second == 1
    assert (total.name, total.runs, total.requests) == ("n", 2, 6)
    assert total.last == 3000
