"""What an engine is asked, what it answers, and what it says about its model.

All types are frozen and encode to JSON and MessagePack as they are; the field ``kind`` tells
the members of a union apart. A request that a model cannot answer gets ``Unanswered``, an
answer of its own: a missing score is never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

from benchpool.errors import InferenceError

Progress = Callable[[int, int], None]
"""Called with (done, asked) after each request."""


class ChoicesRequest(
    msgspec.Struct, frozen=True, tag_field="kind", tag="choices", omit_defaults=True
):
    """Score each choice as the continuation of a prompt.

    The texts are taken exactly as given: the caller puts the leading space into the choice.
    """

    prompt: str
    choices: tuple[str, ...]
    greedy: bool = False
    """Whether to say of each choice if it is what the model would write."""
    leads: tuple[str, ...] = ()
    """One a choice, between the prompt and the choice; only the choice counts. None: no leads."""

    @property
    def prompts(self) -> tuple[str, ...]:
        """What each choice goes on from."""
        if not self.leads:
            return (self.prompt,) * len(self.choices)
        return tuple(f"{self.prompt}{lead}" for lead in self.leads)


class GenerateRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="generate"):
    """Generate greedily from one chat turn, in the model's own chat template if it has one."""

    user: str
    system: str = ""
    max_tokens: int = 4


class CompleteRequest(msgspec.Struct, frozen=True, tag_field="kind", tag="complete"):
    """Generate greedily until a stop string, the model's own end, or ``max_tokens``.

    The text goes on from the prompt as it is; with ``chat`` the prompt is the user's turn in the
    model's chat template, after ``system``, if it is not empty.
    """

    prompt: str
    stop: tuple[str, ...]
    """None of them empty. The text ends before the first that appears in it."""
    max_tokens: int
    chat: bool = False
    system: str = ""


class LogLikelihood(msgspec.Struct, frozen=True, omit_defaults=True):
    """The log-likelihood of one choice, summed over its tokens. Nats; not normalised."""

    nats: float
    tokens: int
    greedy: bool | None = None
    """Whether each token is the model's likeliest one; None if that was not asked."""


class ChoicesAnswer(msgspec.Struct, frozen=True, tag_field="kind", tag="choices"):
    """log_likelihoods: [n_choices], in the order of the request's choices."""

    log_likelihoods: tuple[LogLikelihood, ...]
    prompt_tokens: int

    @property
    def margin(self) -> float:
        """How far the best choice is ahead of the next, in nats; infinite for a single choice.

        An answer with a small margin may come out otherwise on another build of llama.cpp.
        """
        best, *others = sorted((one.nats for one in self.log_likelihoods), reverse=True)
        return best - others[0] if others else float("inf")


class Generation(msgspec.Struct, frozen=True, tag_field="kind", tag="generation"):
    """Greedily generated text. ``tokens`` leaves out the end-of-generation token.

    ``finish`` is "stop" when the model ended by itself or wrote a stop string, whose tokens count;
    "length" at ``max_tokens``.
    """

    text: str
    prompt_tokens: int
    tokens: int
    finish: Literal["stop", "length"]


class Unanswered(msgspec.Struct, frozen=True, tag_field="kind", tag="unanswered"):
    """This model cannot answer this request; asking again gives the same, unless it was slow."""

    reason: str


Request = ChoicesRequest | GenerateRequest | CompleteRequest
Answer = ChoicesAnswer | Generation | Unanswered
Outcome = Answer | InferenceError
"""What became of a request; an error is the model's, and asking again may give an answer."""


MAX_TOKEN_BYTES = 512
"""Bytes of text that one token stands for at most."""


MAX_TOKENS = 1 << 31
"""No context is so long: a count above it is somebody's invention."""


def fits(request: Request, answer: Answer) -> bool:
    """Check that an answer is of the kind and the size that a request asks for."""
    if isinstance(answer, Unanswered):
        return True
    if not 0 <= answer.prompt_tokens <= MAX_TOKENS:
        return False
    if isinstance(request, ChoicesRequest):
        return (
            isinstance(answer, ChoicesAnswer)
            and len(answer.log_likelihoods) == len(request.choices)
            and all((one.greedy is not None) == request.greedy for one in answer.log_likelihoods)
            and all(0 <= one.tokens <= MAX_TOKENS for one in answer.log_likelihoods)
        )
    return (
        isinstance(answer, Generation)
        and 0 <= answer.tokens <= request.max_tokens
        and len(answer.text) <= MAX_TOKEN_BYTES * answer.tokens
        and (
            isinstance(request, GenerateRequest)
            or not any(stop in answer.text for stop in request.stop)
        )
    )


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
    size_bytes: int
    sha256: str | None = None
    chat_template_sha256: str | None = None
    """Hash of the chat template's text; None for a model without one."""


Precision = Literal["stored", "bf16"]
"""In what the weights enter the computation: as the file holds them, or transcoded to BF16."""

LayoutName = Literal["canonical-1", "canonical-2"]
"""How requests meet in one evaluation; see docs/inference.md. Each has numbers of its own."""

RemoteLayout = Literal["remote-choices", "remote-text"]
"""What stands in its place where a model server answers: whether it can score choices too."""


def machine_id(build: str, cpu: str) -> str:
    """Return 16 hexadecimal digits that name llama.cpp's build and the CPU's instruction sets.

    Layout, precision and matrix product are left out: a model's file and who asks decide them. So
    all models of one machine have this id, and machines that have it give equal bits.
    """
    versions = build.split(", ")[:2]
    return sha256(msgspec.json.encode([versions, cpu])).hexdigest()[:16]


class Runtime(msgspec.Struct, frozen=True):
    """What besides model and request decides the bits of an answer.

    Threads, processes and neighbours do not: they may differ between equal runtimes.
    """

    build: str
    """llama-cpp-python and llama.cpp."""
    cpu: str
    """The instruction sets that llama.cpp was built for and found."""
    precision: Precision
    layout: LayoutName | RemoteLayout

    @property
    def remote(self) -> str:
        """What a model server can be asked for, "choices" or "text"; empty for this machine."""
        prefix, _, able = self.layout.partition("-")
        return able if prefix == "remote" else ""

    @property
    def said(self) -> str:
        """What it is, for people."""
        return f"{self.build}; {self.layout}; {self.cpu}"

    @property
    def machine(self) -> str:
        """The id of what all models have in common where they are computed; see `machine_id`."""
        return machine_id(self.build, self.cpu)

    @property
    def id(self) -> str:
        """16 hexadecimal digits of its SHA-256, as answers bear it.

        Equal ids give equal bits, but for a model server's: nobody can promise what it answers.
        """
        return sha256(msgspec.json.encode(self)).hexdigest()[:16]


class LoadedModel(ModelCard, frozen=True):
    """What a file says of its model, and what decides the bits of its answers here."""

    runtime: Runtime | None = None
    """None in logs of before runtimes were recorded."""
    weights: str = ""
    """The id of the file's bytes, where it was asked for by another one."""


class EngineStats(msgspec.Struct):
    """What an engine has done so far. Timings stay out of answers: those are logged."""

    answered: int = 0
    """By the model."""
    cached: int = 0
    """From the answer cache."""
    decodes: int = 0
    tokens: int = 0
    """Evaluated, without fillers; a token that requests share counts once."""
    rows: int = 0
    """Predictions computed over the whole vocabulary."""
    milliseconds: float = 0.0
    """Spent answering, without loading."""

    def add(self, other: EngineStats) -> None:
        """Count another engine's work as well."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))

    def since(self, before: EngineStats) -> EngineStats:
        """What was done after ``before``."""
        fields = self.__struct_fields__
        return EngineStats(*(getattr(self, field) - getattr(before, field) for field in fields))


class WorkerView(msgspec.Struct, frozen=True):
    """What a worker elsewhere is, and what it does."""

    id: str
    node: str
    """The name of its machine."""
    state: str
    """ready, busy, starting, or why it is not used."""
    models: tuple[str, ...]
    """The names of those that it has loaded."""
    runtime: str
    """The id of the machine that it last computed on, see `Runtime`; empty before."""
    stats: EngineStats
    """What it has done so far."""

    @property
    def tokens_per_second(self) -> float:
        """While it computed."""
        spent = self.stats.milliseconds
        return 1000 * self.stats.tokens / spent if spent else 0.0


class Engine(Protocol):
    """One loaded model. Not thread-safe: an engine serves one caller at a time."""

    card: ModelCard
    """The model that this engine runs."""
    runtime: Runtime
    """What besides model and request decides the bits of its answers."""

    def answer(
        self, requests: Sequence[Request], progress: Progress | None = None
    ) -> Sequence[Outcome]:
        """Answer every request, in order; each answer depends on its own request alone.

        Raises:
            InferenceError: The model cannot be asked at all.
        """

    def close(self) -> None:
        """Release the model. Closing twice is allowed; answering afterwards is not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
