import os
import signal
import threading
import time

import pytest

from benchpool.errors import InferenceError, ModelDied, ModelFileError
from benchpool.inference import ChoicesRequest, GenerateRequest, Unanswered
from benchpool.inference.answer_cache import AnswerCache
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.llama.llama_cpp import LlamaCppEngine

QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(100)]
MANY = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(20_000)]


@pytest.fixture
def make_pool():
    pools = []

    def make(**options):
        pools.append(EnginePool(**options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def in_thread(work):
    results = []

    def run():
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join()
        return results[0]

    return result


@pytest.mark.parametrize(
    "layout", [pytest.param("canonical-1", marks=pytest.mark.slow), "canonical-2"]
)
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_answers_do_not_depend_on_the_number_of_workers(tiny, make_pool, layout, workers):
    requests = [*QUESTIONS, GenerateRequest("hi"), ChoicesRequest("Q", ("",))]
    with LlamaCppEngine(tiny, layout=layout) as direct:
        expected = direct.answer(requests)
    steps = []
    pool = make_pool(workers=workers, layout=layout)
    with pool.open(tiny) as engine:
        assert engine.answer(requests, lambda *step: steps.append(step)) == expected
        assert pool.stats().answered == len(requests)
        assert engine.card.name == "tiny"
        assert engine.runtime.layout == layout
        assert engine.answer([]) == []
    assert steps == [(done, len(requests)) for done in range(1, len(requests) + 1)]


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["stored", "bf16"])
def test_the_real_model_gives_the_same_bits_for_any_number_of_workers(smol, make_pool, precision):
    given = []
    for workers in (1, 3):
        with make_pool(workers=workers).open(smol, precision) as engine:
            given.append(engine.answer(QUESTIONS[:24]))
    assert given[0] == given[1]


def test_one_model_uses_every_worker(tiny, make_pool):
    pool = make_pool(workers=2)
    with pool.open(tiny) as engine:
        engine.answer(MANY[:1000])
        assert len(pool._children) == 2
    assert not pool._children


def test_callers_of_one_model_share_its_children(tiny, make_pool):
    pool = make_pool(workers=2)
    with pool.open(tiny) as one, pool.open(tiny) as two:
        first = in_thread(lambda: one.answer(MANY[:600]))
        assert two.answer(MANY[300:600]) == first()[300:]
        assert len(pool._children) <= 2


def test_a_long_call_starves_nobody(tiny, make_pool, write_gguf, tmp_path):
    other = write_gguf(tmp_path / "other.gguf", output_weight=0.01)
    # No room for both: each turn of the other model costs an unloading.
    pool = make_pool(workers=2, models_memory_bytes=1)
    long, done = pool.open(tiny), []
    waited = in_thread(lambda: long.answer(MANY, lambda *step: done.append(step)))
    while not done:
        time.sleep(0.01)
    with pool.open(other) as short:
        assert len(short.answer(QUESTIONS)) == len(QUESTIONS)
        assert len(done) < len(MANY)
        assert len(pool._children) <= 1
    long.close()
    assert isinstance(waited()[-1], InferenceError)


def test_the_least_recently_used_model_makes_room(write_gguf, tmp_path, make_pool):
    paths = [write_gguf(tmp_path / f"{n}.gguf", output_weight=n / 100) for n in range(1, 4)]
    pool = make_pool(workers=1)
    engines = [pool.open(path) for path in paths[:2]]
    models = list(pool._models.values())
    pool.places.memory.bound_bytes = sum(model.resident_bytes for model in models)
    before = engines[0].answer(QUESTIONS)
    pool.open(paths[2])
    assert [len(model.idle) for model in models] == [1, 0]
    assert len(engines[1].answer(QUESTIONS)) == len(QUESTIONS)
    assert [len(model.idle) for model in models] == [0, 1]
    assert engines[0].answer(QUESTIONS) == before


def test_a_killed_child_costs_nothing_but_time(tiny, make_pool):
    pool = make_pool(workers=2)
    with pool.open(tiny) as engine:
        expected = engine.answer(MANY[:500])
        killed = []

        def kill(done, _asked):
            if done == 100:
                killed.append(next(iter(pool._children)).pid)
                os.kill(killed[0], signal.SIGKILL)

        assert engine.answer(MANY[:500], kill) == expected
        assert killed
        assert killed[0] not in {child.pid for child in pool._children}


def test_a_child_that_was_killed_while_idle_is_replaced(tiny, make_pool):
    pool = make_pool(workers=1)
    with pool.open(tiny) as engine:
        expected = engine.answer(QUESTIONS[:1])
        (child,) = pool._children
        os.kill(child.pid, signal.SIGKILL)
        child._engine._child.process.wait()
        assert engine.answer(QUESTIONS[:1]) == expected


class Fragile(IsolatedEngine):
    """Its child dies of one of the questions."""

    def stream(self, requests):
        if QUESTIONS[42] in requests:
            os.kill(self.pid, signal.SIGKILL)
        yield from super().stream(requests)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_request_that_kills_fails_alone(tiny, make_pool, monkeypatch, workers):
    monkeypatch.setattr("benchpool.inference.cores.IsolatedEngine", Fragile)
    with LlamaCppEngine(tiny) as direct:
        expected = direct.answer(QUESTIONS)
    steps = []
    with make_pool(workers=workers).open(tiny) as engine:
        outcomes = engine.answer(QUESTIONS, lambda *step: steps.append(step))
        assert isinstance(outcomes[42], ModelDied)
        assert "SIGKILL" in str(outcomes[42])
        assert [*outcomes[:42], *outcomes[43:]] == [*expected[:42], *expected[43:]]
        assert engine.answer(QUESTIONS[:42]) == expected[:42]
    assert steps == [(done, len(QUESTIONS)) for done in range(1, len(QUESTIONS) + 1)]


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_runs_and_recovers(smol, make_pool, monkeypatch):
    monkeypatch.setattr("benchpool.inference.cores.IsolatedEngine", Fragile)
    with make_pool(workers=2).open(smol) as engine:
        before = engine.answer(QUESTIONS[38:42])
        outcomes = engine.answer(QUESTIONS[38:45])
        assert outcomes[:4] == before
        assert [isinstance(one, ModelDied) for one in outcomes[4:]] == [True, False, False]


def test_another_model_goes_on_while_one_keeps_dying(tiny, write_gguf, tmp_path, make_pool):
    other = write_gguf(tmp_path / "other.gguf", output_weight=0.01)
    pool = make_pool(workers=1)
    with pool.open(tiny) as good, pool.open(other) as bad:
        for _ in range(6):  # the next start is many seconds away
            bad._model.backoff.died()
        bad._model.idle[0].close()
        waiting = in_thread(lambda: bad.answer(QUESTIONS))
        assert len(good.answer(QUESTIONS)) == len(QUESTIONS)
        bad.close()
        assert {str(one) for one in waiting()} == {"other: the engine was closed"}


class Mortal(IsolatedEngine):
    """Its child dies of every question."""

    def stream(self, requests):
        os.kill(self.pid, signal.SIGKILL)
        yield from super().stream(requests)


def test_a_model_that_only_dies_ends_its_call(tiny, make_pool, monkeypatch):
    monkeypatch.setattr("benchpool.inference.cores.IsolatedEngine", Mortal)
    with make_pool(workers=2).open(tiny) as engine:
        outcomes = engine.answer(MANY[:200])
        assert isinstance(outcomes[0], ModelDied)


def test_what_llama_cpp_refuses_is_refused_here(write_gguf, tmp_path, make_pool):
    pool = make_pool()
    with pytest.raises(ModelFileError, match=r"llama\.cpp refused"):
        pool.open(write_gguf(tmp_path / "nan.gguf", output_weight=float("nan")))
    with pytest.raises(ModelFileError, match="does not exist"):
        pool.open(tmp_path / "none.gguf")
    assert not pool._models


def test_a_file_that_changes_is_not_taken_for_the_same_model(tiny, tmp_path, write_gguf, make_pool):
    path = tmp_path / "changing.gguf"
    path.write_bytes(tiny.read_bytes())
    with make_pool().open(path) as engine:
        path.unlink()
        write_gguf(path, output_weight=0.5)
        with pytest.raises(ModelFileError, match="changed while it was in use"):
            engine.answer(QUESTIONS)
        with pytest.raises(ModelFileError, match="changed while it was in use"):
            engine._pool.open(path)


def test_closing_ends_a_call_at_once_and_keeps_what_was_answered(tiny, make_pool, tmp_path):
    pool, done = make_pool(workers=2, answers=tmp_path), []
    engine = pool.open(tiny)
    waited = in_thread(lambda: engine.answer(MANY, lambda *step: done.append(step)))
    while len(done) < 50:
        time.sleep(0.01)
    pool.close()
    answered = [one for one in waited() if not isinstance(one, InferenceError)]
    assert not pool._threads
    assert not pool._children
    cache = AnswerCache(tmp_path)
    kept = cache.find(engine.card.sha256, engine.runtime, MANY)
    assert 50 <= len(answered) <= len(kept) < len(MANY)
    with pytest.raises(InferenceError, match="closed"):
        engine.answer(QUESTIONS)
    cache.close()


def test_an_interrupted_caller_leaves_the_pool_to_the_others(tiny, make_pool):
    def interrupt(done, _asked):
        raise KeyboardInterrupt

    pool = make_pool(workers=2)
    with pool.open(tiny) as one, pool.open(tiny) as two:
        with pytest.raises(KeyboardInterrupt):
            one.answer(MANY, interrupt)
        assert len(two.answer(QUESTIONS)) == len(QUESTIONS)
        assert len(one.answer([GenerateRequest("hi")])) == 1


def test_what_cannot_be_answered_stops_nobody(tiny, make_pool):
    with make_pool(workers=2).open(tiny) as engine:
        answers = engine.answer([*QUESTIONS, ChoicesRequest("Q", ())])
    assert isinstance(answers[-1], Unanswered)
    assert not any(isinstance(answer, Unanswered) for answer in answers[:-1])
