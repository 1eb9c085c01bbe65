"""Which worker of a cluster computes what, and what becomes of work whose worker is lost."""

import threading
import time

import msgspec
import pytest

from benchpool.errors import InferenceError, ModelFileError
from benchpool.inference import ChoicesRequest, Runtime, machine
from benchpool.inference.llama.llama_cpp import LlamaCppEngine
from benchpool.inference.ray import places as module
from benchpool.inference.ray.frames import Loaded
from benchpool.inference.shared_model import SharedModel

QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(200)]


@pytest.fixture(scope="module")
def expected(tiny):
    with LlamaCppEngine(tiny, layout="canonical-2") as engine:
        return engine.answer(QUESTIONS)


def test_answers_are_those_of_one_machine_and_a_file_reaches_each_node_once(
    cluster, tiny, expected
):
    pool, link = cluster()
    for node in ("a", "a", "b"):
        link.add(node)
    with pool.open(tiny) as engine:
        assert engine.answer(QUESTIONS) == expected
        assert engine.answer(QUESTIONS) == expected
    nodes = [worker.split("/")[0] for worker, _ in link.placed]
    assert sorted(nodes) == ["a", "b"]
    assert sum(each.stats.answered for each in pool.workers()) == 2 * len(QUESTIONS)


def test_a_node_that_has_the_file_is_first(cluster, tiny):
    pool, link = cluster()
    link.add("a")
    link.add("b")
    from benchpool.fetching.hashing import hash_file

    (link.cache / "b").mkdir()
    (link.cache / "b" / f"{hash_file(tiny)}.gguf").write_bytes(tiny.read_bytes())
    link.slots.clear()
    link.add("a")
    link.add("b")
    with pool.open(tiny) as engine:
        engine.answer(QUESTIONS[:1])
    assert not link.placed
    assert {worker.split("/")[0] for worker, _ in link.calls} == {"b"}


@pytest.mark.parametrize("method", ["load", "ask", "more"])
def test_what_a_lost_worker_had_is_done_by_others(cluster, tiny, expected, method, caplog):
    pool, link = cluster()
    names = [link.add(node) for node in ("a", "b", "c")]
    for worker in link.workers.values():
        worker.LOOK_S = 0
    lost = []

    def kill(worker, asked):
        if asked == method and len(lost) < 2 and worker not in lost:
            lost.append(worker)
            link.kill(worker)

    with pool.open(tiny) as engine:
        link.on_call = kill
        told = []
        done = engine.answer(QUESTIONS, lambda *step: (told.append(step), link.tell_slots()))
    assert done == expected
    assert [done for done, _ in told] == list(range(1, len(QUESTIONS) + 1))
    link.tell_slots()
    assert set(lost) <= set(names)
    for name in lost:
        assert name in caplog.text
    assert not {each.id for each in pool.workers()} & set(lost)


def test_work_waits_for_a_cluster_that_comes_back(cluster, tiny, expected):
    pool, link = cluster()
    name = link.add("a")
    with pool.open(tiny) as engine:

        def kill(worker, asked):
            if asked == "ask":
                link.on_call = lambda *_: None
                link.kill(worker)
                link.tell_slots()
                threading.Timer(0.2, lambda: (link.add("b"), link.tell_slots())).start()

        link.on_call = kill
        assert engine.answer(QUESTIONS) == expected
    assert name not in link.workers


def test_a_request_that_loses_every_worker_fails_in_the_end(cluster, tiny, expected):
    pool, link = cluster()
    link.add("a")
    deadly = ChoicesRequest("deadly", (" a", " b"))
    with pool.open(tiny) as engine:
        asked = [*QUESTIONS[:9], deadly]
        original = link.call

        def call(worker, method, body, seconds=0.0):
            if method == "ask" and b"deadly" in body:
                link.kill(worker)
                link.add("b")
                link.tell_slots()
            return original(worker, method, body, seconds)

        link.call = call
        answers = engine.answer(asked)
    assert answers[:9] == expected[:9]
    assert isinstance(answers[9], InferenceError)
    assert "lost" in str(answers[9]) or "killed" in str(answers[9])


def test_a_worker_of_another_runtime_is_not_used_and_that_is_said(
    cluster, tiny, expected, caplog, monkeypatch
):
    pool, link = cluster()
    link.add("a")
    with pool.open(tiny) as engine:
        other = link.add("b")
        link.tell_slots()
        original = link.call

        def call(worker, method, body, seconds=0.0):
            given = original(worker, method, body, seconds)
            if worker == other and isinstance(given, Loaded):
                return msgspec.structs.replace(
                    given, runtime=Runtime("another build", "AVX9", "stored", "canonical-2")
                )
            return given

        link.call = call
        assert engine.answer(QUESTIONS) == expected
        assert engine.answer(QUESTIONS) == expected
    assert (other, "ask") not in link.calls
    assert link.calls.count((other, "load")) == 2  # before and after it was sent the file
    assert "another build" in caplog.text
    assert "not used for this model" in caplog.text
    (view,) = [each for each in pool.workers() if each.id == other]
    assert "not used" in view.state


def test_a_model_that_was_computed_before_is_computed_on_the_same_runtime_alone(
    cluster, tiny, expected, caplog
):
    pool, link = cluster()
    first, second = link.add("a"), link.add("b")
    original, runtimes = link.call, {}
    other = Runtime("another build", "AVX9", "stored", "canonical-2")

    def call(worker, method, body, seconds=0.0):
        given = original(worker, method, body, seconds)
        if isinstance(given, Loaded):
            runtimes[worker] = given.runtime if worker == second else other
            return msgspec.structs.replace(given, runtime=runtimes[worker])
        return given

    link.call = call
    with LlamaCppEngine(tiny, layout="canonical-2") as engine:
        known = engine.runtime
    with pool.open(tiny, runtime=known.id) as engine:
        assert engine.runtime == known
        assert engine.answer(QUESTIONS) == expected
    assert (first, "ask") not in link.calls
    if first in runtimes:  # it was tried
        assert f"computed on runtime {known.id}, and this worker has {other.id}" in caplog.text
    assert {each.runtime for each in pool.workers()} <= {known.machine, other.machine}


def test_any_number_of_unfit_workers_is_no_fault_of_a_request(cluster, tiny, expected):
    pool, link = cluster()
    right = link.add("right")
    original = link.call

    def call(worker, method, body, seconds=0.0):
        given = original(worker, method, body, seconds)
        if worker != right and isinstance(given, Loaded):
            other = Runtime("another build", "AVX9", "stored", "canonical-2")
            return msgspec.structs.replace(given, runtime=other)
        return given

    link.call = call
    with pool.open(tiny) as engine:
        known, right = engine.runtime, ""
        link.kill(*list(link.slots))
        wrong = [link.add("wrong") for _ in range(9)]
        link.tell_slots()
        done = []
        asking = threading.Thread(target=lambda: done.extend(engine.answer(QUESTIONS[:4])))
        asking.start()
        while sum((worker, "load") in link.calls for worker in wrong) < len(wrong):
            time.sleep(0.01)
        right = link.add("right again")
        link.tell_slots()
        asking.join(60)
    assert done == expected[:4]
    assert engine.runtime == known


def test_a_worker_of_another_version_is_not_used(cluster, tiny, caplog):
    pool, link = cluster()
    link.add("a", about={"version": "0.0.1"})
    link.add("b")
    with pool.open(tiny) as engine:
        engine.answer(QUESTIONS[:3])
    assert "it has benchpool 0.0.1" in caplog.text
    assert {worker.split("/")[0] for worker, _ in link.calls} == {"b"}


def test_a_model_makes_room_for_another_on_its_node(cluster, tiny, write_gguf, tmp_path):
    other = write_gguf(tmp_path / "other.gguf", output_weight=0.01)
    pool, link = cluster(node_memory_bytes=1)
    link.add("a")
    with pool.open(tiny) as one, pool.open(other) as two:
        for engine in (one, two, one):
            assert len(engine.answer(QUESTIONS[:3])) == 3
            (view,) = pool.workers()
            assert view.models == (engine.card.name,)


def test_a_node_that_cannot_hold_a_model_is_left_out_where_another_can(cluster, tiny, expected):
    pool, link = cluster()
    link.add("small", about={"memory_bytes": 1000})
    link.add("large")
    pool.admit(tiny)
    with pool.open(tiny) as engine:
        assert engine.answer(QUESTIONS) == expected
    assert {worker.split("/")[0] for worker, _ in link.calls} == {"large"}


def test_a_model_that_this_machine_cannot_hold_may_run_elsewhere(tiny, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1000)
    with pytest.raises(InferenceError, match="memory"):
        SharedModel(tiny, "stored", None, 64)
    assert SharedModel(tiny, "stored", None, 64, elsewhere=True).file_bytes > 1000


def test_a_huge_file_is_refused_before_it_is_hashed(cluster, tiny, tmp_path, monkeypatch):
    path = tmp_path / "sparse.gguf"
    path.write_bytes(tiny.read_bytes())
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    monkeypatch.setattr(module, "hash_file", lambda _: pytest.fail("it was hashed"))
    pool, _ = cluster()
    for take in (pool.admit, pool.open):
        with pytest.raises(ModelFileError, match="bytes follow its last tensor"):
            take(path)


def test_a_file_that_is_no_model_is_refused_by_the_worker_that_tried_it(cluster, tiny, tmp_path):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(tiny.read_bytes()[:-300])
    pool, link = cluster()
    link.add("a")
    pool.admit(tiny)
    with pytest.raises(InferenceError):
        pool.admit(bad)


def test_closing_ends_who_waits_for_a_cluster_that_is_not_there(cluster, tiny):
    pool, _ = cluster()
    raised = []

    def attempt(work):
        try:
            work()
        except InferenceError as error:
            raised.append(error)

    works = (lambda: pool.open(tiny), lambda: pool.admit(tiny))
    threads = [threading.Thread(target=attempt, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    pool.close()
    for thread in threads:
        thread.join(10)
    assert len(raised) == 2


def test_an_autoscaler_is_told_how_much_waits(cluster, tiny):
    pool, link = cluster()
    link.add("a")
    with pool.open(tiny) as engine:
        engine.answer(QUESTIONS, lambda *_: link.tell_slots())
    link.tell_slots()
    assert max(link.wanted) > 1
    assert link.wanted[-1] == 0


def test_nothing_is_wanted_once_everything_is_answered(cluster, tiny):
    pool, link = cluster()
    link.add("a")
    with pool.open(tiny) as engine:
        for _ in range(5):
            engine.answer(QUESTIONS[:8], lambda *_: link.tell_slots())
            link.tell_slots()
            assert pool.waiting() == 0
            assert max(link.wanted[-1:], default=0) <= 1  # a worker may be putting its child back
    link.tell_slots()
    assert link.wanted[-1] == 0


def test_after_an_interrupt_only_what_had_no_answer_is_asked(cluster, tiny, expected, tmp_path):
    def interrupt(done, _asked):
        if done == 50:
            raise KeyboardInterrupt

    pool, link = cluster(answers=tmp_path / "answers")
    link.add("a")
    with pytest.raises(KeyboardInterrupt), pool.open(tiny) as engine:
        engine.answer(QUESTIONS, interrupt)
    pool.close()
    again, link = cluster(answers=tmp_path / "answers")
    link.add("b")
    with again.open(tiny) as engine:
        assert engine.answer(QUESTIONS) == expected
    assert again.stats().cached >= 50
    assert again.stats().answered == len(QUESTIONS) - again.stats().cached
