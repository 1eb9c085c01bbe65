"""Paths: AO-Core's grammar of URLs, as far as it is served here.

    /PID~process@1.0/compute=7/balances/ADDRESS
    /PID/compute/results=7
    /NAME~process@1.0/now/balances/ADDRESS
    /PID~process@1.0/as=execution/compute&Action=Balance&Recipient=ADDRESS
    /~meta@1.0/info/address
    /push

What a request may do follows from its path alone, never from the item that it carries: a read that
is signed as a message is a read.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from benchpool.ao.ids import is_id
from benchpool.ao.tags import Pair

MOST_STEPS: Final = 32
LONGEST_STEP: Final = 512
"""Bytes of one step as HyperBEAM takes them; the parameters of a dry run may be longer."""
_UNITS: Final = frozenset({b"mu", b"mu/", b"cu/", b"su/"})
_NODE: Final = re.compile(r"~[a-z0-9-]+@[0-9.a-z]+")
_DEVICE: Final = "~process@1.0"
_SCHEDULING: Final = frozenset({"push", "schedule"})
_DRY: Final = ("as=execution", "compute")


class Step(NamedTuple):
    """One segment: a key, and the parameters that stand with it."""

    key: str
    parameters: tuple[Pair, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the first parameter of a name; None if there is none."""
        return next((value for key, value in self.parameters if key == name), None)


class Asked(NamedTuple):
    """What a path asks for."""

    process: str
    """The process, or behind `~process@1.0` its name here; empty where the node itself is asked."""
    steps: tuple[Step, ...]
    tags: tuple[Pair, ...] | None = None
    """Those of a dry run; None if it is none."""
    bad: str = ""
    """Why it cannot be answered."""

    @property
    def schedules(self) -> bool:
        """Whether what is posted there takes a place in a log."""
        if self.process:
            return bool(self.steps) and self.steps[0].key in _SCHEDULING
        return len(self.steps) == 1 and self.steps[0].key in _SCHEDULING


def asked_of(scope: Any) -> Asked | None:
    """Read the path of a request; None if it is none of HyperBEAM's."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if raw[1:4] in _UNITS:
        return None  # most requests are these
    return read_path(raw.decode(errors="replace"))


def read_path(raw: str) -> Asked | None:
    """Read a path as it was sent, percent-encoded; None if it is none of HyperBEAM's."""
    segments = [each for each in raw.partition("?")[0].split("/") if each]
    if not segments:
        return None
    first, rest = unquote(segments[0]), segments[1:]
    if first == "push" and not rest:
        return Asked("", (Step("push"),))
    if _NODE.fullmatch(first):
        return _of_node(first, rest)
    named = first.endswith(_DEVICE)
    process = first.removesuffix(_DEVICE)
    if named or (is_id(process) and rest):
        return _of_process(process, rest)
    return None


def _of_node(device: str, rest: list[str]) -> Asked:
    steps = _steps(rest)
    if isinstance(steps, str):
        return Asked("", (), bad=steps)
    if device in (_DEVICE, "~scheduler@1.0", "~push@1.0"):
        if len(steps) == 1 and steps[0].key in _SCHEDULING:
            return Asked("", steps)
    elif device == "~meta@1.0":
        return Asked("", (Step(device), *steps))
    return Asked("", (), bad=f"{device} with these keys is not here")


def _of_process(process: str, rest: list[str]) -> Asked:
    if len(rest) > 1 and unquote(rest[0]) == _DRY[0]:
        key, _, parameters = "/".join(rest[1:]).partition("&")
        if unquote(key) == _DRY[1]:
            # A value may hold a slash, and an ampersand: clients do not encode them.
            return Asked(process, (Step("dry-run"),), tuple(_parameters(parameters)))
    steps = _steps(rest)
    if isinstance(steps, str):
        return Asked(process, (), bad=steps)
    return Asked(process, steps)


def _steps(segments: list[str]) -> tuple[Step, ...] | str:
    if len(segments) > MOST_STEPS:
        return f"the path has more than {MOST_STEPS} steps"
    if any(len(each) > LONGEST_STEP for each in segments):
        return f"a step of the path has more than {LONGEST_STEP} bytes"
    return tuple(map(_step, segments))


def _step(segment: str) -> Step:
    named, _, more = segment.partition("&")
    key, given, value = named.partition("=")
    pairs = [(unquote(key), unquote(value))] if given else []
    return Step(unquote(key), (*pairs, *_parameters(more)))


def _parameters(text: str) -> list[Pair]:
    """Read `name=value&name=value`; a part without `=` belongs to the value before it."""
    found: list[Pair] = []
    for part in text.split("&") if text else ():
        name, given, value = part.partition("=")
        if given and name:
            found.append((unquote(name).partition("+")[0], unquote(value)))
        elif found:
            before, so_far = found[-1]
            found[-1] = (before, f"{so_far}&{unquote(part)}")
    return found
