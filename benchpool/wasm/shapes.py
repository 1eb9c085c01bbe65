"""What a module of WebAssembly offers and needs, as its own file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PAGE: Final = 65536
"""Bytes of a page of memory."""

Kind = Literal["function", "memory", "table", "global", "tag", "other"]
Place = tuple[str, str]
"""Where an import comes from: a module's name and its own."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a function: i32, i64, f32, f64, v128, or a reference."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


@dataclass(frozen=True, slots=True)
class Extern:
    """One import or export.

    Attributes:
        kind: What it is.
        signature: Of a function; None of all else.
        pages: Of a memory: the least and the most (None: no bound of its own).
        wide: Of a memory: whether its addresses have 64 bits.
        shared: Of a memory: whether threads share it.
    """

    kind: Kind
    signature: Signature | None = None
    pages: tuple[int, int | None] = (0, None)
    wide: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """The imports, in order, and the exports of a module."""

    imports: tuple[tuple[Place, Extern], ...]
    exports: dict[str, Extern]

    @property
    def wide(self) -> bool:
        """Whether pointers have 64 bits."""
        memory = self.exports.get("memory")
        return memory is not None and memory.wide

    @property
    def pointer(self) -> str:
        """The type of a pointer."""
        return "i64" if self.wide else "i32"

    def function(self, name: str) -> Signature | None:
        """Return the signature of an exported function; None if there is none such."""
        found = self.exports.get(name)
        return found.signature if found is not None else None
