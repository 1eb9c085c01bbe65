import subprocess
import sys

import msgspec
import pytest

import benchpool.inference as inference
from benchpool.inference import (
    Answer,
    ChoicesAnswer,
    ChoicesRequest,
    GenerateRequest,
    Generation,
    LogLikelihood,
    Request,
    Unanswered,
)

MESSAGES = [
    (ChoicesRequest("Q", (" a", " b")), Request),
    (GenerateRequest("u", system="s", max_tokens=2), Request),
    (ChoicesAnswer((LogLikelihood(-1.25, 2),), 3), Answer),
    (Generation("A", 10, 1, "stop"), Answer),
    (Unanswered("too long"), Answer),
]


@pytest.mark.parametrize(("message", "union"), MESSAGES)
def test_requests_and_answers_survive_encoding(message, union):
    for codec in (msgspec.json, msgspec.msgpack):
        assert codec.decode(codec.encode(message), type=union) == message


def test_public_names_are_sorted():
    assert inference.__all__ == sorted(inference.__all__)


def test_importing_loads_nothing_heavy():
    program = (
        "import sys, benchpool.inference, benchpool.inference.files.catalogue, "
        "benchpool.inference.isolated\n"
        "assert not {'numpy', 'llama_cpp', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
