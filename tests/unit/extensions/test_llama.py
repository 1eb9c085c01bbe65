# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import msgspec
import pytest

from benchpool.ao.message import Message
from benchpool.errors import InferenceError
from benchpool.extensions.base import Recorder
from benchpool.extensions.llama import Llama
from benchpool.inference.engine import (
    ChoicesAnswer,
    ChoicesRequest,
    LoadedModel,
    LogLikelihood,
    ModelCard,
    Runtime,
)
from benchpool.process.process import Process, State, handler

REQUEST_ENDS = "abc"
CARD = ModelCard("tiny", "a", 1, "F32", 8, 1, 2, "none", size_bytes=1)


class Scripted:
    card = CARD

    def __init__(self, precision="stored"):
        self.runtime = Runtime("scripted", "any", precision, "canonical-1")
        self.batches = []
        self.closed = 0
        self.fail = None
        self.bad = None

    def answer(self, requests, progress=None):
        self.batches.append([request.prompt for request in requests])
        if self.fail:
            raise self.fail
        if progress is not None:
            progress(len(requests), len(requests))
        return [
            InferenceError(f"it died of {r.prompt}")
            if r.prompt == self.bad
            else ChoicesAnswer((LogLikelihood(-len(r.prompt) / 4, 1),), len(self.batches))
            for r in requests
        ]

    def close(self):
        self.closed += 1


class Answers(State):
    given: list[float] = []
    failures: list[str] = []
    name: str = ""


class Worker(Process):
    state: Answers
    extensions = ("Llama",)
    heavy = True

    def prepare(self, batch):
        asks = [m for m in batch if m.action == "Ask"]
        if "Unready" in self.tags:
            raise RuntimeError("prepare failed")
        self.llama.prepare(self.tags["Model"], [ChoicesRequest(m.text, (" x",)) for m in asks])

    @handler("Load")
    def load_model(self, message: Message) -> None:
        self.state.name = self.llama.load(message.tags.get("Model") or self.tags["Model"]).name

    @handler("Ask")
    def ask(self, message: Message) -> None:
        answer = self.llama.answer(self.tags["Model"], ChoicesRequest(message.text, (" x",)))
        self.state.given.append(answer.log_likelihoods[0].nats)
        self.reply(message, "Answered", {"Nats": answer.log_likelihoods[0].nats})

    @handler("Try")
    def attempt(self, message: Message) -> None:
        try:
            self.llama.answer(self.tags["Model"], ChoicesRequest(message.text, (" x",)))
        except InferenceError as error:
            self.state.failures.append(str(error))

    @handler("Try-Load")
    def try_load(self, message: Message) -> None:
        try:
            self.llama.load(message.tags["Model"])
        except InferenceError as error:
            self.state.failures.append(str(error))


@pytest.fixture
def engine():
    return Scripted()


@pytest.fixture
def network(make_network, engine, tmp_path):
    network = make_network(Worker, engine_factory=lambda path, precision: engine, home=tmp_path)
    network.spawn("Worker", {"Model": network.data.put(b"model")}, name="worker")
    return network


def broken(path, precision):
    raise AssertionError("a replay must not open a model")


def replayed(make_network, network, tmp_path):
    """Fold the whole log again without a checkpoint and without a model."""
    before = network.process("worker").dump()
    network.store.commit(network.clock.now())
    network.close(abort=True)
    again = make_network(Worker, engine_factory=broken, home=tmp_path)
    assert again.store.checkpoint(again.resolve("worker")) is None
    assert again.process("worker").dump() == before
    return again


def test_a_batch_is_answered_by_one_call(network, engine):
    told = []
    network.on_inference(lambda *args: told.append(args))
    for text in ("a", "bb", "a", "ccc"):
        network.post("worker", "Ask", data=text)
    network.run()
    assert engine.batches[0] == ["a", "bb", "ccc"]
    assert network.process("worker").state.given == [-0.25, -0.5, -0.25, -0.75]
    assert told == [(network.resolve("worker"), 3, 3)]


def test_several_listeners_are_told_until_they_have_heard_enough(network):
    first, second = [], []
    unlisten = network.on_inference(lambda *args: first.append(args))
    network.on_inference(lambda *args: second.append(args))
    network.send("worker", "Ask", data="a")
    unlisten()
    network.send("worker", "Ask", data="bb")
    worker = network.resolve("worker")
    assert (first, second) == ([(worker, 1, 1)], [(worker, 1, 1)] * 2)


def test_distinct_requests_are_asked_once_each(network, engine):
    for number in range(20):
        network.post("worker", "Ask", data="x" * number)
    network.run()
    assert engine.batches == [["x" * number for number in range(20)]]


def test_a_message_that_is_not_trusted_asks_no_model(network, engine):
    network.post("worker", "Ask", {"From-Process": network.resolve("worker")}, data="x")
    network.run()
    assert engine.batches == []


def test_answers_are_recorded_and_replayed_without_a_model(make_network, network, tmp_path):
    network.send("worker", "Load")
    for text in ("a", "bb"):
        network.post("worker", "Ask", data=text)
    network.run()
    log = network.log("worker")
    assert [len(result.recorded) for _, result in log] == [0, 1, 1, 1]
    again = replayed(make_network, network, tmp_path)
    assert again.log("worker") == log
    assert again.process("worker").state.name == "tiny"


def test_a_failure_is_recorded_and_replayed(make_network, network, engine, tmp_path):
    engine.fail = InferenceError("out of memory")
    assert network.send("worker", "Ask", data="a").error == "out of memory"
    network.send("worker", "Try", data="a")
    engine.fail = None
    network.send("worker", "Ask", data="a")
    assert network.process("worker").state.failures == ["out of memory"]
    replayed(make_network, network, tmp_path)


def test_a_request_that_fails_in_a_batch_fails_alone(make_network, network, engine, tmp_path):
    engine.bad = "bb"
    for text in ("a", "bb", "ccc", "bb"):
        network.post("worker", "Ask", data=text)
    network.run()
    assert engine.batches == [["a", "bb", "ccc"]]
    errors = [result.error for _, result in network.log("worker")][1:]
    assert errors == ["", "it died of bb", "", "it died of bb"]
    engine.bad = None
    assert network.send("worker", "Ask", data="bb").error == ""
    replayed(make_network, network, tmp_path)


def test_an_answer_of_a_batch_is_taken_once(network, engine):
    network.send("worker", "Ask", data="a")
    assert network.dry_run("worker", "Ask", data="a").error == ""
    assert engine.batches == [["a"], ["a"]]


def test_a_model_that_is_not_there_is_a_failure_and_replayed(make_network, network, tmp_path):
    network.send("worker", "Try-Load", {"Model": "A" * 43})
    assert "no data with id" in network.process("worker").state.failures[0]
    replayed(make_network, network, tmp_path)


def test_a_batch_that_could_not_be_prepared_is_answered_one_by_one(network, engine):
    model = network.data.put(b"model")
    network.spawn("Worker", {"Model": model, "Unready": "1"}, name="unready")
    for text in ("a", "bb"):
        network.post("unready", "Ask", data=text)
    network.run()
    assert engine.batches == [["a"], ["bb"]]
    assert network.process("unready").state.given == [-0.25, -0.5]


def test_each_process_has_an_engine_of_its_own_which_is_closed_at_the_end(make_network):
    opened = []

    def factory(path, precision):
        opened.append(Scripted(precision))
        return opened[-1]

    network = make_network(Worker, engine_factory=factory)
    model = network.data.put(b"model")
    for name in ("one", "two"):
        network.spawn("Worker", {"Model": model}, name=name)
        network.send(name, "Load")
        network.send(name, "Ask", data="x")
    assert len(opened) == 2
    network.close()
    assert [engine.closed for engine in opened] == [1, 1]


def test_a_replay_that_asks_for_more_than_was_recorded_says_so():
    from benchpool.errors import ReplayDivergence

    recorder = Recorder()
    recorder.start(())
    with pytest.raises(ReplayDivergence, match="was not recorded"):
        recorder.ask(lambda: 1, failure=InferenceError)


def test_a_recorder_gives_back_live_and_recorded_answers_alike():
    recorder = Recorder()
    recorder.start(None)
    live = [recorder.ask(lambda n=n: [n, "x"], failure=InferenceError) for n in range(3)]
    kept = recorder.finish()
    recorder.start(kept)
    assert [recorder.ask(broken, failure=InferenceError) for _ in kept] == live
    assert recorder.finish() == kept


class Recorded:
    """An extension's own view of a host that always returns the same engine."""

    def __init__(self, engine):
        self.engines = []
        self.told = []
        self._engine = engine

    def engine(self, process, data_id, precision="stored", runtime=""):
        self.engines.append(precision)
        return self._engine

    def weights(self, data_id):
        return data_id

    def report(self, *told):
        self.told.append(told)


def test_a_process_chooses_the_precision_and_learns_the_runtime():
    opened = Recorded(Scripted("bf16"))
    recorder = Recorder()
    llama = Llama("process", opened, recorder)
    recorder.start(None)
    model = llama.load("id", "bf16")
    llama.prepare("id", [ChoicesRequest("a", (" x",))], "bf16")
    llama.answer("id", ChoicesRequest("a", (" x",)), "bf16")
    assert (model.name, model.runtime) == ("tiny", opened._engine.runtime)
    assert set(opened.engines) == {"bf16"}
    assert len(opened._engine.batches) == 1
    llama.answer("id", ChoicesRequest("a", (" x",)))
    assert opened.engines[-1] == "stored", "what was prepared in BF16 answers nothing else"

    kept = recorder.finish()
    recorder.start(kept)
    assert llama.load("id", "bf16") == model


def test_a_card_recorded_before_runtimes_were_is_read():
    recorder = Recorder()
    old = {
        "name": "tiny",
        "architecture": "a",
        "parameters": 1,
        "quantization": "F32",
        "context_tokens": 8,
        "layers": 1,
        "vocabulary": 2,
        "tokenizer": "none",
        "chat_template": False,
        "size_bytes": 1,
        "sha256": None,
    }
    recorder.start((msgspec.msgpack.encode((True, old)),))
    model = Llama("process", None, recorder).load("id")
    assert model == LoadedModel(*(getattr(CARD, field) for field in CARD.__struct_fields__))
    assert model.runtime is None
