"""Tags: ordered pairs of names and values, names found in any case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Self

Pair = tuple[str, str]
TagsInput = Mapping[str, Any] | Iterable[Pair]


@lru_cache(maxsize=65536)
def normalise_name(name: str) -> str:
    """Write a tag name as aos does: ``x-foo_bar`` and ``X-FOO-BAR`` are both ``X-Foo-Bar``.

    Source: aos process 2.0.4, ao.normalize.
    """
    return "-".join(
        part[:1].upper() + part[1:].lower() for part in name.replace("_", "-").split("-")
    )


def as_pairs(tags: TagsInput) -> Iterable[Pair]:
    """Return the (name, value) pairs of tags in either form."""
    # Asking an abstract class costs more than all the rest, so lists and tuples go first.
    if tags.__class__ is list or tags.__class__ is tuple or not isinstance(tags, Mapping):
        return tags
    return tags.items()


class Tags:
    """The tags of a message: ordered, duplicates allowed, names found in any case.

    Looking a name up gives its first value, `last` the last, `all` every one. `pairs` keeps the
    tags as they were sent.
    """

    __slots__ = ("_first", "_last", "ascii", "pairs")

    def __init__(self, tags: TagsInput = ()) -> None:
        pairs = tuple(as_pairs(tags))
        plain = True
        for name, value in pairs:
            if value.__class__ is not str or name.__class__ is not str:
                pairs = tuple((_name(name), str(value)) for name, value in pairs)
                plain = False
                break
            if not value.isascii():
                plain = False
        self.pairs: tuple[Pair, ...] = pairs
        self.ascii = plain
        """True if all values are known to be ASCII."""

    @classmethod
    def of(cls, pairs: tuple[Pair, ...]) -> Self:
        """Make tags of pairs that are known to be text."""
        tags = cls.__new__(cls)
        tags.pairs = pairs
        return tags

    def __getattr__(self, name: str) -> Any:
        # The table by which names are found is made when one is first looked up: the tags of what
        # is sent are compared, hashed and written far more often than they are read.
        if name == "_first":
            self._first = {normalise_name(each): value for each, value in reversed(self.pairs)}
            return self._first
        if name == "_last":
            first = self._first
            self._last = (
                first
                if len(first) == len(self.pairs)
                else {normalise_name(each): value for each, value in self.pairs}
            )
            return self._last
        if name == "ascii":
            self.ascii = all(value.isascii() for _, value in self.pairs)
            return self.ascii
        raise AttributeError(f"tags have no {name}; look a tag up with tags.get({name!r})")

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a tag, or the default."""
        return self._first.get(normalise_name(name), default)

    def last(self, name: str, default: str = "") -> str:
        """Return the last value of a tag, or the default."""
        return self._last.get(normalise_name(name), default)

    def __getitem__(self, name: str) -> str:
        return self._first[normalise_name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normalise_name(name) in self._first

    def all(self, name: str) -> list[str]:
        """Return every value of a tag, in order."""
        wanted = normalise_name(name)
        return [value for key, value in self.pairs if normalise_name(key) == wanted]

    def extras(self) -> list[Pair]:
        """Return the `X-` tags, which belong to the user and are carried along."""
        return [pair for pair in self.pairs if pair[0][:2] in {"X-", "x-"}]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tags) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return f"Tags({', '.join(f'{name}={value}' for name, value in self.pairs)})"


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a tag is text, not {type(name).__name__}")
    return name


NO_TAGS = Tags()
