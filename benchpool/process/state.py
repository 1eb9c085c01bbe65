"""Process state with a write journal: a failed handler is undone at the cost of its own writes.

A state is a pydantic model made of scalars, dicts, lists and further `State` models. Once bound
to a `Journal`, every write notes how to undo itself, so a message that succeeds pays for its
writes and nothing else, however large the state is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, SupportsIndex

from pydantic import BaseModel, ConfigDict, PrivateAttr

_MISSING = object()


class Journal:
    """The undo steps of the message that is being evaluated, newest last."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Journal:
        # A copied part of a state belongs to the same process.
        return self

    def note(self, undo: Callable[..., object], *args: object) -> None:
        """Keep how to take one write back."""
        self.steps.append((undo, *args))

    def commit(self) -> None:
        """Forget the undo steps: the writes stand."""
        self.steps.clear()

    def rollback(self) -> None:
        """Take every write back, newest first."""
        while self.steps:
            undo, *args = self.steps.pop()
            undo(*args)


class State(BaseModel):
    """Base of the states of processes and of the models inside them."""

    views: ClassVar[tuple[str, ...]] = ()
    """Methods without arguments whose values a process shows at its URLs, beside its fields."""

    # An infinite float would be written as null and could not be read back.
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")

    _journal: Journal | None = PrivateAttr(default=None)

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        # Past pydantic's own access to private attributes and fields, which takes longer than all
        # the rest of a handler.
        private = self.__pydantic_private__
        journal = private["_journal"] if private else None
        if journal is None or name not in fields:
            super().__setattr__(name, value)
            return
        journal.steps.append((_set_field, self, name, fields[name]))
        fields[name] = value if type(value) in _PLAIN else bind(value, journal)

    def __delattr__(self, name: str) -> None:
        raise TypeError(f"field {name} of a state cannot be deleted; set it to None")


def state_json(state: Any) -> Any:
    """Write all of a process's state as JSON holds it, whatever its module is written in."""
    return json.loads(state.model_dump_json()) if isinstance(state, BaseModel) else state


def bind(value: Any, journal: Journal) -> Any:
    """Attach a value and all that it holds to a journal; containers come back journaled."""
    kind = type(value)
    if kind is dict:
        if not _PLAIN.issuperset(map(type, value.values())):  # a million balances are plain
            value = {key: bind(item, journal) for key, item in value.items()}
        return JournaledDict(value, journal)
    if kind is list:
        return JournaledList((bind(item, journal) for item in value), journal)
    if isinstance(value, State):
        if value._journal is not journal:
            fields = value.__dict__
            for name, item in fields.items():
                fields[name] = bind(item, journal)
            value._journal = journal
        return value
    if isinstance(value, (JournaledDict, JournaledList)):
        if value._journal is not journal:
            return bind(dict(value) if isinstance(value, dict) else list(value), journal)
        return value
    if isinstance(value, (set, frozenset)):
        raise TypeError("a state holds no sets: their order differs between runs; use a dict")
    if isinstance(value, (dict, list, bytearray, BaseModel)):
        raise TypeError(f"a state cannot undo writes to a {kind.__name__}; use a dict, list, State")
    if isinstance(value, tuple) and any(bind(item, journal) is not item for item in value):
        raise TypeError("a tuple in a state cannot hold a dict or list; use a list")
    return value


def _set_field(model: State, name: str, value: Any) -> None:
    model.__dict__[name] = value


class JournaledDict(dict[Any, Any]):
    """A dict whose writes can be undone, order included."""

    __slots__ = ("_journal",)

    def __init__(self, items: Mapping[Any, Any], journal: Journal) -> None:
        super().__init__(items)
        self._journal = journal

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(value) not in _PLAIN:
            value = bind(value, self._journal)  # may refuse it: before the step is noted
        old = self.get(key, _MISSING)
        if old is _MISSING:
            self._journal.steps.append((dict.__delitem__, self, key))
        else:
            self._journal.steps.append((dict.__setitem__, self, key, old))
        dict.__setitem__(self, key, value)

    def __delitem__(self, key: Any) -> None:
        old = self[key]
        if key == next(reversed(self)):
            self._journal.note(dict.__setitem__, self, key, old)
        elif key == next(iter(self)):
            self._journal.note(_put_first, self, key, old)
        else:
            self._journal.note(_restore_dict, self, dict(self))
        dict.__delitem__(self, key)

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        if key not in self:
            if default is _MISSING:
                raise KeyError(key)
            return default
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[Any, Any]:
        if not self:
            raise KeyError("popitem(): dictionary is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> JournaledDict:  # type: ignore[misc]
        self.update(other)
        return self

    def clear(self) -> None:
        self._journal.note(_restore_dict, self, dict(self))
        dict.clear(self)


class JournaledList(list[Any]):
    """A list whose writes can be undone. Appending costs a step; other writes cost a copy."""

    __slots__ = ("_journal",)

    def __init__(self, items: Iterable[Any], journal: Journal) -> None:
        super().__init__(items)
        self._journal = journal

    def append(self, value: Any) -> None:
        self._journal.steps.append((_truncate, self, len(self)))
        list.append(self, bind(value, self._journal))

    def extend(self, values: Iterable[Any]) -> None:
        self._journal.note(_truncate, self, len(self))
        list.extend(self, [bind(value, self._journal) for value in values])

    def __iadd__(self, values: Iterable[Any]) -> JournaledList:  # type: ignore[misc]
        self.extend(values)
        return self

    def pop(self, index: SupportsIndex = -1) -> Any:
        value = self[index]
        if index == -1:
            self._journal.note(list.append, self, value)
        else:
            self._journal.note(list.insert, self, range(len(self))[index], value)
        return list.pop(self, index)

    def _keep(self) -> None:
        self._journal.note(_restore_list, self, list(self))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._keep()
        if isinstance(index, slice):
            value = [bind(item, self._journal) for item in value]
        else:
            value = bind(value, self._journal)
        list.__setitem__(self, index, value)

    def __delitem__(self, index: Any) -> None:
        self._keep()
        list.__delitem__(self, index)

    def insert(self, index: SupportsIndex, value: Any) -> None:
        self._keep()
        list.insert(self, index, bind(value, self._journal))

    def remove(self, value: Any) -> None:
        self._keep()
        list.remove(self, value)

    def clear(self) -> None:
        self._keep()
        list.clear(self)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        self._keep()
        list.sort(self, key=key, reverse=reverse)

    def reverse(self) -> None:
        self._keep()
        list.reverse(self)

    def __imul__(self, count: SupportsIndex) -> JournaledList:
        self._keep()
        list.__imul__(self, count)
        return self


_PLAIN = frozenset({str, int, float, bool, type(None), bytes})


def _put_first(target: JournaledDict, key: Any, value: Any) -> None:
    rest = dict(target)
    dict.clear(target)
    dict.__setitem__(target, key, value)
    dict.update(target, rest)


def _restore_dict(target: JournaledDict, items: dict[Any, Any]) -> None:
    dict.clear(target)
    dict.update(target, items)


def _restore_list(target: JournaledList, items: list[Any]) -> None:
    list.__setitem__(target, slice(None), items)


def _truncate(target: JournaledList, length: int) -> None:
    list.__delitem__(target, slice(length, None))
