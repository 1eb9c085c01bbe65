"""Tags: ordered pairs of names and values, names found in any case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Self

Pair = tuple[str, str]
TagsInput = Mapping[str, Any] | Iterable[Pair]


_KNOWN_NAMES: Final = 65_536
_NORMAL: Final[set[str]] = set()
"""Names that are written as aos writes them: where all are, a table of tags is a plain dict."""


@lru_cache(maxsize=_KNOWN_NAMES)
def normalise_name(name: str) -> str:
    """Write a tag name as aos does: ``x-foo_bar`` and ``X-FOO-BAR`` are both ``X-Foo-Bar``.

    Source: aos process 2.0.4, ao.normalize.
    """
    normal = "-".join(
        part[:1].upper() + part[1:].lower() for part in name.replace("_", "-").split("-")
    )
    if normal == name and len(_NORMAL) < _KNOWN_NAMES:
        _NORMAL.add(name)
    return normal


def as_pairs(tags: TagsInput) -> Iterable[Pair]:
    """Return the (name, value) pairs of tags in either form."""
    # Asking an abstract class costs more than all the rest, so lists and tuples go first.
    if type(tags) is list or type(tags) is tuple or not isinstance(tags, Mapping):
        return tags
    return tags.items()


class Tags:
    """The tags of a message: ordered, duplicates allowed, names found in any case.

    Looking a name up gives its first value, `last` the last, `all` every one. `pairs` keeps the
    tags as they were sent.
    """

    __slots__ = ("_first", "_last", "ascii", "characters", "pairs")

    _first: dict[str, str] | None
    _last: dict[str, str]
    ascii: bool
    """Whether names and values are all ASCII."""
    characters: int
    """Of all names and values."""
    pairs: tuple[Pair, ...]

    def __init__(self, tags: TagsInput = ()) -> None:
        pairs = tags if type(tags) is tuple else tuple(as_pairs(tags))
        for _, value in pairs:
            if type(value) is not str:
                pairs = tuple((name, str(value)) for name, value in pairs)
                break
        try:
            text = "".join(chain.from_iterable(pairs))
        except TypeError:
            _check_names(pairs)
            raise
        self.pairs = pairs
        self.characters = len(text)
        self.ascii = text.isascii()
        self._first = None

    @classmethod
    def of(cls, pairs: tuple[Pair, ...]) -> Self:
        """Make tags of pairs that are known to be text."""
        tags = cls.__new__(cls)
        text = "".join(chain.from_iterable(pairs))
        tags.pairs = pairs
        tags.characters = len(text)
        tags.ascii = text.isascii()
        tags._first = None
        return tags

    def _index(self) -> dict[str, str]:
        # Made when a name is first looked up: the tags of what is kept and shown are never asked.
        pairs = self.pairs
        last = dict(pairs)
        if not _NORMAL.issuperset(last):
            last = {normalise_name(name): value for name, value in pairs}
        first = last
        if len(last) != len(pairs):
            first = {normalise_name(name): value for name, value in reversed(pairs)}
        self._first, self._last = first, last
        return first

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a tag, or the default."""
        first = self._first
        if first is None:
            first = self._index()
        return first.get(name if name in _NORMAL else normalise_name(name), default)

    def last(self, name: str, default: str = "") -> str:
        """Return the last value of a tag, or the default."""
        if self._first is None:
            self._index()
        return self._last.get(name if name in _NORMAL else normalise_name(name), default)

    def __getitem__(self, name: str) -> str:
        return (self._first or self._index())[normalise_name(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normalise_name(name) in (self._first or self._index())

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


def _check_names(pairs: Iterable[tuple[object, str]]) -> None:
    for name, _ in pairs:
        if not isinstance(name, str):
            raise TypeError(f"the name of a tag is text, not {type(name).__name__}") from None


NO_TAGS = Tags()
