"""How a pool's answers come about: by what method, and in what precision the model computes.

A protocol is written ``cloze``, ``letters/bf16``: the method, and the precision if it is not the
one that the model's file holds; then the control, if the questions are not asked as they are:
``letters/reordered``. Scores of different protocols never meet on one board.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Self, get_args

from benchpool.errors import DatasetError
from benchpool.evaluation.controls import CONTROLS
from benchpool.inference.engine import Precision

STORED: Final[Precision] = "stored"
"""The weights enter the computation as the file holds them: the reference."""
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


class Protocol(NamedTuple):
    """A method of a data set, a precision of computing, and a control."""

    method: str
    """Such as ``cloze`` or ``letters``: what the data set names in its card."""
    precision: Precision = STORED
    control: str = ""
    """How the questions are changed; empty if they are asked as they are."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a protocol. Raises: DatasetError for an unknown precision or an empty method."""
        plain, _, control = text.rpartition("/")
        if not plain or control not in CONTROLS:
            plain, control = text, ""
        method, _, named = plain.partition("/")
        for precision in PRECISIONS:
            if method and (named or STORED) == precision:
                return cls(method, precision, control)
        raise DatasetError(
            f"not a protocol: {text[:40]!r}; write a method, and after a slash one of"
            f" {', '.join(PRECISIONS)} if the model is not to compute as it is stored"
        )

    def __str__(self) -> str:
        """Write it in its one form: the stored precision goes without saying."""
        precision = "" if self.precision == STORED else self.precision
        return "/".join(filter(None, (self.method, precision, self.control)))
