"""Patches: what processes left at their URLs with messages to `patch@1.0`.

A message of an outbox with the tag `device=patch@1.0` (or `method=PATCH`) goes nowhere: its other
tags are merged into what the process shows. That is a fold over the results in its log, made when
somebody asks and kept, so that the next one pays for what is new.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from benchpool.ao.message import ProcessInfo, Result
from benchpool.ao.shapes import result_json
from benchpool.server.answers import RefusedRequest
from benchpool.server.lookups import View
from benchpool.units.pushing import is_patch

MOST_KEPT: Final = 256
"""Processes whose patched state is kept."""
KEPT_BYTES: Final = 64 << 20
LARGEST_BYTES: Final = 16 << 20
"""Patches of one process, all together."""
_DEEPEST: Final = 64
_HIDDEN: Final = frozenset(
    {"device", "method", "data-protocol", "variant", "type", "reference", "target", "anchor"}
    | {"from-process", "from-module", "pushed-for"}
)


@dataclass
class _Kept:
    """What a process showed behind a position of its log."""

    position: int = -1
    state: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    """Bytes of all patches so far."""

    def take(self, patches: list[tuple[dict[str, Any], int]], process: str) -> None:
        """Merge the patches of one result in. Raises: RefusedRequest if all come to too much."""
        if self.size + sum(size for _, size in patches) > LARGEST_BYTES:
            raise RefusedRequest(
                f"the patches of process {process} come to more than {LARGEST_BYTES:,} bytes, and"
                " are not shown",
                413,
            )
        for patch, size in patches:
            self.size += size
            _merge(self.state, patch, 0)


class Patches:
    """The patched states of processes; the thread of folds calls it, and nobody else."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def at(self, view: View, info: ProcessInfo, position: int) -> dict[str, Any]:
        """Return what a process showed behind a position of its log; not to be changed.

        Raises: LookupEnded if the log is too long to be read at once; what was read is kept, so
            that asking again goes on from there. RefusedRequest if its patches are too large.
        """
        kept = self._kept.get(info.id)
        if kept is None:
            kept = self._kept[info.id] = _Kept()
        elif kept.position > position:
            kept = _Kept()  # an earlier state than the one that is kept
        try:
            for entry in view.store.entries(info.id, after=kept.position):
                if entry.message.position > position or entry.result is None:
                    break
                kept.take(list(_patches(entry.result, info)), info.id)
                kept.position = entry.message.position
                view.check()
        finally:
            self._forget_some(info.id)
        return kept.state

    def _forget_some(self, process: str) -> None:
        """Forget those that nobody asked for lately, when there are too many."""
        self._kept.move_to_end(process)
        size = sum(each.size for each in self._kept.values())
        while len(self._kept) > MOST_KEPT or (len(self._kept) > 1 and size > KEPT_BYTES):
            size -= self._kept.popitem(last=False)[1].size


def _patches(result: Result, info: ProcessInfo) -> Iterator[tuple[dict[str, Any], int]]:
    """Go through the patches of a result, each with its size in bytes."""
    for tags in _outbox(result, info):
        if not is_patch((name, value) for name, value in tags if isinstance(value, str)):
            continue
        patch = {name.lower(): _value(value) for name, value in tags if name.lower() not in _HIDDEN}
        yield patch, len(msgspec.json.encode(patch))


def _outbox(result: Result, info: ProcessInfo) -> Iterator[Iterable[tuple[str, Any]]]:
    """Go through the tags of each message; a WASM module may give tables, and no target."""
    if result.given:
        yield from map(_tags, result_json(result, info)["Messages"])
    else:
        yield from (each.tags.pairs for each in result.messages)


def _tags(message: Any) -> list[tuple[str, Any]]:
    """Return the tags of a message as a module wrote them, whatever it wrote."""
    found = message.get("Tags") if isinstance(message, dict) else None
    return [
        (each["name"], each.get("value"))
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]


def _value(value: Any) -> Any:
    """Read a table: tags are texts, so tables stand in them as JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(msgspec.DecodeError, RecursionError):
            return msgspec.json.decode(value)
    return value


def _merge(state: dict[str, Any], patch: dict[str, Any], depth: int) -> None:
    """Put a patch into a state, tables into tables."""
    for name, value in patch.items():
        there = state.get(name)
        if isinstance(there, dict) and isinstance(value, dict) and depth < _DEEPEST:
            _merge(there, value, depth + 1)
        else:
            state[name] = value
