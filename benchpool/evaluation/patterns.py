r"""Regular expressions out of files: Python's own, as the reference harness runs them, bounded.

A pattern comes from a stranger, and Python's engine tries every way to match: ``(a+)+$`` takes
years for thirty letters. Another engine would be linear and mean other things by ``\d`` or ``$``;
a limit of time would make a score depend on the machine. So the ways are counted beforehand:
loops within loops are refused when the pattern is read, and a text for which the others could
take too many steps when it is scored, by a number that is the same everywhere.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, Self

from benchpool.errors import DatasetError

MAX_PATTERN: Final = 1000
"""Characters of a pattern at most."""
MAX_STEPS: Final = 100_000_000
"""Steps that a pattern may take on a text at most; a second or two."""

_parser: Any = re._parser  # type: ignore[attr-defined]
_compiler: Any = re._compiler  # type: ignore[attr-defined]
_LOOPS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
_SINGLE: Final = ("LITERAL", "NOT_LITERAL", "IN", "ANY")

_Ways = Callable[[str], int]


class Pattern(NamedTuple):
    """A regular expression whose steps on a text are known before it is run."""

    source: str
    compiled: re.Pattern[str]
    ways: _Ways
    """The ways in which it can go on from one place of a text, at most."""

    @classmethod
    def read(cls, source: str) -> Self:
        """Read a pattern.

        Raises:
            DatasetError: It is too long, no regular expression, or could take for ever.
        """
        return cls(*_read(source))

    def find_all(self, text: str) -> list[Any]:
        """Return what ``re.findall`` does. Raises: DatasetError for a text of too many steps."""
        return self._checked(text).findall(text)

    def remove(self, text: str) -> str:
        """Return the text without what matches. Raises: DatasetError, as ``find_all``."""
        return self._checked(text).sub("", text)

    def _checked(self, text: str) -> re.Pattern[str]:
        if (len(text) + 1) * self.ways(text) > MAX_STEPS:
            raise DatasetError(
                f"a text of {len(text)} characters is too long for the pattern"
                f" {_shown(self.source)}"
            )
        return self.compiled


@lru_cache(maxsize=256)
def _read(source: str) -> tuple[str, re.Pattern[str], _Ways]:
    shown = _shown(source)
    if len(source) > MAX_PATTERN:
        raise DatasetError(f"the pattern {shown} has more than {MAX_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(source)
            tree = _parser.parse(source)
        ways = _sequence(tree, tree.state)
        if ways("") > MAX_STEPS:
            raise _EndlessError
    except (re.error, OverflowError, RecursionError) as error:
        raise DatasetError(f"no regular expression: {shown} ({error})") from None
    except _EndlessError:
        raise DatasetError(
            f"the pattern {shown} may take for ever; write it without a repetition or an"
            " alternative inside a repetition, and with fewer alternatives"
        ) from None
    return source, compiled, ways


class _EndlessError(Exception):
    pass


def _sequence(tree: Any, state: Any) -> _Ways:
    """Return the ways through items one after the other: their product."""
    ways = [each for item in tree for each in _item(item, state)]

    def count(text: str) -> int:
        product = 1
        for each in ways:
            product = min(product * each(text), MAX_STEPS + 1)
        return product

    return count if ways else _one


def _item(item: tuple[Any, Any], state: Any) -> Iterator[_Ways]:
    """Yield the ways through one item; nothing if there is one way alone."""
    name, value = str(item[0]), item[1]
    if name in _LOOPS:
        least, most, body = value
        yield from _loop(least, most, body, state)
    elif name == "BRANCH":
        branches = [_sequence(branch, state) for branch in value[1]]
        yield lambda text: sum(branch(text) for branch in branches)
    elif name == "GROUPREF_EXISTS":
        branches = [_sequence(branch, state) for branch in value[1:] if branch is not None]
        yield lambda text: 1 + sum(branch(text) for branch in branches)
    elif name == "SUBPATTERN":
        yield _sequence(value[-1], state)
    elif name in ("ASSERT", "ASSERT_NOT"):
        yield _sequence(value[1], state)
    elif name == "ATOMIC_GROUP":
        yield _sequence(value, state)


def _loop(least: int, most: int, body: Any, state: Any) -> Iterator[_Ways]:
    inside = _sequence(body, state)
    if most <= 1:  # it is there or not
        yield lambda text: (0 if least else 1) + inside(text)
        return
    narrowest, widest = body.getwidth()
    if _varies(body) or narrowest != widest or not narrowest:
        raise _EndlessError
    if least == most:
        return
    if len(body) == 1 and str(body[0][0]) in _SINGLE:
        run = _compiler.compile(
            _parser.SubPattern(state, [(_parser.MAX_REPEAT, (1, _parser.MAXREPEAT, body))])
        )
        yield lambda text: _longest(run, text, least, most)
        return
    yield lambda text: max(min(most, len(text) // narrowest) - least, 0) + 1


def _longest(run: re.Pattern[str], text: str, least: int, most: int) -> int:
    longest = max((found.end() - found.start() for found in run.finditer(text)), default=0)
    return max(min(most, longest) - least, 0) + 1


def _varies(tree: Any) -> bool:
    """Whether there is more than one way through items."""
    for code, value in tree:
        name = str(code)
        if name in _LOOPS:
            least, most, body = value
            if least != most or _varies(body):
                return True
        elif name in ("BRANCH", "GROUPREF_EXISTS", "GROUPREF"):
            return True
        elif name in ("ASSERT", "ASSERT_NOT"):
            if _varies(value[1]):
                return True
        elif name in ("SUBPATTERN", "ATOMIC_GROUP") and _varies(
            value[-1] if name == "SUBPATTERN" else value
        ):
            return True
    return False


def _shown(source: str) -> str:
    return repr(source if len(source) <= 60 else f"{source[:57]}...")


def _one(_text: str) -> int:
    return 1
