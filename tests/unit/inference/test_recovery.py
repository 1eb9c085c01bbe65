"""What becomes of a call whose children die, without children."""

from types import SimpleNamespace

import pytest

from benchpool.errors import ModelDied, ModelFileError, WorkerLost
from benchpool.inference import ChoicesRequest, EngineStats, Unanswered
from benchpool.inference import backoff as backoff_module
from benchpool.inference.backoff import Backoff
from benchpool.inference.recovery import Call

REQUESTS = [ChoicesRequest(f"{n:03}", (" x",)) for n in range(100)]
DEATH = ModelDied("gone")
LOST = WorkerLost("gone with its node")


def answer(place):
    return Unanswered(f"answer {place}")


def made(requests=REQUESTS):
    model = SimpleNamespace(backoff=Backoff(), card=SimpleNamespace(name="tiny"))
    return Call(model, requests, {})


def run(bad, requests=REQUESTS, failure=DEATH, workers=2):
    """Play the children of a model that dies of some requests; the deaths, and what came of all."""
    call = made(requests)
    deaths = 0
    while call.waits:
        share = call.take(workers)
        fatal = next((at for at, place in enumerate(share) if place in bad), len(share))
        if fatal:
            call.answered({place: answer(place) for place in share[:fatal]}, EngineStats())
        if fatal < len(share):
            call.died(share, failure)
            deaths += 1
    return deaths, call.result()


@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize(
    "bad", [{0}, {99}, {41}, {40, 41}, {0, 50, 99}], ids=lambda bad: " ".join(map(str, bad))
)
def test_what_kills_fails_alone(bad, workers):
    _, outcomes = run(bad, workers=workers)
    for place, outcome in enumerate(outcomes):
        assert outcome == (DEATH if place in bad else answer(place))


def test_the_last_of_a_share_is_asked_again_alone():
    call = made(REQUESTS[:8])  # all in one share
    share = call.take(1)
    call.answered({place: answer(place) for place in share[:-1]}, EngineStats())
    call.died(share, DEATH)
    assert call.take(1) == share[-1:]
    call.answered({share[-1]: answer(share[-1])}, EngineStats())
    assert call.result() == [answer(place) for place in range(8)]


def test_a_single_request_that_kills_is_not_asked_again():
    assert run({0}, REQUESTS[:1]) == (1, [DEATH])


def test_a_model_that_only_dies_is_given_up_after_some_deaths():
    assert run(set(range(100))) == (5, [DEATH] * 100)


def test_a_model_that_dies_again_and_again_is_given_up_with_its_answers_kept():
    bad = set(range(0, 100, 2))
    deaths, outcomes = run(bad)
    assert deaths == 16
    good = [outcome for outcome in outcomes if outcome is not DEATH]
    assert len(good) > 3
    assert good == [answer(at) for at, outcome in enumerate(outcomes) if outcome is not DEATH]


def test_a_file_that_is_no_model_any_more_is_not_tried_again():
    refused = ModelFileError("it was changed")
    assert run(set(range(100)), failure=refused) == (1, [refused] * 100)


def test_a_fault_of_the_program_is_raised():
    with pytest.raises(OSError, match="no room"):
        run({5}, failure=OSError("no room"))


def test_what_ended_a_call_stays_its_reason():
    call = made()
    shares = [call.take(2), call.take(2)]
    call.died(shares[0], OSError("no room"))
    call.died(shares[1], DEATH)
    assert not call.waits
    with pytest.raises(OSError, match="no room"):
        call.result()


def test_a_call_that_is_closed_says_so_whatever_died_before():
    call = made()
    call.died(call.take(2), DEATH)
    call.end()
    assert {str(outcome) for outcome in call.result()} == {"tiny: the engine was closed"}


def test_pauses_between_deaths_double_until_an_answer_comes(monkeypatch):
    monkeypatch.setattr(backoff_module.time, "monotonic", lambda: 7.0)
    backoff, pauses = Backoff(), []
    for _ in range(10):
        backoff.died()
        pauses.append(backoff.left_s())
    assert pauses == [0, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    backoff.answered()
    backoff.died()
    assert backoff.left_s() == 0


@pytest.mark.parametrize(
    ("pace_s", "usual_s", "size"),
    [(0, 0, 25), (0.1, 0.1, 25), (0.1, 0.2, 25), (0.2, 0.1, 12), (0.8, 0.1, 3), (9, 0.1, 1)],
)
def test_a_slow_worker_takes_a_smaller_share(pace_s, usual_s, size):
    assert len(made().take(2, pace_s, usual_s)) == size


def test_a_call_gives_shares_even_while_there_is_no_worker():
    assert len(made().take(0)) == 32


def test_a_lost_worker_is_no_death_of_the_model():
    call = made()
    for _ in range(3):
        call.died(call.take(1), LOST)
        assert call.model.backoff.left_s() == 0
    assert call.waiting == len(REQUESTS)
    assert not call.outcomes


@pytest.mark.parametrize("bad", [{7}, {7, 8}, {0, 99}])
def test_requests_that_lose_every_worker_fail_alone(bad):
    _, result = run(bad, failure=LOST)
    failed = {place for place, outcome in enumerate(result) if outcome is LOST}
    assert failed == bad


def test_what_a_lost_worker_had_answered_is_not_asked_again():
    call = made()
    share = call.take(1)
    call.answered({place: answer(place) for place in share[:-1]}, EngineStats())
    call.died(share, LOST)
    left = call.take(1)
    while call.waits:
        left += call.take(1)
    assert sorted([*left, *share[:-1]]) == list(range(len(REQUESTS)))


def test_loading_goes_on_elsewhere_when_its_worker_is_lost():
    call = made([])
    call.died(call.take(1), LOST)
    assert call.waits
    assert call.take(1) == []
