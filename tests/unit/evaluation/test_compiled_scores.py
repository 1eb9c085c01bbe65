"""Answers to compiled questions, judged for pools and scored by every metric."""

from fractions import Fraction

import msgspec
import pytest
from compiled_files import CHOICES, GENERATE, HEADER, KINDS, LIKELIHOOD, lines

from benchpool.audit.judges import CompiledJudge, asked
from benchpool.errors import BenchpoolError, InferenceError
from benchpool.evaluation.compiled import read_compiled
from benchpool.evaluation.compiled_scores import (
    build_request,
    is_right,
    judge,
    read_rules,
    sample_of,
    score,
    write_rules,
)

EMPTY = CHOICES[0] | {"texts": ["", "b"]}
ANSWERS = [
    {"log_likelihoods": [{"nats": -2.0, "tokens": 1}, {"nats": -1.0, "tokens": 1}]},
    {"log_likelihoods": [{"nats": -1.0}, {"nats": -1.0}]},
    {"log_likelihoods": [{"nats": -3.0}, {"nats": -2.0}, {"nats": -1.0}]},
    {"log_likelihoods": [{"nats": -3.0}, {"nats": float("nan")}]},
    {"log_likelihoods": [{"nats": -3.0}, {"nats": None}]},
    {"log_likelihoods": [{"nats": -3.0, "greedy": True}]},
    {"log_likelihoods": [{"nats": -3.0, "greedy": False}]},
    {"log_likelihoods": [{"nats": -3.0, "greedy": 1}]},
    {"log_likelihoods": [{"nats": -3.0}]},
    {"log_likelihoods": 5},
    {"log_likelihoods": []},
    {"text": "4"},
    {"text": " B."},
    {"text": " 4"},
    {"text": 4},
    {"text": "Yes"},
    {},
]
DATASETS = [
    lines(HEADER, *CHOICES),
    lines(HEADER | {"metrics": ["acc_norm"]}, *CHOICES),
    lines(HEADER | {"metrics": ["acc"]}, EMPTY),
    lines(HEADER | {"kind": "generate", "metrics": ["exact_match", "f1"]}, GENERATE),
    lines(HEADER | {"kind": "likelihood", "metrics": ["acc"]}, LIKELIHOOD),
    *KINDS[-2:],
]


@pytest.mark.parametrize(
    ("data", "method"), [*((data, "") for data in DATASETS), (DATASETS[0], "letters")]
)
def test_pools_and_audits_judge_every_answer_alike(data, method):
    header, questions = read_compiled(data, "x")
    judged = CompiledJudge()
    samples = judged.load(data, "x")
    assert samples == [sample_of(each) for each in questions]
    for sample, question in zip(samples, questions, strict=True):
        for answer in ANSWERS:
            try:
                expected = is_right(question, judge(header, question, answer, method).prediction)
            except BenchpoolError:
                expected = None
            try:
                again = judged.correct(answer, sample, method or header.method)
            except BenchpoolError:
                again = None
            assert again is expected, answer
            if expected is not None and not method:
                first = next(iter(score(header, question, answer).values()))
                assert first == expected


def test_what_is_asked_is_what_the_audit_knows_it_by():
    for data in DATASETS:
        header, questions = read_compiled(data, "x")
        judged = CompiledJudge()
        for sample, question in zip(judged.load(data, "x"), questions, strict=True):
            for method in header.methods(2):
                known = asked(build_request(header, question, method))
                assert judged.ask(sample, method) == known


def test_an_empty_text_leaves_out_the_likelihood_per_character_alone():
    header, (question,) = read_compiled(DATASETS[2], "x")
    assert judge(header, question, ANSWERS[0]) == (2, None, 1.0)


def test_the_rules_are_kept_without_what_was_left_out():
    header, questions = read_compiled(DATASETS[3], "x")
    rules = read_rules(write_rules(header))
    assert rules.unscored == ()
    assert msgspec.structs.replace(rules, unscored=header.unscored) == header
    assert score(rules, questions[0], {"text": "the 4"}) == {
        "exact_match": Fraction(0),
        "f1": Fraction(1),
    }
    with pytest.raises(InferenceError, match="holds no text"):
        score(rules, questions[0], {})
