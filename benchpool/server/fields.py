"""Fields: the parts of a state, looked at one by one, so that nobody writes all to see some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from benchpool.winston import Winston


def opened(value: Any) -> Any:
    """Return a model as a map of its fields, and anything else as it is.

    Money is text, as it is in JSON.
    """
    if isinstance(value, BaseModel):
        return {name: field(value, name) for name in type(value).model_fields}
    return value


def field(model: BaseModel, name: str) -> Any:
    """Return a field of a model; money, and maps of it, as text."""
    value = getattr(model, name)
    if value is None or name not in _amounts(type(model)):
        return value
    return Amounts(value) if isinstance(value, Mapping) else str(value)


@cache
def _amounts(model: type[BaseModel]) -> frozenset[str]:
    """Name the fields that hold money, or maps of it: that is text everywhere, of any size."""
    return frozenset(name for name, field in model.model_fields.items() if _is_amount(field))


def _is_amount(field: FieldInfo) -> bool:
    serializer = get_args(Winston)[-1]
    return serializer in field.metadata or Winston in get_args(field.annotation)


class Amounts(Mapping[str, str]):
    """A map of amounts as texts, written when they are looked at."""

    def __init__(self, amounts: Mapping[str, int]) -> None:
        self._amounts = amounts

    def __getitem__(self, key: str) -> str:
        return str(self._amounts[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._amounts)

    def __len__(self) -> int:
        return len(self._amounts)
