"""Small compiled data sets, one of each kind."""

from __future__ import annotations

from typing import Any

import msgspec

HEADER: dict[str, Any] = {
    "format": "benchpool-dataset/1",
    "name": "tiny",
    "title": "Tiny",
    "source": "here",
    "license": "MIT",
    "version": "1.0",
    "compiled": {"task": "", "data": [{"file": "tiny.csv", "sha256": "0" * 64}]},
    "kind": "choices",
    "protocol": "cloze",
    "metrics": ["acc", "acc_norm"],
    "filters": [],
    "unscored": [{"item": 3, "reason": "no answer"}],
    "count": 2,
}
CHOICES: list[dict[str, Any]] = [
    {"prompt": "Q:", "choices": [" a", " b"], "texts": ["a", "b"], "gold": [2]},
    {"prompt": "Q:", "choices": [" a", " b", " c"], "texts": ["a", "b", "c"], "gold": [1, 3]},
]
GENERATE = {"prompt": "2+2=", "stop": ["\n"], "max_tokens": 8, "targets": ["4"]}
LED = {
    "prompt": "S: ",
    "choices": [" ran."] * 2,
    "texts": ["A dog", "A tree"],
    "gold": [1],
    "leads": ["A dog", "A tree"],
}
LIKELIHOOD = {"prompt": "the", "choices": [" end"], "targets": ["end"]}


def lines(header: dict[str, Any], *questions: dict[str, Any]) -> bytes:
    rows = [header | {"count": len(questions)}, *questions]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


KINDS = [
    lines(HEADER, *CHOICES),
    lines(HEADER | {"kind": "generate", "metrics": ["exact_match", "f1"]}, GENERATE),
    lines(HEADER | {"kind": "likelihood", "metrics": ["acc"]}, LIKELIHOOD),
    lines(
        HEADER
        | {
            "kind": "generate",
            "metrics": [{"name": "exact_match", "ignore_case": True}],
            "filters": [{"name": "first", "filter": [{"function": "take_first"}]}],
            "chat": True,
            "system": "Be brief.",
        },
        GENERATE | {"id": "q1", "question": "What is 2+2?"},
    ),
    lines(HEADER, LED, CHOICES[0]),
]
