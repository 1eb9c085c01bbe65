import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchpool.errors import InferenceError, ModelDied, ModelFileError
from benchpool.inference import ChoicesAnswer, ChoicesRequest, GenerateRequest, Unanswered
from benchpool.inference.isolated import IsolatedEngine
from benchpool.inference.llama.llama_cpp import LlamaCppEngine

QUESTION = ChoicesRequest("The sky is", (" blue", " green", " made of cheese"))
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
STRING = 8


@pytest.fixture
def engine(tiny):
    with IsolatedEngine(tiny, threads=1) as engine:
        yield engine


def _kill_soon(engine: IsolatedEngine, number: int) -> threading.Timer:
    assert engine.pid is not None
    timer = threading.Timer(0.2, os.kill, (engine.pid, number))
    timer.start()
    return timer


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while _is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _is_running(pid)


def test_answers_are_those_of_the_engine_itself(tiny, engine):
    requests = [QUESTION, GenerateRequest("hi"), ChoicesRequest("Q", ("",))]
    steps = []
    with LlamaCppEngine(tiny, threads=2) as direct:
        assert engine.answer(requests, lambda *step: steps.append(step)) == direct.answer(requests)
        assert engine.card == direct.card
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert engine.answer([]) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
def test_a_killed_child_is_reported(engine, number):
    engine.answer([QUESTION])
    timer = _kill_soon(engine, number)
    with pytest.raises(ModelDied, match=f"model tiny: .*{number.name}"):
        engine.answer([QUESTION] * 100_000)
    timer.join()
    assert engine.pid is None
    with pytest.raises(InferenceError, match="closed"):
        engine.answer([QUESTION])


def test_a_stopped_child_is_noticed_by_its_silence(tiny):
    with IsolatedEngine(tiny, threads=1, heartbeat_s=0.1) as engine:
        engine._silence_s = 0.5
        pid = engine.pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ModelDied, match=r"no heartbeat for 0\.5 s"):
            engine.answer([QUESTION])
        assert _ends(pid)


def test_a_template_that_never_ends_is_no_answer_and_stops_nobody(write_gguf, tmp_path):
    path = write_gguf(
        tmp_path / "endless.gguf", metadata={"tokenizer.chat_template": (STRING, ENDLESS)}
    )
    with IsolatedEngine(path, threads=1) as engine:
        scored, first, second = engine.answer([QUESTION, *[GenerateRequest("hi")] * 2])
        assert isinstance(scored, ChoicesAnswer)
        assert first == second == Unanswered("the model's chat template does not end within 2 s")


def test_one_long_operation_of_a_template_runs_into_the_time_limit(write_gguf, tmp_path):
    source = "{% set n = messages|length %}{{ (10 * n) ** (10 ** 8 * n) % 7 }}"
    path = write_gguf(
        tmp_path / "long.gguf", metadata={"tokenizer.chat_template": (STRING, source)}
    )
    with (
        IsolatedEngine(path, threads=1, answer_timeout_s=0.5) as engine,
        pytest.raises(ModelDied, match=r"no progress with the next answers for 0\.5 s"),
    ):
        engine.answer([QUESTION, GenerateRequest("hi")])


def test_a_child_that_takes_too_much_memory_is_stopped(write_gguf, tmp_path):
    source = "{% set a = 'x' * 999999999 %}{{ a * 9 }}"
    path = write_gguf(tmp_path / "big.gguf", metadata={"tokenizer.chat_template": (STRING, source)})
    with IsolatedEngine(path, threads=1, memory_bytes=1 << 30) as engine:
        refused, scored = engine.answer([GenerateRequest("hi"), QUESTION])
    assert isinstance(refused, Unanswered)
    assert isinstance(scored, ChoicesAnswer)
    with pytest.raises(InferenceError):
        IsolatedEngine(path, threads=1, memory_bytes=1 << 20)


def test_work_is_counted_apart_from_the_answers(engine):
    engine.answer([QUESTION] * 3)
    assert (engine.stats.answered, engine.stats.cached) == (3, 0)
    assert engine.stats.tokens > 0
    assert engine.stats.milliseconds > 0
    assert engine.runtime.precision == "stored"


def test_what_llama_cpp_refuses_is_refused_here(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "nan.gguf", output_weight=float("nan"))
    with pytest.raises(ModelFileError, match=r"llama\.cpp refused"):
        IsolatedEngine(path)


def test_the_header_is_read_before_any_child_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(ModelFileError, match="does not exist"):
        IsolatedEngine(tmp_path / "none.gguf")


def test_logits_that_overflow_are_unanswered(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "huge.gguf", output_weight=3e38)
    with IsolatedEngine(path, threads=1) as engine:
        assert engine.answer([QUESTION]) == [Unanswered("model gave non-finite logits")]


def test_an_interrupted_call_ends_the_child(engine):
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    pid = engine.pid
    with pytest.raises(KeyboardInterrupt):
        engine.answer([QUESTION] * 50, interrupt)
    assert not _is_running(pid)


def test_close_ends_the_child(tiny):
    engine = IsolatedEngine(tiny, threads=1)
    pid = engine.pid
    engine.close()
    engine.close()
    assert not _is_running(pid)
    with pytest.raises(InferenceError, match="closed"):
        engine.answer([QUESTION])


def test_the_child_ends_with_its_parent_and_ignores_interrupts(tiny, tmp_path):
    # A script without a __main__ guard, in a folder whose files shadow packages.
    (tmp_path / "numpy.py").write_text("raise RuntimeError('shadowed')")
    program = tmp_path / "script.py"
    program.write_text(
        "import sys, pathlib\n"
        "sys.path = [p for p in sys.path if p != sys.path[0]]\n"
        "from benchpool.inference.isolated import IsolatedEngine\n"
        "engine = IsolatedEngine(pathlib.Path(sys.argv[1]), threads=1)\n"
        "print(engine.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen(
        [sys.executable, str(program), str(tiny)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGINT)
        time.sleep(0.1)
        assert _is_running(pid)
        parent.kill()
    assert _ends(pid)
