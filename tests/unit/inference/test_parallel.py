import pytest

from benchpool.errors import InferenceError
from benchpool.inference import ChoicesRequest
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.llama_cpp import LlamaCppEngine
from benchpool.inference.parallel import ParallelEngine

QUESTIONS = [ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(100)]


@pytest.mark.parametrize("layout", ["canonical-1", "canonical-2"])
def test_answers_do_not_depend_on_the_number_of_workers(tiny, layout):
    with LlamaCppEngine(tiny, layout=layout) as direct:
        expected = direct.answer(QUESTIONS)
    steps = []
    with ParallelEngine([IsolatedEngine(tiny, threads=1, layout=layout) for _ in "ab"]) as engine:
        assert engine.answer(QUESTIONS, lambda *step: steps.append(step)) == expected
        assert engine.stats.answered == len(QUESTIONS)
        assert engine.card.name == "tiny"
        assert engine.answer([]) == []
    assert steps == [(done, len(QUESTIONS)) for done in range(1, len(QUESTIONS) + 1)]


def test_a_worker_that_fails_ends_the_call(tiny):
    engines = [IsolatedEngine(tiny, threads=1) for _ in "ab"]
    with ParallelEngine(engines) as engine:
        engines[1].close()
        with pytest.raises(InferenceError, match="closed"):
            engine.answer(QUESTIONS)
