"""Facts from outside are recorded typed: no words in an error stand in for an evaluation."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from old_homes import change_result, places, unpack
from pydantic import Field

from benchpool import Message, Network, Process, State, handler
from benchpool.ao.ids import encode_id
from benchpool.ao.message import Result
from benchpool.audit.replay import replay_home
from benchpool.errors import HandlerError
from benchpool.process.registry import Registry
from benchpool.simulation.scripted_engine import ScriptedEngines
from benchpool.units.limits import Limits

QUOTED = "exceeded its time budget of"
LATE = b"late"
LATE_ID = encode_id(sha256(LATE).digest())


class Slow(Process):
    """Does not end the first time, as on a machine that is busy."""

    slow = True

    @handler("Work")
    def work(self, message: Message) -> None:
        while Slow.slow:
            pass
        self.log("worked")


class Notes(State):
    seen: list[str] = Field(default_factory=list)


class Reader(Process):
    """Takes note of data that it cannot read, and goes on."""

    state: Notes
    extensions = ("WeaveDrive",)
    weavedrive: Any

    @handler("Read")
    def read(self, message: Message) -> None:
        try:
            self.state.seen.append(self.weavedrive.read(message.tags["Id"]).decode())
        except HandlerError as error:
            self.state.seen.append(str(error))


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.add(Slow)
    registry.add(Reader)
    return registry


def end_by_time(home: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a home in which the time budget ended a handler that would end in a replay."""
    with Network(home, registry=registry, limits=Limits(evaluation_seconds=0.2)) as network:
        process = network.spawn("Slow")
        assert network.send(process, "Work").error == "Work exceeded its time budget of 0.2 s"
        monkeypatch.setattr(Slow, "slow", False)
        assert network.send(process, "Work").result.output == "worked"
    return process


def test_a_handler_that_was_ended_is_not_evaluated_again(tmp_path, registry, monkeypatch):
    end_by_time(tmp_path, registry, monkeypatch)
    assert replay_home(tmp_path, registry=registry).difference is None


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda result: Result(error=result.error), id="the words alone"),
        pytest.param(
            lambda result: msgspec.structs.replace(result, output="and more"), id="with output"
        ),
        pytest.param(
            lambda result: msgspec.structs.replace(result, error="refused"), id="other words"
        ),
    ],
)
def test_what_says_more_than_that_it_was_ended_is_found(tmp_path, registry, monkeypatch, forged):
    process = end_by_time(tmp_path, registry, monkeypatch)
    change_result(tmp_path, (process, 1), forged)
    difference = replay_home(tmp_path, registry=registry).difference
    assert (difference.process, difference.position) == (process, 1)


def refused_transfer(network: Network) -> None:
    given = {"Recipient": "ana", "Quantity": QUOTED}
    assert QUOTED in network.send("WrappedAR", "Transfer", given).error


def test_a_refusal_that_quotes_the_words_is_evaluated_again(tmp_path):
    with Network(tmp_path) as network:
        token = network.spawn("WrappedAR", name="WrappedAR")
        refused_transfer(network)
    assert replay_home(tmp_path).difference is None
    change_result(tmp_path, (token, 1), lambda result: Result(error=f"{result.error}!"))
    difference = replay_home(tmp_path).difference
    assert (difference.process, difference.position) == (token, 1)


def test_data_that_a_handler_did_without_stays_missing(tmp_path, registry):
    network = Network(tmp_path, registry=registry)
    reader = network.spawn("Reader")
    network.send(reader, "Read", {"Id": LATE_ID})
    network.send(reader, "Read", {"Id": "no id"})
    network.data.put(LATE)
    network.send(reader, "Read", {"Id": LATE_ID})
    seen = list(network.process(reader).state.seen)
    assert [text.split()[0] for text in seen] == ["no", "not", "late"]
    network.close(abort=True)  # so that it is folded from the log when it is opened again
    assert replay_home(tmp_path, registry=registry).difference is None
    with Network(tmp_path, registry=registry) as network:
        assert network.process(reader).state.seen == seen


def test_data_that_goes_missing_is_no_fact_of_the_log(tmp_path, registry):
    with Network(tmp_path, registry=registry) as network:
        reader = network.spawn("Reader")
        network.data.put(LATE)
        network.send(reader, "Read", {"Id": LATE_ID})
    (tmp_path / "data" / LATE_ID).unlink()
    difference = replay_home(tmp_path, registry=registry).difference
    assert (difference.process, difference.position) == (reader, 1)


# -- a log that was written before ---------------------------------------------------------------


@pytest.fixture
def old_home(tmp_path: Path) -> Path:
    return unpack("plain", tmp_path)


def ends_differently(home: Path, at: tuple[str, int]) -> bool:
    difference = replay_home(home).difference
    return difference is not None and (difference.process, difference.position) == at


def test_of_an_old_log_a_refusal_that_quotes_the_words_is_evaluated_again(old_home: Path):
    [at] = [place for place, result in places(old_home) if f"not '{QUOTED}'" in result.error]
    change_result(old_home, at, lambda result: Result(error=f"{result.error}!"))
    assert ends_differently(old_home, at)


@pytest.mark.parametrize(
    "words",
    [
        "Balance exceeded its time budget of",
        "Balance exceeded its time budget of 0.5 s.",
        "Transfer exceeded its time budget of 0.5 s",
        "Balance exceeded its time budget of ten s",
    ],
)
def test_of_an_old_log_only_the_exact_words_count(old_home: Path, words: str):
    [at] = [place for place, result in places(old_home) if result.error.endswith("of 0.5 s")]
    change_result(old_home, at, lambda result: Result(error=words))
    assert ends_differently(old_home, at)


def ended(result: Result) -> Result:
    assert QUOTED in result.error
    return Result(error="Transfer exceeded its time budget of 0.5 s")


def test_the_old_words_mean_nothing_behind_the_old_part_of_a_log(old_home: Path):
    with Network(old_home, seed=1, engine_factory=ScriptedEngines()) as network:
        refused_transfer(network)
        token = network.resolve("WrappedAR")
        at = token, network.store.last_position(token)
    assert replay_home(old_home).difference is None
    change_result(old_home, at, ended)
    assert ends_differently(old_home, at)


def test_the_old_words_mean_nothing_in_a_new_home(tmp_path: Path):
    with Network(tmp_path) as network:
        token = network.spawn("WrappedAR", name="WrappedAR")
        refused_transfer(network)
    change_result(tmp_path, (token, 1), ended)
    assert ends_differently(tmp_path, (token, 1))


def test_an_old_home_that_is_only_looked_at_stays_old_as_a_whole(old_home: Path):
    before = json.dumps([str(result) for _, result in places(old_home)])
    with Network(old_home, read_only=True) as network:
        assert network.names()["WrappedAR"]
    assert replay_home(old_home).difference is None
    assert json.dumps([str(result) for _, result in places(old_home)]) == before
