"""Device: inference for a module, through a file whose path is the question.

A module has no functions but C's. Its program opens `/llama/` and a question as JSON, and reads
what is answered: sixteen characters with the length, then JSON. `llama.lua` does so for programs
in Lua that `require("llama")`. Every answer is recorded, so that a replay needs no model.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, Protocol

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference.engine import Answer, CompleteRequest, Generation, LoadedModel, Unanswered
from benchpool.wasm.files import Readable

PREFIX: Final = "/llama/"
MOST_TOKENS: Final = 4096
_LENGTH_CHARACTERS: Final = 16


class Asks(Protocol):
    """Loads models and asks them."""

    def load(self, data_id: str) -> LoadedModel:
        """Say what a model is. Raises: InferenceError."""
        ...

    def answer(self, data_id: str, request: CompleteRequest) -> Answer:
        """Answer one request. Raises: InferenceError."""
        ...


class _Question(msgspec.Struct):
    model: str
    """The data id of the file."""
    prompt: str = ""
    tokens: int = 0
    """To write at most; 0 asks what the model is."""


def lua() -> str:
    """Return the package `llama` for Lua: evaluate it in a process, then require it."""
    return files("benchpool.wasm").joinpath("llama.lua").read_text()


def open_device(path: str, models: Asks) -> Readable | None:
    """Ask what a path under `/llama/` says; None if it is no question."""
    try:
        question = msgspec.json.decode(path.removeprefix(PREFIX), type=_Question)
    except (msgspec.MsgspecError, ValueError):
        return None
    try:
        said = _answer(question, models)
    except InferenceError as error:
        said = {"error": str(error)}
    text = msgspec.json.encode(said)
    return _Answered(str(len(text)).ljust(_LENGTH_CHARACTERS).encode() + text)


def _answer(question: _Question, models: Asks) -> dict[str, Any]:
    if question.tokens <= 0:
        loaded = models.load(question.model)
        return {"name": loaded.name, "architecture": loaded.architecture}
    tokens = min(question.tokens, MOST_TOKENS)
    request = CompleteRequest(prompt=question.prompt, stop=(), max_tokens=tokens)
    answer = models.answer(question.model, request)
    if isinstance(answer, Unanswered):
        return {"error": answer.reason}
    if not isinstance(answer, Generation):
        return {"error": "the model answered something else"}
    return {"text": answer.text, "tokens": answer.tokens, "finish": answer.finish}


class _Answered:
    """What was answered. It is gone when the message is."""

    lasting = False

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, start: int, size: int) -> bytes:
        """Return at most so many bytes."""
        return self._data[start : start + size]

    def close(self) -> None:
        """There is nothing to let go of."""
