"""The scores against plain evaluation, token by token, written out here."""

import random
from itertools import pairwise

import numpy as np
import pytest

import benchpool.inference.llama.llama_cpp as backend
from benchpool.errors import InferenceError, ModelFileError, PrerequisiteError
from benchpool.inference import (
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    Unanswered,
)
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.llama.evaluator import Evaluator
from benchpool.inference.llama.llama_cpp import LlamaCppEngine
from benchpool.inference.llama.native import llama_cpp

QUESTIONS = [
    ChoicesRequest("Q: Where do fish live?\nA:", (" in water", " in the sky", " in water tanks")),
    ChoicesRequest("Q: What is 2 + 2?\nA:", (" 4", " 5", " forty")),
    ChoicesRequest("The capital of France is", (" Paris", " London", " Berlin", " Paris, France")),
    ChoicesRequest("Riley was tired. ", ("Riley slept.", "Riley ran a marathon.")),
    ChoicesRequest("Grüße aus", (" Köln 🎭", " München")),
    ChoicesRequest("", ("Once upon a time", "xq zzk")),
]
STRING, U32, BOOL = 8, 4, 7


@pytest.fixture(scope="module")
def tiny_engine(tiny):
    with LlamaCppEngine(tiny, threads=2) as engine:
        yield engine


def _naive(path, requests):
    """Score every choice by itself with the library's own interface. [n_requests][n_choices]."""
    model = llama_cpp.Llama(
        str(path), n_ctx=1024, logits_all=True, type_k=0, type_v=0, verbose=False
    )
    start = (
        [model.token_bos()] if model.metadata.get("tokenizer.ggml.add_bos_token") != "false" else []
    )
    scores = []
    for request in requests:
        scores.append([])
        for choice in request.choices:
            prompt = request.prompt.rstrip()
            context = model.tokenize(prompt.encode(), add_bos=False) if prompt else []
            text = (request.prompt + choice).encode()
            whole = model.tokenize(text, add_bos=False)
            first = start or ([] if context else [model.token_bos()])
            tokens = first + context + whole[len(context) :]
            model.reset()
            for token in tokens:
                model.eval([token])
            logits = model.scores[: len(tokens)].astype(np.float64)
            lps = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))[:, None]
            lps -= logits.max(1, keepdims=True)
            begin = len(first) + len(context)
            scores[-1].append(sum(lps[at - 1, tokens[at]] for at in range(begin, len(tokens))))
    model.close()
    return scores


def _nats(answers):
    return [[one.nats for one in answer.log_likelihoods] for answer in answers]


def test_scores_equal_plain_evaluation(tiny, tiny_engine):
    ours = _nats(tiny_engine.answer(QUESTIONS))
    for mine, plain in zip(ours, _naive(tiny, QUESTIONS), strict=True):
        assert mine == pytest.approx(plain, abs=1e-4)


@pytest.mark.model
@pytest.mark.slow
def test_scores_of_a_quantized_model_are_near_plain_evaluation(smol, smol_engine):
    # Rounding of activations to 8 bits makes every layout of the same tokens a little different.
    ours = _nats(smol_engine.answer(QUESTIONS))
    differences = [
        abs(a - b)
        for mine, plain in zip(ours, _naive(smol, QUESTIONS), strict=True)
        for a, b in zip(mine, plain, strict=True)
    ]
    assert max(differences) < 1.2
    assert sum(differences) / len(differences) < 0.4


def _check_against_raw_logits(engine, monkeypatch):
    raw = []
    decode = engine._model.decode

    def spy(nodes):
        rows = decode(nodes)
        raw.extend(
            (node, row.astype(np.float64))
            for node, row in zip([node for node in nodes if node.wanted], rows, strict=True)
        )
        return rows

    monkeypatch.setattr(engine._model, "decode", spy)
    request = ChoicesRequest("The capital of France is", (" Paris", " Rome", " New York City"))
    (answer,) = engine.answer([request])
    for choice, text in enumerate(request.choices):
        tokens = engine._model.tokens(request.prompt + text, parse_special=False)[
            -answer.log_likelihoods[choice].tokens :
        ]
        rows = [row for node, row in raw if choice in node.sequences]
        by_hand = sum(
            row[token] - row.max() - np.log(np.exp(row - row.max()).sum())
            for row, token in zip(rows, tokens, strict=False)
        )
        assert answer.log_likelihoods[choice].nats == pytest.approx(by_hand, abs=1e-4)


def test_scores_are_the_log_softmax_of_the_logits(tiny_engine, monkeypatch):
    _check_against_raw_logits(tiny_engine, monkeypatch)


@pytest.mark.model
def test_scores_of_the_real_model_are_the_log_softmax_of_its_logits(smol_engine, monkeypatch):
    _check_against_raw_logits(smol_engine, monkeypatch)


SYSTEM = "You are a careful assistant, and you answer every question in one single word."
TURNS = [
    GenerateRequest("Say hello."),
    GenerateRequest("2+2?", system=SYSTEM),
    GenerateRequest("2+2?", system=SYSTEM),
    GenerateRequest("Name a colour.", system=SYSTEM, max_tokens=7),
]
# Beside short questions, ones that share a prompt, that fill many decodes, and that are equal.
MIXED = [
    *QUESTIONS,
    *(
        ChoicesRequest(f"Q: What is {n} + {n}?\nA:", (f" {2 * n}", f" {n}", " none"))
        for n in range(9)
    ),
    ChoicesRequest("One two three four five six seven. " * 45, (" One", " Eight nine ten.")),
    ChoicesRequest("Letters:", tuple(f" {letter}" * 9 for letter in "abcdefghijkl")),
    QUESTIONS[1],
    *TURNS,
]


def _check_independence(engine, *, rounds=1, alone=6):
    """Shuffle, split, ask alone, break off in the middle: every answer keeps all its bits."""
    answers = engine.answer(MIXED)
    source = random.Random(3)
    order = list(range(len(MIXED)))
    for _ in range(rounds):
        source.shuffle(order)
        cut = source.randrange(len(order))
        parts = order[:cut], order[cut:]
        for part in parts:
            assert engine.answer([MIXED[at] for at in part]) == [answers[at] for at in part]
        next(engine.stream([MIXED[at] for at in order]))  # and leave the rest unanswered
    for at in order[:alone]:
        assert engine.answer([MIXED[at]]) == [answers[at]]


def test_an_answer_does_not_depend_on_its_neighbours(tiny_engine):
    assert tiny_engine.runtime.layout == "canonical-1"
    _check_independence(tiny_engine, rounds=3, alone=len(MIXED))


def test_an_answer_does_not_depend_on_what_it_is_packed_with(tiny):
    with LlamaCppEngine(tiny, threads=1, layout="canonical-2") as engine:
        before = engine.stats.decodes
        _check_independence(engine, rounds=3, alone=len(MIXED))
        assert engine.stats.decodes > before
        alone = sum(len(engine.answer([request])) for request in QUESTIONS)
        before = engine.stats.decodes
        engine.answer(QUESTIONS)
        assert engine.stats.decodes - before < alone  # packing did happen


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["stored", "bf16"])
def test_an_answer_of_the_real_model_does_not_depend_on_its_neighbours(smol, precision):
    with LlamaCppEngine(smol, threads=1, precision=precision) as engine:
        assert engine.runtime.layout == "canonical-2"
        assert engine.runtime.precision == precision
        _check_independence(engine)


@pytest.mark.model
@pytest.mark.slow
def test_an_answer_of_repacked_weights_does_not_depend_on_its_neighbours():
    # Q4_K weights are multiplied four rows at a time, and the rest by another kernel.
    try:
        gemma = Catalogue().find("gemma-3-270m")
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    with LlamaCppEngine(gemma, threads=1) as engine:
        assert engine.runtime.layout == "canonical-2"
        _check_independence(engine)


@pytest.mark.model
@pytest.mark.parametrize("precision", [pytest.param("stored", marks=pytest.mark.slow), "bf16"])
def test_a_common_beginning_is_evaluated_once_for_all_calls(smol, precision):
    shots = "Sydney lent Ben a book. Q: What will Ben do? A: read it\n" * 4
    requests = [
        ChoicesRequest(f"{shots}{name} {deed}. Q: And then? A:", (" rest", " go on"))
        for name in ("Ann", "Kim", "Lee", "Max")
        for deed in ("ran home", "ate a pear", "fell asleep")
    ]
    with LlamaCppEngine(smol, threads=1, precision=precision) as engine:
        alone = engine.answer(requests)
        once = engine.stats.tokens
    with LlamaCppEngine(smol, threads=1, precision=precision) as engine:
        answers = [
            answer for at in range(0, 12, 3) for answer in engine.answer(requests[at : at + 3])
        ]
        tokens = engine.stats.tokens
        other = engine.answer([ChoicesRequest("Something else:", (" yes", " no"))])
        again = engine.answer(requests)
    assert answers == again == alone
    assert tokens < once + 40  # the beginning has more than 60
    assert isinstance(other[0], ChoicesAnswer)


def test_a_build_that_mixes_neighbours_up_is_found_out(tiny, monkeypatch):
    monkeypatch.setattr(Evaluator, "is_independent", lambda _self: False)
    with LlamaCppEngine(tiny) as engine:
        assert engine.runtime.layout == "canonical-1"
    with pytest.raises(InferenceError, match="use canonical-1"):
        LlamaCppEngine(tiny, layout="canonical-2")


def test_the_check_for_independence_sees_equal_cache_types(tiny, monkeypatch):
    monkeypatch.setattr(backend, "_BF16", 1)
    monkeypatch.setattr(backend._Weights, "layout", lambda _self: "canonical-2")
    with LlamaCppEngine(tiny) as engine:
        assert engine.runtime.layout == "canonical-1"


def test_weights_are_transcoded_once(tiny, tmp_path):
    with LlamaCppEngine(tiny, precision="bf16", copies=tmp_path) as engine:
        first = engine.answer(QUESTIONS)
        assert engine.card.quantization == "F32"  # of the file that was given
    (copy,) = tmp_path.glob("*.gguf")
    made = copy.stat().st_mtime_ns
    with LlamaCppEngine(tiny, precision="bf16", copies=tmp_path) as engine:
        assert engine.answer(QUESTIONS) == first
    assert copy.stat().st_mtime_ns == made
    with LlamaCppEngine(copy, precision="bf16", copies=tmp_path) as engine:
        assert engine.answer(QUESTIONS) == first
    assert list(tmp_path.glob("*.gguf")) == [copy]


def test_a_failed_transcoding_leaves_nothing(tiny, tmp_path, monkeypatch):
    def fail(_source, target):
        target.write_bytes(b"half")
        raise ModelFileError("cannot")

    monkeypatch.setattr(backend, "_quantize", fail)
    with pytest.raises(ModelFileError, match="cannot"):
        LlamaCppEngine(tiny, precision="bf16", copies=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_margin_is_between_the_best_two(tiny_engine):
    (answer, single) = tiny_engine.answer([QUESTIONS[0], ChoicesRequest("a", ("b",))])
    first, second, _ = sorted((one.nats for one in answer.log_likelihoods), reverse=True)
    assert answer.margin == first - second
    assert single.margin == float("inf")


@pytest.mark.model
def test_threads_do_not_change_a_bit(smol, smol_engine):
    with LlamaCppEngine(smol, threads=2, context_tokens=512) as other:
        assert other.answer(QUESTIONS) == smol_engine.answer(QUESTIONS)


@pytest.mark.model
def test_the_real_model_speaks_as_with_the_librarys_own_chat(smol, smol_engine):
    system, user = "You are a helpful assistant.", "What is the capital of France?"
    request = GenerateRequest(user, system=system, max_tokens=16)
    first, again = smol_engine.answer([request, request])
    assert first == again == Generation("The capital of France is Paris.", 27, 7, "stop")
    assert smol_engine.card.chat_template_sha256
    model = llama_cpp.Llama(str(smol), n_ctx=512, flash_attn=True, verbose=False)
    turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    reply = model.create_chat_completion(turns, max_tokens=16, temperature=0, repeat_penalty=1)
    model.close()
    assert reply["choices"][0]["message"]["content"] == first.text


def test_long_prompts_are_cut_into_pieces(tiny, tiny_engine):
    request = ChoicesRequest("fish" * 150, ("water", "sky" * 60))
    (answer,) = tiny_engine.answer([request])
    assert answer.prompt_tokens == 601
    assert _nats([answer])[0] == pytest.approx(_naive(tiny, [request])[0], rel=1e-3)


def test_text_that_takes_more_tokens_than_bytes_is_tokenized(tiny_engine):
    # This vocabulary spells a space in three byte tokens.
    (answer,) = tiny_engine.answer([ChoicesRequest("a" + " a" * 100, (" " * 30 + "b",))])
    assert (answer.prompt_tokens, answer.log_likelihoods[0].tokens) == (402, 91)


def test_many_rows_are_cut_into_pieces(tiny, tiny_engine):
    request = ChoicesRequest("a", tuple(letter * 50 for letter in "bcdefgh"))
    (answer,) = tiny_engine.answer([request])
    assert _nats([answer])[0] == pytest.approx(_naive(tiny, [request])[0], rel=1e-3)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ChoicesRequest("Q", ("a", "")), "choice 2 is empty"),
        (ChoicesRequest("Q", ()), "0 choices"),
        (ChoicesRequest("Q", ("a",) * 257), "257 choices"),
        (ChoicesRequest("x" * 2000, ("a",)), "2001 tokens; the context has 1024"),
        (GenerateRequest("x" * 2000), "the context has 1024"),
        (GenerateRequest("x", max_tokens=1024), "the context has 1024"),
        (GenerateRequest("x", max_tokens=0), "max_tokens is 0"),
    ],
)
def test_what_cannot_be_answered_says_why(tiny_engine, request_, reason):
    unanswered, after = tiny_engine.answer([request_, QUESTIONS[1]])
    assert isinstance(unanswered, Unanswered)
    assert reason in unanswered.reason
    assert isinstance(after, ChoicesAnswer)


def test_progress_counts_every_answer(tiny_engine):
    steps = []
    tiny_engine.answer(QUESTIONS, lambda *step: steps.append(step))
    assert steps == [(count, len(QUESTIONS)) for count in range(1, len(QUESTIONS) + 1)]
    assert all(later > earlier for earlier, later in pairwise(steps))


def test_nan_weights_are_refused_at_load(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "nan.gguf", output_weight=float("nan"))
    with pytest.raises(ModelFileError, match=r"nan\.gguf: llama\.cpp refused"):
        LlamaCppEngine(path)


def test_logits_that_overflow_are_no_score(write_gguf, tmp_path):
    path = write_gguf(tmp_path / "huge.gguf", output_weight=3e38)
    with LlamaCppEngine(path) as engine:
        assert (
            engine.answer([QUESTIONS[0], GenerateRequest("hi")])
            == [Unanswered("model gave non-finite logits")] * 2
        )


def test_what_llama_cpp_refuses_is_quoted(write_gguf, tmp_path):
    path = write_gguf(
        tmp_path / "odd.gguf",
        metadata={"general.architecture": (STRING, "nonsuch"), "nonsuch.block_count": (U32, 1)},
    )
    with pytest.raises(ModelFileError, match="unknown model architecture: 'nonsuch'"):
        LlamaCppEngine(path)


def test_a_broken_chat_template_leaves_the_scores(write_gguf, tmp_path):
    path = write_gguf(
        tmp_path / "chat.gguf", metadata={"tokenizer.chat_template": (STRING, "{% for %}")}
    )
    with LlamaCppEngine(path) as engine:
        refused, scored = engine.answer([GenerateRequest("hi"), QUESTIONS[0]])
    assert isinstance(refused, Unanswered)
    assert "chat template is broken" in refused.reason
    assert isinstance(scored, ChoicesAnswer)


def test_a_model_without_start_token_scores_from_the_first_token(write_gguf, tmp_path):
    path = write_gguf(
        tmp_path / "nobos.gguf", metadata={"tokenizer.ggml.add_bos_token": (BOOL, False)}
    )
    with LlamaCppEngine(path) as engine:
        answer, empty = engine.answer([ChoicesRequest("ab", ("c",)), ChoicesRequest(" ", ("c",))])
    assert answer.prompt_tokens == 2
    assert empty.prompt_tokens == 1
    assert _nats([answer, empty]) == [
        pytest.approx(plain, abs=2e-3)
        for plain in _naive(path, [ChoicesRequest("ab", ("c",)), ChoicesRequest(" ", ("c",))])
    ]


def test_a_closed_engine_says_so(tiny):
    engine = LlamaCppEngine(tiny)
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="closed"):
        engine.answer([])
