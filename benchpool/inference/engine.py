"""What an engine is asked, what it answers, and what it says about its model.

All types are frozen and encode to JSON and MessagePack as they are; the field ``kind`` tells
the members of a union apart. A request that a model cannot answer gets ``Unanswered``, an
answer of its own: a missing score is never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

Progress = Callable[[int, int], None]
"""Called with (answered, asked) after each answer."""


class ChoicesRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="choices"):
    """Score each choice as the continuation of a prompt.

    The texts are taken exactly as given: the caller puts the leading space into the choice.
    """

    prompt: str
    choices: tuple[str, ...]


class GenerateRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="generate"):
    """Generate greedily from one chat turn, in the model's own chat template if it has one."""

    user: str
    system: str = ""
    max_tokens: int = 4


class LogLikelihood(msgspec.Struct, frozen=True):
    """The log-likelihood of one choice, summed over its tokens. Nats; not normalised."""

    nats: float
    tokens: int


class ChoicesAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag="choices"):
    """log_likelihoods: [n_choices], in the order of the request's choices."""

    log_likelihoods: tuple[LogLikelihood, ...]
    prompt_tokens: int


class Generation(msgspec.Struct, frozen=True, tag_field="kind", tag="generation"):
    """Greedily generated text. ``tokens`` leaves out the end-of-generation token.

    ``finish`` is "stop" when the model ended by itself, "length" at ``max_tokens``.
    """

    text: str
    prompt_tokens: int
    tokens: int
    finish: Literal["stop", "length"]


class Unanswered(msgspec.Struct, frozen=True, tag_field="kind", tag="unanswered"):
    """This model cannot answer this request; asking again gives the same."""

    reason: str


Request = ChoicesRequest | GenerateRequest
Answer = ChoicesAnswer | Generation | Unanswered


class ModelCard(msgspec.Struct, frozen=True):
    """What a GGUF file says about itself."""

    name: str
    architecture: str
    parameters: int
    """Number of weights over all tensors."""
    quantization: str
    """llama.cpp's name for the file type, such as Q4_K_M; else the most frequent tensor type."""
    context_tokens: int
    """Context length in training; an engine may offer less."""
    layers: int
    vocabulary: int
    """Number of tokens."""
    tokenizer: str
    chat_template: bool
    size_bytes: int
    sha256: str | None = None


class Engine(Protocol):
    """One loaded model. Not thread-safe: an engine serves one caller at a time."""

    @property
    def card(self) -> ModelCard:
        """The model this engine runs."""

    def answer(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Answer]:
        """Answer every request, in order; each answer depends on its own request alone.

        Raises:
            InferenceError: The model cannot go on; no answer of this call is given.
        """

    def close(self) -> None:
        """Release the model. Closing twice is allowed; answering afterwards is not."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
