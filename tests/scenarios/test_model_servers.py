"""Real model servers, started here: what they are found able to do, and what they answer.

`python -m llama_cpp.server` needs the packages of llama-cpp-python[server]. A llama-server is taken
from the path, or from where BENCHPOOL_LLAMA_SERVER says.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

import pytest

from benchpool.errors import InferenceError, PrerequisiteError
from benchpool.inference import (
    ChoicesRequest,
    CompleteRequest,
    GenerateRequest,
    Generation,
    Unanswered,
)
from benchpool.inference.engine_pool import EnginePool
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.remote import RemoteEngines

START_S = 120
ADD_BOS = b"tokenizer.ggml.add_bos_token" + (7).to_bytes(4, "little")  # a truth value follows
CHOICES = [
    ChoicesRequest("The capital of France is", (" Paris", " London", " a purple dog")),
    ChoicesRequest("Two plus two is", (" four", " seven"), greedy=True),
    ChoicesRequest("The café is", (" très bon", " open")),
]
TEXTS = [
    CompleteRequest("The capital of France is", ("\n",), 6),
    GenerateRequest("What is the capital of France?", max_tokens=6),
]


def model(name):
    try:
        return Catalogue().find(name)
    except PrerequisiteError as missing:
        pytest.skip(str(missing))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def running(arguments, port, log):
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*arguments, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + START_S
            while True:
                assert process.poll() is None, log.read_text(errors="replace")[-2000:]
                assert time.monotonic() < until, "it does not start"
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5):
                        break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.2)
            yield f"openai+http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


@contextmanager
def llama_cpp(path, tmp_path):
    for name in ("sse_starlette", "starlette_context", "pydantic_settings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is missing; run: pip install 'llama-cpp-python[server]'")
    options = ["--n_ctx", "1024", "--n_threads", "1", "--logits_all", "true"]
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(path), *options]
    with running(command, port, tmp_path / "server.log") as address:
        yield address


@contextmanager
def llama_server(path, tmp_path):
    program = os.environ.get("BENCHPOOL_LLAMA_SERVER") or shutil.which("llama-server")
    if program is None:
        pytest.skip("no llama-server on the path, and BENCHPOOL_LLAMA_SERVER names none")
    port = free_port()
    command = [program, "-m", str(path), "-c", "1024", "-t", "1", "--no-warmup"]
    with running(command, port, tmp_path / "server.log") as address:
        yield address


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path / "models")


def answers(catalogue, path, requests):
    engines = RemoteEngines(EnginePool(), catalogue.cache)
    with closing(engines), engines.open(path) as engine:
        return engine.answer(requests)


@pytest.mark.slow
def test_scores_of_a_real_server_are_those_of_this_machine(tmp_path, catalogue):
    path = tmp_path / "with-bos.gguf"
    raw = bytearray(model("smollm2-135m").read_bytes())
    raw[raw.index(ADD_BOS) + len(ADD_BOS)] = True
    path.write_bytes(raw)
    with llama_cpp(path, tmp_path) as address:
        added = catalogue.add_server(address, "smollm2", "far")
        terms = catalogue.servers.read("far").terms
        assert (terms.choices, terms.why_no_choices) == (True, "")
        there = answers(catalogue, added.path, CHOICES)
    with closing(EnginePool(workers=1)) as pool, pool.open(path) as engine:
        here = engine.answer(CHOICES)
    for far, near in zip(there, here, strict=True):
        pairs = zip(far.log_likelihoods, near.log_likelihoods, strict=True)
        for one, other in pairs:
            assert one.tokens == other.tokens
            assert one.greedy == other.greedy
            assert abs(one.nats - other.nats) < 1.5  # another batch; shifted ones are off by 18


def test_the_shifted_scores_of_a_real_server_are_found_out(tmp_path, catalogue):
    path = model("smollm2-135m")  # its tokenizer puts no BOS token in front
    with llama_cpp(path, tmp_path) as address:
        added = catalogue.add_server(address, "smollm2", "far")
        scored, *written = answers(catalogue, added.path, [CHOICES[0], *TEXTS])
    assert isinstance(scored, Unanswered)
    assert "not those of its tokens" in scored.reason
    assert all(isinstance(each, Generation) and each.tokens for each in written)


def test_a_llama_server_writes_and_is_refused_choices(tmp_path, catalogue):
    path = model("smollm2-135m")
    with llama_server(path, tmp_path) as address:
        added = catalogue.add_server(address, "smollm2", "far")
        terms = catalogue.servers.read("far").terms
        scored, *written = answers(catalogue, added.path, [CHOICES[0], *TEXTS])
    assert (terms.raw, terms.chat, terms.choices) == (True, True, False)
    assert isinstance(scored, Unanswered)
    assert all(isinstance(each, Generation) and each.tokens for each in written)


def test_a_real_server_that_dies_is_told_and_not_waited_for(tmp_path, catalogue):
    with llama_cpp(model("smollm2-135m"), tmp_path) as address:
        added = catalogue.add_server(address, "smollm2", "far", pause_s=0.01)
    engines = RemoteEngines(EnginePool(), catalogue.cache, pause_s=0.01)
    with closing(engines), engines.open(added.path) as engine:
        (outcome,) = engine.answer(TEXTS[:1])
        assert isinstance(outcome, InferenceError)
        assert "refused" in str(outcome)
