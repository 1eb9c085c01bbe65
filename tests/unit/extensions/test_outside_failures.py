"""Whatever fails outside is recorded, at no length, so that a replay comes to the same."""

# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import sqlite3

import msgspec
import pytest

from benchpool.ao.message import Message
from benchpool.audit.replay import replay_home
from benchpool.errors import HandlerError, InferenceError
from benchpool.extensions import llama as extension
from benchpool.extensions.base import Recorder
from benchpool.extensions.llama import Llama
from benchpool.extensions.outside import Absence, read_fact
from benchpool.inference.engine import (
    ChoicesAnswer,
    ChoicesRequest,
    LogLikelihood,
    ModelCard,
    Runtime,
    Unanswered,
)
from benchpool.inference.texts import MOST_BYTES
from benchpool.process.process import Process, State, handler
from benchpool.process.registry import Registry
from benchpool.units.limits import Limits

LONG = "x" * (16 << 20)
CARD = ModelCard("tiny", "a", 1, "F32", 8, 1, 2, "none", size_bytes=1)
RUNTIME = Runtime("scripted", "any", "stored", "canonical-1")
FAULTS = [
    InferenceError("out of memory"),
    OSError(28, "No space left on device"),
    PermissionError(13, "Permission denied", "model\udcff.gguf"),
    sqlite3.OperationalError("disk I/O error"),
    sqlite3.DatabaseError("database disk image is malformed"),
    msgspec.DecodeError("truncated"),
    MemoryError(),
    RuntimeError("can't start new thread"),
    KeyError("place"),
    AssertionError(),
    RecursionError("too deep"),
    InferenceError(LONG),
    ValueError(LONG),
]


def name(fault):
    return f"{type(fault).__name__} {str(fault)[:20]}"


class Faulty:
    """An engine that does what a test says."""

    def __init__(self):
        self.card = CARD
        self.runtime = RUNTIME
        self.fault = None
        self.outcome = ChoicesAnswer((LogLikelihood(-1.0, 1),), 3)
        self.asked = 0

    def answer(self, requests, progress=None):
        self.asked += len(requests)
        if self.fault is not None:
            raise self.fault
        return [self.outcome] * len(requests)

    def close(self):
        pass


class Answers(State):
    given: list[str] = []


class Asker(Process):
    """Asks a model, with or without a batch, and takes note of what it got."""

    state: Answers
    extensions = ("Llama",)
    heavy = True

    def prepare(self, batch):
        if "Unprepared" not in self.tags:
            texts = [each.text for each in batch if each.action in ("Ask", "Try")]
            asks = [ChoicesRequest(text, (" x",)) for text in texts]
            self.llama.prepare(self.tags["Model"], asks)

    @handler("Ask")
    def ask(self, message: Message) -> None:
        self.state.given.append(self._ask(message))

    @handler("Try")
    def attempt(self, message: Message) -> None:
        try:
            self.state.given.append(self._ask(message))
        except InferenceError as error:
            self.state.given.append(f"error: {error}")

    @handler("Load")
    def load_model(self, message: Message) -> None:
        self.state.given.append(str(self.llama.load(self.tags["Model"])))

    def _ask(self, message: Message) -> str:
        return str(self.llama.answer(self.tags["Model"], ChoicesRequest(message.text, (" x",))))


@pytest.fixture
def engine():
    return Faulty()


@pytest.fixture
def network(make_network, engine, tmp_path):
    network = make_network(
        Asker, engine_factory=lambda path, precision: engine, home=tmp_path / "home"
    )
    model = network.data.put(b"model")
    network.spawn("Asker", {"Model": model}, name="asker")
    network.spawn("Asker", {"Model": model, "Unprepared": "1"}, name="unprepared")
    return network


def replays(network, tmp_path):
    network.close()
    registry = Registry()
    registry.add(Asker)
    return replay_home(tmp_path / "home", registry=registry).difference is None


def recorded(network, process):
    return network.log(process)[-1][1].recorded


@pytest.mark.parametrize("process", ["asker", "unprepared"])
@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_any_failure_of_an_engine_is_recorded(network, engine, tmp_path, process, fault):
    engine.fault = fault
    error = network.send(process, "Ask", data="a").error
    assert len(recorded(network, process)) == 1
    network.send(process, "Try", data="a")
    assert sum(map(len, recorded(network, process))) < 2 * MOST_BYTES
    (given,) = network.process(process).state.given
    assert given == f"error: {error}"
    engine.fault = None
    assert network.send(process, "Ask", data="a").error == ""
    assert replays(network, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_any_failure_to_open_a_model_is_recorded(make_network, tmp_path, fault):
    def factory(path, precision):
        raise fault

    network = make_network(Asker, engine_factory=factory, home=tmp_path / "home")
    network.spawn("Asker", {"Model": network.data.put(b"model")}, name="asker")
    for action in ("Load", "Ask", "Try"):
        network.send("asker", action, data="a")
        assert 0 < sum(map(len, recorded(network, "asker"))) < 2 * MOST_BYTES
    assert replays(network, tmp_path)


def test_a_failure_is_asked_for_once_a_batch(network, engine):
    engine.fault = RuntimeError("can't start new thread")
    for number in range(5):
        network.post("asker", "Try", data=str(number))
    network.run()
    assert engine.asked == 5
    assert len(network.process("asker").state.given) == 5


@pytest.mark.parametrize("outcomes", [[], [1, 2, 3], None])
def test_an_engine_that_answers_another_number_of_requests_fails(
    network, engine, tmp_path, outcomes
):
    engine.answer = lambda requests, progress=None: outcomes
    for process in ("asker", "unprepared"):
        assert network.send(process, "Ask", data="a").error
        assert len(recorded(network, process)) == 1
    assert replays(network, tmp_path)


def test_what_a_model_says_of_itself_is_recorded_at_no_length(network, engine, tmp_path):
    engine.card = ModelCard(LONG, LONG, 1, LONG, 8, 1, 2, LONG, size_bytes=1)
    engine.runtime = Runtime(LONG, LONG, "stored", "canonical-1")
    assert network.send("asker", "Load").error == ""
    assert sum(map(len, recorded(network, "asker"))) < 8 * MOST_BYTES
    assert "SHA-256" in network.process("asker").state.given[-1]
    engine.outcome = Unanswered(LONG)
    network.send("asker", "Ask", data="a")
    assert sum(map(len, recorded(network, "asker"))) < 2 * MOST_BYTES
    engine.outcome = InferenceError(LONG)
    network.send("asker", "Try", data="a")
    assert sum(map(len, recorded(network, "asker"))) < 2 * MOST_BYTES
    assert replays(network, tmp_path)


def test_a_number_that_no_record_holds_is_a_failure(network, engine, tmp_path):
    engine.card = msgspec.structs.replace(CARD, parameters=1 << 70)
    assert network.send("asker", "Load").error
    assert len(recorded(network, "asker")) == 1
    assert replays(network, tmp_path)


def test_data_that_cannot_be_read_is_missing_for_any_reason():
    recorder = Recorder()
    for fault in FAULTS:
        recorder.start(None)

        def look(fault=fault):
            raise fault

        with pytest.raises(HandlerError) as live:
            recorder.fetch("id", look, failure=HandlerError)
        kept = recorder.finish()
        fact = read_fact(kept[0])
        assert isinstance(fact, Absence)
        assert len(fact.why.encode()) <= MOST_BYTES
        recorder.start(kept)
        with pytest.raises(HandlerError) as again:
            recorder.fetch("id", lambda: "it came back", failure=HandlerError)
        assert str(again.value) == str(live.value)
        assert recorder.finish() == kept


def test_who_stops_the_program_is_no_failure_of_a_model():
    recorder = Recorder()
    recorder.start(None)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorder.ask(interrupt, failure=InferenceError)
    assert recorder.finish() == ()


# -- time that a message waits -------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def monotonic(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(extension.time, "monotonic", clock.monotonic)
    return clock


def test_a_message_waits_no_longer_than_it_may(clock):
    engine, recorder = Faulty(), Recorder()

    class Host:
        def engine(self, *_):
            clock.now_s += 30
            return engine

    llama = Llama("process", Host(), recorder, seconds=100)
    request = ChoicesRequest("a", (" x",))
    for _ in range(2):  # each message has time of its own
        recorder.start(None)
        llama.begin()
        engine.asked = 0
        outcomes = [llama.answer("id", request) for _ in range(10)]
        assert outcomes[:4] == [engine.outcome] * 4
        late = Unanswered("the model was too slow: 120 s for 4 answers")
        assert outcomes[4:] == [late] * 6
        assert engine.asked == 4
    kept = recorder.finish()
    recorder.start(kept)
    assert [llama.answer("id", request) for _ in range(10)] == outcomes


def test_a_batch_that_takes_too_long_is_cut_and_replays(make_network, tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr("benchpool.inference.engines.time", clock)
    engine = Faulty()

    def slowly(requests, progress=None):
        clock.now_s += 10 * len(requests)
        return [engine.outcome] * len(requests)

    engine.answer = slowly
    network = make_network(
        Asker,
        engine_factory=lambda path, precision: engine,
        home=tmp_path / "home",
        limits=Limits(inference_seconds=600),
    )
    network.spawn("Asker", {"Model": network.data.put(b"model")}, name="asker")
    for number in range(100):
        network.post("asker", "Ask", data=str(number))
    network.run()
    given = network.process("asker").state.given
    late = str(Unanswered("the model was too slow: 640 s for 64 answers"))
    assert given == [str(engine.outcome)] * 64 + [late] * 36
    assert replays(network, tmp_path)
