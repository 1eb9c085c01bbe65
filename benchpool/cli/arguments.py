"""Ids on the command line: one in 64 begins with a dash, and none of them is an option."""

from __future__ import annotations

from collections.abc import Iterable

from benchpool.tags import is_id

_FLAGS = frozenset({"--json", "--verbose", "-v", "--verify"})
"""Options without a value: what follows them may be an argument."""


def shield_ids(args: Iterable[str]) -> list[str]:
    """Move ids that begin with a dash behind `--`, where nothing is taken for an option."""
    given = list(args)
    if "--" in given:
        return given
    kept: list[str] = []
    ids: list[str] = []
    for place, arg in enumerate(given):
        before = given[place - 1] if place else ""
        takes_value = before.startswith("-") and before not in _FLAGS and not is_id(before)
        if arg.startswith("-") and is_id(arg) and not takes_value:
            ids.append(arg)
        else:
            kept.append(arg)
    return [*kept, "--", *ids] if ids else kept
