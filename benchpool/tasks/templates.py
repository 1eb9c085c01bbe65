"""Jinja as lm-evaluation-harness sets it up, in a sandbox.

A task comes from a stranger. What a template can reach is its record, `range`, `dict` and Jinja's
filters; what it prints is text, numbers and lists of them, so that equal input gives equal bytes.
Time and memory are limited by the process in which it runs (`isolation`).
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range

MAX_TEXT_CHARACTERS = 1 << 20
"""The most that a template may print."""
_PRINTED = (
    str,
    int,
    float,
    type(None),
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    bytes,
)


class TemplateError(Exception):
    """A template is broken, or cannot be filled with this record; the message says why."""


def _printable(value: Any) -> Any:
    """Refuse what prints as an address in memory."""
    _check_printable(value, 0)
    return value


def _check_printable(value: Any, depth: int) -> None:
    if isinstance(value, _PRINTED) or (isinstance(value, Undefined) and not depth):
        return  # what is undefined says so when it is printed
    if depth < 32 and isinstance(value, list | tuple):
        for each in value:
            _check_printable(each, depth + 1)
    elif depth < 32 and isinstance(value, dict):
        for key, each in value.items():
            _check_printable(key, depth + 1)
            _check_printable(each, depth + 1)
    else:
        raise TemplateError(f"prints no text, number or list but a {type(value).__name__}")


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, string, count=count)


def _new_environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=_printable
    )
    environment.globals = {"range": safe_range, "dict": dict}
    environment.filters["regex_replace"] = _regex_replace
    del environment.filters["random"]  # equal input gives equal bytes
    return environment


_environment = _new_environment()


class Template:
    """A template, compiled once and filled with record after record.

    Args:
        source: the template.

    Raises:
        TemplateError: it is no template.
    """

    def __init__(self, source: str) -> None:
        try:
            self._template = _environment.from_string(source)
        except TemplateError:
            raise
        except TemplateSyntaxError as error:
            raise TemplateError(f"is no template: {_short(error)}") from None
        except (MemoryError, RecursionError):
            raise TemplateError("is too large a template") from None
        except Exception as error:
            raise TemplateError(f"is no template: {_short(error)}") from None

    def fill(self, record: Mapping[str, Any]) -> str:
        """Return the text for a record.

        Raises:
            TemplateError: a column is missing, the template reaches for what it may not, or for
                too much.
        """
        try:
            text = self._template.render(record)
        except TemplateError:
            raise
        except SecurityError as error:
            raise TemplateError(f"reaches out of its sandbox: {_short(error)}") from None
        except MemoryError:
            raise TemplateError("needs too much memory") from None
        except RecursionError:
            raise TemplateError("is nested too deeply") from None
        except Exception as error:
            raise TemplateError(f"fails: {_short(error)}") from None
        if len(text) > MAX_TEXT_CHARACTERS:
            raise TemplateError(f"prints more than {MAX_TEXT_CHARACTERS:,} characters")
        return text


def _short(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0][:200] if said else type(error).__name__
