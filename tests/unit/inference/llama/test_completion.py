"""Raw completion with stop strings, and whether a continuation is what the model would write."""

import msgspec
import pytest

from benchpool.inference import (
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    GenerateRequest,
    Generation,
    Unanswered,
)
from benchpool.inference.engine import LogLikelihood, fits
from benchpool.inference.llama.llama_cpp import LlamaCppEngine

PROMPTS = ("The capital of France is", "One, two, three,", "Q: 2+2?\nA:", "Grüße aus")


def test_what_was_asked_and_answered_before_keeps_its_bytes():
    encode = msgspec.json.encode
    assert encode(ChoicesRequest("a", ("b",))) == b'{"kind":"choices","prompt":"a","choices":["b"]}'
    assert encode(GenerateRequest("a")) == (
        b'{"kind":"generate","user":"a","system":"","max_tokens":4}'
    )
    assert encode(LogLikelihood(-1.5, 2)) == b'{"nats":-1.5,"tokens":2}'


def test_an_answer_that_does_not_say_what_was_asked_does_not_fit():
    plain = ChoicesAnswer((LogLikelihood(-1.0, 1),), 3)
    greedy = ChoicesAnswer((LogLikelihood(-1.0, 1, greedy=True),), 3)
    asked = ChoicesRequest("a", ("b",), greedy=True)
    assert fits(asked, greedy)
    assert not fits(asked, plain)
    assert not fits(ChoicesRequest("a", ("b",)), greedy)
    text = CompleteRequest("a", ("\n",), 2)
    assert fits(text, Generation("ok", 1, 2, "length"))
    assert not fits(text, Generation("a\nb", 1, 2, "stop"))
    assert not fits(text, Generation("ok", 1, 3, "length"))
    assert not fits(text, plain)


@pytest.fixture(scope="module")
def engine(tiny):
    with LlamaCppEngine(tiny, threads=2) as opened:
        yield opened


def test_a_stop_string_ends_a_text_and_is_cut_off(engine):
    whole = engine.answer([CompleteRequest(prompt, (), 24) for prompt in PROMPTS])
    for prompt, free in zip(PROMPTS, whole, strict=True):
        assert isinstance(free, Generation)
        for start, end in ((1, 2), (2, 5), (4, 9)):
            stop = free.text[start:end]
            if "\ufffd" in stop or not stop:
                continue
            (cut,) = engine.answer([CompleteRequest(prompt, ("never there", stop), 24)])
            assert cut.text == free.text.split(stop)[0]
            assert cut.finish == "stop"
            assert cut.tokens <= free.tokens


def test_texts_come_out_alike_alone_and_beside_others(engine):
    asked = [CompleteRequest(prompt, ("\n",), 5 + n) for n, prompt in enumerate(PROMPTS * 3)]
    asked.append(GenerateRequest("hi"))
    together = engine.answer(asked)
    assert together == [engine.answer([each])[0] for each in asked]


def test_a_turn_in_the_chat_template_may_have_stop_strings_too(engine):
    (free,) = engine.answer([GenerateRequest("hi", "be brief", max_tokens=12)])
    (same,) = engine.answer([CompleteRequest("hi", (), 12, chat=True, system="be brief")])
    assert same == free


def test_only_what_the_model_would_write_is_greedy(engine):
    found = []
    for prompt in PROMPTS:
        (free,) = engine.answer([CompleteRequest(prompt, (), 1)])
        choices = tuple(filter(None, (free.text, "x", "zz")))
        request = ChoicesRequest(prompt, choices, greedy=True)
        (answer,) = engine.answer([request])
        assert fits(request, answer)
        (plain,) = engine.answer([ChoicesRequest(prompt, choices)])
        assert [each.nats for each in plain.log_likelihoods] == [
            each.nats for each in answer.log_likelihoods
        ]
        found += [each.greedy for each in answer.log_likelihoods]
    assert not all(found)


@pytest.mark.parametrize("layout", ["canonical-1", "canonical-2"])
def test_more_choices_than_the_cache_has_sequences_are_scored_as_each_by_itself(tiny, layout):
    with LlamaCppEngine(tiny, threads=2, layout=layout) as opened:
        choices = tuple(f" {number}" for number in range(200))
        many, few = opened.answer(
            [ChoicesRequest("Pick:", choices), ChoicesRequest("Pick:", choices[150:152])]
        )
        (alone,) = opened.answer([ChoicesRequest("Pick:", choices[150:152])])
    assert len(many.log_likelihoods) == 200
    assert few == alone
    for one, other in zip(many.log_likelihoods[150:152], few.log_likelihoods, strict=True):
        assert one.tokens == other.tokens
        assert one.nats == pytest.approx(other.nats, abs=1e-3)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (CompleteRequest("x", ("",), 4), "a stop string is empty"),
        (CompleteRequest("x", (), 0), "max_tokens is 0"),
        (CompleteRequest("x", (), 1024), "the context has 1024"),
    ],
)
def test_what_cannot_be_completed_is_not_answered(engine, request_, reason):
    (answer,) = engine.answer([request_])
    assert isinstance(answer, Unanswered)
    assert reason in answer.reason


@pytest.mark.model
def test_the_real_model_completes_and_knows_its_own_words(smol_engine):
    complete = CompleteRequest("The capital of France is", (".", "\n"), 16)
    greedy = ChoicesRequest("The capital of France is", (" Paris", " Rome"), greedy=True)
    text, likelihoods = smol_engine.answer([complete, greedy])
    assert text.text == " Paris"
    assert text.finish == "stop"
    assert [each.greedy for each in likelihoods.log_likelihoods] == [True, False]


def test_choices_that_go_on_from_prompts_of_their_own_score_as_alone(engine):
    leads = ("A river", "A long river", "")
    choices = (" runs", " runs to the sea", " is")
    (led,) = engine.answer([ChoicesRequest("So. ", choices, leads=leads)])
    alone = engine.answer(
        [
            ChoicesRequest(f"So. {lead}", (choice,))
            for lead, choice in zip(leads, choices, strict=True)
        ]
    )
    assert [each.nats for each in led.log_likelihoods] == pytest.approx(
        [each.log_likelihoods[0].nats for each in alone], rel=1e-6
    )  # F32 weights are computed under a layout in which a shared prompt may round otherwise
    (odd,) = engine.answer([ChoicesRequest("So. ", choices, leads=leads[:2])])
    assert odd.reason == "2 leads for 3 choices"
