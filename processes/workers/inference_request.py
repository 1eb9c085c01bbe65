"""What the Data of an `Inference` message asks for: read by workers, priced by a herder."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from benchpool.errors import HandlerError
from benchpool.inference.engine import (
    ChoicesRequest,
    CompleteRequest,
    GenerateRequest,
    Precision,
    Request,
)

DEFAULT_MAX_TOKENS: Final = 4
"""Tokens generated where neither the request nor the worker says how many."""

MOST_TOKENS: Final = 100_000
"""Tokens that a request may ask for at most; what a model can do is usually less."""


MOST_STOPS: Final = 32
"""Stop strings that a request may name at most."""

_Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request as it was written: with choices a question of likelihoods, without one of text."""

    prompt: str
    choices: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None
    system: str | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)] | None = None
    precision: Precision = "stored"
    """In what the model must compute."""
    greedy: bool = False
    """Of choices: whether to say of each if it is what the model would write."""
    leads: tuple[str, ...] | None = None
    """Of choices: what stands between the prompt and each of them."""
    raw: bool = False
    """Of text: whether the prompt is gone on from as it is, without a chat template."""
    stop: Annotated[tuple[_Stop, ...], msgspec.Meta(max_length=MOST_STOPS)] | None = None
    """What ends a text."""

    def request(self, *, system_prompt: str, max_tokens: int) -> Request:
        """Fill in the worker's own settings where the request leaves them open."""
        if self.choices is not None:
            return ChoicesRequest(self.prompt, self.choices, self.greedy, self.leads or ())
        if self.raw or self.stop is not None:
            system = system_prompt if self.system is None else self.system
            return CompleteRequest(
                prompt=self.prompt,
                stop=self.stop or (),
                max_tokens=max_tokens if self.max_tokens is None else self.max_tokens,
                chat=not self.raw,
                system="" if self.raw else system,
            )
        return GenerateRequest(
            user=self.prompt,
            system=system_prompt if self.system is None else self.system,
            max_tokens=max_tokens if self.max_tokens is None else self.max_tokens,
        )

    def words(self) -> int:
        """Count the words of the prompt, of the choices and of what leads to them."""
        texts = (self.prompt, *(self.choices or ()), *(self.leads or ()))
        return sum(len(text.split()) for text in texts)


def read_request(data: str, *, json_only: bool = False) -> Asked:
    """Read a request; text that is no JSON object is the prompt itself, unless `json_only`.

    Raises: HandlerError if it is an object of another form.
    """
    try:
        value: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        if json_only:
            raise HandlerError("a request must be a JSON object")
        return Asked(data)
    try:
        asked = msgspec.convert(value, Asked)
    except msgspec.ValidationError as error:
        raise HandlerError(f"not an inference request: {error}") from None
    of_text = (asked.system, asked.max_tokens, asked.stop, asked.raw or None)
    if asked.choices is not None and any(each is not None for each in of_text):
        raise HandlerError(
            "not an inference request: `system`, `max_tokens`, `stop` and `raw` do not go with"
            " `choices`"
        )
    if asked.greedy and asked.choices is None:
        raise HandlerError("not an inference request: `greedy` goes with `choices`")
    if asked.leads is not None and len(asked.leads) != len(asked.choices or ()):
        raise HandlerError("not an inference request: `leads` are texts, one for each of `choices`")
    if asked.raw and asked.system is not None:
        raise HandlerError("not an inference request: `system` does not go with `raw`")
    return asked


def write_request(asked: Asked) -> str:
    """Write a request as JSON."""
    return msgspec.json.encode(asked).decode()
