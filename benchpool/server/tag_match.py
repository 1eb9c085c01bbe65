"""Tag matches: how a GraphQL query's values of a tag are compared, beside letter by letter.

Source: the schema of Goldsky's gateway (`match: EXACT WILDCARD FUZZY_AND FUZZY_OR`), which does
not say what fuzzy is; here a word of the query must be a word of the value, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

LONGEST: Final = 256
"""Characters of a value with wildcards, or of words."""
MOST: Final = 32
"""Such values in one query."""

Match = Callable[[str], bool]
_WORDS: Final = re.compile(r"\w+")


def matcher(kind: str, values: Iterable[str]) -> Match:
    """Make what tells whether a tag's value is one of these.

    Args:
        kind: WILDCARD, FUZZY_AND or FUZZY_OR.
        values: any of them will do.

    Raises: ValueError for too many, or too long ones.
    """
    wanted = list(values)
    if len(wanted) > MOST or any(len(each) > LONGEST for each in wanted):
        raise ValueError(
            f"a tag may be matched otherwise than EXACT by {MOST} values with at most"
            f" {LONGEST} characters"
        )
    make = _wildcard if kind == "WILDCARD" else _fuzzy_and if kind == "FUZZY_AND" else _fuzzy_or
    each_of = [make(each) for each in wanted]
    return lambda value: any(takes(value) for takes in each_of)


def _wildcard(text: str) -> Match:
    """`*` is any text, `?` any character. Takes time in proportion to the text alone."""
    first, *more = (
        re.compile("".join("." if char == "?" else re.escape(char) for char in part), re.DOTALL)
        for part in text.split("*")
    )
    if not more:
        return lambda value: first.fullmatch(value) is not None
    *middle, last = more
    ending = len(text.rpartition("*")[2])

    def takes(value: str) -> bool:
        found = first.match(value)
        end = len(value) - ending
        for part in middle:  # the first place is as good as any
            found = found and part.search(value, found.end(), max(end, 0))
        return found is not None and found.end() <= end and last.match(value, end) is not None

    return takes


def _fuzzy_and(text: str) -> Match:
    wanted = _words(text)
    return lambda value: wanted <= _words(value)


def _fuzzy_or(text: str) -> Match:
    wanted = _words(text)
    return lambda value: not wanted.isdisjoint(_words(value))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORDS.findall(text.lower()))
