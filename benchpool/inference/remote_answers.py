"""What a model server is sent, and how what it says becomes an answer.

OpenAI's protocol: `completions` goes on from a text, `chat/completions` answers a turn. Choices are
scored by having the text of prompt and choice echoed with the log-probability of each token, of
which those count that make up the choice; where the tokens do not part between prompt and choice
there is no answer, for a missing score is never a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference.engine import (
    CompleteRequest,
    GenerateRequest,
    Generation,
    LogLikelihood,
    Unanswered,
)

MAX_CHOICES: Final = 256
_MOST_STOPS: Final = 4
"""Stop strings that servers take; text is cut at the others here."""
_MARGIN_TOKENS: Final = 64
"""What a chat template and the tokens around a text may take."""
_ABOVE_ZERO: Final = 1e-3
"""Rounding may bring a log-probability so far above 0."""
_LONGEST_START: Final = 32
"""Characters of a start token's text."""


class Asked(NamedTuple):
    """A request as it is sent."""

    path: str
    body: dict[str, Any]
    tokens: int
    """That it takes at most: a token stands for a byte or more."""


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = None


class _LogProbs(msgspec.Struct):
    tokens: list[str] = []
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    logprobs: _LogProbs | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


class Echo(NamedTuple):
    """A text with the log-probability of each of its tokens."""

    tokens: Sequence[str]
    nats: Sequence[float | None]
    likeliest: Sequence[bool | None]
    """Of each whether it is what the model would write; None where that is not said."""
    written: int | None
    """How many tokens at the end the model added."""


def tokens_used(raw: bytes) -> int | None:
    """Read how many tokens an answer took; None if it does not say."""
    try:
        usage = _read(raw).usage
    except InferenceError:
        return None
    return None if usage is None else usage.prompt_tokens + (usage.completion_tokens or 0)


# -- text ----------------------------------------------------------------------------------------


def ask_text(model: str, request: GenerateRequest | CompleteRequest) -> Asked:
    """Say how text is asked for."""
    stops = request.stop if isinstance(request, CompleteRequest) else ()
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "temperature": 0,
        **({"stop": stops[:_MOST_STOPS]} if stops else {}),
    }
    text = request.user if isinstance(request, GenerateRequest) else request.prompt
    tokens = _bytes(text, request.system if is_chat(request) else "") + request.max_tokens
    if not is_chat(request):
        return Asked("completions", {**body, "prompt": text}, tokens)
    turns = [("system", request.system)] if request.system else []
    messages = [{"role": role, "content": said} for role, said in [*turns, ("user", text)]]
    return Asked("chat/completions", {**body, "messages": messages}, tokens)


def is_chat(request: GenerateRequest | CompleteRequest) -> bool:
    """Tell whether a request is a turn, rather than a text to go on from."""
    return isinstance(request, GenerateRequest) or request.chat


def read_text(raw: bytes, request: GenerateRequest | CompleteRequest) -> Generation:
    """Read text. Raises: InferenceError if it is none."""
    reply = _read(raw)
    choice = reply.choices[0]
    written = choice.message.content if choice.message else choice.text
    usage = reply.usage
    if usage is None or usage.completion_tokens is None:
        raise InferenceError("the model server does not say how many tokens it wrote")
    text, stopped = written or "", choice.finish_reason != "length"
    for stop in request.stop if isinstance(request, CompleteRequest) else ():
        stopped = stopped or stop in text
        text = text.split(stop, 1)[0]
    tokens = max(0, min(usage.completion_tokens, request.max_tokens))
    return Generation(text, max(0, usage.prompt_tokens), tokens, "stop" if stopped else "length")


# -- choices -------------------------------------------------------------------------------------


def ask_echo(model: str, text: str) -> Asked:
    """Say how a text is echoed with the log-probabilities of its tokens."""
    body = {"model": model, "prompt": text, "temperature": 0, "logprobs": 1}
    # One token more, since some servers take 0 for as many as there is room for.
    return Asked("completions", {**body, "max_tokens": 1, "echo": True}, _bytes(text) + 1)


def ask_scored_text(model: str, prompt: str, max_tokens: int) -> Asked:
    """Say how text is asked for together with the log-probabilities of its tokens."""
    body = {"model": model, "prompt": prompt, "temperature": 0, "logprobs": 1}
    tokens = _bytes(prompt) + max_tokens
    return Asked("completions", {**body, "max_tokens": max_tokens}, tokens)


def read_echo(raw: bytes) -> Echo:
    """Read tokens and their log-probabilities. Raises: InferenceError if there are none."""
    reply = _read(raw)
    said = reply.choices[0].logprobs
    if said is None or not said.tokens or len(said.tokens) != len(said.token_logprobs):
        raise InferenceError("the model server gives no log-probabilities of a text's tokens")
    nats = [None if each is None else _nats(each) for each in said.token_logprobs]
    tops = said.top_logprobs
    if tops is None or len(tops) != len(nats):
        tops = [None] * len(nats)
    likeliest = [
        None if own is None or not top else own >= max(top.values())
        for own, top in zip(nats, tops, strict=True)
    ]
    written = None if reply.usage is None else reply.usage.completion_tokens
    return Echo(said.tokens, nats, likeliest, written)


def part(prompt: str, choice: str) -> tuple[str, str]:
    """Part a text as the reference harness does: white space goes to the choice."""
    stripped = prompt.rstrip()
    return stripped, prompt[len(stripped) :] + choice


def score(
    echo: Echo, prompt: str, choice: str, *, greedy: bool
) -> tuple[LogLikelihood, int] | Unanswered:
    """Score a choice; return that and how many tokens stand before it."""
    prompt, choice = part(prompt, choice)
    found = _place(echo, prompt, choice)
    if found is None:
        return Unanswered("the model server's tokens do not part between the prompt and the choice")
    first, end = found
    nats, likeliest = echo.nats[first:end], echo.likeliest[first:end]
    known = [each for each in nats if each is not None]
    if len(known) < len(nats):
        return Unanswered("the model server gives no log-probability of the first token")
    if greedy and None in likeliest:
        return Unanswered("the model server does not say which token is the likeliest")
    return LogLikelihood(sum(known), len(known), all(likeliest) if greedy else None), first


def _place(echo: Echo, prompt: str, choice: str) -> tuple[int, int] | None:
    """Find the tokens of the choice: where they begin and end."""
    count = len(echo.tokens)
    written = 1 if echo.written is None else echo.written
    # Some count the end-of-text token that they list, and others do neither.
    for end in dict.fromkeys((count - written, count - 1, count)):
        first, tail = end, ""
        while first > 0 and len(tail) < len(choice):
            first -= 1
            tail = echo.tokens[first] + tail
        if 0 < end <= count and tail == choice and _precedes(echo.tokens[:first], prompt):
            return first, end
    return None


def _precedes(tokens: Sequence[str], prompt: str) -> bool:
    """Tell whether tokens are those of a prompt, perhaps after the text of a start token."""
    text = "".join(tokens)
    if prompt.isascii():
        return text.endswith(prompt) and len(text) - len(prompt) <= _LONGEST_START
    # A token may be a part of a character, which has no text.
    last = len(prompt) - max((at for at, each in enumerate(prompt) if not each.isascii())) - 1
    return text.endswith(prompt[len(prompt) - last :])


def _nats(value: float) -> float:
    if not isfinite(value) or value > _ABOVE_ZERO:
        raise InferenceError(f"the model server gives {value} for a log-probability")
    return min(0.0, value)


def _read(raw: bytes) -> _Reply:
    try:
        reply = msgspec.json.decode(raw, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InferenceError("the model server's answer is not of OpenAI's form") from None
    if not reply.choices:
        raise InferenceError("the model server's answer is empty")
    return reply


def _bytes(*texts: str) -> int:
    return sum(len(text.encode(errors="surrogatepass")) for text in texts) + _MARGIN_TOKENS
