"""Amounts of money: integers of winston, never floats.

One wAR is 10**12 winston. Amounts may exceed 64 bits, so JSON carries them as decimal strings,
as the token processes of AO do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

from benchpool.errors import InvalidQuantity

WAR_DECIMALS: Final = 12
WINSTON_PER_WAR: Final = 10**WAR_DECIMALS

# Python refuses to convert more than 4,300 digits. The margin below that leaves room for sums:
# a balance made of accepted quantities can always be written down again.
MAX_DIGITS: Final = 4_000

# `[0-9]` and not `\d`, and `isascii`: only ASCII digits are digits here, whatever int() would take.
_NOT_POSITIVE: Final = re.compile(r"-[0-9]+|0+")
_AMOUNT: Final = re.compile(r"0|[1-9][0-9]*")
_WAR: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?: wAR)?")


def parse_quantity(text: str | None) -> int:
    """Read the ``Quantity`` of a message: a positive whole number of winston.

    Only the canonical form is a quantity, so that two processes never read one tag differently.

    Raises:
        InvalidQuantity: Absent, empty, zero, negative, not in plain ASCII digits, with a leading
            zero, or longer than 4,000 digits.
    """
    if not text:
        raise InvalidQuantity("Quantity is required!")
    if text.isdecimal() and text.isascii() and text[0] != "0":
        return _to_int(text)
    if _NOT_POSITIVE.fullmatch(text):
        raise InvalidQuantity(f"Quantity must be greater than 0, not {_shown(text)}")
    raise InvalidQuantity(
        "Quantity must be a whole number of winston in decimal digits, without sign, space or "
        f"leading zero, not {_shown(text)}"
    )


def parse_war(text: str) -> int:
    """Read an amount that a person typed in wAR, such as ``1.5``, as winston; exact.

    What ``format_war`` prints is read back, with or without its unit. Zero is an amount.

    Raises:
        InvalidQuantity: Not a decimal number, negative, more than 12 decimals, or too long.
    """
    match = _WAR.fullmatch(text)
    if match is None:
        raise InvalidQuantity(f"An amount of wAR is written like 1.5, not {_shown(text)}")
    whole, decimals = match[1], match[2] or ""
    if len(decimals) > WAR_DECIMALS:
        raise InvalidQuantity(
            f"An amount of wAR has at most {WAR_DECIMALS} decimals (1 winston), not {_shown(text)}"
        )
    return _to_int(whole + decimals.ljust(WAR_DECIMALS, "0"))


def format_war(winston: int) -> str:
    """Write winston as wAR without losing any, such as ``1.5 wAR``.

    There are no thousands separators: the text can be pasted back into a command.
    """
    whole, part = divmod(abs(winston), WINSTON_PER_WAR)
    decimals = f"{part:0{WAR_DECIMALS}d}".rstrip("0")
    sign = "-" if winston < 0 else ""
    return f"{sign}{whole}{'.' if decimals else ''}{decimals} wAR"


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Divide winston by weight without losing one.

    Every share is ``floor(total * weight / sum)``; what the floors leave over goes one winston
    each, in the order given, to shares whose weight is not zero. The leftover is always smaller
    than the number of those, so one round is enough.

    Returns:
        One share a weight, in the same order, with a sum of exactly ``total``.

    Raises:
        ValueError: A negative total or weight, or a positive total that no weight can take.
    """
    if total < 0 or any(weight < 0 for weight in weights):
        raise ValueError("a total and its weights cannot be negative")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError(f"{total} winston cannot be divided: every weight is zero")
        return [0] * len(weights)
    shares = [total * weight // whole for weight in weights]
    left = total - sum(shares)
    for place, weight in enumerate(weights):
        if left == 0:
            break
        if weight:
            shares[place] += 1
            left -= 1
    return shares


def _to_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidQuantity(
            f"Quantity has {len(digits):,} digits, at most {MAX_DIGITS:,} are accepted: "
            f"{_shown(digits)}"
        )
    return int(digits)


def _shown(text: str) -> str:
    shown = ascii(text)  # ascii() shows which character only looks like a digit or a space
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _validate(value: object) -> int:
    # ValueError, not InvalidQuantity: pydantic turns only ValueError into a ValidationError.
    if isinstance(value, str):
        if not _AMOUNT.fullmatch(value) or len(value) > MAX_DIGITS:
            raise ValueError(f"not a decimal amount of winston: {_shown(value)}")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"an amount of winston is an integer, not {type(value).__name__}")  # noqa: TRY004
    if value < 0:
        raise ValueError("an amount of winston cannot be negative")
    return value


Winston = Annotated[
    int, BeforeValidator(_validate), PlainSerializer(str, return_type=str, when_used="json")
]
"""A field of a pydantic state model: zero or more winston; a decimal string in JSON."""
