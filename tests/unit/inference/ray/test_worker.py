"""A worker of a cluster, asked as its driver asks it, without a cluster."""

import hashlib
import os
import subprocess
import sys

import msgspec
import pytest

from benchpool.inference import ChoicesRequest
from benchpool.inference.llama.llama_cpp import LlamaCppEngine
from benchpool.inference.ray import worker as module
from benchpool.inference.ray.frames import (
    About,
    Ask,
    Done,
    Failed,
    Load,
    Loaded,
    Missing,
    ModelFile,
    More,
    Piece,
    Try,
    pack,
    unpack,
    unpack_given,
)
from benchpool.inference.ray.worker import CACHE_VARIABLE, Worker
from benchpool.version import VERSION

QUESTIONS = tuple(ChoicesRequest(f"The number {n} is", (" even", " odd")) for n in range(20))
LAYOUT = "canonical-2"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "node"))
    return tmp_path / "node"


def file_of(path, *, shared=False, **other):
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return ModelFile(
        **{
            "sha256": digest,
            "size_bytes": len(content),
            "path": str(path),
            "shared": shared,
            **other,
        }
    )


def send(worker, file, content, size=1000):
    told = unpack_given(worker.start(pack(file)))
    if not isinstance(told, Missing):
        return told
    for offset in reversed(range(0, len(content), size)):  # in whatever order they come
        piece = pack(Piece(file, offset))
        assert isinstance(unpack_given(worker.write(piece, content[offset : offset + size])), Done)
    return unpack_given(worker.finish(pack(file)))


def load(worker, file, child="1"):
    body = pack(Load(child, file, "tiny", "stored", LAYOUT, 512, None))
    return unpack_given(worker.load(body))


def answers(worker, child="1"):
    found = {}
    more = unpack_given(worker.ask(pack(Ask(child, QUESTIONS))))
    while isinstance(more, More):
        for frame in more.frames:
            found.update(frame.answers)
        if more.end:
            return [found[n] for n in range(len(found))]
        more = unpack_given(worker.more(child))
    return more


def test_a_file_comes_in_pieces_and_answers_are_those_of_the_engine(cache, tiny):
    worker, file = Worker(1), file_of(tiny)
    assert isinstance(load(worker, file), Missing)
    assert isinstance(send(worker, file, tiny.read_bytes()), Done)
    assert [path.name for path in cache.iterdir()] == [f"{file.sha256}.gguf"]
    loaded = load(worker, file)
    assert isinstance(loaded, Loaded)
    with LlamaCppEngine(tiny, layout=LAYOUT, context_tokens=512) as engine:
        assert answers(worker) == engine.answer(QUESTIONS)
        assert loaded.runtime == engine.runtime
    assert answers(worker)  # and again, in the same child
    worker.drop("1")
    assert isinstance(answers(worker), Failed)
    about = unpack(Worker(1).about(), About)
    assert (about.version, about.files) == (VERSION, (file.sha256,))
    assert isinstance(Worker(1).start(pack(file)) and send(worker, file, b""), Done)


def test_what_arrived_is_not_kept_if_it_is_not_what_was_meant(cache, tiny):
    worker, file = Worker(1), file_of(tiny)
    content = bytearray(tiny.read_bytes())
    content[-1] ^= 1
    told = send(worker, file, bytes(content))
    assert isinstance(told, Failed)
    assert "not those of" in told.reason
    assert not list(cache.iterdir())


def test_a_file_of_the_cache_that_was_changed_is_sent_again(cache, tiny):
    worker, file = Worker(1), file_of(tiny)
    send(worker, file, tiny.read_bytes())
    kept = cache / f"{file.sha256}.gguf"
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    kept.write_bytes(content)
    assert isinstance(load(Worker(1), file), Missing)
    assert isinstance(send(Worker(1), file, tiny.read_bytes()), Done)
    assert kept.read_bytes() == tiny.read_bytes()


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "A" * 64, "a" * 63])
def test_a_hash_that_is_none_names_no_file(cache, tiny, sha256):
    told = unpack_given(Worker(1).start(pack(file_of(tiny, sha256=sha256))))
    assert isinstance(told, Failed)
    assert "hash" in told.reason


def test_a_node_without_room_refuses_a_file_before_it_comes(cache, tiny):
    told = unpack_given(Worker(1).start(pack(file_of(tiny, size_bytes=1 << 60))))
    assert isinstance(told, Failed)
    assert "make room" in told.reason


def test_a_worker_that_sees_the_same_bytes_needs_no_copy(cache, tiny, tmp_path):
    assert isinstance(load(Worker(1), file_of(tiny, shared=True)), Loaded)
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny.read_bytes()[:-1] + b"x")
    lies = msgspec.structs.replace(file_of(tiny, shared=True), path=str(other))
    assert isinstance(load(Worker(1), lies), Missing)


def test_a_file_is_tried_where_it_would_run(cache, tiny, tmp_path):
    worker = Worker(1)
    file = file_of(tiny, shared=True)
    assert isinstance(unpack_given(worker.admit(pack(Try(file, None)))), Done)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(tiny.read_bytes()[:-300])
    told = unpack_given(worker.admit(pack(Try(file_of(bad, shared=True), None))))
    assert isinstance(told, Failed)
    assert told.error == "ModelFileError"


def test_a_child_that_is_dropped_while_it_computes_ends(cache, tiny, monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    worker = Worker(1)
    load(worker, file_of(tiny, shared=True))
    many = Ask("1", QUESTIONS * 500)
    more = unpack_given(worker.ask(pack(many)))
    worker.drop("1")
    while isinstance(more, More):
        more = unpack_given(worker.more("1"))
    assert isinstance(more, Failed)


@pytest.mark.parametrize("body", [b"", b"\xc1", pack("nonsense")])
@pytest.mark.parametrize("method", ["start", "finish", "load", "ask", "admit"])
def test_nonsense_is_told_and_not_raised(cache, method, body):
    assert isinstance(unpack_given(getattr(Worker(1), method)(body)), Failed)


def test_what_is_left_of_a_transfer_that_ended_makes_way(cache, tiny):
    file, worker = file_of(tiny), Worker(1)
    cache.mkdir(parents=True)
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    gone = subprocess.run(command, capture_output=True, check=True)
    left = cache / f"{file.sha256}.{int(gone.stdout)}"
    going_on = cache / f"{file.sha256}.{os.getppid()}"
    other = cache / f"{'0' * 64}.{int(gone.stdout)}"
    for path in (left, going_on, other):
        path.write_bytes(b"half")
    assert isinstance(unpack_given(worker.start(pack(file))), Missing)
    assert not left.exists()
    assert going_on.exists()
    assert other.exists()
