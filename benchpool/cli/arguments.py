"""Ids on the command line: one in 64 begins with a dash, and none of them is an option.

Nor is the beginning of an id: options of one dash have one letter here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_FLAGS: Final = frozenset({"--json", "--verbose", "-v", "--verify"})
"""Options without a value: what follows them may be an argument."""
_ID: Final = re.compile(r"-[A-Za-z0-9_][A-Za-z0-9_-]{2,41}|-[A-Za-z0-9_-]{42}")
"""An id, or at least four characters of its beginning; `--name` is an option unless it is long."""


def shield_ids(args: Iterable[str]) -> list[str]:
    """Move ids that begin with a dash behind `--`, where nothing is taken for an option."""
    given = list(args)
    if "--" in given:
        return given
    kept: list[str] = []
    ids: list[str] = []
    for place, arg in enumerate(given):
        before = given[place - 1] if place else ""
        takes_value = before.startswith("-") and before not in _FLAGS and not _ID.fullmatch(before)
        if _ID.fullmatch(arg) and not takes_value:
            ids.append(arg)
        else:
            kept.append(arg)
    return [*kept, "--", *ids] if ids else kept
