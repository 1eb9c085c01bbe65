"""Render one chat turn in a model's own chat template.

A template comes from the model file, so from a stranger: it runs in Jinja's sandbox, and for a
limited time. The limit works on the main thread, where the child process of a model renders; it
cannot end a single long operation, which the parent's time limit and the child's memory limit do.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

RENDER_S = 2.0


class TemplateRefusedError(Exception):
    """The template cannot render this turn; the message says why."""


class ChatTemplate:
    """A chat template, or the plain form for a model that has none.

    Deviates: templates that print today's date see no ``strftime_now`` and fall back to the
    date written in them, because a prompt that changes by the day cannot be replayed.
    """

    def __init__(self, source: str | None, *, bos: str, eos: str) -> None:
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._problem = ""
        self._template = None
        if source is None:
            return
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        try:
            self._template = environment.from_string(source)
        except Exception as error:
            self._problem = f"the model's chat template is broken: {error}"

    def render(self, *, system: str, user: str) -> str:
        """Render the turn up to where the model answers.

        Raises:
            TemplateRefusedError: The template is broken or refuses the turn.
        """
        if self._problem:
            raise TemplateRefusedError(self._problem)
        if self._template is None:
            return f"<|system|>{system}<|user|>{user}<|assistant|>"
        turn = {"role": "user", "content": user}
        if not system:
            return self._render([turn])
        try:
            return self._render([{"role": "system", "content": system}, turn])
        except TemplateRefusedError:
            # Some families know no system role; they are told the same in the user's turn.
            return self._render([{"role": "user", "content": f"{system}\n\n{user}"}])

    def _render(self, messages: list[dict[str, str]]) -> str:
        assert self._template is not None
        try:
            with _time_limit(RENDER_S):
                return self._template.render(
                    messages=messages, add_generation_prompt=True, **self._tokens
                )
        except _OutOfTimeError as late:
            self._problem = f"the model's chat template does not end within {RENDER_S:g} s"
            raise TemplateRefusedError(self._problem) from late
        except Exception as error:
            raise TemplateRefusedError(f"the model's chat template failed: {error}") from error


class _OutOfTimeError(BaseException):
    """Not an ``Exception``, so that nothing inside a template can catch it."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise _OutOfTimeError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
