"""What a model server can do, found out by asking it for what is known already.

That a server returns log-probabilities does not make them those of the tokens beside them: one that
is widely used shifts them by a token for some models, and the scores look plausible. So a model
writes a text, telling how likely it finds each token, and the same text is then scored as if it
were a question's: the numbers must be those that were told before. Then it is given questions whose
answers any language model knows.
"""

from __future__ import annotations

from typing import Final

import msgspec

from benchpool.errors import InferenceError
from benchpool.inference.engine import CompleteRequest, GenerateRequest
from benchpool.inference.remote_answers import (
    Asked,
    ask_echo,
    ask_scored_text,
    ask_text,
    read_echo,
    read_text,
    score,
    tokens_used,
)
from benchpool.inference.remote_http import Flight, ModelServer, RefusedError
from benchpool.inference.remote_models import Listed

_STARTS: Final = (
    "The capital of France is",
    "Once upon a time there was a little",
    "The days of the week are Monday, Tuesday,",
)
_WRITTEN_TOKENS: Final = 6
_LEAST_TOKENS: Final = 6
"""Tokens that must have been compared."""
_MEAN_NATS: Final = 0.3
_LARGEST_NATS: Final = 1.5
"""How far a token's log-probability may be from what was told of it, which is computed in another
batch; shifted ones are off by many nats."""
KNOWN: Final = (
    ("One, two, three, four, five, six,", " seven", " purple"),
    ("Red, green, blue. Red, green, blue. Red, green,", " blue", " seven"),
    ("Monday, Tuesday, Wednesday, Thursday,", " Friday", " purple"),
    ("The dog barks. The cat meows. The dog barks. The cat", " meows", " barks"),
)
"""A prompt, what any model goes on with, and what none does."""


def probe(server: ModelServer, flight: Flight) -> Listed:
    """Find out what a server can do; return its entry with that.

    Raises:
        InferenceError: It cannot be asked, or answers neither texts nor turns.
    """
    return _Probe(server, flight).run()


class _Probe:
    def __init__(self, server: ModelServer, flight: Flight) -> None:
        self._server = server
        self._flight = flight
        self._model = server.listed.described.model

    def run(self) -> Listed:
        listed = self._server.listed
        raw, why_not_raw = self._answers(CompleteRequest(_STARTS[0], (), 4))
        chat, why_not_chat = self._answers(GenerateRequest("Say hello.", max_tokens=4))
        if not (raw or chat):
            raise InferenceError(
                f"{listed.name} ({listed.described.url}) neither goes on from a text"
                f" ({why_not_raw}) nor answers a turn ({why_not_chat})"
            )
        why = self._why_no_choices() if raw else why_not_raw
        terms = msgspec.structs.replace(
            listed.terms, raw=raw, chat=chat, choices=not why, why_no_choices=why
        )
        return msgspec.structs.replace(listed, terms=terms)

    def _ask(self, asked: Asked) -> bytes:
        return self._server.ask(asked.path, asked.body, asked.tokens, tokens_used, self._flight)

    def _answers(self, request: GenerateRequest | CompleteRequest) -> tuple[bool, str]:
        """Tell whether it answers a request, or why not."""
        try:
            read_text(self._ask(ask_text(self._model, request)), request)
        except RefusedError as refusal:
            return False, str(refusal)
        return True, ""

    def _why_no_choices(self) -> str:
        try:
            return self._compare() or self._know()
        except (RefusedError, InferenceError) as error:
            self._flight.check()
            return str(error)

    def _compare(self) -> str:
        """Have what the model wrote scored; say what is wrong with it."""
        differences: list[float] = []
        for prompt in _STARTS:
            asked = ask_scored_text(self._model, prompt, _WRITTEN_TOKENS)
            written = read_echo(self._ask(asked))
            known = list(zip(written.tokens, written.nats, strict=True))[:_WRITTEN_TOKENS]
            text = "".join(token for token, _ in known)
            echo = read_echo(self._ask(ask_echo(self._model, prompt + text)))
            end = len(echo.tokens) - (1 if echo.written is None else echo.written)
            # Without the last row that some leave out, the tokens begin elsewhere: by their text.
            for first in range(max(0, end - len(known)), len(echo.tokens)):
                if [*echo.tokens[first : first + len(known)]] == [token for token, _ in known]:
                    differences += [
                        abs(again - told)
                        for again, (_, told) in zip(echo.nats[first:], known, strict=False)
                        if again is not None and told is not None
                    ]
                    break
        if len(differences) < _LEAST_TOKENS:
            return "the tokens of a text that it wrote do not come back when it is echoed"
        mean, largest = sum(differences) / len(differences), max(differences)
        if mean > _MEAN_NATS or largest > _LARGEST_NATS:
            return (
                "the log-probabilities of an echoed text are not those of its tokens: they differ"
                f" by {mean:.1f} nats on average from what it told when it wrote the text"
            )
        return ""

    def _know(self) -> str:
        """Ask what any model knows; say what was wrong."""
        for prompt, right, wrong in KNOWN:
            nats: list[float] = []
            for choice in (right, wrong):
                echo = read_echo(self._ask(ask_echo(self._model, prompt + choice)))
                scored = score(echo, prompt, choice, greedy=False)
                if not isinstance(scored, tuple):
                    return scored.reason
                nats.append(scored[0].nats)
            if nats[0] <= nats[1]:
                return f"it finds {wrong!r} as likely as {right!r} after {prompt!r}"
        return ""
