"""Handler tables with the semantics of aos: named handlers tried in order.

Source: aos process/handlers.lua and handlers-utils.lua (2.0.4).

Deviates: action strings and tag values are compared without regard to case, as aos does since
2.0.4; regular expressions are Python's; a table may be changed while it is being evaluated, and the
change counts from the next message on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from benchpool.ao.message import Message
from benchpool.errors import HandlerError


class Verdict(Enum):
    """What a pattern says of a message."""

    BREAK = -1
    """Run the handler and stop."""
    SKIP = 0
    """Do not run it."""
    CONTINUE = 1
    """Run it and go on to the next handlers."""


# Python looks a member up in its class anew each time, which takes longer than to match an action.
_BREAK, _SKIP, _CONTINUE = Verdict.BREAK, Verdict.SKIP, Verdict.CONTINUE

SubPattern = Any
"""A text (equal without regard to case), ``"_"`` (anything), a compiled regular expression, a
function of (value, message), or a sequence of these of which one must match."""

PatternFunction = Callable[[Message], "Verdict | str | bool | int"]
Pattern = str | Mapping[str, SubPattern] | PatternFunction
Handle = Callable[[Message], object]


@dataclass(slots=True)
class Handler:
    """One row of a handler table."""

    name: str
    pattern: Pattern
    handle: Handle
    max_runs: int | None = None
    """How often it may still run; None is without limit."""
    then: Verdict = Verdict.BREAK
    """The verdict of an action string or tag table that matches."""

    @property
    def action(self) -> str | None:
        """The action that it answers to; None if it takes several, or asks for none."""
        named = self.pattern.get("Action") if isinstance(self.pattern, Mapping) else self.pattern
        return named if isinstance(named, str) else None

    def describe(self) -> str:
        """Say in words what it answers to."""
        if isinstance(self.pattern, str):
            return f"Action = {self.pattern}"
        if isinstance(self.pattern, Mapping):
            return ", ".join(f"{key} = {_describe(sub)}" for key, sub in self.pattern.items())
        return f"function {getattr(self.pattern, '__name__', 'pattern')}"


class HandlerTable:
    """Handlers in the order in which they are tried.

    The verbs are those of aos: `add` and `append` replace a handler of the same name in place, else
    put it at the end; `prepend` puts it at the front; `before(name).add` and `after(name).add` put
    it beside another, and do nothing if that one is missing; `once` runs a single time.
    """

    def __init__(self) -> None:
        self._handlers: list[Handler] = []
        self._by_action: dict[str, tuple[Handler, ...]] | None = None
        self._others: tuple[Handler, ...] = ()
        self._direct: dict[str, Handle] = {}
        """Actions that one handler alone takes, whatever else a message says."""
        self._once_count = 0

    def add(
        self,
        name: str,
        pattern: Pattern,
        handle: Handle,
        max_runs: int | None = None,
        *,
        then: Verdict = Verdict.BREAK,
    ) -> None:
        """Replace the handler of this name in place, or put it at the end."""
        handler = Handler(name, pattern, handle, max_runs, then)
        place = self._place(name)
        if place is None:
            self._handlers.append(handler)
        else:
            self._handlers[place] = handler
        self._unindex()

    append = add

    def prepend(
        self,
        name: str,
        pattern: Pattern,
        handle: Handle,
        max_runs: int | None = None,
        *,
        then: Verdict = Verdict.BREAK,
    ) -> None:
        """Replace the handler of this name in place, or put it at the front."""
        if self._place(name) is not None:
            self.add(name, pattern, handle, max_runs, then=then)
        else:
            self._insert(0, Handler(name, pattern, handle, max_runs, then))

    def once(self, pattern: Pattern, handle: Handle, *, name: str | None = None) -> str:
        """Put a handler at the front that runs a single time; return its name."""
        if name is None:
            name = f"_once_{self._once_count}"
            self._once_count += 1
        self.prepend(name, pattern, handle, max_runs=1)
        return name

    def before(self, name: str) -> Beside:
        """Say where: `table.before("Transfer").add(...)`."""
        return Beside(self, name, 0)

    def after(self, name: str) -> Beside:
        """Say where: `table.after("Transfer").add(...)`."""
        return Beside(self, name, 1)

    def remove(self, name: str) -> None:
        """Take a handler out; nothing happens if there is none of that name."""
        self._handlers = [handler for handler in self._handlers if handler.name != name]
        self._unindex()

    def evaluate(self, message: Message, default: Handle) -> bool:
        """Run the handlers that match, in order, until one of them breaks.

        Returns: whether one did; if not, `default` has run.

        Raises: whatever a handler raises.
        """
        handle = self._direct.get(message.tags.last("Action"))
        if handle is not None:
            handle(message)
            return True
        for handler in self.candidates(message):
            pattern = handler.pattern
            # A handler for an action is a candidate only where that action matches already.
            verdict = handler.then if type(pattern) is str else judge(handler, message)
            if verdict is _SKIP:
                continue
            handler.handle(message)
            if handler.max_runs is not None:
                handler.max_runs -= 1
                if handler.max_runs <= 0:
                    self._forget(handler)
            if verdict is _BREAK:
                return True
        default(message)
        return False

    def candidates(self, message: Message) -> tuple[Handler, ...]:
        """Return the handlers that could match: action strings are looked up, not tried in turn."""
        index = self._by_action
        if index is None:
            index = self._build_index()
        action = message.action
        # Senders mostly write an action as its handler does, so the exact text is looked up first.
        return index.get(action) or index.get(action.lower(), self._others)

    def _build_index(self) -> dict[str, tuple[Handler, ...]]:
        others: list[Handler] = []
        by_action: dict[str, list[Handler]] = {}
        for handler in self._handlers:
            if isinstance(handler.pattern, str):
                by_action.setdefault(handler.pattern.lower(), [*others]).append(handler)
            else:
                others.append(handler)
                for candidates in by_action.values():
                    candidates.append(handler)
        index = {action: tuple(candidates) for action, candidates in by_action.items()}
        for handler in self._handlers:
            if isinstance(handler.pattern, str):
                index[handler.pattern] = index[handler.pattern.lower()]
        for action, (only, *more) in index.items():
            if not more and only.then is _BREAK and only.max_runs is None:
                self._direct[action] = only.handle
        self._others, self._by_action = tuple(others), index
        return index

    def _unindex(self) -> None:
        self._by_action = None
        self._direct = {}

    def _place(self, name: str) -> int | None:
        return next((i for i, h in enumerate(self._handlers) if h.name == name), None)

    def _insert(self, place: int, handler: Handler) -> None:
        self._handlers.insert(place, handler)
        self._unindex()

    def _forget(self, spent: Handler) -> None:
        self._handlers = [handler for handler in self._handlers if handler is not spent]
        self._unindex()

    def __iter__(self) -> Iterator[Handler]:
        return iter(tuple(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)


@dataclass(frozen=True, slots=True)
class Beside:
    """A place next to a named handler."""

    table: HandlerTable
    name: str
    offset: int

    def add(
        self,
        name: str,
        pattern: Pattern,
        handle: Handle,
        max_runs: int | None = None,
        *,
        then: Verdict = Verdict.BREAK,
    ) -> None:
        """Put a handler here. As in aos, silently nothing if the named one is missing."""
        place = self.table._place(self.name)
        if place is not None:
            self.table._insert(place + self.offset, Handler(name, pattern, handle, max_runs, then))


def judge(handler: Handler, message: Message) -> Verdict:
    """Say what a handler's pattern makes of a message.

    Raises: HandlerError if a pattern function answers with neither verdict, text, bool nor number.
    """
    pattern = handler.pattern
    if isinstance(pattern, str):
        matched = pattern.lower() == message.action.lower()
        return handler.then if matched else _SKIP
    if isinstance(pattern, Mapping):
        return handler.then if matches(pattern, message) else _SKIP
    return _read_verdict(pattern(message), handler.name)


def matches(pattern: Mapping[str, SubPattern], message: Message) -> bool:
    """Tell whether every key of a tag table is there and matches its sub-pattern."""
    for name, sub in pattern.items():
        value = message.get(name)
        if not value and name not in message.tags:
            return False
        if not _matches_value(sub, value, message):
            return False
    return True


def _matches_value(sub: SubPattern, value: str, message: Message) -> bool:
    if isinstance(sub, str):
        return sub == "_" or sub.lower() == value.lower()
    if isinstance(sub, re.Pattern):
        return sub.search(value) is not None
    if callable(sub):
        return bool(sub(value, message))
    if isinstance(sub, Sequence):
        return any(_matches_value(each, value, message) for each in sub)
    raise HandlerError(f"a pattern cannot hold a {type(sub).__name__}")


def _read_verdict(answer: object, name: str) -> Verdict:
    if isinstance(answer, Verdict):
        return answer
    if isinstance(answer, bool):
        return _BREAK if answer else _SKIP
    if isinstance(answer, str):
        return {"continue": _CONTINUE, "break": _BREAK}.get(answer, _SKIP)
    if isinstance(answer, int):
        return _SKIP if answer == 0 else _BREAK if answer < 0 else _CONTINUE
    raise HandlerError(f"the pattern of handler {name} answered {answer!r}, which is no verdict")


def _describe(sub: SubPattern) -> str:
    if isinstance(sub, re.Pattern):
        return f"/{sub.pattern}/"
    if callable(sub):
        return f"function {getattr(sub, '__name__', 'pattern')}"
    return "anything" if sub == "_" else str(sub)
