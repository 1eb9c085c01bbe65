"""A model that answers slowly has its time bounded, and the others go on."""

import threading
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import ClassVar

import pytest

from benchpool.errors import InferenceError, ModelDied
from benchpool.inference import (
    ChoicesAnswer,
    ChoicesRequest,
    EngineStats,
    LogLikelihood,
    Unanswered,
    cores,
    engine_pool,
    engines,
    recovery,
)
from benchpool.inference.engine import ModelCard, Runtime
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.engines import MadeEngines
from benchpool.inference.frames import Answered
from benchpool.inference.recovery import Call

QUESTIONS = [ChoicesRequest(f"{n:03}", (" x",)) for n in range(100)]
RUNTIME = Runtime("scripted", "any", "stored", "canonical-1")
ANSWER = ChoicesAnswer((LogLikelihood(-1.0, 1),), 3)
WAIT_S = 20.0
"""Far more than any of these tests takes."""


class Child:
    """Stands in for a child process: answers at once, or only while a gate is open."""

    gates: ClassVar[dict[str, threading.Event]] = {}
    loads: ClassVar[dict[str, threading.Event]] = {}
    limits: ClassVar[dict[str, int]] = {}
    at_work: ClassVar[dict[str, int]] = {}
    hooks: ClassVar[dict[str, Callable[[], object]]] = {}

    def __init__(self, path, *, name, children, **options):
        self.name = name
        self.runtime = RUNTIME
        self.alive = False
        self._killed = threading.Event()

    def load(self):
        self._pass(self.loads.get(self.name))
        self.alive = True

    def stream(self, requests):
        self.at_work[self.name] = self.at_work.get(self.name, 0) + 1
        try:
            for place, _ in enumerate(requests):
                if self.limits.get(self.name, 1 << 30) <= 0:
                    self._pass(self.gates[self.name])
                self.hooks.get(self.name, int)()
                self.limits[self.name] = self.limits.get(self.name, 1 << 30) - 1
                yield Answered(((place, ANSWER),), EngineStats(answered=1))
        finally:
            self.at_work[self.name] -= 1

    def _pass(self, gate):
        if gate is None:
            return
        deadline = time.monotonic() + WAIT_S
        while not gate.wait(0.005):
            if self._killed.is_set() or time.monotonic() > deadline:
                raise ModelDied(f"model {self.name}: the process that ran it is gone")

    def close(self):
        self.alive = False
        self._killed.set()


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    for registered in (Child.gates, Child.loads, Child.limits, Child.at_work, Child.hooks):
        registered.clear()
    monkeypatch.setattr(cores, "IsolatedEngine", Child)
    monkeypatch.setattr(engine_pool, "_LOOK_S", 0.01)
    monkeypatch.setattr(engine_pool, "_HELD_S", 0.02)
    yield
    for gate in (*Child.gates.values(), *Child.loads.values()):
        gate.set()


@pytest.fixture
def model(tiny, tmp_path):
    def make(name, answers=None):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(tiny.read_bytes())
        if answers is not None:
            Child.gates[name] = threading.Event()
            Child.limits[name] = answers
        return path

    return make


@contextmanager
def asking(engine, requests):
    """Ask in another thread; gives what waits for the outcomes."""
    results = []
    thread = threading.Thread(target=lambda: results.append(engine.answer(requests)))
    thread.start()

    def wait():
        thread.join(WAIT_S)
        assert not thread.is_alive()
        return results[0]

    try:
        yield wait
    finally:
        engine.close()
        thread.join(WAIT_S)


def wait_for(truth):
    deadline = time.monotonic() + WAIT_S
    while not truth():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def late(outcomes):
    return [one for one in outcomes if isinstance(one, Unanswered)]


@pytest.mark.parametrize("answers", [0, 1, 40])
def test_what_a_slow_model_has_not_answered_in_its_time_stays_unanswered(model, answers):
    with closing(EnginePool(workers=1, seconds=0.2)) as pool:
        engine = pool.open(model("slow", answers))
        outcomes = engine.answer(QUESTIONS)
        assert outcomes.count(ANSWER) == answers
        assert len(late(outcomes)) == 100 - answers
        (reason,) = {one.reason for one in late(outcomes)}
        assert reason == f"the model was too slow: 0 s for {answers} answers"
        wait_for(lambda: Child.at_work == {"slow": 0})  # nobody computes for it any more
        Child.gates["slow"].set()
        assert engine.answer(QUESTIONS) == [ANSWER] * 100


def test_a_model_that_trickles_answers_is_no_exception(model, monkeypatch):
    clock, told = SimpleNamespace(now_s=0.0), threading.Semaphore(0)
    monkeypatch.setattr(recovery, "time", SimpleNamespace(monotonic=lambda: clock.now_s))

    def trickle():
        clock.now_s += 1
        if clock.now_s > 1:
            told.acquire(timeout=WAIT_S)

    Child.hooks["trickle"] = trickle
    with closing(EnginePool(workers=1, seconds=50)) as pool:
        engine = pool.open(model("trickle"))
        outcomes = engine.answer(QUESTIONS, lambda *_: told.release())
        told.release(1000)
    assert 48 <= outcomes.count(ANSWER) <= 52
    assert len(late(outcomes)) == 100 - outcomes.count(ANSWER)


def test_without_a_bound_a_slow_model_is_waited_for(model):
    with closing(EnginePool(workers=1)) as pool:
        engine = pool.open(model("slow", 0))
        with asking(engine, QUESTIONS) as wait:
            wait_for(lambda: Child.at_work.get("slow"))
            Child.gates["slow"].set()
            assert wait() == [ANSWER] * 100


def test_a_model_that_does_not_load_has_no_more_time(model):
    Child.loads["stuck"] = threading.Event()
    path = model("stuck")
    with closing(EnginePool(workers=1, seconds=0.1)) as pool:
        with pytest.raises(
            InferenceError, match="stuck: the model was too slow: 0 s for 0 answers"
        ):
            pool.open(path)
        assert not pool._models
        wait_for(lambda: not pool._children)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_others_go_on_while_slow_models_compute(model, workers):
    with closing(EnginePool(workers=workers)) as pool:
        slow = [pool.open(model(f"slow{n}", 0)) for n in range(3)]
        path = model("fast")
        fast = pool.open(path)
        with (
            asking(slow[0], QUESTIONS) as one,
            asking(slow[1], QUESTIONS) as two,
            asking(slow[2], QUESTIONS) as three,
        ):
            wait_for(lambda: sum(Child.at_work.values()) >= workers)
            for _ in range(3):
                with asking(pool.open(path), QUESTIONS) as wait:
                    assert wait() == [ANSWER] * 100
            wait_for(lambda: all(Child.at_work.get(f"slow{n}") for n in range(3)))
            assert max(Child.at_work.values()) <= workers, "none takes more than its share"
            for gate in Child.gates.values():
                gate.set()
            assert one() == two() == three() == [ANSWER] * 100
        fast.close()
        wait_for(lambda: not pool._threads)


def test_waiting_for_others_is_no_slowness(model):
    call = Call(SimpleNamespace(card=SimpleNamespace(name="m")), QUESTIONS, {})
    assert call.spent_s == 0
    call.begin()
    call.begin()
    time.sleep(0.01)
    call.leave(0.0)
    assert call.spent_s >= 0.01
    call.leave(0.0)
    spent = call.spent_s
    time.sleep(0.01)
    assert call.spent_s == spent


def test_a_slow_share_counts_as_many_turns():
    call = Call(SimpleNamespace(card=SimpleNamespace(name="m")), QUESTIONS, {})
    for seconds in (0.1, 9.9, 110.0):
        call.begin()
        call.leave(seconds)
    assert call.turn == pytest.approx(3 + 10)


@pytest.mark.parametrize(
    ("pace_s", "size"), [(0.0, 32), (0.01, 32), (0.5, 20), (9.0, 1), (110.0, 1)]
)
def test_the_shares_of_a_slow_model_are_small(pace_s, size):
    call = Call(SimpleNamespace(card=SimpleNamespace(name="m")), QUESTIONS, {})
    assert len(call.take(1, pace_s)) == size


# -- engines that a function makes ---------------------------------------------------------------


class Made:
    """Answers one a second by a clock of its own; tells of its progress or not."""

    card = ModelCard("made", "a", 1, "F32", 8, 1, 2, "none", size_bytes=1)
    runtime = RUNTIME

    def __init__(self, clock, *, tells):
        self._clock = clock
        self._tells = tells
        self.batches = []

    def answer(self, requests, progress=None):
        self.batches.append(len(requests))
        for count, _ in enumerate(requests, start=1):
            self._clock.now_s += 1
            if self._tells and progress is not None:
                progress(count, len(requests))
        return [ANSWER] * len(requests)

    def close(self):
        pass


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(engines, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(("seconds", "answered"), [(0, 100), (100, 100), (1000, 100), (70, 0)])
def test_a_made_engine_is_stopped_where_it_can_be(clock, tells, seconds, answered):
    made, told = Made(clock, tells=tells), []
    engine = MadeEngines(lambda *_: made, seconds).open(None)
    outcomes = engine.answer(QUESTIONS, lambda *step: told.append(step))
    assert len(outcomes) == 100
    if answered:
        assert outcomes == [ANSWER] * 100
    else:
        kept = outcomes.count(ANSWER)
        assert kept in (64, 96)
        assert outcomes == [*[ANSWER] * kept, *late(outcomes)]
        assert f"s for {kept} answers" in outcomes[-1].reason
        assert clock.now_s <= 96
    if tells and answered:
        assert told == [(count, 100) for count in range(1, 101)]


def test_a_made_engine_that_gives_too_few_answers_is_not_asked_for_ever(clock):
    made = Made(clock, tells=False)
    made.answer = lambda requests, progress=None: []
    with pytest.raises(InferenceError, match="0 answers to 32 asked"):
        MadeEngines(lambda *_: made, 10).open(None).answer(QUESTIONS)
