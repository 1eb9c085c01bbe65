import pytest

from benchpool.errors import InferenceError
from benchpool.inference import ChoicesRequest, GenerateRequest, Runtime, Unanswered
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.isolated import IsolatedEngine

QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd", " neither")) for n in range(40)]
ASKED = [*QUESTIONS, GenerateRequest("hi"), ChoicesRequest("Q", ("",))]


@pytest.fixture
def cache(tmp_path):
    cache = AnswerCache(tmp_path / "cache")
    yield cache
    cache.close()


def test_the_same_model_is_asked_once(tiny, cache, tmp_path):
    with IsolatedEngine(tiny, threads=1, cache=cache) as engine:
        first = engine.answer(ASKED)
        assert engine.answer(ASKED[:3]) == first[:3]
    steps = []
    copy = tmp_path / "other-name.gguf"
    copy.write_bytes(tiny.read_bytes())
    with IsolatedEngine(copy, threads=2, cache=cache) as again:
        assert again.answer(ASKED, lambda *step: steps.append(step)) == first
        assert again.stats.cached == len(ASKED) - 1  # what was not answered is asked again
        assert again.stats.tokens == 0
    assert steps == [(done, len(ASKED)) for done in range(1, len(ASKED) + 1)]


def test_two_models_never_share_an_answer(tiny, cache, write_gguf, tmp_path):
    other = write_gguf(tmp_path / "tiny.gguf", output_weight=0.01)
    with (
        IsolatedEngine(tiny, threads=1, cache=cache) as one,
        IsolatedEngine(other, threads=1, cache=cache) as two,
    ):
        first = one.answer(QUESTIONS)
        second = two.answer(QUESTIONS)
        assert (one.stats.cached, two.stats.cached) == (0, 0)
        assert first != second
        assert one.answer(QUESTIONS) == first
        assert two.answer(QUESTIONS) == second


def test_other_runtimes_have_answers_of_their_own(tiny, cache, tmp_path):
    options = [{}, {"layout": "canonical-2"}, {"precision": "bf16", "copies": tmp_path}]
    for option in options:
        with IsolatedEngine(tiny, threads=1, cache=cache, **option) as engine:
            engine.answer(QUESTIONS[:2])
            assert engine.stats.cached == 0


def test_an_interruption_keeps_what_was_answered(tiny, cache):
    def interrupt(done, _asked):
        if done == 20:
            raise KeyboardInterrupt

    with IsolatedEngine(tiny, threads=1, cache=cache) as engine:
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


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "answers-1.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InferenceError, match=r"answers-1\.sqlite: the answer cache"):
        AnswerCache(tmp_path)
